"""Everything that changes people, companies, places and roles; the only writer here."""

from accounts.services.audit import record_audit_event
from accounts.services.companies import (
    add_location,
    create_partner_account,
    lock_companies,
)
from accounts.services.mail import resend_email
from accounts.services.people import (
    add_operator,
    add_person,
    choose_language,
    share_demo_password,
)
from accounts.services.roles import (
    assign_role,
    assign_roles,
    check_revoking,
    check_roles,
    revoke_role,
)

__all__ = [
    "add_location",
    "add_operator",
    "add_person",
    "assign_role",
    "assign_roles",
    "check_revoking",
    "check_roles",
    "choose_language",
    "create_partner_account",
    "lock_companies",
    "record_audit_event",
    "resend_email",
    "revoke_role",
    "share_demo_password",
]
