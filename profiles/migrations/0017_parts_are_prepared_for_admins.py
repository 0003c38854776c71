"""Bank or tax details are filled in for whoever may send them."""

import uuid

import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.functions.text
import django.db.models.lookups
from django.conf import settings
from django.db import migrations, models

import accounts.encryption


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0034_audit_of_prepared_parts"),
        ("profiles", "0016_drafts_know_what_they_are_based_on"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PreparedPart",
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
                    "section",
                    models.CharField(
                        choices=[("bank", "Bank details"), ("tax", "Tax details")],
                        max_length=4,
                        verbose_name="section",
                    ),
                ),
                (
                    "email",
                    models.EmailField(max_length=254, verbose_name="e-mail address"),
                ),
                (
                    "full_name",
                    models.CharField(max_length=120, verbose_name="full name"),
                ),
                (
                    "language",
                    models.CharField(
                        choices=[("en", "English"), ("sv", "Svenska")],
                        default="en",
                        max_length=2,
                        verbose_name="language",
                    ),
                ),
                (
                    "token_sha256",
                    models.CharField(blank=True, editable=False, max_length=64),
                ),
                (
                    "note",
                    models.CharField(blank=True, max_length=400, verbose_name="note"),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Being filled in"),
                            ("filled", "To be checked"),
                            ("used", "Gone on with"),
                            ("ended", "Put aside"),
                            ("expired", "Expired"),
                        ],
                        default="open",
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                ("asked_at", models.DateTimeField(verbose_name="asked at")),
                ("expires_at", models.DateTimeField(verbose_name="works until")),
                (
                    "country",
                    models.CharField(blank=True, max_length=2, verbose_name="country"),
                ),
                (
                    "details",
                    accounts.encryption.EncryptedJSONField(
                        default="", verbose_name="details"
                    ),
                ),
                (
                    "filled_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="filled in at"
                    ),
                ),
                (
                    "closed_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="closed at"
                    ),
                ),
                (
                    "asked_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parts_asked_for",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="asked by",
                    ),
                ),
                (
                    "filled_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parts_filled",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="filled in by",
                    ),
                ),
                (
                    "location",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="prepared_parts",
                        to="accounts.location",
                        verbose_name="location",
                    ),
                ),
            ],
            options={
                "verbose_name": "prepared part of a profile",
                "verbose_name_plural": "prepared parts of profiles",
                "ordering": ("-asked_at", "pk"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("email", django.db.models.functions.text.Lower("email"))
                        ),
                        name="profiles_preparedpart_email_is_lower_case",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("asked_by", None), ("token_sha256", "")),
                            models.Q(
                                ("asked_by__isnull", False),
                                ("token_sha256__regex", "^[0-9a-f]{64}$"),
                            ),
                            _connector="OR",
                        ),
                        name="profiles_preparedpart_keeps_a_fingerprint",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("token_sha256", ""), _negated=True),
                        fields=("token_sha256",),
                        name="profiles_preparedpart_token_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "open")),
                        fields=("location", "section", "email"),
                        name="profiles_preparedpart_one_open_for_each",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("closed_at", None),
                                ("filled_at", None),
                                ("filled_by", None),
                                ("state", "open"),
                            ),
                            models.Q(
                                ("closed_at", None),
                                ("filled_at__isnull", False),
                                ("filled_by__isnull", False),
                                ("state", "filled"),
                            ),
                            models.Q(
                                ("closed_at__isnull", False),
                                ("state__in", ["used", "ended", "expired"]),
                            ),
                            _connector="OR",
                        ),
                        name="profiles_preparedpart_state_has_its_moments",
                    ),
                    accounts.encryption.SealedConstraint(
                        condition=models.Q(
                            django.db.models.lookups.Regex(
                                django.db.models.functions.comparison.Cast(
                                    "details", models.TextField()
                                ),
                                "^(v1:[A-Za-z0-9]+:[A-Za-z0-9_-]{38,}={0,2})?$",
                            )
                        ),
                        name="profiles_preparedpart_details_are_sealed",
                    ),
                ],
            },
        ),
    ]
