"""Partners dispute requirements, and operators answer."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0031_audit_of_imports"),
        ("enrollment", "0021_values_are_compared_before_they_count"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RequirementDispute",
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
                    "needed",
                    models.DecimalField(
                        decimal_places=2,
                        max_digits=16,
                        null=True,
                        verbose_name="needed",
                    ),
                ),
                (
                    "yours",
                    models.DecimalField(
                        decimal_places=2, max_digits=16, null=True, verbose_name="yours"
                    ),
                ),
                ("known_on", models.DateField(null=True, verbose_name="as of")),
                (
                    "text",
                    models.CharField(max_length=1000, verbose_name="what is wrong"),
                ),
                ("asked_at", models.DateTimeField(verbose_name="asked at")),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("corrected", "Corrected"),
                            ("kept", "It stays as it is"),
                        ],
                        max_length=10,
                        verbose_name="outcome",
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
                        related_name="disputes_answered",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="answered by",
                    ),
                ),
                (
                    "asked_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="asked by",
                    ),
                ),
                (
                    "location",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="accounts.location",
                        verbose_name="location",
                    ),
                ),
                (
                    "requirement",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="disputes",
                        to="enrollment.requirement",
                        verbose_name="requirement",
                    ),
                ),
                (
                    "terms",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="enrollment.programterms",
                        verbose_name="program terms",
                    ),
                ),
            ],
            options={
                "verbose_name": "disputed requirement",
                "verbose_name_plural": "disputed requirements",
                "ordering": ("asked_at", "pk"),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("answered_at", None)),
                        fields=("location", "terms", "requirement"),
                        name="enrollment_requirementdispute_one_waits",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("answer", ""),
                                ("answered_at", None),
                                ("answered_by", None),
                                ("outcome", ""),
                            ),
                            models.Q(
                                ("answer__gt", ""),
                                ("answered_at__isnull", False),
                                ("answered_by__isnull", False),
                                ("outcome__in", ["corrected", "kept"]),
                            ),
                            _connector="OR",
                        ),
                        name="enrollment_requirementdispute_answer_is_whole",
                    ),
                ],
            },
        ),
    ]
