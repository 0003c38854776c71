"""How far the invitations to each program's running year have come."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import (
    Count,
    QuerySet,
)

from accounts.kept import MANY, kept
from accounts.roles import Role
from accounts.time_limits import at_length
from enrollment.eligibility import (
    count_locations_to_invite,
    why_not_enrolling,
    why_not_inviting,
)
from enrollment.models import (
    Campaign,
    Enrollment,
    ProgramTerms,
)
from enrollment.states import EnrollmentStatus


@dataclass(frozen=True)
class ProgramInvitations:
    """How far the invitations to one program's year have come."""

    terms: ProgramTerms
    to_invite: int
    invited: int
    in_progress: int
    enrolled: int
    uncovered: int
    why_not: str
    # The newest of each.
    under_way: Campaign | None
    draft: Campaign | None


@dataclass(frozen=True)
class _Counted:
    """The numbers of program_invitations(), by the key of the terms."""

    statuses: dict[int, dict[str, int]]
    uncovered: dict[int, int]
    to_invite: dict[int, int]

    @property
    def is_large(self) -> bool:
        enrollments = sum(sum(one.values()) for one in self.statuses.values())
        return enrollments + sum(self.to_invite.values()) > MANY


def program_invitations(
    at: datetime,
) -> tuple[list[ProgramInvitations], datetime | None]:
    """Count, for every program's year that is running, where its locations stand.

    And as of when that is: numbers of a large owner are kept a minute.
    """
    running = running_terms(at)
    # Which day it is where a program's calendar is decides who is to be invited to it.
    days = " ".join(f"{terms.pk}:{day_of(terms, at)}" for terms in running)
    counted, as_of = kept(
        f"invitations {days}",
        lambda: _count_invitations(running, at),
        at=at,
        is_large=lambda found: found.is_large,
    )
    campaigns = Campaign.objects.unfinished().filter(terms__in=running)
    # Of several the last is kept: the newest.
    newest = {
        (one.terms_id, one.is_draft): one
        for one in campaigns.order_by("created_at", "pk")
    }
    rows = []
    for terms in running:
        by_status = counted.statuses.get(terms.pk, {})
        invited, asked, sent, enrolled = (
            by_status.get(status, 0)
            for status in (
                EnrollmentStatus.INVITED,
                EnrollmentStatus.ACTION_REQUIRED,
                EnrollmentStatus.VALIDATING,
                EnrollmentStatus.ENROLLED,
            )
        )
        rows.append(
            ProgramInvitations(
                terms=terms,
                to_invite=counted.to_invite.get(terms.pk, 0),
                invited=invited,
                in_progress=asked + sent,
                enrolled=enrolled,
                uncovered=counted.uncovered.get(terms.pk, 0),
                why_not=why_not_inviting(terms, on=day_of(terms, at)),
                under_way=newest.get((terms.pk, False)),
                draft=newest.get((terms.pk, True)),
            )
        )
    return rows, as_of


def _count_invitations(running: list[ProgramTerms], at: datetime) -> _Counted:
    """Count all locations for each program: seconds, where they are hundred thousands."""
    uncovered = (
        invited_without_holder()
        .filter(terms__in=running)
        .order_by()
        .values_list("terms")
        .annotate(locations=Count("pk"))
    )
    with at_length():
        return _Counted(
            statuses=_counted_statuses(running),
            uncovered=dict(uncovered),
            to_invite=counted_to_invite(running, at),
        )


def lapsed_invitations(
    running: Iterable[ProgramTerms], at: datetime
) -> QuerySet[Enrollment]:
    """Return the invitations nobody answered that can be sent anew, the latest first.

    `running` are the terms of program_invitations().
    """
    open_terms = [
        terms for terms in running if not why_not_enrolling(terms, on=day_of(terms, at))
    ]
    return (
        Enrollment.objects.lapsed()
        .filter(terms__in=open_terms, location__closed_at=None)
        .for_pages()
        .order_by("-status_since", "pk")
    )


def running_terms(at: datetime) -> list[ProgramTerms]:
    """Terms of the years that are running, each in its own calendar's zone (R66)."""
    day = at.date()
    candidates = (
        ProgramTerms.objects.offered()
        .filter(
            fiscal_year__starts_on__lte=day + timedelta(days=1),
            fiscal_year__ends_on__gte=day - timedelta(days=1),
        )
        .select_related("program", "fiscal_year__calendar")
        .order_by("program__name", "fiscal_year__starts_on", "pk")
    )
    return [
        terms for terms in candidates if terms.fiscal_year.contains(day_of(terms, at))
    ]


def day_of(terms: ProgramTerms, at: datetime) -> date:
    return terms.fiscal_year.calendar.day_at(at)


def _counted_statuses(running: list[ProgramTerms]) -> dict[int, dict[str, int]]:
    counts: dict[int, dict[str, int]] = {}
    rows = (
        Enrollment.objects.filter(terms__in=running)
        .order_by()
        .values_list("terms", "status")
        .annotate(enrollments=Count("pk"))
    )
    for terms, status, number in rows:
        counts.setdefault(terms, {})[status] = number
    return counts


def counted_to_invite(running: list[ProgramTerms], at: datetime) -> dict[int, int]:
    """Ask once per day that it is somewhere on Earth: one, two, at most three."""
    by_day: dict[Any, list[int]] = defaultdict(list)
    for terms in running:
        if not why_not_inviting(terms, on=day_of(terms, at)):
            by_day[day_of(terms, at)].append(terms.pk)
    return {
        terms: number
        for day, keys in by_day.items()
        for terms, number in count_locations_to_invite(keys, on=day).items()
    }


def invited_without_holder() -> QuerySet[Enrollment]:
    """Invitations at open locations that nobody can answer (R6, rule 74)."""
    return (
        Enrollment.objects.invited()
        .filter(location__closed_at=None)
        .without_holder(Role.INCENTIVES_ADMIN)
    )
