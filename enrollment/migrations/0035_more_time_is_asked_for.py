"""More time to enroll is asked for, and granted."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("enrollment", "0034_standings_follow_each_day"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="enrollmentevent",
            name="code",
            field=models.CharField(
                choices=[
                    ("invited", "Invited"),
                    ("started", "Enrollment started"),
                    ("invited_anew", "Invited anew"),
                    ("extended", "More time given"),
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
        migrations.CreateModel(
            name="ExtensionRequest",
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
                ("enroll_by", models.DateField(verbose_name="last day when asked")),
                ("text", models.CharField(max_length=1000, verbose_name="why")),
                ("asked_at", models.DateTimeField(verbose_name="asked at")),
                (
                    "until",
                    models.DateField(
                        blank=True, null=True, verbose_name="extended until"
                    ),
                ),
                (
                    "answer",
                    models.CharField(
                        blank=True, max_length=1000, verbose_name="answer"
                    ),
                ),
                (
                    "answered_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="answered at"
                    ),
                ),
                (
                    "answered_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="extensions_answered",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="answered by",
                    ),
                ),
                (
                    "asked_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="extensions_asked",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="asked by",
                    ),
                ),
                (
                    "enrollment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="extension_requests",
                        to="enrollment.enrollment",
                        verbose_name="enrollment",
                    ),
                ),
            ],
            options={
                "verbose_name": "request for more time",
                "verbose_name_plural": "requests for more time",
                "ordering": ("asked_at", "pk"),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("answered_at", None)),
                        fields=("enrollment",),
                        name="enrollment_extensionrequest_one_waits",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("answer", ""),
                                ("answered_at", None),
                                ("answered_by", None),
                                ("until", None),
                            ),
                            models.Q(
                                ("answer__gt", ""),
                                ("answered_at__isnull", False),
                                ("answered_by__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="enrollment_extensionrequest_answer_is_whole",
                    ),
                ],
            },
        ),
    ]
