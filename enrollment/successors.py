"""Who could take an invitation over: who may act there, then who sees it already."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import Q

from accounts.models import RoleAssignment, User
from accounts.roles import INCENTIVE_ROLES, Permission, roles_with
from enrollment.models import Enrollment

MOST_SUGGESTED = 12


@dataclass(frozen=True)
class Successor:
    """A colleague, and whether they can act at once on all that is handed over."""

    person: User
    can_act: bool


def successors_of(
    enrollments: Collection[Enrollment], *, without: User
) -> list[Successor]:
    """Return whom to suggest: holders of an incentives role at one of the locations.

    Names that the company's incentives people know anyway; nobody else is listed.
    """
    company = enrollments_company(enrollments)
    places = Q(location=None) | Q(location__in={one.location_id for one in enrollments})
    programs = Q(program=None) | Q(
        program__in={one.terms.program_id for one in enrollments}
    )
    held = (
        RoleAssignment.objects.live()
        .filter(places, programs, partner_account=company, role__in=INCENTIVE_ROLES)
        .exclude(user=without)
        .select_related("user")
        .order_by("user__full_name", "user_id", "pk")
    )
    acting = roles_with(Permission.ENROLLMENT_EDIT)
    people: dict[User, set] = defaultdict(set)
    for assignment in held:
        people[assignment.user] |= {
            one.pk
            for one in enrollments
            if assignment.role in acting
            and assignment.location_id in (None, one.location_id)
            and assignment.program_id in (None, one.terms.program_id)
        }
    found = [
        Successor(person, can_act=len(keys) == len(enrollments))
        for person, keys in people.items()
    ]
    return sorted(found, key=lambda one: not one.can_act)[:MOST_SUGGESTED]


def enrollments_company(enrollments: Collection[Enrollment]) -> int:
    """Return the key of the one company that enrollments are of."""
    return next(iter(enrollments)).location.partner_account_id
