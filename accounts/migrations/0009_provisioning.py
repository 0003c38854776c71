"""What a company's directory tells the portal, and who acts where no person does."""

import django.db.models.deletion
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models

COMPOSITE_KEY = """
ALTER TABLE accounts_groupmapping
    ADD CONSTRAINT accounts_groupmapping_location_of_company
    FOREIGN KEY (location_id, partner_account_id)
    REFERENCES accounts_location (id, partner_account_id)
    DEFERRABLE INITIALLY DEFERRED;
"""
DROP_COMPOSITE_KEY = """
ALTER TABLE accounts_groupmapping
    DROP CONSTRAINT accounts_groupmapping_location_of_company;
"""

# The name of a machine is hashed where there is one; hashes of before stay as they are.
AUDIT_HASH = """
CREATE OR REPLACE FUNCTION accounts_audit_hash(event accounts_auditevent) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(
        json_build_array(
            event.prev_hash, event.chain, event.seq,
            extract(epoch FROM event.at)::text, event.partner_account_id,
            event.actor_id, event.action, event.object_type, event.object_id,
            event.before::text, event.after::text, event.reason, event.request_id
        )::text
        || CASE WHEN event.actor_name = '' THEN ''
                ELSE json_build_array(event.actor_name)::text END,
        'UTF8')), 'hex')
$$;
"""
AUDIT_HASH_BEFORE = """
CREATE OR REPLACE FUNCTION accounts_audit_hash(event accounts_auditevent) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(
        json_build_array(
            event.prev_hash, event.chain, event.seq,
            extract(epoch FROM event.at)::text, event.partner_account_id,
            event.actor_id, event.action, event.object_type, event.object_id,
            event.before::text, event.after::text, event.reason, event.request_id
        )::text, 'UTF8')), 'hex')
$$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_colleague_invitations"),
    ]

    operations = [
        migrations.AddField(
            model_name="auditevent",
            name="actor_name",
            field=models.CharField(
                blank=True,
                db_default="",
                editable=False,
                max_length=160,
                verbose_name="by",
            ),
        ),
        migrations.CreateModel(
            name="DirectoryGroup",
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
                    "display_name",
                    models.CharField(max_length=256, verbose_name="group"),
                ),
                ("external_id", models.CharField(blank=True, max_length=256)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "partner_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="directory_groups",
                        to="accounts.partneraccount",
                    ),
                ),
            ],
            options={
                "verbose_name": "group of a directory",
                "verbose_name_plural": "groups of directories",
                "ordering": ("pk",),
            },
        ),
        migrations.CreateModel(
            name="DirectoryGroupMember",
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
                    "group",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="group_members",
                        to="accounts.directorygroup",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="directory_groups",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "member of a group",
                "verbose_name_plural": "members of groups",
                "ordering": ("pk",),
            },
        ),
        migrations.CreateModel(
            name="DirectoryPerson",
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
                ("user_name", models.CharField(max_length=256)),
                ("external_id", models.CharField(blank=True, max_length=256)),
                ("facts", models.JSONField(default=dict)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "partner_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="directory_people",
                        to="accounts.partneraccount",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="directory_entries",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="person",
                    ),
                ),
            ],
            options={
                "verbose_name": "person of a directory",
                "verbose_name_plural": "people of directories",
                "ordering": ("pk",),
            },
        ),
        migrations.CreateModel(
            name="GroupMapping",
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
                ("group_name", models.CharField(max_length=256, verbose_name="group")),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("global_admin", "Global admin"),
                            ("account_admin", "Account admin"),
                            ("user_admin", "User management admin"),
                            ("mpn_admin", "MPN partner admin"),
                            ("incentives_admin", "Incentives admin"),
                            ("incentives_user", "Incentives user"),
                        ],
                        max_length=20,
                        verbose_name="role",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(auto_now_add=True, verbose_name="created at"),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="group_mappings_created",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="created by",
                    ),
                ),
                (
                    "location",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="group_mappings",
                        to="accounts.location",
                        verbose_name="location",
                    ),
                ),
                (
                    "partner_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="group_mappings",
                        to="accounts.partneraccount",
                        verbose_name="company",
                    ),
                ),
                (
                    "program",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="group_mappings",
                        to="accounts.incentiveprogram",
                        verbose_name="program",
                    ),
                ),
            ],
            options={
                "verbose_name": "group with a role",
                "verbose_name_plural": "groups with roles",
                "ordering": ("pk",),
            },
        ),
        migrations.CreateModel(
            name="ProvisioningToken",
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
                ("name", models.CharField(max_length=80, verbose_name="name")),
                (
                    "token_sha256",
                    models.CharField(editable=False, max_length=64, unique=True),
                ),
                (
                    "expires_on",
                    models.DateField(
                        blank=True,
                        help_text="Empty: no end.",
                        null=True,
                        verbose_name="last day",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(auto_now_add=True, verbose_name="created at"),
                ),
                (
                    "last_used_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="last used at"
                    ),
                ),
                (
                    "revoked_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="revoked at"
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="provisioning_tokens_created",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="created by",
                    ),
                ),
                (
                    "partner_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="provisioning_tokens",
                        to="accounts.partneraccount",
                        verbose_name="company",
                    ),
                ),
                (
                    "revoked_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="provisioning_tokens_revoked",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="revoked by",
                    ),
                ),
            ],
            options={
                "verbose_name": "provisioning token",
                "verbose_name_plural": "provisioning tokens",
                "ordering": ("pk",),
            },
        ),
        migrations.AddConstraint(
            model_name="directorygroup",
            constraint=models.UniqueConstraint(
                models.F("partner_account"),
                django.db.models.functions.text.Lower("display_name"),
                condition=models.Q(("removed_at", None)),
                name="accounts_directorygroup_display_name_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="directorygroup",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("removed_at", None), models.Q(("external_id", ""), _negated=True)
                ),
                fields=("partner_account", "external_id"),
                name="accounts_directorygroup_external_id_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="directorygroupmember",
            constraint=models.UniqueConstraint(
                fields=("group", "user"), name="accounts_directorygroupmember_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="directoryperson",
            constraint=models.UniqueConstraint(
                fields=("partner_account", "user"),
                name="accounts_directoryperson_once_per_company",
            ),
        ),
        migrations.AddConstraint(
            model_name="directoryperson",
            constraint=models.UniqueConstraint(
                models.F("partner_account"),
                django.db.models.functions.text.Lower("user_name"),
                condition=models.Q(("removed_at", None)),
                name="accounts_directoryperson_user_name_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="directoryperson",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("removed_at", None), models.Q(("external_id", ""), _negated=True)
                ),
                fields=("partner_account", "external_id"),
                name="accounts_directoryperson_external_id_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="groupmapping",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "role__in",
                        [
                            "global_admin",
                            "account_admin",
                            "user_admin",
                            "mpn_admin",
                            "incentives_admin",
                            "incentives_user",
                        ],
                    )
                ),
                name="accounts_groupmapping_role_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="groupmapping",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("program", None), ("location__isnull", False), _connector="OR"
                ),
                name="accounts_groupmapping_program_needs_location",
            ),
        ),
        migrations.AddConstraint(
            model_name="groupmapping",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("location", None),
                    models.Q(
                        (
                            "role__in",
                            [
                                "account_admin",
                                "global_admin",
                                "mpn_admin",
                                "user_admin",
                            ],
                        ),
                        _negated=True,
                    ),
                    _connector="OR",
                ),
                name="accounts_groupmapping_company_roles_are_company_wide",
            ),
        ),
        migrations.AddConstraint(
            model_name="groupmapping",
            constraint=models.UniqueConstraint(
                models.F("partner_account"),
                django.db.models.functions.text.Lower("group_name"),
                models.F("role"),
                models.F("location"),
                models.F("program"),
                name="accounts_groupmapping_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="provisioningtoken",
            constraint=models.UniqueConstraint(
                models.F("partner_account"),
                django.db.models.functions.text.Lower("name"),
                condition=models.Q(("revoked_at", None)),
                name="accounts_provisioningtoken_name_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="provisioningtoken",
            constraint=models.CheckConstraint(
                condition=models.Q(("token_sha256__regex", "^[0-9a-f]{64}$")),
                name="accounts_provisioningtoken_holds_a_hash",
            ),
        ),
        migrations.AddConstraint(
            model_name="provisioningtoken",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("revoked_by", None), ("revoked_at__isnull", False), _connector="OR"
                ),
                name="accounts_provisioningtoken_revoked_by_needs_revoked_at",
            ),
        ),
        migrations.RunSQL(COMPOSITE_KEY, DROP_COMPOSITE_KEY),
        migrations.RunSQL(AUDIT_HASH, AUDIT_HASH_BEFORE),
    ]
