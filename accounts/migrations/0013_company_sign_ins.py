"""Which directory of Microsoft Entra ID signs whose people in, and with which roles."""

import uuid

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.lookups
from django.db import migrations, models

import accounts.encryption

COMPOSITE_KEY = """
ALTER TABLE accounts_tenantrolemapping
    ADD CONSTRAINT accounts_tenantrolemapping_location_of_company
    FOREIGN KEY (location_id, partner_account_id)
    REFERENCES accounts_location (id, partner_account_id)
    DEFERRABLE INITIALLY DEFERRED;
"""
DROP_COMPOSITE_KEY = """
ALTER TABLE accounts_tenantrolemapping
    DROP CONSTRAINT accounts_tenantrolemapping_location_of_company;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0012_denied_access"),
    ]

    operations = [
        migrations.CreateModel(
            name="CompanyTenant",
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
                    "tenant_id",
                    models.UUIDField(
                        help_text="“Directory (tenant) ID” of the app registration.",
                        unique=True,
                        verbose_name="tenant ID",
                    ),
                ),
                (
                    "issuer",
                    models.CharField(
                        blank=True,
                        help_text="Empty: this tenant in Microsoft's public cloud.",
                        max_length=300,
                        verbose_name="issuer",
                    ),
                ),
                (
                    "client_id",
                    models.CharField(
                        help_text="“Application (client) ID” of the app registration.",
                        max_length=190,
                        verbose_name="client ID",
                    ),
                ),
                (
                    "client_secret",
                    accounts.encryption.EncryptedTextField(
                        verbose_name="client secret"
                    ),
                ),
                (
                    "mfa_context",
                    models.CharField(
                        blank=True,
                        help_text="Such as c1, when a Conditional Access policy of the tenant asks for multifactor authentication in this context. Empty: people show a second factor here, unless the sign-in says “mfa” of itself.",
                        max_length=3,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^c[1-9][0-9]?\\Z",
                                "An authentication context is called c1 to c99.",
                            )
                        ],
                        verbose_name="authentication context for a second factor",
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True,
                        help_text="Nobody signs in through a tenant that is not.",
                        verbose_name="active",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(auto_now_add=True, verbose_name="added at"),
                ),
            ],
            options={
                "verbose_name": "company sign-in",
                "verbose_name_plural": "company sign-ins",
                "ordering": ("partner_account__name", "pk"),
            },
        ),
        migrations.CreateModel(
            name="TenantDomain",
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
                    "domain",
                    models.CharField(
                        max_length=253, unique=True, verbose_name="domain"
                    ),
                ),
            ],
            options={
                "verbose_name": "domain of a company sign-in",
                "verbose_name_plural": "domains of company sign-ins",
                "ordering": ("domain",),
            },
        ),
        migrations.CreateModel(
            name="TenantRoleMapping",
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
                    "app_role",
                    models.CharField(
                        help_text="The value of the app role in Entra, such as Incentives.Admin.",
                        max_length=120,
                        verbose_name="app role",
                    ),
                ),
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
            ],
            options={
                "verbose_name": "app role with a role",
                "verbose_name_plural": "app roles with roles",
                "ordering": ("app_role", "pk"),
            },
        ),
        migrations.RemoveConstraint(
            model_name="auditevent",
            name="accounts_auditevent_action_is_known",
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="action",
            field=models.CharField(
                choices=[
                    ("person_added", "Person added"),
                    ("person_changed", "Person changed"),
                    ("person_left", "Person deactivated"),
                    ("role_assigned", "Role given"),
                    ("role_revoked", "Role ended"),
                    ("company_added", "Company added"),
                    ("location_added", "Location added"),
                    ("profile_submitted", "Profile sent for validation"),
                    ("profile_approved", "Profile approved"),
                    ("profile_returned", "Profile returned"),
                    ("profile_archived", "Profile archived"),
                    ("default_set", "Default bank profile set"),
                    ("default_removed", "Default bank profile removed"),
                    ("agreement_recorded", "Agreement recorded"),
                    ("agreement_ended", "Agreement terminated"),
                    ("terms_defined", "Program terms changed"),
                    ("program_discontinued", "Program discontinued"),
                    ("invited_anew", "Invited anew"),
                    ("invitations_sent", "Invitations sent"),
                    ("values_imported", "Measured values imported"),
                    ("payout_confirmed", "Payout details confirmed"),
                    ("mail_resent", "Mail sent again"),
                    ("token_created", "Provisioning token created"),
                    ("token_revoked", "Provisioning token revoked"),
                    ("group_added", "Group added"),
                    ("group_changed", "Group changed"),
                    ("group_removed", "Group removed"),
                    ("group_mapped", "Group connected to a role"),
                    ("group_unmapped", "Group disconnected from a role"),
                    ("tenant_registered", "Company sign-in registered"),
                    ("tenant_changed", "Company sign-in changed"),
                    ("app_role_mapped", "App role connected to a role"),
                    ("app_role_unmapped", "App role disconnected from a role"),
                    ("sign_in_connected", "Microsoft sign-in connected"),
                    ("sign_in_disconnected", "Microsoft sign-in disconnected"),
                    ("sign_in_refused", "Microsoft sign-in refused"),
                    ("password_changed", "Password changed"),
                    ("second_factor_added", "Second factor added"),
                    ("second_factor_removed", "Second factor removed"),
                    ("recovery_codes_made", "Recovery codes made"),
                    ("recovery_code_used", "Recovery code used"),
                    ("sessions_ended", "Sessions ended"),
                    ("colleague_invited", "Colleague invited"),
                    ("invitation_resent", "Invitation of a colleague sent again"),
                    ("invitation_revoked", "Invitation of a colleague withdrawn"),
                    ("invitation_accepted", "Invitation of a colleague accepted"),
                    ("invitation_expired", "Invitation of a colleague expired"),
                    ("access_requested", "Access asked for"),
                    ("access_granted", "Access given on request"),
                    ("access_declined", "Request for access declined"),
                    ("access_lapsed", "Request for access lapsed"),
                    ("recovery_requested", "Recovery asked for"),
                    ("recovery_declined", "Recovery declined"),
                    ("recovery_lapsed", "Request for recovery lapsed"),
                    ("admin_recovered", "Global admin appointed by recovery"),
                    ("access_denied", "Access denied"),
                ],
                max_length=30,
                verbose_name="action",
            ),
        ),
        migrations.AddConstraint(
            model_name="auditevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "action__in",
                        [
                            "person_added",
                            "person_changed",
                            "person_left",
                            "role_assigned",
                            "role_revoked",
                            "company_added",
                            "location_added",
                            "profile_submitted",
                            "profile_approved",
                            "profile_returned",
                            "profile_archived",
                            "default_set",
                            "default_removed",
                            "agreement_recorded",
                            "agreement_ended",
                            "terms_defined",
                            "program_discontinued",
                            "invited_anew",
                            "invitations_sent",
                            "values_imported",
                            "payout_confirmed",
                            "mail_resent",
                            "token_created",
                            "token_revoked",
                            "group_added",
                            "group_changed",
                            "group_removed",
                            "group_mapped",
                            "group_unmapped",
                            "tenant_registered",
                            "tenant_changed",
                            "app_role_mapped",
                            "app_role_unmapped",
                            "sign_in_connected",
                            "sign_in_disconnected",
                            "sign_in_refused",
                            "password_changed",
                            "second_factor_added",
                            "second_factor_removed",
                            "recovery_codes_made",
                            "recovery_code_used",
                            "sessions_ended",
                            "colleague_invited",
                            "invitation_resent",
                            "invitation_revoked",
                            "invitation_accepted",
                            "invitation_expired",
                            "access_requested",
                            "access_granted",
                            "access_declined",
                            "access_lapsed",
                            "recovery_requested",
                            "recovery_declined",
                            "recovery_lapsed",
                            "admin_recovered",
                            "access_denied",
                        ],
                    )
                ),
                name="accounts_auditevent_action_is_known",
            ),
        ),
        migrations.AddField(
            model_name="companytenant",
            name="partner_account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="tenants",
                to="accounts.partneraccount",
                verbose_name="company",
            ),
        ),
        migrations.AddField(
            model_name="roleassignment",
            name="tenant",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="role_assignments",
                to="accounts.companytenant",
                verbose_name="company sign-in",
            ),
        ),
        migrations.AddConstraint(
            model_name="roleassignment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("tenant", None), ("source", "entra"), _connector="OR"
                ),
                name="accounts_roleassignment_only_entra_has_a_tenant",
            ),
        ),
        migrations.AddField(
            model_name="tenantdomain",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="domains",
                to="accounts.companytenant",
            ),
        ),
        migrations.AddField(
            model_name="tenantrolemapping",
            name="location",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                help_text="Empty: every location of the company.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="tenant_role_mappings",
                to="accounts.location",
                verbose_name="location",
            ),
        ),
        migrations.AddField(
            model_name="tenantrolemapping",
            name="partner_account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="tenant_role_mappings",
                to="accounts.partneraccount",
                verbose_name="company",
            ),
        ),
        migrations.AddField(
            model_name="tenantrolemapping",
            name="program",
            field=models.ForeignKey(
                blank=True,
                help_text="Empty: every program at the location.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="tenant_role_mappings",
                to="accounts.incentiveprogram",
                verbose_name="program",
            ),
        ),
        migrations.AddField(
            model_name="tenantrolemapping",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="role_mappings",
                to="accounts.companytenant",
                verbose_name="company sign-in",
            ),
        ),
        migrations.AddConstraint(
            model_name="companytenant",
            constraint=accounts.encryption.SealedConstraint(
                condition=models.Q(
                    django.db.models.lookups.Regex(
                        django.db.models.functions.comparison.Cast(
                            "client_secret", models.TextField()
                        ),
                        "^(v1:[A-Za-z0-9]+:[A-Za-z0-9_-]{38,}={0,2})?$",
                    )
                ),
                name="accounts_companytenant_client_secret_is_sealed",
            ),
        ),
        migrations.AddConstraint(
            model_name="companytenant",
            constraint=models.CheckConstraint(
                condition=models.Q(("issuer", ""), _negated=True),
                name="accounts_companytenant_has_issuer",
            ),
        ),
        migrations.AddConstraint(
            model_name="tenantrolemapping",
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
                name="accounts_tenantrolemapping_role_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="tenantrolemapping",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("program", None), ("location__isnull", False), _connector="OR"
                ),
                name="accounts_tenantrolemapping_program_needs_location",
            ),
        ),
        migrations.AddConstraint(
            model_name="tenantrolemapping",
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
                name="accounts_tenantrolemapping_company_roles_are_company_wide",
            ),
        ),
        migrations.AddConstraint(
            model_name="tenantrolemapping",
            constraint=models.UniqueConstraint(
                fields=("tenant", "app_role", "role", "location", "program"),
                name="accounts_tenantrolemapping_once",
                nulls_distinct=False,
            ),
        ),
        migrations.RunSQL(COMPOSITE_KEY, DROP_COMPOSITE_KEY),
    ]
