"""The year end: plans, their ranges and rows, and what was set aside."""

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0010_what_the_year_end_asks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="enrollment",
            name="end_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("not_answered", "it was not submitted in time"),
                    ("program_ended", "the program ended"),
                    ("location_closed", "the location was closed"),
                    ("no_agreement", "the company had no active agreement"),
                    ("not_eligible", "the location was not eligible for the next year"),
                    ("continued", "it continued in the next fiscal year"),
                    (
                        "continued_with_gaps",
                        "it continued in the next fiscal year, where something is missing",
                    ),
                    ("year_ended", "the fiscal year ended"),
                ],
                max_length=20,
                verbose_name="ended because",
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
                    ("enrolled", "Enrolled"),
                    ("lapsed", "Invitation lapsed"),
                    ("discontinued", "Program discontinued"),
                    ("location_closed", "Location closed"),
                    ("year_ended", "The fiscal year ended"),
                    ("renewed", "Continued from the year before"),
                ],
                max_length=20,
                verbose_name="what happened",
            ),
        ),
        migrations.CreateModel(
            name="RenewalPlan",
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
                ("number", models.PositiveIntegerField(verbose_name="rehearsal")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("rehearsing", "Being rehearsed"),
                            ("rehearsed", "Rehearsed"),
                            ("proposed", "Waiting for approval"),
                            ("approved", "Approved"),
                            ("running", "Running"),
                            ("paused", "Paused"),
                            ("finished", "Finished"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="rehearsing",
                        max_length=12,
                        verbose_name="status",
                    ),
                ),
                ("known_on", models.DateField(verbose_name="values as known on")),
                (
                    "rows_count",
                    models.PositiveIntegerField(default=0, verbose_name="enrollments"),
                ),
                (
                    "digest",
                    models.CharField(blank=True, max_length=64, verbose_name="digest"),
                ),
                (
                    "outcomes",
                    models.JSONField(blank=True, default=dict, verbose_name="outcomes"),
                ),
                (
                    "reasons",
                    models.JSONField(blank=True, default=dict, verbose_name="reasons"),
                ),
                (
                    "rehearsed_at",
                    models.DateTimeField(
                        auto_now_add=True, verbose_name="rehearsed at"
                    ),
                ),
                (
                    "proposed_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="proposed at"
                    ),
                ),
                (
                    "approved_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="approved at"
                    ),
                ),
                (
                    "started_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="started at"
                    ),
                ),
                (
                    "finished_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="finished at"
                    ),
                ),
                (
                    "approved_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="renewals_approved",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="approved by",
                    ),
                ),
                (
                    "into",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="renewal_plans",
                        to="enrollment.fiscalyear",
                        verbose_name="into the fiscal year",
                    ),
                ),
                (
                    "proposed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="renewals_proposed",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="proposed by",
                    ),
                ),
                (
                    "rehearsed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="renewals_rehearsed",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="rehearsed by",
                    ),
                ),
            ],
            options={
                "verbose_name": "year-end plan",
                "verbose_name_plural": "year-end plans",
                "ordering": ("-into__starts_on", "-number"),
                "permissions": [
                    ("prepare_renewals", "Can rehearse, propose and run the year end"),
                    ("approve_renewals", "Can approve the year end"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RenewalRange",
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
                ("first_company", models.BigIntegerField(verbose_name="first company")),
                ("last_company", models.BigIntegerField(verbose_name="last company")),
                (
                    "rows_count",
                    models.PositiveIntegerField(default=0, verbose_name="enrollments"),
                ),
                (
                    "digest",
                    models.CharField(blank=True, max_length=64, verbose_name="digest"),
                ),
                (
                    "done_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="done at"),
                ),
                (
                    "renewed",
                    models.PositiveIntegerField(default=0, verbose_name="continued"),
                ),
                ("ended", models.PositiveIntegerField(default=0, verbose_name="ended")),
                (
                    "set_aside",
                    models.PositiveIntegerField(default=0, verbose_name="set aside"),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="ranges",
                        to="enrollment.renewalplan",
                        verbose_name="year-end plan",
                    ),
                ),
            ],
            options={
                "verbose_name": "range of a year-end plan",
                "verbose_name_plural": "ranges of year-end plans",
                "ordering": ("plan", "number"),
            },
        ),
        migrations.CreateModel(
            name="RenewalRow",
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
                    "outcome",
                    models.CharField(
                        choices=[
                            ("program_ended", "Ends: the program ends"),
                            ("no_agreement", "Ends: no active agreement"),
                            ("not_eligible", "Ends: not eligible"),
                            ("enrolled", "Continues as Enrolled"),
                            ("at_risk", "Continues, but something is missing"),
                            ("validating", "Continues; validation goes on"),
                            ("action_required", "Continues; action is required"),
                            ("unanswered", "Ends: the invitation was not answered"),
                            ("over", "Ends: it was not in force"),
                        ],
                        max_length=20,
                        verbose_name="outcome",
                    ),
                ),
                (
                    "reasons",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40),
                        default=list,
                        size=None,
                        verbose_name="reasons",
                    ),
                ),
                (
                    "enrollment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="renewal_rows",
                        to="enrollment.enrollment",
                        verbose_name="enrollment",
                    ),
                ),
                (
                    "range",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rows",
                        to="enrollment.renewalrange",
                        verbose_name="range",
                    ),
                ),
            ],
            options={
                "verbose_name": "row of a year-end plan",
                "verbose_name_plural": "rows of year-end plans",
                "ordering": ("range", "enrollment"),
            },
        ),
        migrations.CreateModel(
            name="SetAside",
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
                    "planned",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("program_ended", "Ends: the program ends"),
                            ("no_agreement", "Ends: no active agreement"),
                            ("not_eligible", "Ends: not eligible"),
                            ("enrolled", "Continues as Enrolled"),
                            ("at_risk", "Continues, but something is missing"),
                            ("validating", "Continues; validation goes on"),
                            ("action_required", "Continues; action is required"),
                            ("unanswered", "Ends: the invitation was not answered"),
                            ("over", "Ends: it was not in force"),
                        ],
                        max_length=20,
                        verbose_name="planned",
                    ),
                ),
                (
                    "found",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("program_ended", "Ends: the program ends"),
                            ("no_agreement", "Ends: no active agreement"),
                            ("not_eligible", "Ends: not eligible"),
                            ("enrolled", "Continues as Enrolled"),
                            ("at_risk", "Continues, but something is missing"),
                            ("validating", "Continues; validation goes on"),
                            ("action_required", "Continues; action is required"),
                            ("unanswered", "Ends: the invitation was not answered"),
                            ("over", "Ends: it was not in force"),
                        ],
                        max_length=20,
                        verbose_name="found",
                    ),
                ),
                (
                    "reasons",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40),
                        default=list,
                        size=None,
                        verbose_name="reasons",
                    ),
                ),
                (
                    "decided_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="decided at"
                    ),
                ),
                (
                    "is_applied",
                    models.BooleanField(default=False, verbose_name="applied as found"),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="set_aside_decided",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="decided by",
                    ),
                ),
                (
                    "enrollment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="set_aside",
                        to="enrollment.enrollment",
                        verbose_name="enrollment",
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="set_aside",
                        to="enrollment.renewalplan",
                        verbose_name="year-end plan",
                    ),
                ),
            ],
            options={
                "verbose_name": "enrollment set aside at year end",
                "verbose_name_plural": "enrollments set aside at year end",
                "ordering": ("plan", "enrollment"),
            },
        ),
        migrations.AddConstraint(
            model_name="renewalplan",
            constraint=models.UniqueConstraint(
                fields=("into", "number"), name="enrollment_renewalplan_numbered_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="renewalplan",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("status__in", ("approved", "running", "paused", "finished"))
                ),
                fields=("into",),
                name="enrollment_renewalplan_one_in_force",
            ),
        ),
        migrations.AddConstraint(
            model_name="renewalplan",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "rehearsing",
                            "rehearsed",
                            "proposed",
                            "approved",
                            "running",
                            "paused",
                            "finished",
                            "withdrawn",
                        ],
                    )
                ),
                name="enrollment_renewalplan_status_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="renewalplan",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("approved_at", None), ("approved_by", None)),
                    models.Q(
                        ("approved_at__isnull", False), ("approved_by__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="enrollment_renewalplan_approval_is_paired",
            ),
        ),
        migrations.AddConstraint(
            model_name="renewalplan",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approved_by", None),
                    models.Q(
                        models.Q(
                            ("approved_by", models.F("proposed_by")), _negated=True
                        ),
                        models.Q(
                            ("rehearsed_by", None),
                            models.Q(
                                ("approved_by", models.F("rehearsed_by")), _negated=True
                            ),
                            _connector="OR",
                        ),
                    ),
                    _connector="OR",
                ),
                name="enrollment_renewalplan_approved_by_somebody_else",
            ),
        ),
        migrations.AddConstraint(
            model_name="renewalplan",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        ("rehearsing", "rehearsed", "proposed", "withdrawn"),
                    ),
                    models.Q(("approved_at__isnull", False), ("digest__gt", "")),
                    _connector="OR",
                ),
                name="enrollment_renewalplan_in_force_is_approved",
            ),
        ),
        migrations.AddConstraint(
            model_name="renewalrange",
            constraint=models.UniqueConstraint(
                fields=("plan", "number"), name="enrollment_renewalrange_numbered_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="renewalrange",
            constraint=models.CheckConstraint(
                condition=models.Q(("last_company__gte", models.F("first_company"))),
                name="enrollment_renewalrange_ends_after_it_starts",
            ),
        ),
        migrations.AddConstraint(
            model_name="renewalrow",
            constraint=models.UniqueConstraint(
                fields=("range", "enrollment"), name="enrollment_renewalrow_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="renewalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "outcome__in",
                        [
                            "program_ended",
                            "no_agreement",
                            "not_eligible",
                            "enrolled",
                            "at_risk",
                            "validating",
                            "action_required",
                            "unanswered",
                            "over",
                        ],
                    )
                ),
                name="enrollment_renewalrow_outcome_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="setaside",
            constraint=models.UniqueConstraint(
                fields=("plan", "enrollment"), name="enrollment_setaside_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="setaside",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "planned__in",
                        [
                            "",
                            "program_ended",
                            "no_agreement",
                            "not_eligible",
                            "enrolled",
                            "at_risk",
                            "validating",
                            "action_required",
                            "unanswered",
                            "over",
                        ],
                    ),
                    (
                        "found__in",
                        [
                            "",
                            "program_ended",
                            "no_agreement",
                            "not_eligible",
                            "enrolled",
                            "at_risk",
                            "validating",
                            "action_required",
                            "unanswered",
                            "over",
                        ],
                    ),
                ),
                name="enrollment_setaside_outcomes_are_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="setaside",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("decided_at", None),
                        ("decided_by", None),
                        ("is_applied", False),
                    ),
                    models.Q(
                        ("decided_at__isnull", False), ("decided_by__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="enrollment_setaside_decision_is_paired",
            ),
        ),
    ]
