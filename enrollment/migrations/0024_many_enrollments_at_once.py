"""Many enrollments are submitted together."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0031_audit_of_imports"),
        ("enrollment", "0023_people_subscribe_to_their_dates"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="EnrollmentBatch",
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
                ("created_at", models.DateTimeField(verbose_name="created at")),
                (
                    "sent_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="sent at"),
                ),
                (
                    "told_to",
                    models.BigIntegerField(default=0, verbose_name="last person told"),
                ),
                (
                    "finished_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="finished at"
                    ),
                ),
                (
                    "by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="enrollment_batches",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="by",
                    ),
                ),
                (
                    "partner_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="enrollment_batches",
                        to="accounts.partneraccount",
                        verbose_name="company",
                    ),
                ),
            ],
            options={
                "verbose_name": "enrollments submitted together",
                "verbose_name_plural": "enrollments submitted together",
                "ordering": ("created_at", "pk"),
            },
        ),
        migrations.CreateModel(
            name="BatchRow",
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
                            ("listed", "Not sent"),
                            ("to_submit", "Waits"),
                            ("to_accept", "Waits"),
                            ("submitted", "Submitted"),
                            ("accepted", "Accepted, something is missing"),
                            ("refused", "Not submitted"),
                        ],
                        default="listed",
                        max_length=10,
                        verbose_name="outcome",
                    ),
                ),
                ("seen", models.TextField(blank=True, verbose_name="what was shown")),
                (
                    "agreement",
                    models.CharField(
                        blank=True, max_length=20, verbose_name="agreement"
                    ),
                ),
                (
                    "why",
                    models.TextField(blank=True, verbose_name="why it was refused"),
                ),
                (
                    "enrollment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="batch_rows",
                        to="enrollment.enrollment",
                        verbose_name="enrollment",
                    ),
                ),
                (
                    "batch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rows",
                        to="enrollment.enrollmentbatch",
                        verbose_name="batch",
                    ),
                ),
            ],
            options={
                "verbose_name": "enrollment submitted with others",
                "verbose_name_plural": "enrollments submitted with others",
                "ordering": ("batch", "pk"),
            },
        ),
        migrations.AddIndex(
            model_name="enrollmentbatch",
            index=models.Index(
                condition=models.Q(("finished_at", None), ("sent_at__isnull", False)),
                fields=["sent_at"],
                name="enrollment_batch_to_run",
            ),
        ),
        migrations.AddConstraint(
            model_name="enrollmentbatch",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("finished_at", None), ("sent_at__isnull", False), _connector="OR"
                ),
                name="enrollment_enrollmentbatch_finished_was_sent",
            ),
        ),
        migrations.AddConstraint(
            model_name="batchrow",
            constraint=models.UniqueConstraint(
                fields=("batch", "enrollment"), name="enrollment_batchrow_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="batchrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "outcome__in",
                        [
                            "listed",
                            "to_submit",
                            "to_accept",
                            "submitted",
                            "accepted",
                            "refused",
                        ],
                    )
                ),
                name="enrollment_batchrow_outcome_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="batchrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("outcome", "refused"), _negated=True),
                    models.Q(("why", ""), _negated=True),
                    _connector="OR",
                ),
                name="enrollment_batchrow_refusal_says_why",
            ),
        ),
    ]
