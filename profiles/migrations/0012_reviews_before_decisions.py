"""Who is at a version, and what a reviewer asks before deciding it."""

import importlib
import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

signed = importlib.import_module("profiles.migrations.0006_a_first_account_takes_two")

# Beside what was sent stands who is at it, and whether the partner is asked.
WITH_REVIEWS = signed.WITH_DIGEST.replace(
    "'approved_at', ",
    "'approved_at', 'claimed_at', 'claimed_by_id', 'asked_at', 'promised_from', ",
)


class Migration(migrations.Migration):
    dependencies = [
        ("profiles", "0011_tax_documents_and_drafts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ReviewQuestion",
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
                    "to",
                    models.CharField(
                        choices=[
                            ("partner", "Question to the partner"),
                            ("approvers", "Escalated"),
                        ],
                        max_length=10,
                        verbose_name="to",
                    ),
                ),
                (
                    "field",
                    models.CharField(blank=True, max_length=40, verbose_name="field"),
                ),
                ("text", models.CharField(max_length=400, verbose_name="question")),
                (
                    "asked_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="asked at"
                    ),
                ),
                (
                    "answer",
                    models.CharField(blank=True, max_length=400, verbose_name="answer"),
                ),
                (
                    "answered_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="answered at"
                    ),
                ),
            ],
            options={
                "verbose_name": "question of a reviewer",
                "verbose_name_plural": "questions of reviewers",
                "ordering": ("asked_at", "pk"),
            },
        ),
        migrations.AddField(
            model_name="bankprofileversion",
            name="asked_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="asked at"),
        ),
        migrations.AddField(
            model_name="bankprofileversion",
            name="claimed_at",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="claimed at"
            ),
        ),
        migrations.AddField(
            model_name="bankprofileversion",
            name="claimed_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="claimed by",
            ),
        ),
        migrations.AddField(
            model_name="bankprofileversion",
            name="promised_from",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="promised from"
            ),
        ),
        migrations.AddField(
            model_name="taxprofileversion",
            name="asked_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="asked at"),
        ),
        migrations.AddField(
            model_name="taxprofileversion",
            name="claimed_at",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="claimed at"
            ),
        ),
        migrations.AddField(
            model_name="taxprofileversion",
            name="claimed_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="claimed by",
            ),
        ),
        migrations.AddField(
            model_name="taxprofileversion",
            name="promised_from",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="promised from"
            ),
        ),
        migrations.AddConstraint(
            model_name="bankprofileversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("claimed_at", None), ("claimed_by", None)),
                    models.Q(
                        ("claimed_at__isnull", False), ("claimed_by__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="profiles_bankprofileversion_claim_is_paired",
            ),
        ),
        migrations.AddConstraint(
            model_name="taxprofileversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("claimed_at", None), ("claimed_by", None)),
                    models.Q(
                        ("claimed_at__isnull", False), ("claimed_by__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="profiles_taxprofileversion_claim_is_paired",
            ),
        ),
        migrations.AddField(
            model_name="reviewquestion",
            name="answered_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="answered by",
            ),
        ),
        migrations.AddField(
            model_name="reviewquestion",
            name="asked_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="asked by",
            ),
        ),
        migrations.AddField(
            model_name="reviewquestion",
            name="bank_version",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="questions",
                to="profiles.bankprofileversion",
                verbose_name="bank profile version",
            ),
        ),
        migrations.AddField(
            model_name="reviewquestion",
            name="tax_version",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="questions",
                to="profiles.taxprofileversion",
                verbose_name="tax profile version",
            ),
        ),
        migrations.AddConstraint(
            model_name="reviewquestion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("bank_version", None), ("tax_version__isnull", False)),
                    models.Q(("bank_version__isnull", False), ("tax_version", None)),
                    _connector="OR",
                ),
                name="profiles_reviewquestion_of_one_version",
            ),
        ),
        migrations.AddConstraint(
            model_name="reviewquestion",
            constraint=models.CheckConstraint(
                condition=models.Q(("to__in", ["partner", "approvers"])),
                name="profiles_reviewquestion_addressee_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="reviewquestion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("answer", ""), ("answered_at", None), ("answered_by", None)
                    ),
                    models.Q(
                        ("answered_at__isnull", False),
                        ("answered_by__isnull", False),
                        models.Q(("answer", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="profiles_reviewquestion_answer_is_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="reviewquestion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("answered_by", models.F("asked_by")), _negated=True
                ),
                name="profiles_reviewquestion_answered_by_another",
            ),
        ),
        migrations.AddConstraint(
            model_name="reviewquestion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("answered_at", None)),
                fields=("bank_version", "to"),
                name="profiles_reviewquestion_one_open_of_a_bank",
            ),
        ),
        migrations.AddConstraint(
            model_name="reviewquestion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("answered_at", None)),
                fields=("tax_version", "to"),
                name="profiles_reviewquestion_one_open_of_a_tax",
            ),
        ),
        migrations.RunSQL(WITH_REVIEWS, signed.WITH_DIGEST),
    ]
