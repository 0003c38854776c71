"""Agreements end after they begin; each file of measured values is remembered."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_audit_discontinued_programs"),
        ("enrollment", "0004_word_of_lapsed_invitations"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ValueImport",
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
                (
                    "file_hash",
                    models.CharField(max_length=64, verbose_name="hash of the file"),
                ),
                (
                    "accepted",
                    models.PositiveIntegerField(verbose_name="lines accepted"),
                ),
                (
                    "changed",
                    models.PositiveIntegerField(verbose_name="values new or changed"),
                ),
                (
                    "rejected",
                    models.PositiveIntegerField(verbose_name="lines rejected"),
                ),
                (
                    "imported_at",
                    models.DateTimeField(auto_now_add=True, verbose_name="imported at"),
                ),
            ],
            options={
                "verbose_name": "import of measured values",
                "verbose_name_plural": "imports of measured values",
                "ordering": ("-imported_at", "-pk"),
            },
        ),
        migrations.AlterField(
            model_name="agreement",
            name="terminated_on",
            field=models.DateField(
                blank=True,
                help_text="From this day on it is not active. It cannot be taken back.",
                null=True,
                verbose_name="terminated on",
            ),
        ),
        migrations.AddConstraint(
            model_name="agreement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("terminated_on", None),
                    ("terminated_on__gte", models.F("starts_on")),
                    _connector="OR",
                ),
                name="enrollment_agreement_terminated_after_it_starts",
                violation_error_message="It cannot end before it was signed.",
            ),
        ),
        migrations.AlterConstraint(
            model_name="agreement",
            name="enrollment_agreement_ends_after_it_starts",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("ends_on", None),
                    ("ends_on__gte", models.F("starts_on")),
                    _connector="OR",
                ),
                name="enrollment_agreement_ends_after_it_starts",
                violation_error_message="The last day is before the first.",
            ),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="imported_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="value_imports",
                to=settings.AUTH_USER_MODEL,
                verbose_name="imported by",
            ),
        ),
    ]
