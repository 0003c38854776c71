"""Who may do what: roles, permissions and the table between them. Pure data.

Sources: the two seed documents and domain.md §1.3 with its decisions C1-C5. A role
counts inside its scope only (whole company, a location, a program at a location);
accounts/scoping.py asks that question.
"""

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
    # To see enrollments and their requirements.
    ENROLLMENT_VIEW = auto()
    # To see Action required and Validating instead of the veil "Enrolling" (R42).
    ENROLLMENT_SEE_PROGRESS = auto()
    # To accept, decline, choose profiles, submit, recall (R1, R2, R11).
    ENROLLMENT_EDIT = auto()
    PROFILE_KNOW = auto()
    # To see bank and tax details, masked (C3, C5, R12).
    PROFILE_VIEW = auto()
    PROFILE_EDIT = auto()
    LOCATION_VIEW = auto()
    PERSON_VIEW = auto()
    # To add people and to deactivate them (domain.md §1.3).
    PERSON_EDIT = auto()
    # To give and end roles; which ones: GRANTABLE (R3-R5, R13; C1, C2).
    ROLE_ASSIGN = auto()


_KNOWS = frozenset(
    {Permission.ENROLLMENT_KNOW, Permission.PROFILE_KNOW, Permission.LOCATION_VIEW}
)
_ASSIGNS = frozenset(
    {Permission.PERSON_VIEW, Permission.PERSON_EDIT, Permission.ROLE_ASSIGN}
)

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    # The seeds: they appoint, they do not enroll (R1, R2); no rows without an
    # incentives role (C4), no bank details (C3).
    Role.GLOBAL_ADMIN: _KNOWS | _ASSIGNS,
    Role.ACCOUNT_ADMIN: _KNOWS | _ASSIGNS,
    # create-user-accounts: adds people; gives no incentive role (C1).
    Role.USER_ADMIN: frozenset({Permission.PERSON_VIEW, Permission.PERSON_EDIT}),
    # permissions-overview: sees roles, cannot assign them (C2, R13).
    Role.MPN_ADMIN: frozenset({Permission.PERSON_VIEW}),
    Role.INCENTIVES_ADMIN: _KNOWS
    | {
        Permission.ENROLLMENT_VIEW,
        Permission.ENROLLMENT_SEE_PROGRESS,
        Permission.ENROLLMENT_EDIT,
        Permission.PROFILE_VIEW,
        Permission.PROFILE_EDIT,
    },
    # Sees rows, edits nothing (R11), no bank or tax details (C5, R12).
    Role.INCENTIVES_USER: frozenset(
        {
            Permission.ENROLLMENT_KNOW,
            Permission.ENROLLMENT_VIEW,
            Permission.LOCATION_VIEW,
        }
    ),
}

INCENTIVE_ROLES = frozenset({Role.INCENTIVES_ADMIN, Role.INCENTIVES_USER})

# Who may give and end which role. Nobody gives a role above the own one.
GRANTABLE: dict[Role, frozenset[Role]] = {
    Role.GLOBAL_ADMIN: frozenset(Role),
    Role.ACCOUNT_ADMIN: INCENTIVE_ROLES,
}

# Roles that hold for the whole company and cannot be narrowed to a location.
COMPANY_WIDE_ROLES = frozenset(Role) - INCENTIVE_ROLES


def roles_with(permission: Permission) -> frozenset[Role]:
    """Return the roles that carry a permission."""
    return frozenset(
        role for role, granted in ROLE_PERMISSIONS.items() if permission in granted
    )


def roles_that_grant(role: Role) -> frozenset[Role]:
    """Return the roles whose holders may give or end `role`."""
    return frozenset(giver for giver, given in GRANTABLE.items() if role in given)
