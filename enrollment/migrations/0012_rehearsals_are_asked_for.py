"""Rehearsals are asked for, done range by range, and compared with the one before."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0011_year_end_plans"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="renewalplan",
            name="enrollment_renewalplan_status_is_known",
        ),
        migrations.RemoveConstraint(
            model_name="renewalplan",
            name="enrollment_renewalplan_in_force_is_approved",
        ),
        migrations.AddField(
            model_name="renewalplan",
            name="changes",
            field=models.JSONField(blank=True, default=dict, verbose_name="changes"),
        ),
        migrations.AddField(
            model_name="renewalplan",
            name="compared_with",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="enrollment.renewalplan",
                verbose_name="compared with",
            ),
        ),
        migrations.AddField(
            model_name="renewalrange",
            name="changes",
            field=models.JSONField(blank=True, default=dict, verbose_name="changes"),
        ),
        migrations.AddField(
            model_name="renewalrange",
            name="outcomes",
            field=models.JSONField(blank=True, default=dict, verbose_name="outcomes"),
        ),
        migrations.AddField(
            model_name="renewalrange",
            name="reasons",
            field=models.JSONField(blank=True, default=dict, verbose_name="reasons"),
        ),
        migrations.AddField(
            model_name="renewalrange",
            name="rehearsed_at",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="rehearsed at"
            ),
        ),
        migrations.AddField(
            model_name="renewalrow",
            name="status",
            field=models.CharField(
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
                db_default="",
                max_length=20,
                verbose_name="status",
            ),
        ),
        migrations.AddField(
            model_name="renewalrow",
            name="was",
            field=models.CharField(
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
                    ("new", "was not there"),
                ],
                db_default="",
                max_length=20,
                verbose_name="outcome before",
            ),
        ),
        migrations.AddField(
            model_name="setaside",
            name="reason",
            field=models.CharField(
                blank=True, db_default="", max_length=400, verbose_name="reason"
            ),
        ),
        migrations.AlterField(
            model_name="renewalplan",
            name="status",
            field=models.CharField(
                choices=[
                    ("asked", "Waiting for a worker"),
                    ("rehearsing", "Being rehearsed"),
                    ("rehearsed", "Rehearsed"),
                    ("proposed", "Waiting for approval"),
                    ("approved", "Approved"),
                    ("running", "Running"),
                    ("paused", "Paused"),
                    ("finished", "Finished"),
                    ("withdrawn", "Withdrawn"),
                ],
                default="asked",
                max_length=12,
                verbose_name="status",
            ),
        ),
        migrations.AddConstraint(
            model_name="renewalplan",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "asked",
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
                    (
                        "status__in",
                        ("asked", "rehearsing", "rehearsed", "proposed", "withdrawn"),
                    ),
                    models.Q(("approved_at__isnull", False), ("digest__gt", "")),
                    _connector="OR",
                ),
                name="enrollment_renewalplan_in_force_is_approved",
            ),
        ),
        migrations.AddConstraint(
            model_name="renewalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "",
                            "invited",
                            "declined",
                            "action_required",
                            "validating",
                            "enrolled",
                            "ineligible",
                            "inactive",
                            "discontinued",
                            "expired",
                        ],
                    ),
                    (
                        "was__in",
                        [
                            "",
                            "new",
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
                name="enrollment_renewalrow_past_is_known",
            ),
        ),
    ]
