"""People subscribe to their coming dates by a secret address."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0022_requirements_are_disputed"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CalendarFeed",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "secret_sha256",
                    models.CharField(editable=False, max_length=64, unique=True),
                ),
                ("made_at", models.DateTimeField(verbose_name="made at")),
                (
                    "read_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="last read at"
                    ),
                ),
                (
                    "ended_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="ended at"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="calendar_feeds",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="person",
                    ),
                ),
            ],
            options={
                "verbose_name": "calendar address",
                "verbose_name_plural": "calendar addresses",
                "ordering": ("-made_at", "pk"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("secret_sha256__regex", "^[0-9a-f]{64}$")),
                        name="enrollment_calendarfeed_keeps_a_fingerprint",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("user",),
                        name="enrollment_calendarfeed_one_per_person",
                    ),
                ],
            },
        ),
    ]
