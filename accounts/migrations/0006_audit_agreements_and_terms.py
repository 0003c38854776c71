"""Agreements end, terms change and locations are invited anew: the trail says so."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_people_leave_companies"),
    ]

    operations = [
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
                        ],
                    )
                ),
                name="accounts_auditevent_action_is_known",
            ),
        ),
    ]
