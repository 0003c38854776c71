"""A file that a worker is at is given up beside its own row, which the worker holds."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0048_imports_that_fail_are_set_aside"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ImportCancellation",
            fields=[
                (
                    "value_import",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="cancellation",
                        serialize=False,
                        to="enrollment.valueimport",
                        verbose_name="import",
                    ),
                ),
                (
                    "asked_at",
                    models.DateTimeField(auto_now_add=True, verbose_name="asked at"),
                ),
                (
                    "asked_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="asked by",
                    ),
                ),
            ],
            options={
                "verbose_name": "canceling of an import",
                "verbose_name_plural": "cancelings of imports",
            },
        ),
    ]
