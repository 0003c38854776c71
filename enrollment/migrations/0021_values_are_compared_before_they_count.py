"""Files of measured values are kept, compared, held, applied and undone."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# A new or changed value of a file held against each requirement of its criterion, beside
# what is known now: as the view of requirements says it of what is known.
IMPORTED_CHECK = """
CREATE VIEW enrollment_importedcheck AS
SELECT s.value_import_id || '-' || s.line || '-' || r.id AS id,
       s.value_import_id,
       s.location_id,
       r.terms_id,
       r.id AS requirement_id,
       s.value >= r.at_least AS is_met,
       s.measured_on AS valid_from,
       s.measured_on + c.max_age_days::integer AS valid_until,
       s.old_value >= r.at_least AS was_met,
       s.old_measured_on AS was_valid_from,
       s.old_measured_on + c.max_age_days::integer AS was_valid_until
FROM enrollment_stagedvalue s
JOIN enrollment_requirement r ON r.criterion_id = s.criterion_id
JOIN enrollment_criterion c ON c.id = s.criterion_id
WHERE s.outcome IN ('new', 'changed');
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0029_audit_of_program_editing"),
        ("enrollment", "0020_terms_are_published"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ImportedCheck",
            fields=[
                (
                    "id",
                    models.CharField(max_length=60, primary_key=True, serialize=False),
                ),
                ("is_met", models.BooleanField(null=True)),
                ("valid_from", models.DateField(null=True)),
                ("valid_until", models.DateField(null=True)),
                ("was_met", models.BooleanField(null=True)),
                ("was_valid_from", models.DateField(null=True)),
                ("was_valid_until", models.DateField(null=True)),
            ],
            options={
                "db_table": "enrollment_importedcheck",
                "ordering": ("id",),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="ImportBlock",
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
                ("number", models.PositiveIntegerField(verbose_name="number")),
                ("packed", models.BinaryField(verbose_name="content")),
            ],
            options={
                "verbose_name": "block of an import",
                "verbose_name_plural": "blocks of imports",
                "ordering": ("value_import", "number"),
            },
        ),
        migrations.CreateModel(
            name="ImportEffect",
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
                    "was",
                    models.CharField(
                        choices=[
                            ("met", "Eligible"),
                            ("unknown", "Not known"),
                            ("unmet", "Not eligible"),
                        ],
                        max_length=10,
                        verbose_name="before",
                    ),
                ),
                (
                    "becomes",
                    models.CharField(
                        choices=[
                            ("met", "Eligible"),
                            ("unknown", "Not known"),
                            ("unmet", "Not eligible"),
                        ],
                        max_length=10,
                        verbose_name="after",
                    ),
                ),
                (
                    "was_status",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("invited", "Invited"),
                            ("declined", "Declined"),
                            ("action_required", "Action required"),
                            ("validating", "Validating enrollment"),
                            ("enrolled", "Enrolled"),
                            ("ineligible", "Not eligible"),
                            ("inactive", "Inactive"),
                            ("discontinued", "Discontinued"),
                            ("expired", "Expired"),
                        ],
                        max_length=20,
                        verbose_name="enrollment before",
                    ),
                ),
            ],
            options={
                "verbose_name": "effect of an import",
                "verbose_name_plural": "effects of imports",
                "ordering": ("value_import", "pk"),
            },
        ),
        migrations.CreateModel(
            name="ImportProblem",
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
                ("line", models.PositiveIntegerField(verbose_name="line")),
                (
                    "code",
                    models.CharField(
                        choices=[
                            (
                                "cells",
                                "there are more cells than columns; put quotes around commas.",
                            ),
                            ("location", "no location has the PartnerID %(cell)s."),
                            (
                                "global",
                                "%(cell)s is a global PartnerID; give a location's.",
                            ),
                            ("criterion", "there is no criterion %(cell)s."),
                            ("yes_no", "the value must be yes or no."),
                            ("number", "the value must be a number like 21340.50."),
                            ("day", "the day must be written like 2026-11-20."),
                            ("future", "the day is in the future."),
                            ("source", "the source cannot be read."),
                            (
                                "contradiction",
                                "the value differs from that of the same day on line %(cell)s.",
                            ),
                        ],
                        max_length=20,
                        verbose_name="reason",
                    ),
                ),
                (
                    "field",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("partner_id", "PartnerID"),
                            ("criterion", "Criterion"),
                            ("value", "Value"),
                            ("measured_on", "Measured on"),
                            ("source", "Source"),
                        ],
                        max_length=20,
                        verbose_name="field",
                    ),
                ),
                (
                    "cell",
                    models.CharField(
                        blank=True, max_length=200, verbose_name="what stands there"
                    ),
                ),
            ],
            options={
                "verbose_name": "rejected line",
                "verbose_name_plural": "rejected lines",
                "ordering": ("value_import", "line"),
            },
        ),
        migrations.CreateModel(
            name="StagedValue",
            fields=[
                (
                    "value_import",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="staged",
                        to="enrollment.valueimport",
                        verbose_name="import",
                    ),
                ),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "value_import_id",
                        "line",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("line", models.PositiveIntegerField(verbose_name="line")),
                (
                    "value",
                    models.DecimalField(
                        decimal_places=2, max_digits=16, verbose_name="value"
                    ),
                ),
                ("measured_on", models.DateField(verbose_name="measured on")),
                (
                    "source",
                    models.CharField(blank=True, max_length=80, verbose_name="source"),
                ),
                (
                    "old_value",
                    models.DecimalField(
                        decimal_places=2,
                        max_digits=16,
                        null=True,
                        verbose_name="value before",
                    ),
                ),
                (
                    "old_measured_on",
                    models.DateField(null=True, verbose_name="measured on before"),
                ),
                (
                    "old_source",
                    models.CharField(
                        blank=True, max_length=80, verbose_name="source before"
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("new", "New"),
                            ("changed", "Changed"),
                            ("same", "As known"),
                            ("older", "Older than what is known"),
                            ("repeated", "Repeats another line"),
                            ("superseded", "A later day is in the file"),
                        ],
                        max_length=10,
                        verbose_name="outcome",
                    ),
                ),
            ],
            options={
                "verbose_name": "line of an import",
                "verbose_name_plural": "lines of imports",
                "ordering": ("value_import", "line"),
            },
        ),
        migrations.AlterModelOptions(
            name="valueimport",
            options={
                "ordering": ("-imported_at", "-pk"),
                "permissions": [
                    ("import_values", "Can import measured values"),
                    ("release_values", "Can let a held import through"),
                ],
                "verbose_name": "import of measured values",
                "verbose_name_plural": "imports of measured values",
            },
        ),
        migrations.AddField(
            model_name="valueimport",
            name="applied_at",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="applied at"
            ),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="apply_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="value_imports_applied",
                to=settings.AUTH_USER_MODEL,
                verbose_name="applied by",
            ),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="columns",
            field=models.JSONField(blank=True, default=dict, verbose_name="columns"),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="compared_at",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="compared at"
            ),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="delimiter",
            field=models.CharField(
                choices=[
                    (",", "comma"),
                    (";", "semicolon"),
                    ("\t", "tab"),
                    ("|", "vertical bar"),
                ],
                default=",",
                max_length=1,
                verbose_name="between columns",
            ),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="difference",
            field=models.JSONField(blank=True, default=dict, verbose_name="difference"),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="effective_on",
            field=models.DateField(blank=True, null=True, verbose_name="effective on"),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="file_name",
            field=models.CharField(
                blank=True, max_length=200, verbose_name="name of the file"
            ),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="file_size",
            field=models.BigIntegerField(default=0, verbose_name="bytes"),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="problem",
            field=models.JSONField(blank=True, default=dict, verbose_name="problem"),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="read_line",
            field=models.PositiveIntegerField(default=0, verbose_name="lines read"),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="reading_since",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="read since"
            ),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="read_to",
            field=models.BigIntegerField(default=0, verbose_name="bytes read"),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="release_reason",
            field=models.CharField(
                blank=True, max_length=400, verbose_name="why it was let through"
            ),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="released_at",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="let through at"
            ),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="released_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="value_imports_released",
                to=settings.AUTH_USER_MODEL,
                verbose_name="let through by",
            ),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="status",
            field=models.CharField(
                choices=[
                    ("uploaded", "Waiting for its columns"),
                    ("reading", "Being read"),
                    ("ready", "Ready to apply"),
                    ("held", "Held"),
                    ("applying", "Being applied"),
                    ("applied", "Applied"),
                    ("undone", "Undone"),
                    ("canceled", "Canceled"),
                    ("refused", "Could not be read"),
                ],
                default="applied",
                max_length=10,
                verbose_name="status",
            ),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="undone_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="undone at"),
        ),
        migrations.AddField(
            model_name="valueimport",
            name="undone_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="value_imports_undone",
                to=settings.AUTH_USER_MODEL,
                verbose_name="undone by",
            ),
        ),
        migrations.AlterField(
            model_name="enrollmentevent",
            name="code",
            field=models.CharField(
                choices=[
                    ("invited", "Invited"),
                    ("started", "Enrollment started"),
                    ("invited_anew", "Invited anew"),
                    ("accepted", "Invitation accepted"),
                    ("declined", "Invitation declined"),
                    ("reconsidered", "Decline taken back"),
                    ("profiles_chosen", "Payout details chosen"),
                    ("details_asked", "Continued to missing details"),
                    ("submitted", "Submitted"),
                    ("recalled", "Submission recalled"),
                    ("bank_confirmed", "Bank profile validated"),
                    ("tax_confirmed", "Tax profile validated"),
                    ("profile_changed", "A profile was changed"),
                    ("returned", "A profile was returned"),
                    ("profile_expired", "A tax profile expired"),
                    ("terms_changed", "The program's terms changed"),
                    ("enrolled", "Enrolled"),
                    ("lapsed", "Invitation lapsed"),
                    ("discontinued", "Program discontinued"),
                    ("location_closed", "Location closed"),
                    ("year_ended", "The fiscal year ended"),
                    ("renewed", "Continued from the year before"),
                    ("year_end_undone", "The year end was undone"),
                    ("eligibility_lost", "Not eligible any more"),
                    ("eligibility_regained", "Eligible again"),
                    ("eligibility_undone", "An import was undone"),
                ],
                max_length=20,
                verbose_name="what happened",
            ),
        ),
        migrations.AddConstraint(
            model_name="valueimport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "uploaded",
                            "reading",
                            "ready",
                            "held",
                            "applying",
                            "applied",
                            "undone",
                            "canceled",
                            "refused",
                        ],
                    )
                ),
                name="enrollment_valueimport_status_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="valueimport",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("status__in", ["uploaded", "reading", "ready", "held", "applying"])
                ),
                fields=("file_hash",),
                name="enrollment_valueimport_file_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="valueimport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("release_reason", ""),
                        ("released_at", None),
                        ("released_by", None),
                    ),
                    models.Q(
                        ("release_reason__gt", ""),
                        ("released_at__isnull", False),
                        ("released_by__isnull", False),
                        models.Q(
                            ("imported_by", None),
                            models.Q(
                                ("released_by", models.F("imported_by")), _negated=True
                            ),
                            _connector="OR",
                        ),
                    ),
                    _connector="OR",
                ),
                name="enrollment_valueimport_released_by_somebody_else",
            ),
        ),
        migrations.AddField(
            model_name="importblock",
            name="value_import",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="blocks",
                to="enrollment.valueimport",
                verbose_name="import",
            ),
        ),
        migrations.AddField(
            model_name="importeffect",
            name="enrollment",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="enrollment.enrollment",
                verbose_name="enrollment",
            ),
        ),
        migrations.AddField(
            model_name="importeffect",
            name="location",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="accounts.location",
                verbose_name="location",
            ),
        ),
        migrations.AddField(
            model_name="importeffect",
            name="terms",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="enrollment.programterms",
                verbose_name="program terms",
            ),
        ),
        migrations.AddField(
            model_name="importeffect",
            name="value_import",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="effects",
                to="enrollment.valueimport",
                verbose_name="import",
            ),
        ),
        migrations.AddField(
            model_name="importproblem",
            name="value_import",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="problems",
                to="enrollment.valueimport",
                verbose_name="import",
            ),
        ),
        migrations.AddField(
            model_name="stagedvalue",
            name="criterion",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="enrollment.criterion",
                verbose_name="criterion",
            ),
        ),
        migrations.AddField(
            model_name="stagedvalue",
            name="location",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="accounts.location",
                verbose_name="location",
            ),
        ),
        migrations.AddConstraint(
            model_name="importblock",
            constraint=models.UniqueConstraint(
                fields=("value_import", "number"),
                name="enrollment_importblock_numbered_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="importeffect",
            constraint=models.UniqueConstraint(
                fields=("value_import", "location", "terms"),
                name="enrollment_importeffect_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="importproblem",
            constraint=models.UniqueConstraint(
                fields=("value_import", "line"), name="enrollment_importproblem_once"
            ),
        ),
        migrations.RunSQL(IMPORTED_CHECK, "DROP VIEW enrollment_importedcheck;"),
    ]
