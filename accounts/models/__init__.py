"""People, companies, places, roles, the audit trail and outgoing mail."""

from accounts.models.among import many, texts
from accounts.models.assignments import RoleAssignment, RoleSource, scope_words
from accounts.models.audit import (
    AuditAction,
    AuditChain,
    AuditEvent,
    AuditKind,
)
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
from accounts.models.factor_resets import (
    TIME_TO_STOP,
    FactorReset,
    ResetState,
)
from accounts.models.mail import (
    ON_ITS_WAY,
    MailStatus,
    MailTopic,
    MutedMail,
    OutgoingEmail,
    SharedText,
    UndeliverableAddress,
)
from accounts.models.people import Language, Membership, User
from accounts.models.provisioning import (
    DirectoryGroup,
    DirectoryGroupMember,
    DirectoryPerson,
    GroupMapping,
    ProvisioningToken,
)
from accounts.models.recovery import (
    TIME_TO_OBJECT,
    RecoveryRequest,
    RecoveryState,
)
from accounts.models.requests import AccessRequest, RequestState
from accounts.models.tenants import CompanyTenant, TenantDomain, TenantRoleMapping

__all__ = [
    "ON_ITS_WAY",
    "TIME_TO_OBJECT",
    "TIME_TO_STOP",
    "AccessRequest",
    "AuditAction",
    "AuditChain",
    "AuditEvent",
    "AuditKind",
    "ColleagueInvitation",
    "CompanyTenant",
    "Coverage",
    "DirectoryGroup",
    "DirectoryGroupMember",
    "DirectoryPerson",
    "FactorReset",
    "GroupMapping",
    "IncentiveProgram",
    "InvitationState",
    "Language",
    "Location",
    "MailStatus",
    "MailTopic",
    "Membership",
    "MutedMail",
    "OfferedPlace",
    "OutgoingEmail",
    "PartnerAccount",
    "ProvisioningToken",
    "RecoveryRequest",
    "RecoveryState",
    "RequestState",
    "ResetState",
    "RoleAssignment",
    "RoleSource",
    "SharedText",
    "TenantDomain",
    "TenantRoleMapping",
    "UndeliverableAddress",
    "User",
    "many",
    "scope_words",
    "texts",
]
