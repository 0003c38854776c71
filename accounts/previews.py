"""What giving a role would mean, for each person and each location: plain values."""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import RoleAssignment, User, scope_words
from accounts.reach import Reach, ShownCoverage, reach_of, shown_coverage
from accounts.rows import places_named
from accounts.services import RolePlan

# Locations whose coverage changes, by name; the rest is a number.
MOST_CHANGES = 25


@dataclass(frozen=True)
class PreviewRow:
    """What one person gains by a planned role, and can do in all afterwards."""

    person: User
    is_guest: bool
    gains: list[str]
    changes: list[str]
    keeps: list[str]
    reach: Reach


@dataclass(frozen=True)
class CoverageRow:
    """A location that more people can enroll afterwards."""

    location: str
    before: ShownCoverage
    after: ShownCoverage


def preview_rows(plan: RolePlan) -> list[PreviewRow]:
    """Show what a plan means for each of its people."""
    steps: dict[int, list] = {}
    for step in plan.steps:
        steps.setdefault(step.user.pk, []).append(step)
    held: dict[int, list[RoleAssignment]] = {}
    for assignment in plan.held:
        held.setdefault(assignment.user_id, []).append(assignment)
    rows = []
    for person in plan.people:
        mine = steps[person.pk]
        wanted = [
            RoleAssignment(role=plan.role, location=step.location, program=step.program)
            for step in mine
        ]
        kept = [step for step in mine if step.is_kept]
        rows.append(
            PreviewRow(
                person=person,
                is_guest=not plan.account.welcomes(person.email),
                gains=[step.where for step in mine if step.is_gain],
                changes=[
                    step.where for step in mine if not step.is_gain and not step.is_kept
                ],
                keeps=[step.where for step in kept],
                reach=reach_of([*held.get(person.pk, []), *wanted]),
            )
        )
    return rows


def coverage_rows(plan: RolePlan) -> tuple[list[CoverageRow], int]:
    """Show the first locations that more people can enroll, and how many more."""
    rows = [
        CoverageRow(
            location=change.location.name,
            before=shown_coverage(change.before),
            after=shown_coverage(change.after),
        )
        for change in plan.gaps[:MOST_CHANGES]
    ]
    return rows, len(plan.gaps) - len(rows)


def differences(seen: list[str], now: list[str]) -> list[tuple[str, str]]:
    """What was shown and no longer holds ("gone"), and what holds now ("new")."""
    gone = [("gone", line) for line in seen if line not in now]
    return gone + [("new", line) for line in now if line not in seen]


def done_words(plan: RolePlan) -> str:
    """Say what is true once a plan was carried out."""
    places = places_named(
        [scope_words(*scope) for scope in plan.scopes], separator="; "
    )
    if len(plan.people) == 1:
        return _("%(person)s has the role %(role)s: %(places)s.") % {
            "person": plan.people[0].full_name,
            "role": plan.role.label,
            "places": places,
        }
    return ngettext(
        "%(count)d person has the role %(role)s: %(places)s.",
        "%(count)d people have the role %(role)s: %(places)s.",
        len(plan.people),
    ) % {"count": len(plan.people), "role": plan.role.label, "places": places}
