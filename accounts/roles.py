"""Who may do what and give what: two tables, each line with its source. Pure data.

CAPABILITIES is the matrix of domain.md §1.3 with its decisions C1-C5; GRANTS says who
gives and ends which role. A role counts inside its scope only (whole company, a
location, a program at a location) and until its last day; accounts/scoping.py asks
that question. Earnings, claims, disputes and support tickets have no pages here, so
they have no line.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, auto

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """A person's part in a company."""

    GLOBAL_ADMIN = "global_admin", _("Global admin")
    ACCOUNT_ADMIN = "account_admin", _("Account admin")
    USER_ADMIN = "user_admin", _("User management admin")
    MPN_ADMIN = "mpn_admin", _("MPN partner admin")
    INCENTIVES_ADMIN = "incentives_admin", _("Incentives admin")
    INCENTIVES_USER = "incentives_user", _("Incentives user")


class Permission(StrEnum):
    """Something a person may do, named noun first."""

    # To know that the row exists: decides between "no such page" and "not yours".
    ENROLLMENT_KNOW = auto()
    # To see programs and enrollments.
    ENROLLMENT_VIEW = auto()
    # To see Action required and Validating instead of the veil "Enrolling".
    ENROLLMENT_SEE_PROGRESS = auto()
    # To accept, decline, choose profiles, submit, recall.
    ENROLLMENT_EDIT = auto()
    # To see each requirement of a program as met or not met at a location.
    REQUIREMENT_VIEW = auto()
    PROFILE_KNOW = auto()
    # To see bank and tax details, masked.
    PROFILE_VIEW = auto()
    PROFILE_EDIT = auto()
    LOCATION_VIEW = auto()
    # To add locations, and to ask the program owner to close one.
    LOCATION_EDIT = auto()
    # To see people and the roles they hold.
    PERSON_VIEW = auto()
    # To add people and to deactivate them.
    PERSON_EDIT = auto()
    # To give and end roles; which ones: GRANTS.
    ROLE_ASSIGN = auto()
    # To let the company's directory add people and give roles: keys and mappings.
    PROVISIONING_EDIT = auto()
    # To read what was done in the company, by whom; one's own part everybody reads.
    ACTIVITY_VIEW = auto()


@dataclass(frozen=True)
class Capability:
    """The roles that carry a permission, and the document that says so."""

    roles: frozenset[Role]
    source: str


def _for(*roles: Role, source: str) -> Capability:
    return Capability(frozenset(roles), source)


_GLOBAL, _ACCOUNT = Role.GLOBAL_ADMIN, Role.ACCOUNT_ADMIN
_USERS, _MPN = Role.USER_ADMIN, Role.MPN_ADMIN
_ADMIN, _READER = Role.INCENTIVES_ADMIN, Role.INCENTIVES_USER

CAPABILITIES: dict[Permission, Capability] = {
    # Admins learn that an enrollment is there, and whom to ask, never its content.
    Permission.ENROLLMENT_KNOW: _for(
        _GLOBAL, _ACCOUNT, _ADMIN, _READER, source="incentives-faq; design (C4, R7)"
    ),
    Permission.ENROLLMENT_VIEW: _for(
        _ADMIN, _READER, source="permissions-overview; incentives-faq (C4, R11, R15)"
    ),
    Permission.ENROLLMENT_SEE_PROGRESS: _for(
        _ADMIN, source="understand-incentive-payouts (R42)"
    ),
    Permission.ENROLLMENT_EDIT: _for(
        _ADMIN, source="both seeds: only the Incentive administrator (R1, R2, R11)"
    ),
    Permission.REQUIREMENT_VIEW: _for(
        _GLOBAL, _ADMIN, source="incentives-determined-your-program-eligibility (R60)"
    ),
    Permission.PROFILE_KNOW: _for(
        _GLOBAL, _ACCOUNT, _ADMIN, source="incentives-faq; design (C3, C5)"
    ),
    Permission.PROFILE_VIEW: _for(
        _ADMIN, source="permissions-overview; incentives-faq (C3, C5, R12)"
    ),
    Permission.PROFILE_EDIT: _for(
        _ADMIN, source="incentives-create-and-manage-your-payout-and-tax-profiles (C3)"
    ),
    Permission.LOCATION_VIEW: _for(
        _GLOBAL, _ACCOUNT, _ADMIN, _READER, source="manage-locations"
    ),
    Permission.LOCATION_EDIT: _for(
        _GLOBAL, _ACCOUNT, source="permissions-overview; manage-locations"
    ),
    Permission.PERSON_VIEW: _for(
        _GLOBAL, _ACCOUNT, _USERS, _MPN, source="permissions-overview (C2)"
    ),
    Permission.PERSON_EDIT: _for(
        _GLOBAL,
        _ACCOUNT,
        _USERS,
        source="create-user-accounts-and-set-permissions (C1)",
    ),
    Permission.ROLE_ASSIGN: _for(
        _GLOBAL, _ACCOUNT, source="both seeds; incentives-faq (R3-R5, R13; C1, C2)"
    ),
    Permission.PROVISIONING_EDIT: _for(
        _GLOBAL, source="design: it can give every role, so as who can (R5)"
    ),
    Permission.ACTIVITY_VIEW: _for(
        _GLOBAL, _ACCOUNT, source="design: who appoints people answers for them (76)"
    ),
}

