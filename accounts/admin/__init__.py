"""Records of people, companies, places, roles, the audit trail and outgoing mail."""

from accounts.admin.companies import (
    IncentiveProgramAdmin,
    LocationAdmin,
    PartnerAccountAdmin,
)
from accounts.admin.people import UserAdmin
from accounts.admin.roles import RoleAssignmentAdmin
from accounts.admin.trail import AuditEventAdmin, OutgoingEmailAdmin

__all__ = [
    "AuditEventAdmin",
    "IncentiveProgramAdmin",
    "LocationAdmin",
    "OutgoingEmailAdmin",
    "PartnerAccountAdmin",
    "RoleAssignmentAdmin",
    "UserAdmin",
]
