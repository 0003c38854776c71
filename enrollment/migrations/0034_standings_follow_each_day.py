"""Where enrollments stand is asked every day, and people are told once."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0035_lighter_mail_bodies"),
        ("enrollment", "0033_overview_rows_stand_alone"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="programterms",
            name="standing_on",
            field=models.DateField(
                blank=True,
                editable=False,
                null=True,
                verbose_name="requirements followed on",
            ),
        ),
        migrations.CreateModel(
            name="StandingNotice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("since", models.DateTimeField(verbose_name="since")),
                (
                    "is_over",
                    models.BooleanField(
                        default=False, verbose_name="told that it came back"
                    ),
                ),
                (
                    "email",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="standing_notices",
                        to="accounts.outgoingemail",
                        verbose_name="mail",
                    ),
                ),
                (
                    "enrollment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="standing_notices",
                        to="enrollment.enrollment",
                        verbose_name="enrollment",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="standing_notices",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="person",
                    ),
                ),
            ],
            options={
                "verbose_name": "notice of where an enrollment went",
                "verbose_name_plural": "notices of where enrollments went",
                "ordering": ("pk",),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("enrollment", "user", "since"),
                        name="enrollment_standingnotice_once_each_time",
                    )
                ],
            },
        ),
    ]
