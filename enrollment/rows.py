"""Rows of lists: enrollments and programs with everything a page says of them.

Constant numbers of queries, whatever the number of rows.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from types import MappingProxyType
from uuid import UUID

from django.db.models import (
    Case,
    CharField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast
from django.utils import timezone

from accounts.addresses import address_of
from accounts.models import (
    IncentiveProgram,
    Location,
)
from accounts.prepared import Given, given_if, planned, planned_for
from accounts.roles import Permission
from accounts.scoping import HeldRoles, reaches_all
from accounts.stretches import MOST_COUNTED
from enrollment.eligibility import Gap, gaps_at, gaps_of, note_held, payout_at
from enrollment.forecast import (
    ADMIN,
    KINDS,
    WORTH_TELLING,
    Forecast,
    Found,
    Kind,
    Reader,
    forecasts_of,
    told,
)
from enrollment.models import (
    Enrollment,
    FiscalYear,
    Invitation,
    PayoutAssignment,
    ProgramAtLocation,
    ProgramTerms,
    RequirementCheck,
    ShownTerms,
)
from enrollment.models.overview import CheckState
from enrollment.models.terms import HashableDays, hashable, on_its_day
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

# What a row says of its reader, as _reader() reads it.
_READER = (
    ("sees_progress", Permission.ENROLLMENT_SEE_PROGRESS),
    ("may_edit", Permission.ENROLLMENT_EDIT),
    ("sees_requirements", Permission.REQUIREMENT_VIEW),
)


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
        return address_of("enrollment:program", self.place_id)


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
    known = enrollments.for_pages().with_was_left()
    for name, permission in _READER:
        known = known.with_covered(permission, user=user, name=name)
    enrollments, now = list(known), timezone.now()
    payouts = payout_at(_editable(enrollments), at=now)
    return [
        replace(row, assignments=payouts.get(row.enrollment.pk, []))
        for row in _rows(
            enrollments,
            lacking={key: gaps_of(some) for key, some in payouts.items()},
            at=now,
            years=years,
        )
    ]


def rows_by_key(keys: Iterable[UUID], *, held: HeldRoles) -> list[Row]:
    """Rows of enrollments that were found in the reader's scope, by their keys, for lists.

    In no order: what enrollment_rows() returns, but for how they are paid and what the
    next year brings. `held` are the reader's roles in the one company that has them.
    """
    enrollments = _by_key(held.shape).ask(**held.given, keys=list(keys))
    now = timezone.now()
    return _rows(enrollments, lacking=gaps_at(_editable(enrollments), at=now), at=now)


@planned
def _by_key(held: HeldRoles) -> QuerySet[Enrollment]:
    known = Enrollment.objects.filter(pk__among=Given("keys"))
    for name, permission in _READER:
        known = known.with_held(held, permission, name=name)
    return known.for_pages().with_was_left().order_by()


def _rows(
    enrollments: list[Enrollment],
    *,
    lacking: Mapping[object, list[Gap]],
    at: datetime,
    years: Mapping[FiscalYear, date] = MappingProxyType({}),
) -> list[Row]:
    note_held(enrollments)
    forecasts = forecasts_of(enrollments, years=years, reader=_reader)
    rows = []
    for enrollment in enrollments:
        gaps = lacking.get(enrollment.pk, [])
        rows.append(
            Row(
                location=enrollment.location,
                program=enrollment.terms.program,
                terms=enrollment.terms,
                enrollment=enrollment,
                gaps=gaps,
                standing=standing(
                    enrollment,
                    sees_progress=enrollment.sees_progress,
                    may_edit=enrollment.may_edit,
                    sees_requirements=enrollment.sees_requirements,
                    gaps=gaps,
                    at=at,
                    was_left=enrollment.was_left,
                    is_at_risk=_is_at_risk(forecasts, enrollment),
                ),
                forecast=forecasts.get(enrollment.pk),
            )
        )
    return rows


@dataclass(frozen=True)
class UnderWay:
    """The first of what is under way by whose turn it is, and how many there are.

    New are messages that were not selected yet, by the key of the invitation. Of more
    than MOST_COUNTED the count is one more than that.
    """

    keys: dict[Turn, list[UUID]]
    counts: Mapping[Turn, int]
    messages: dict[UUID, UUID]


def under_way(
    held: HeldRoles | None,
    *,
    location: Location | None = None,
    days: Mapping[date, list[int]],
    most: int,
) -> UnderWay:
    """Find what waits for somebody or with the program owner: `most` keys of each turn.

    Of the enrollments that the reader may change by the roles they hold, at a location
    or all. What standing() says of their turns, asked of thousands; what nobody can go on
    with any more is not among them. An invitation that was accepted is somebody's turn,
    no longer a message. Messages come by their last day, all else by how long it has
    waited.
    """
    rows: dict[str, list[tuple]] = {one: [] for one in (Turn.NEW, Turn.YOU, Turn.THEM)}
    found: list[tuple] = []
    if held is not None:
        asked = _under_way(held.shape, given_if("location", location), hashable(days))
        found = asked.ask(**held.given, location=location and location.pk)
    for turn, *row in found:
        rows[turn].append(row)
    for turn in (Turn.YOU, Turn.THEM):
        rows[turn].sort()
    shown = {Turn(turn): some[:most] for turn, some in rows.items()}
    return UnderWay(
        keys={
            turn: [UUID(key) for _since, key, _message in some]
            for turn, some in shown.items()
        },
        counts={
            Turn(turn): min(len(some), MOST_COUNTED + 1) for turn, some in rows.items()
        },
        messages={UUID(key): UUID(message) for _s, key, message in shown[Turn.NEW]},
    )


@planned_for("company", where=reaches_all(Permission.ENROLLMENT_EDIT))
def _under_way(held: HeldRoles, location: Given | None, days: HashableDays) -> QuerySet:
    """What is under way, with its keys as text: of most of it nothing but a number is told.

    Each part is asked for where its index begins, and no further than it is counted.
    """
    mine = Enrollment.objects.to_act_on(held, location=location)
    first, *others = (
        part.order_by(*order).values_list(
            Value(turn),
            "status_since",
            Cast("pk", TextField()),
            Cast(message, TextField()) if message else Value("", TextField()),
        )[: MOST_COUNTED + 1]
        for turn, part, order, message in _parts_under_way(
            mine, user=held.person, days=dict(days)
        )
    )
    return first.union(*others, all=True)


def _parts_under_way(
    mine: QuerySet[Enrollment], *, user, days: Mapping[date, Collection[int]]
) -> Iterator[tuple[Turn, QuerySet[Enrollment], tuple[str, ...], str | None]]:
    """What is under way, with whose turn it is, its order, and its message's path."""
    is_late = Q(submitted_at=None) & on_its_day(
        days, "terms__fiscal_year__calendar", lambda day: Q(enroll_by__lt=day)
    )
    # Of the few terms there are, not of each enrollment: those are read in the order of
    # an index.
    is_over = Q(terms__in=ProgramTerms.objects.over(days))
    waiting = ("status_since", "pk")
    invited, validating = mine.invited().filter(~is_late), mine.validating()
    # Asked of each, in the order of an index: joined, PostgreSQL takes them for few and
    # sorts all of a company's.
    unopened = Invitation.objects.filter(
        enrollment=OuterRef("pk"), user=user, opened_at=None
    )
    messages = invited.annotate(
        message=Subquery(unopened.order_by().values("pk")[:1])
    ).filter(accepted_at=None, message__isnull=False)
    yield Turn.NEW, messages, ("enroll_by", *waiting), "message"
    yield Turn.YOU, invited.filter(accepted_at__isnull=False), waiting, None
    begun = mine.filter(~is_late & ~is_over, status=EnrollmentStatus.ACTION_REQUIRED)
    yield Turn.YOU, begun, waiting, None
    asked = validating.filter(~is_over, asked_at__isnull=False)
    yield Turn.YOU, asked, waiting, None
    yield Turn.THEM, validating.filter(~is_over, asked_at=None), waiting, None
    over = mine.filter(is_over, status__in=FOLLOWS_PROFILES).with_was_left()
    yield Turn.THEM, over.filter(was_left=False), waiting, None


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


