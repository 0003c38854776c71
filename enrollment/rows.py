"""Rows of lists: enrollments and programs with everything a page says of them.

Constant numbers of queries, whatever the number of rows.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from uuid import UUID

from django.db.models import (
    Case,
    CharField,
    Exists,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.urls import reverse
from django.utils import timezone

from accounts.models import IncentiveProgram, Location, RoleAssignment
from accounts.roles import Permission, roles_with
from accounts.scoping import HeldRoles
from enrollment.eligibility import Gap, gaps_of, note_held, payout_at
from enrollment.forecast import (
    ADMIN,
    KINDS,
    WORTH_TELLING,
    Forecast,
    Kind,
    Reader,
    forecasts_of,
    found,
    told,
)
from enrollment.models import (
    Enrollment,
    FiscalYear,
    PayoutAssignment,
    ProgramAtLocation,
    ProgramTerms,
    RequirementCheck,
)
from enrollment.models.overview import CheckState
from enrollment.models.terms import on_its_day
from enrollment.states import (
    EDITABLE,
    FOLLOWS_PROFILES,
    VEILED,
    EndReason,
    EnrollmentStatus,
    Outcome,
    Turn,
)
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
    # What the next year brings, once it is known.
    forecast: Forecast | None = None
    # How an enrollment that can still be changed is paid, as payout_of() tells it.
    assignments: list[PayoutAssignment] = field(default_factory=list)

    @property
    def is_to_enroll(self) -> bool:
        """Whether this reader can begin it or go on with it, alone or with others."""
        if self.enrollment is None or self.enrollment.is_lapsed:
            return self.standing.action is not None and self.standing.action.is_post
        is_mine = self.standing.turn in (Turn.NEW, Turn.YOU)
        return is_mine and self.enrollment.is_editable

    @property
    def is_ready(self) -> bool:
        """Whether nothing is missing, but for accepting."""
        is_begun = self.enrollment is not None and self.enrollment.is_editable
        return is_begun and self.is_to_enroll and not self.gaps

    @property
    def place_id(self) -> str:
        """The key of the program at the location."""
        return f"{self.terms.pk}-{self.location.pk}"

    @property
    def program_url(self) -> str:
        """The page of the program, seen from this location."""
        return reverse("enrollment:program", kwargs={"pk": self.place_id})


def enrollment_rows(
    enrollments: QuerySet[Enrollment],
    *,
    user,
    years: Mapping[FiscalYear, date] = MappingProxyType({}),
) -> list[Row]:
    """Return the rows of some enrollments, in their order.

    `years` are the coming ones of FiscalCalendar.objects.days_at(), where the rows say
    what they bring.
    """
    enrollments = list(
        enrollments.for_pages()
        .with_was_left()
        .with_covered(
            Permission.ENROLLMENT_SEE_PROGRESS, user=user, name="sees_progress"
        )
        .with_covered(Permission.ENROLLMENT_EDIT, user=user, name="may_edit")
        .with_covered(Permission.REQUIREMENT_VIEW, user=user, name="sees_requirements")
    )
    now = timezone.now()
    note_held(enrollments)
    payouts = payout_at(_editable(enrollments), at=now)
    forecasts = forecasts_of(enrollments, years=years, reader=_reader)
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
                    was_left=enrollment.was_left,
                    is_at_risk=_is_at_risk(forecasts, enrollment),
                ),
                forecast=forecasts.get(enrollment.pk),
            )
        )
    return rows


@dataclass(frozen=True)
class NextYearRow:
    """An enrollment that the next year puts at risk or ends."""

    enrollment: Enrollment
    forecast: Forecast


@dataclass(frozen=True)
class NextYear:
    """What the years to come bring the enrollments a person may change."""

    rows: list[NextYearRow]
    # At risk or ending, and not shown.
    more: int
    # What goes on by itself, by the day it does.
    continuing: list[tuple[date, int]]


def next_year_rows(
    enrollments: QuerySet[Enrollment], *, years: Mapping[FiscalYear, date], most: int
) -> NextYear:
    """Return what is at risk or ends, and count what continues by itself.

    What is the person's turn already is told there. `enrollments` are those that the
    reader may change.
    """
    found_rows = found(enrollments, years)
    worst = {
        key: row for key, row in found_rows.items() if row.outcome in WORTH_TELLING
    }
    shown = dict(list(worst.items())[:most])
    known = Enrollment.objects.for_pages().in_bulk(shown) if shown else {}
    told_rows = told(
        {known[key]: row for key, row in shown.items() if key in known},
        years,
        reader=lambda one: ADMIN,
    )
    days = Counter(
        row.into
        for row in found_rows.values()
        if KINDS[Outcome(row.outcome)] == Kind.CONTINUES
    )
    return NextYear(
        rows=[NextYearRow(known[key], one) for key, one in told_rows.items()],
        more=len(worst) - len(shown),
        continuing=[(year.starts_on, days[year.pk]) for year in years if days[year.pk]],
    )


def _is_at_risk(forecasts: Mapping[UUID, Forecast], enrollment: Enrollment) -> bool:
    one = forecasts.get(enrollment.pk)
    return one is not None and one.outcome in WORTH_TELLING


def _reader(row: Enrollment | ProgramAtLocation) -> Reader:
    """What with_covered() found out of the reader of these pages."""
    return Reader(
        may_edit=row.may_edit,
        sees_progress=row.sees_progress,
        sees_requirements=row.sees_requirements,
    )


def overview_rows(
    places: Iterable[ProgramAtLocation],
    *,
    at: datetime,
    years: Mapping[FiscalYear, date] = MappingProxyType({}),
) -> list[Row]:
    """Return the Overview's rows; `places` are annotated by overview_places().

    `years` as for enrollment_rows().
    """
    places = list(places)
    readers = {}
    for place in places:
        if place.enrollment is not None:
            # The same objects, so that nothing is asked again.
            place.enrollment.location = place.location
            place.enrollment.terms = place.terms
            readers[place.enrollment_id] = _reader(place)
    between = _between_years(places)
    counts = requirement_counts(places, at=at)
    enrollments = [place.enrollment for place in places if place.enrollment]
    note_held(enrollments)
    payouts = payout_at(_editable(enrollments), at=at)
    forecasts = forecasts_of(
        enrollments, years=years, reader=lambda one: readers[one.pk]
    )
    rows = []
    for place in places:
        old = between.get(place.enrollment_between_years)
        gaps = gaps_of(payouts.get(place.enrollment_id, ()))
        if old is not None:
            seen = standing(
                old,
                sees_progress=place.sees_progress,
                may_edit=place.may_edit,
                sees_requirements=place.sees_requirements,
                gaps=(),
                at=at,
            )
        elif place.enrollment is None:
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
                is_at_risk=_is_at_risk(forecasts, place.enrollment),
            )
        rows.append(
            Row(
                location=place.location,
                program=place.program,
                terms=place.terms,
                enrollment=place.enrollment,
                gaps=gaps,
                standing=seen,
                forecast=forecasts.get(place.enrollment_id),
            )
        )
    return rows


def _between_years(places: Iterable[ProgramAtLocation]) -> dict[UUID, Enrollment]:
    """Enrollments of the year before that the year end has not reached yet."""
    keys = [one.enrollment_between_years for one in places]
    if not any(keys):
        return {}
    return Enrollment.objects.for_pages().in_bulk([key for key in keys if key])


def overview_places(
    held: HeldRoles, *, days: Mapping[date, list[int]]
) -> QuerySet[ProgramAtLocation]:
    """Return every program at every location in the person's scope (R10, R27).

    `days` come from FiscalCalendar.objects.days_at().
    """
    return (
        ProgramAtLocation.objects.where_held(held, Permission.ENROLLMENT_VIEW)
        .current(days)
        .with_status(days)
        .with_held(held, Permission.ENROLLMENT_SEE_PROGRESS, name="sees_progress")
        .with_held(held, Permission.ENROLLMENT_EDIT, name="may_edit")
        .with_held(held, Permission.REQUIREMENT_VIEW, name="sees_requirements")
        .with_enrollment_between_years()
        .for_pages()
    )


def places_by_key(
    places: QuerySet[ProgramAtLocation], keys: Iterable[tuple[str, int, int]]
) -> list[ProgramAtLocation]:
    """Return the Overview's rows of some keys, in their order; what went is left out.

    A key is that of the row, of its location and of its terms. What a page says of a row
    is asked of the rows it shows alone, not of those before it.
    """
    keys = list(keys)
    found = {
        place.pk: place
        for place in places.filter(
            location__in={location for _pk, location, _terms in keys},
            terms__in={terms for _pk, _location, terms in keys},
            pk__in=[pk for pk, _location, _terms in keys],
        ).order_by()
    }
    return [found[pk] for pk, _location, _terms in keys if pk in found]


def kinds_of_places(
    places: QuerySet[ProgramAtLocation], *, held: HeldRoles
) -> tuple[list[str], set[bool]]:
    """Return the countries of the Overview's rows, and whether progress is seen in them.

    Roles for all of a company answer for all of its rows.
    """
    view, see = (
        roles_with(one)
        for one in (Permission.ENROLLMENT_VIEW, Permission.ENROLLMENT_SEE_PROGRESS)
    )
    if held.everywhere & view and (held.everywhere & see or not held.anywhere & see):
        locations = Location.objects.filter(partner_account=held.account)
        countries = locations.order_by().values_list("country", flat=True).distinct()
        return sorted(countries), {bool(held.everywhere & see)}
    kinds = set(
        places.order_by().values_list("location__country", "sees_progress").distinct()
    )
    return sorted({country for country, _sees in kinds}), {sees for _c, sees in kinds}


def places_about(places: QuerySet[ProgramAtLocation], text: str) -> QuerySet:
    """Narrow the Overview to what a text names: program, location, PartnerID, person.

    A person stands for the rows they may enroll, and for what they accepted or
    submitted where the reader sees progress (R42).
    """
    admins = RoleAssignment.objects.live().filter(
        Q(location=None) | Q(location=OuterRef("location")),
        Q(program=None) | Q(program=OuterRef("program")),
        partner_account=OuterRef("location__partner_account"),
        role__in=roles_with(Permission.ENROLLMENT_EDIT),
        user__full_name__icontains=text,
    )
    return places.filter(
        Q(program__name__icontains=text)
        | Q(program__code__iexact=text)
        | Q(location__name__icontains=text)
        | Q(location__partner_id__startswith=text)
        | Exists(admins)
        | Q(sees_progress=True)
        & (
            Q(enrollment__accepted_by__full_name__icontains=text)
            | Q(enrollment__submitted_by__full_name__icontains=text)
        )
    )


def places_of_turn(
    places: QuerySet[ProgramAtLocation],
    turn: str,
    *,
    days: Mapping[date, list[int]],
    years: Mapping[FiscalYear, date],
) -> QuerySet[ProgramAtLocation]:
    """Narrow the Overview to whose turn it is: "you", "them" or "none".

    What wording.standing() says of a row, asked of many.
    """
    calendar = "fiscal_year__calendar"
    is_late = Q(enrollment__submitted_at=None) & on_its_day(
        days, calendar, lambda day: Q(enrollment__enroll_by__lt=day)
    )
    is_over = Q(status__in=FOLLOWS_PROFILES) & on_its_day(
        days, calendar, lambda day: Q(fiscal_year__ends_on__lt=day)
    )
    is_closed = on_its_day(days, calendar, lambda day: Q(terms__enroll_by__lt=day))
    mine = Enrollment.objects.filter(at_location__in=places.order_by().values("pk"))
    at_risk = [
        key
        for key, row in (found(mine, years) if years else {}).items()
        if row.outcome in WORTH_TELLING
    ]
    return places.annotate(
        whose=Case(
            When(is_over, then=Value("them")),
            When(enrollment_between_years__isnull=False, then=Value("them")),
            When(
                Q(may_edit=True, status__in=EDITABLE) & ~is_late
                | Q(
                    may_edit=True,
                    status=EnrollmentStatus.VALIDATING,
                    enrollment__asked_at__isnull=False,
                )
                | Q(
                    may_edit=True,
                    status=EnrollmentStatus.ENROLLED,
                    enrollment__in=at_risk,
                ),
                then=Value("you"),
            ),
            When(
                Q(status=EnrollmentStatus.VALIDATING)
                | Q(status__in=VEILED, sees_progress=False)
                | Q(status="eligible") & ~is_closed,
                then=Value("them"),
            ),
            default=Value("none"),
            output_field=CharField(),
        )
    ).filter(whose=turn)


def is_to_enroll(days: Mapping[date, list[int]]) -> Q:
    """Whether its reader can begin a row of the Overview or go on with it.

    What Row.is_to_enroll says of a row, asked of many.
    """
    calendar = "fiscal_year__calendar"
    is_late = Q(enrollment__submitted_at=None) & on_its_day(
        days, calendar, lambda day: Q(enrollment__enroll_by__lt=day)
    )
    is_over = Q(enrollment__status__in=FOLLOWS_PROFILES) & on_its_day(
        days, calendar, lambda day: Q(fiscal_year__ends_on__lt=day)
    )
    is_closed = on_its_day(days, calendar, lambda day: Q(terms__enroll_by__lt=day))
    # By the columns behind `status`: what nobody began has requirements to be asked of.
    is_lapsed = Q(
        enrollment__status=EnrollmentStatus.EXPIRED,
        enrollment__end_reason=EndReason.NOT_ANSWERED,
        location__closed_at=None,
        program__discontinued_at=None,
    )
    is_open = (Q(enrollment=None) | is_lapsed) & Q(terms__is_open_to_all=True)
    is_open &= Q(enrollment_between_years=None)
    return Q(may_edit=True) & (
        Q(enrollment__status__in=EDITABLE) & ~is_late & ~is_over | is_open & ~is_closed
    )


def hidden_places(
    held: HeldRoles, *, days: Mapping[date, list[int]]
) -> QuerySet[ProgramAtLocation]:
    """Return what overview_places() leaves out of the company's: to say how many (R15).

    Other programs at the person's locations too, where the role is for one program.
    """
    hidden = ProgramAtLocation.objects.hidden_from(held, Permission.ENROLLMENT_VIEW)
    return hidden.current(days).order_by()


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
