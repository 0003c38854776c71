"""Rows of lists: enrollments and programs with everything a page says of them.

Constant numbers of queries, whatever the number of rows.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import IncentiveProgram, Location
from accounts.roles import Permission
from enrollment.eligibility import Gap, gaps_of, payout_at
from enrollment.models import (
    Enrollment,
    FiscalCalendar,
    PayoutAssignment,
    ProgramAtLocation,
    ProgramTerms,
    RequirementCheck,
)
from enrollment.models.overview import CheckState
from enrollment.wording import Standing, standing, standing_without_enrollment


@dataclass(frozen=True)
class Row:
    """One program at one location, as one reader sees it."""

    location: Location
    program: IncentiveProgram
    terms: ProgramTerms
    enrollment: Enrollment | None
    standing: Standing
    gaps: list[Gap]
    # How an enrollment that can still be changed is paid, as payout_of() tells it.
    assignments: list[PayoutAssignment] = field(default_factory=list)


def enrollment_rows(enrollments: QuerySet[Enrollment], *, user) -> list[Row]:
    """Return the rows of some enrollments, in their order."""
    enrollments = list(
        enrollments.for_pages()
        .with_covered(
            Permission.ENROLLMENT_SEE_PROGRESS, user=user, name="sees_progress"
        )
        .with_covered(Permission.ENROLLMENT_EDIT, user=user, name="may_edit")
        .with_covered(Permission.REQUIREMENT_VIEW, user=user, name="sees_requirements")
    )
    now = timezone.now()
    payouts = payout_at(_editable(enrollments), at=now)
    rows = []
    for enrollment in enrollments:
        assignments = payouts.get(enrollment.pk, [])
        gaps = gaps_of(assignments)
        rows.append(
            Row(
                location=enrollment.location,
                program=enrollment.terms.program,
                terms=enrollment.terms,
                enrollment=enrollment,
                gaps=gaps,
                assignments=assignments,
                standing=standing(
                    enrollment,
                    sees_progress=enrollment.sees_progress,
                    may_edit=enrollment.may_edit,
                    sees_requirements=enrollment.sees_requirements,
                    gaps=gaps,
                    at=now,
                ),
            )
        )
    return rows


def overview_rows(places: Iterable[ProgramAtLocation], *, at: datetime) -> list[Row]:
    """Return the Overview's rows; `places` are annotated by overview_places()."""
    places = list(places)
    for place in places:
        if place.enrollment is not None:
            # The same objects, so that nothing is asked again.
            place.enrollment.location = place.location
            place.enrollment.terms = place.terms
    counts = requirement_counts(places, at=at)
    enrollments = [place.enrollment for place in places if place.enrollment]
    payouts = payout_at(_editable(enrollments), at=at)
    rows = []
    for place in places:
        gaps = gaps_of(payouts.get(place.enrollment_id, ()))
        if place.enrollment is None:
            tally = counts[place.terms_id, place.location_id]
            seen = standing_without_enrollment(
                place.status,
                row_id=place.pk,
                terms=place.terms,
                may_edit=place.may_edit,
                sees_requirements=place.sees_requirements,
                met=tally[CheckState.MET],
                total=tally.total(),
                on=place.terms.fiscal_year.calendar.day_at(at),
            )
        else:
            seen = standing(
                place.enrollment,
                sees_progress=place.sees_progress,
                may_edit=place.may_edit,
                sees_requirements=place.sees_requirements,
                gaps=gaps,
                at=at,
            )
        rows.append(
            Row(
                location=place.location,
                program=place.program,
                terms=place.terms,
                enrollment=place.enrollment,
                gaps=gaps,
                standing=seen,
            )
        )
    return rows


def overview_places(user, *, company, at: datetime) -> QuerySet[ProgramAtLocation]:
    """Return every program at every location in the person's scope (R10, R27)."""
    days = FiscalCalendar.objects.by_day(at)
    return (
        ProgramAtLocation.objects.where_user_may(user, Permission.ENROLLMENT_VIEW)
        .of_company(company)
        .current(days)
        .with_status(days)
        .with_covered(
            Permission.ENROLLMENT_SEE_PROGRESS, user=user, name="sees_progress"
        )
        .with_covered(Permission.ENROLLMENT_EDIT, user=user, name="may_edit")
        .with_covered(Permission.REQUIREMENT_VIEW, user=user, name="sees_requirements")
        .for_pages()
    )


def requirement_counts(
    places: Iterable[ProgramAtLocation], *, at: datetime
) -> dict[tuple[int, int], Counter]:
    """Count met, unmet and unknown requirements by terms and location."""
    by_day: dict[date, list[ProgramAtLocation]] = defaultdict(list)
    for place in places:
        if place.enrollment_id is None:
            by_day[place.terms.fiscal_year.calendar.day_at(at)].append(place)
    counts: dict[tuple[int, int], Counter] = defaultdict(Counter)
    for day, some in by_day.items():
        checks = (
            RequirementCheck.objects.filter(
                location__in={place.location_id for place in some},
                terms__in={place.terms_id for place in some},
            )
            .as_of(day)
            .order_by()
            .values_list("terms_id", "location_id", "state")
        )
        for terms_id, location_id, state in checks:
            counts[terms_id, location_id][state] += 1
    return counts


def _editable(enrollments: Iterable[Enrollment]) -> list[Enrollment]:
    return [enrollment for enrollment in enrollments if enrollment.is_editable]