def at_risk(foreseen: Mapping[UUID, Found]) -> list[UUID]:
    """The keys of what the next year puts at risk or ends, the worst first."""
    return [key for key, row in foreseen.items() if row.outcome in WORTH_TELLING]


def next_year_rows(
    foreseen: Mapping[UUID, Found],
    *,
    known: list[Enrollment],
    years: Mapping[FiscalYear, date],
) -> NextYear:
    """Return what is at risk or ends, and count what continues by itself.

    What is the person's turn already is told there. `foreseen` is what forecast.found()
    says of the enrollments that the reader may change, `known` those that are shown.
    """
    told_rows = told(
        {one: foreseen[one.pk] for one in known},
        years,
        reader=lambda one: ADMIN,
    )
    days = Counter(
        row.into
        for row in foreseen.values()
        if KINDS[Outcome(row.outcome)] == Kind.CONTINUES
    )
    return NextYear(
        rows=[
            NextYearRow(one, told_rows[one.pk]) for one in known if one.pk in told_rows
        ],
        more=len(at_risk(foreseen)) - len(known),
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
    terms: ShownTerms,
    at: datetime,
    years: Mapping[FiscalYear, date] = MappingProxyType({}),
) -> list[Row]:
    """Return the Overview's rows; `places` and `terms` are those of overview_places().

    `years` as for enrollment_rows().
    """
    places = list(places)
    readers = {}
    for place in places:
        # The same objects, so that nothing is asked again.
        place.terms = terms[place.terms_id]
        place.program = place.terms.program
        if place.enrollment is not None:
            place.enrollment.location = place.location
            place.enrollment.terms = place.terms
            readers[place.enrollment_id] = _reader(place)
    between = _between_years(places, terms=terms)
    counts = requirement_counts(places, at=at)
    enrollments = [place.enrollment for place in places if place.enrollment]
    note_held(enrollments)
    lacking = gaps_at(_editable(enrollments), at=at)
    forecasts = forecasts_of(
        enrollments, years=years, reader=lambda one: readers[one.pk]
    )
    rows = []
    for place in places:
        old = between.get((place.terms_id, place.location_id))
        gaps = lacking.get(place.enrollment_id, [])
        if place.enrollment is not None:
            seen = standing(
                place.enrollment,
                sees_progress=place.sees_progress,
                may_edit=place.may_edit,
                sees_requirements=place.sees_requirements,
                gaps=gaps,
                at=at,
                is_at_risk=_is_at_risk(forecasts, place.enrollment),
            )
        elif old is not None:
            seen = standing(
                old,
                sees_progress=place.sees_progress,
                may_edit=place.may_edit,
                sees_requirements=place.sees_requirements,
                gaps=(),
                at=at,
            )
        else:
            seen = _without_enrollment(
                place, counts[place.terms_id, place.location_id], at=at
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


def _without_enrollment(
    place: ProgramAtLocation, tally: Counter, *, at: datetime
) -> Standing:
    """What is seen where nothing was begun, by what with_status() says of many."""
    met, total = tally[CheckState.MET], tally.total()
    status = "eligible" if met == total else "ineligible"
    return standing_without_enrollment(
        "open" if place.is_open_to_all else status,
        row_id=place.pk,
        terms=place.terms,
        may_edit=place.may_edit,
        sees_requirements=place.sees_requirements,
        met=met,
        total=total,
        on=place.terms.fiscal_year.calendar.day_at(at),
    )


def _between_years(
    places: Iterable[ProgramAtLocation], *, terms: ShownTerms
) -> dict[tuple[int, int], Enrollment]:
    """Enrollments of the year before that the year end has not reached yet.

    By the terms that follow and the location, where nothing was begun in them.
    """
    some = [
        place
        for place in places
        if place.enrollment_id is None and place.program_id in terms.had_a_year
    ]
    if not some:
        return {}
    keys = {
        key: (following, location)
        for key, following, location in Enrollment.objects.between_years()
        .filter(
            location__in={place.location_id for place in some},
            terms__succession__following__in={place.terms_id for place in some},
        )
        .order_by()
        .values_list("pk", "terms__succession__following", "location")
    }
    found = Enrollment.objects.for_pages().in_bulk(list(keys)) if keys else {}
    return {keys[key]: one for key, one in found.items()}


def overview_places(
    held: HeldRoles, *, terms: ShownTerms
) -> QuerySet[ProgramAtLocation]:
    """Return every program at every location in the person's scope (R10, R27).

    `terms` come from ProgramTerms.objects.shown().
    """
    return in_scope(held).current(*terms.keys)


def in_scope(held: HeldRoles) -> QuerySet[ProgramAtLocation]:
    """Return the programs of every year at the locations a reader sees them at."""
    places = ProgramAtLocation.objects.where_held(held, Permission.ENROLLMENT_VIEW)
    return _with_reader(places, held)


def _with_reader(
    places: QuerySet[ProgramAtLocation], held: HeldRoles
) -> QuerySet[ProgramAtLocation]:
    places = places.select_related("location", "enrollment")
    for name, permission in _READER:
        places = places.with_held(held, permission, name=name)
    return places


def places_by_key(
    keys: Iterable[tuple[str, int, int]], *, held: HeldRoles
) -> list[ProgramAtLocation]:
    """Return rows that overview_places() found, by their keys; what went is left out.

    In the order of the keys: each is that of the row, of its location and of its terms.
    What a page says of a row is asked of the rows it shows alone, not of those before it.
    """
    keys = list(keys)
    if not keys:
        return []
    places, locations, terms = (list({*some}) for some in zip(*keys, strict=True))
    asked = _places_by_key(held.shape)
    known = asked.ask(**held.given, places=places, locations=locations, terms=terms)
    found = {place.pk: place for place in known}
    return [found[pk] for pk, _location, _terms in keys if pk in found]


@planned
def _places_by_key(held: HeldRoles) -> QuerySet[ProgramAtLocation]:
    places = ProgramAtLocation.objects.filter(
        location__among=Given("locations"),
        terms__among=Given("terms"),
        pk__among=Given("places"),
    )
    return _with_reader(places, held).order_by()


def places_of_turn(
    places: QuerySet[ProgramAtLocation],
    turn: str,
    *,
    days: Mapping[date, Collection[int]],
    worst: Value | Given | None,
) -> QuerySet[ProgramAtLocation]:
    """Narrow the Overview to whose turn it is: "you", "them" or "none".

    What wording.standing() says of a row, asked of many. `worst` are the keys at_risk()
    says of them, as for `among`, if there are any.
    """
    calendar = "fiscal_year__calendar"
    is_late = Q(submitted_at=None) & on_its_day(
        days, calendar, lambda day: Q(enroll_by__lt=day)
    )
    is_over = Q(enrollment_status__in=FOLLOWS_PROFILES) & on_its_day(
        days, calendar, lambda day: Q(fiscal_year__ends_on__lt=day)
    )
    is_closed = on_its_day(days, calendar, lambda day: Q(terms__enroll_by__lt=day))
    waits = Q(enrollment_status__in=EDITABLE) & ~is_late | Q(
        enrollment_status=EnrollmentStatus.VALIDATING, asked_at__isnull=False
    )
    if worst is not None:
        enrolled = Q(enrollment_status=EnrollmentStatus.ENROLLED)
        waits |= enrolled & Q(enrollment__among=worst)
    is_mine = Q(may_edit=True) & waits
    if turn == Turn.YOU:
        # Only what was begun: nothing has to be asked of requirements.
        return places.filter(is_mine & ~is_over)
    return (
        places.with_status(days)
        .with_enrollment_between_years()
        .annotate(
            whose=Case(
                When(is_over, then=Value("them")),
                When(enrollment_between_years__isnull=False, then=Value("them")),
                When(is_mine, then=Value("you")),
                When(
                    Q(enrollment_status=EnrollmentStatus.VALIDATING)
                    | Q(enrollment_status__in=VEILED, sees_progress=False)
                    | Q(status="eligible") & ~is_closed,
                    then=Value("them"),
                ),
                default=Value("none"),
                output_field=CharField(),
            )
        )
        .filter(whose=turn)
    )


def places_to_enroll(
    places: QuerySet[ProgramAtLocation], *, days: Mapping[date, list[int]]
) -> QuerySet[ProgramAtLocation]:
    """Narrow the Overview to what its reader can begin or go on with.

    What Row.is_to_enroll says of a row, asked of many.
    """
    calendar = "fiscal_year__calendar"
    is_late = Q(submitted_at=None) & on_its_day(
        days, calendar, lambda day: Q(enroll_by__lt=day)
    )
    is_over = Q(enrollment_status__in=FOLLOWS_PROFILES) & on_its_day(
        days, calendar, lambda day: Q(fiscal_year__ends_on__lt=day)
    )
    is_closed = on_its_day(days, calendar, lambda day: Q(terms__enroll_by__lt=day))
    # By the columns behind `status`: what nobody began has requirements to be asked of.
    is_lapsed = Q(
        enrollment_status=EnrollmentStatus.EXPIRED,
        enrollment__end_reason=EndReason.NOT_ANSWERED,
        location__closed_at=None,
        program__discontinued_at=None,
    )
    is_open = (Q(enrollment=None) | is_lapsed) & Q(
        is_open_to_all=True, enrollment_between_years=None
    )
    return places.with_enrollment_between_years().filter(
        Q(enrollment_status__in=EDITABLE) & ~is_late & ~is_over | is_open & ~is_closed,
        may_edit=True,
    )


def hidden_places(held: HeldRoles, *, terms: ShownTerms) -> QuerySet[ProgramAtLocation]:
    """Return what overview_places() leaves out of the company's: to say how many (R15).

    Other programs at the person's locations too, where the role is for one program.
    """
    hidden = ProgramAtLocation.objects.hidden_from(held, Permission.ENROLLMENT_VIEW)
    if hidden.query.is_empty():
        return hidden
    return hidden.current(*terms.keys).order_by()


def requirement_counts(
    places: Iterable[ProgramAtLocation], *, at: datetime
) -> dict[tuple[int, int], Counter]:
    """Count met, unmet and unknown requirements by terms and location."""
    by_day: dict[date, list[ProgramAtLocation]] = defaultdict(list)
    for place in places:
        if place.enrollment_id is None and not place.is_open_to_all:
            by_day[place.terms.fiscal_year.calendar.day_at(at)].append(place)
    counts: dict[tuple[int, int], Counter] = defaultdict(Counter)
    for day, some in by_day.items():
        checks = _checks().ask(
            locations=list({place.location_id for place in some}),
            terms=list({place.terms_id for place in some}),
            day=day,
        )
        for terms_id, location_id, state in checks:
            counts[terms_id, location_id][state] += 1
    return counts


@planned
def _checks() -> QuerySet:
    checks = RequirementCheck.objects.filter(
        location__among=Given("locations"), terms__among=Given("terms")
    )
    return (
        checks.as_of(Given("day"))
        .order_by()
        .values_list("terms_id", "location_id", "state")
    )


def _editable(enrollments: Iterable[Enrollment]) -> list[Enrollment]:
    return [enrollment for enrollment in enrollments if enrollment.is_editable]
