"""Everything that changes people, companies, places and roles; the only writer here."""

from accounts.services.audit import acting_as, carried_out_by, record_audit_event
from accounts.services.colleagues import (
    INVITATION_LIFETIME,
    accept_invitation,
    check_acceptance,
    check_colleague,
    check_open,
    expire_invitations,
    invite_colleague,
    join_by_invitation,
    resend_invitation,
    revoke_invitation,
)
from accounts.services.companies import (
    add_location,
    create_partner_account,
    lock_companies,
)
from accounts.services.directory import (
    PersonEntry,
    add_directory_group,
    add_directory_person,
    change_directory_group,
    change_directory_person,
    refusal_code,
    remove_directory_group,
    remove_directory_person,
    sync_roles,
)
from accounts.services.granting import (
    PlanChanged,
    RolePlan,
    assign_role,
    assign_roles,
    give_roles,
    plan_roles,
)
from accounts.services.leaving import (
    check_deactivating,
    deactivate_person,
    end_sessions,
)
from accounts.services.mail import resend_email
from accounts.services.people import (
    add_person,
    choose_language,
    share_demo_password,
)
from accounts.services.provisioning import (
    create_provisioning_token,
    map_group,
    replace_provisioning_token,
    revoke_provisioning_token,
    unmap_group,
    use_provisioning_token,
)
from accounts.services.refused import note_refusal, write_refusals
from accounts.services.roles import (
    MOST_AT_ONCE,
    check_revoking,
    check_roles,
    revoke_role,
    revoke_roles,
)
from accounts.services.sessions import clear_sessions
from accounts.services.setting_up import CompanySetUp, add_operator, set_up_company
from accounts.services.signin import (
    note_new_address,
    note_new_place,
    note_presence,
    note_recovery_code_used,
    note_second_factor,
    set_password,
    sign_out_elsewhere,
    sign_out_everywhere,
)

__all__ = [
    "INVITATION_LIFETIME",
    "MOST_AT_ONCE",
    "CompanySetUp",
    "PersonEntry",
    "PlanChanged",
    "RolePlan",
    "accept_invitation",
    "acting_as",
    "add_directory_group",
    "add_directory_person",
    "add_location",
    "add_operator",
    "add_person",
    "assign_role",
    "assign_roles",
    "carried_out_by",
    "change_directory_group",
    "change_directory_person",
    "check_acceptance",
    "check_colleague",
    "check_deactivating",
    "check_open",
    "check_revoking",
    "check_roles",
    "choose_language",
    "clear_sessions",
    "create_partner_account",
    "create_provisioning_token",
    "deactivate_person",
    "end_sessions",
    "expire_invitations",
    "give_roles",
    "invite_colleague",
    "join_by_invitation",
    "lock_companies",
    "map_group",
    "note_new_address",
    "note_new_place",
    "note_presence",
    "note_recovery_code_used",
    "note_refusal",
    "note_second_factor",
    "plan_roles",
    "record_audit_event",
    "refusal_code",
    "remove_directory_group",
    "remove_directory_person",
    "replace_provisioning_token",
    "resend_email",
    "resend_invitation",
    "revoke_invitation",
    "revoke_provisioning_token",
    "revoke_role",
    "revoke_roles",
    "set_password",
    "set_up_company",
    "share_demo_password",
    "sign_out_elsewhere",
    "sign_out_everywhere",
    "sync_roles",
    "unmap_group",
    "use_provisioning_token",
    "write_refusals",
]
