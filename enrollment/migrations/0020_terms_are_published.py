"""Terms are written as drafts and kept in versions; guides are files."""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# What was published stays as it was.
KEPT = """
CREATE FUNCTION enrollment_keep_terms_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a published version of terms is never changed'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER enrollment_termsversion_is_kept
    BEFORE UPDATE OR DELETE ON enrollment_termsversion
    FOR EACH ROW EXECUTE FUNCTION enrollment_keep_terms_version();
"""
NOT_KEPT = """
DROP TRIGGER enrollment_termsversion_is_kept ON enrollment_termsversion;
DROP FUNCTION enrollment_keep_terms_version();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0029_audit_of_program_editing"),
        ("enrollment", "0019_campaigns_and_reminders"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="enrollment",
            name="terms_version",
            field=models.PositiveIntegerField(
                blank=True, null=True, verbose_name="version of the terms accepted"
            ),
        ),
        migrations.AddField(
            model_name="programterms",
            name="invitation_subject_en",
            field=models.CharField(
                blank=True,
                max_length=60,
                verbose_name="subject of the invitation (English)",
            ),
        ),
        migrations.AddField(
            model_name="programterms",
            name="invitation_subject_sv",
            field=models.CharField(
                blank=True,
                max_length=60,
                verbose_name="subject of the invitation (Swedish)",
            ),
        ),
        migrations.AddField(
            model_name="programterms",
            name="is_followed",
            field=models.BooleanField(
                default=True, editable=False, verbose_name="followed"
            ),
        ),
        migrations.AddField(
            model_name="programterms",
            name="sender_name",
            field=models.CharField(
                blank=True,
                help_text="Of mail about this program. Empty: as for all mail.",
                max_length=80,
                verbose_name="name of the sender",
            ),
        ),
        migrations.AddField(
            model_name="programterms",
            name="validation_hours",
            field=models.PositiveSmallIntegerField(
                default=48,
                help_text="So long after Submit the program owner promises an answer.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(720),
                ],
                verbose_name="hours until an answer",
            ),
        ),
        migrations.AddField(
            model_name="programterms",
            name="version",
            field=models.PositiveIntegerField(
                default=0, editable=False, verbose_name="version"
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
                ],
                max_length=20,
                verbose_name="what happened",
            ),
        ),
        migrations.CreateModel(
            name="GuideFile",
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
                    "language",
                    models.CharField(
                        choices=[("en", "English"), ("sv", "Swedish")],
                        max_length=2,
                        verbose_name="language",
                    ),
                ),
                ("title", models.CharField(max_length=120, verbose_name="title")),
                ("content", models.BinaryField(verbose_name="content")),
                (
                    "content_type",
                    models.CharField(max_length=40, verbose_name="kind of file"),
                ),
                ("size", models.PositiveIntegerField(verbose_name="size")),
                ("digest", models.CharField(max_length=64, verbose_name="hash")),
                ("added_at", models.DateTimeField(verbose_name="added at")),
                (
                    "removed_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="taken away at"
                    ),
                ),
                (
                    "added_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="guides_added",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="added by",
                    ),
                ),
                (
                    "fiscal_year",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="guide_files",
                        to="enrollment.fiscalyear",
                        verbose_name="fiscal year",
                    ),
                ),
                (
                    "program",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="guide_files",
                        to="accounts.incentiveprogram",
                        verbose_name="program",
                    ),
                ),
            ],
            options={
                "verbose_name": "guide file",
                "verbose_name_plural": "guide files",
                "ordering": (
                    "program",
                    "-fiscal_year__starts_on",
                    "language",
                    "title",
                    "pk",
                ),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("language__in", ["en", "sv"])),
                        name="enrollment_guidefile_language_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "content_type__in",
                                ["application/pdf", "image/png", "image/jpeg"],
                            )
                        ),
                        name="enrollment_guidefile_content_type_is_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TermsDraft",
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
                ("content", models.JSONField(verbose_name="content")),
                (
                    "based_on",
                    models.PositiveIntegerField(
                        default=0, verbose_name="based on version"
                    ),
                ),
                ("begun_at", models.DateTimeField(verbose_name="begun at")),
                ("changed_at", models.DateTimeField(verbose_name="changed at")),
                (
                    "changed_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="terms_drafted",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="changed by",
                    ),
                ),
                (
                    "fiscal_year",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="terms_drafts",
                        to="enrollment.fiscalyear",
                        verbose_name="fiscal year",
                    ),
                ),
                (
                    "program",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="terms_drafts",
                        to="accounts.incentiveprogram",
                        verbose_name="program",
                    ),
                ),
            ],
            options={
                "verbose_name": "draft of program terms",
                "verbose_name_plural": "drafts of program terms",
                "ordering": ("program__name", "-fiscal_year__starts_on", "pk"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("program", "fiscal_year"),
                        name="enrollment_termsdraft_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="TermsVersion",
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
                ("number", models.PositiveIntegerField(verbose_name="version")),
                ("content", models.JSONField(verbose_name="content")),
                ("published_at", models.DateTimeField(verbose_name="published at")),
                (
                    "published_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="terms_published",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="published by",
                    ),
                ),
                (
                    "terms",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="enrollment.programterms",
                        verbose_name="program terms",
                    ),
                ),
            ],
            options={
                "verbose_name": "version of program terms",
                "verbose_name_plural": "versions of program terms",
                "ordering": ("terms", "-number"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("terms", "number"), name="enrollment_termsversion_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number__gte", 1)),
                        name="enrollment_termsversion_counts_from_1",
                    ),
                ],
            },
        ),
        migrations.RunSQL(KEPT, NOT_KEPT),
    ]
