"""A change of a bank account has a cooling-off, and can be stopped."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("profiles", "0006_a_first_account_takes_two"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BankChangeStop",
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
                    "stopped_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="stopped at"
                    ),
                ),
                (
                    "checked_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="checked at"
                    ),
                ),
                (
                    "evidence",
                    models.CharField(
                        blank=True, max_length=400, verbose_name="evidence"
                    ),
                ),
                (
                    "released_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="released at"
                    ),
                ),
            ],
            options={
                "verbose_name": "stopped change of a bank account",
                "verbose_name_plural": "stopped changes of bank accounts",
                "ordering": ("stopped_at", "pk"),
            },
        ),
        migrations.RemoveConstraint(
            model_name="bankprofileversion",
            name="profiles_bankprofileversion_status_is_known",
        ),
        migrations.RemoveConstraint(
            model_name="bankprofileversion",
            name="profiles_bankprofileversion_one_candidate",
        ),
        migrations.RemoveConstraint(
            model_name="bankprofileversion",
            name="profiles_bankprofileversion_decided_has_its_moment",
        ),
        migrations.RemoveConstraint(
            model_name="taxprofileversion",
            name="profiles_taxprofileversion_status_is_known",
        ),
        migrations.RemoveConstraint(
            model_name="taxprofileversion",
            name="profiles_taxprofileversion_one_candidate",
        ),
        migrations.RemoveConstraint(
            model_name="taxprofileversion",
            name="profiles_taxprofileversion_decided_has_its_moment",
        ),
        migrations.AddField(
            model_name="bankprofileversion",
            name="stop_sha256",
            field=models.CharField(
                blank=True, db_default="", editable=False, max_length=64
            ),
        ),
        migrations.AddField(
            model_name="bankprofileversion",
            name="usable_from",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="usable from"
            ),
        ),
        migrations.AlterField(
            model_name="bankprofileversion",
            name="status",
            field=models.CharField(
                choices=[
                    ("pending", "Pending validation"),
                    ("cooling", "Approved, in force later"),
                    ("stopped", "Stopped"),
                    ("approved", "Approved"),
                    ("action_required", "Action required"),
                    ("replaced", "Replaced"),
                ],
                default="pending",
                max_length=20,
                verbose_name="status",
            ),
        ),
        migrations.AlterField(
            model_name="taxprofileversion",
            name="status",
            field=models.CharField(
                choices=[
                    ("pending", "Pending validation"),
                    ("cooling", "Approved, in force later"),
                    ("stopped", "Stopped"),
                    ("approved", "Approved"),
                    ("action_required", "Action required"),
                    ("replaced", "Replaced"),
                ],
                default="pending",
                max_length=20,
                verbose_name="status",
            ),
        ),
        migrations.AddIndex(
            model_name="bankprofileversion",
            index=models.Index(
                condition=models.Q(("status", "cooling")),
                fields=["usable_from"],
                name="profiles_bank_cooling",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankprofileversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "pending",
                            "cooling",
                            "stopped",
                            "approved",
                            "action_required",
                            "replaced",
                        ],
                    )
                ),
                name="profiles_bankprofileversion_status_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankprofileversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("status__in", ("pending", "cooling", "stopped", "action_required"))
                ),
                fields=("profile",),
                name="profiles_bankprofileversion_one_candidate",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankprofileversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("status__in", ["approved", "cooling", "action_required"]),
                        _negated=True,
                    ),
                    ("decided_at__isnull", False),
                    _connector="OR",
                ),
                name="profiles_bankprofileversion_decided_has_its_moment",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankprofileversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("usable_from", None),
                    ("usable_from__gte", models.F("submitted_at")),
                    _connector="OR",
                ),
                name="profiles_bankprofileversion_cooling_off_after_the_request",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankprofileversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "cooling"), _negated=True),
                    ("usable_from__isnull", False),
                    _connector="OR",
                ),
                name="profiles_bankprofileversion_cooling_off_has_an_end",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankprofileversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("usable_from", None),
                    models.Q(("status__in", ["cooling", "approved"]), _negated=True),
                    models.Q(
                        ("seconded_by__isnull", False),
                        models.Q(
                            ("seconded_by", models.F("decided_by")), _negated=True
                        ),
                    ),
                    _connector="OR",
                ),
                name="profiles_bankprofileversion_change_takes_two",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankprofileversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("stop_sha256", ""), _negated=True),
                fields=("stop_sha256",),
                name="profiles_bankprofileversion_link_stops_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="taxprofileversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "pending",
                            "cooling",
                            "stopped",
                            "approved",
                            "action_required",
                            "replaced",
                        ],
                    )
                ),
                name="profiles_taxprofileversion_status_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="taxprofileversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("status__in", ("pending", "cooling", "stopped", "action_required"))
                ),
                fields=("profile",),
                name="profiles_taxprofileversion_one_candidate",
            ),
        ),
        migrations.AddConstraint(
            model_name="taxprofileversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("status__in", ["approved", "cooling", "action_required"]),
                        _negated=True,
                    ),
                    ("decided_at__isnull", False),
                    _connector="OR",
                ),
                name="profiles_taxprofileversion_decided_has_its_moment",
            ),
        ),
        migrations.AddField(
            model_name="bankchangestop",
            name="checked_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="checked by",
            ),
        ),
        migrations.AddField(
            model_name="bankchangestop",
            name="released_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="released by",
            ),
        ),
        migrations.AddField(
            model_name="bankchangestop",
            name="stopped_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="bank_changes_stopped",
                to=settings.AUTH_USER_MODEL,
                verbose_name="stopped by",
            ),
        ),
        migrations.AddField(
            model_name="bankchangestop",
            name="version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="stops",
                to="profiles.bankprofileversion",
                verbose_name="bank profile version",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankchangestop",
            constraint=models.UniqueConstraint(
                condition=models.Q(("released_at", None)),
                fields=("version",),
                name="profiles_bankchangestop_one_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankchangestop",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("checked_at", None), ("checked_by", None), ("evidence", "")
                    ),
                    models.Q(
                        ("checked_at__isnull", False),
                        ("checked_by__isnull", False),
                        models.Q(("evidence", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="profiles_bankchangestop_checked_with_evidence",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankchangestop",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("released_at", None), ("released_by", None)),
                    models.Q(
                        ("checked_by__isnull", False),
                        ("released_at__isnull", False),
                        ("released_by__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="profiles_bankchangestop_released_after_a_check",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankchangestop",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("released_by", models.F("checked_by")), _negated=True
                ),
                name="profiles_bankchangestop_released_by_two",
            ),
        ),
    ]