# What a stolen password alone must not reach: bank and tax data, people and their
# roles, and what is paid where (security.md T1, T7). Whoever holds one of these has a
# second factor.
GUARDED = frozenset(
    {
        Permission.ENROLLMENT_EDIT,
        Permission.PROFILE_VIEW,
        Permission.PROFILE_EDIT,
        Permission.LOCATION_EDIT,
        Permission.PERSON_EDIT,
        Permission.ROLE_ASSIGN,
        Permission.PROVISIONING_EDIT,
    }
)

# Roles that nobody gives, offers or ends without having proved who they are within the
# last ten minutes: they reach everything else (experience.md P3; security.md T1, T3).
PROVED_ROLES = frozenset({Role.GLOBAL_ADMIN})

# Roles for incentives; guests hold none of them (permissions-overview, R14).
INCENTIVE_ROLES = frozenset({_ADMIN, _READER})

# Roles that hold for the whole company and cannot be narrowed to a location.
COMPANY_WIDE_ROLES = frozenset(Role) - INCENTIVE_ROLES


# What a person may ask for from a page that refuses; the other roles are given.
REQUESTABLE_ROLES = (_READER, _ADMIN, _ACCOUNT)


@dataclass(frozen=True)
class Grant:
    """The roles somebody gives and ends, to others and to themselves (R4)."""

    gives: frozenset[Role]
    source: str


# Nobody gives a role above the own one (security.md T3).
GRANTS: dict[Role, Grant] = {
    _GLOBAL: Grant(frozenset(Role), "both seeds; permissions-overview"),
    _ACCOUNT: Grant(INCENTIVE_ROLES, "both seeds; incentives-faq"),
    _USERS: Grant(frozenset(), "both seeds against create-user-accounts (C1)"),
    _MPN: Grant(frozenset(), "permissions-overview (C2, R13)"),
    _ADMIN: Grant(frozenset(), "both seeds (R5)"),
    _READER: Grant(frozenset(), "both seeds (R5)"),
}


def roles_with(permission: Permission) -> frozenset[Role]:
    """Return the roles that carry a permission."""
    return CAPABILITIES[permission].roles


def permissions_of(role: Role) -> frozenset[Permission]:
    """Return the permissions a role carries inside its scope."""
    return frozenset(
        permission
        for permission, capability in CAPABILITIES.items()
        if role in capability.roles
    )


def roles_with_any(permissions: Iterable[Permission]) -> frozenset[Role]:
    """Return the roles that carry at least one of the permissions."""
    return frozenset[Role]().union(*map(roles_with, permissions))


def roles_that_grant(role: Role) -> frozenset[Role]:
    """Return the roles whose holders may give or end `role`."""
    return frozenset(giver for giver, grant in GRANTS.items() if role in grant.gives)


def roles_covering(role: Role) -> frozenset[Role]:
    """Return the roles that let their holders do whatever `role` does."""
    wanted = permissions_of(role)
    return frozenset(one for one in Role if wanted <= permissions_of(one))


def role_to_ask_for(permission: Permission) -> Role | None:
    """Return the least role one may ask for that carries a permission, if any does."""
    for role in REQUESTABLE_ROLES:
        if permission in permissions_of(role):
            return role
    return None
