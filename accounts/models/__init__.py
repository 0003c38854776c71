"""People, companies, places, roles, the audit trail and outgoing mail."""

from accounts.models.assignments import RoleAssignment, RoleSource, scope_words
from accounts.models.audit import AuditAction, AuditChain, AuditEvent
from accounts.models.colleagues import (
    ColleagueInvitation,
    InvitationState,
    OfferedPlace,
)
from accounts.models.companies import (
    Coverage,
    IncentiveProgram,
    Location,
    PartnerAccount,
)
from accounts.models.mail import MailStatus, OutgoingEmail
from accounts.models.people import Language, Membership, User

__all__ = [
    "AuditAction",
    "AuditChain",
    "AuditEvent",
    "ColleagueInvitation",
    "Coverage",
    "IncentiveProgram",
    "InvitationState",
    "Language",
    "Location",
    "MailStatus",
    "Membership",
    "OfferedPlace",
    "OutgoingEmail",
    "PartnerAccount",
    "RoleAssignment",
    "RoleSource",
    "User",
    "scope_words",
]
