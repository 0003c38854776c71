"""What ends soon for a person: one list, for Home and for the calendar they subscribe to.

Only what the person may act on: days to enroll by, tax forms that expire, fiscal years
that end, and the days after which a month's earnings are lost.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from uuid import NAMESPACE_URL, uuid5

from django.conf import settings
from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Value, When
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.companies import companies_of, path_in
from accounts.holders import held_in
from accounts.models import Location, PartnerAccount, User
from accounts.prepared import Given, given_if, planned_for
from accounts.roles import Permission, roles_with
from accounts.scoping import HeldRoles, reaches_all
from enrollment.clock import clock_for
from enrollment.ics import DayEvent, calendar_text
from enrollment.models import Enrollment, FiscalCalendar, ProgramTerms
from enrollment.models.terms import HashableDays, hashable, on_its_day
from enrollment.states import EnrollmentStatus
from profiles.models import TaxProfileVersion
from profiles.states import ProfileStatus

# What Home shows.
AHEAD = timedelta(days=90)
MOST_DATES = 10
# What a calendar holds; one event for all locations of a program on a day, so that it is
# read whole: 4 000 locations in twelve programs are 48 000 rows.
YEAR_AHEAD = timedelta(days=366)
MOST_IN_CALENDAR = 100_000
MOST_PLACES = 20
_CALENDAR = "terms__fiscal_year__calendar"
_TO_DO = (EnrollmentStatus.INVITED, EnrollmentStatus.ACTION_REQUIRED)

_WORDS = {
    "enroll": gettext_lazy("Enroll %(location)s in %(program)s"),
    "expires": gettext_lazy("Tax profile of %(location)s expires"),
    "ends": gettext_lazy("Fiscal year %(year)s ends: %(program)s"),
    "earns": gettext_lazy(
        "Last day for %(month)s's earnings: %(location)s in %(program)s"
    ),
}


@dataclass(frozen=True, order=True)
class ComingDate:
    """One thing that is on a day, at one location or for a whole program."""

    day: date
    kind: str
    # What it is one of: the terms, for one event of all their locations.
    terms: int
    location: str
    program: str
    year: int
    # The first day that earns, of what is about a month's earnings.
    earns_from: date | None = None

    @property
    def words(self) -> str:
        """What it is, in one line."""
        return _WORDS[self.kind] % self._parts

    @property
    def _parts(self) -> dict[str, object]:
        month = date_format(self.earns_from, "F") if self.earns_from else ""
        return {
            "location": self.location,
            "program": self.program,
            "year": self.year,
            "month": month,
        }


def coming_dates(
    held: HeldRoles | None,
    *,
    at: datetime,
    days: Mapping[date, list[int]],
    location: Location | None = None,
    within: timedelta = AHEAD,
    most: int = MOST_DATES,
) -> list[ComingDate]:
    """Return what ends soon, by day; a program's in its own calendar (R66).

    `held` are the reader's roles in a company, `days` what
    FiscalCalendar.objects.by_day() says. One question for all of it.
    """
    if held is None:
        return []
    asked = _coming(
        held.shape,
        given_if("location", location),
        hashable(days),
        timezone.localdate(at),
        within,
        most,
    )
    found = asked.ask(**held.given, location=location and location.pk)
    return sorted(ComingDate(*row) for row in found)


@planned_for("company", where=reaches_all(Permission.ENROLLMENT_EDIT))
def _coming(
    held: HeldRoles,
    location: Given | None,
    of_calendars: HashableDays,
    today: date,
    within: timedelta,
    most: int,
) -> QuerySet:
    days = dict(of_calendars)
    mine = Enrollment.objects.to_act_on(held, location=location)
    enrolling = (
        mine.filter(
            on_its_day(
                days, _CALENDAR, lambda day: Q(enroll_by__range=(day, day + within))
            ),
            status__in=_TO_DO,
            submitted_at=None,
        )
        .order_by("enroll_by", "pk")
        .values_list(
            "enroll_by",
            Value("enroll"),
            "terms_id",
            "location__name",
            "terms__program__name",
            "terms__fiscal_year__number",
        )[:most]
    )
    places = Location.objects.where_held(held, Permission.PROFILE_VIEW)
    expiring = TaxProfileVersion.objects.filter(
        status=ProfileStatus.APPROVED,
        profile__location__in=places,
        expires_on__range=(today, today + within),
    )
    if location is not None:
        expiring = expiring.filter(profile__location=location)
    expiring = expiring.order_by("expires_on", "pk").values_list(
        "expires_on",
        Value("expires"),
        Value(0),
        "profile__location__name",
        Value(""),
        Value(0),
    )[:most]
    # Asked of the few terms there are, of each alone: there are thousands of enrollments.
    enrolled = mine.filter(terms=OuterRef("pk"), status=EnrollmentStatus.ENROLLED)
    years = (
        ProgramTerms.objects.filter(
            on_its_day(
                days,
                "fiscal_year__calendar",
                lambda day: Q(fiscal_year__ends_on__range=(day, day + within)),
            ),
            Case(When(Exists(enrolled), then=Value(True)), default=Value(False)),
        )
        .order_by()
        .values_list(
            "fiscal_year__ends_on",
            Value("ends"),
            "pk",
            Value(""),
            "program__name",
            "fiscal_year__number",
        )
    )
    return enrolling.union(expiring, years, all=True)


def earning_dates(
    mine: QuerySet[Enrollment], *, at: datetime, most: int
) -> list[ComingDate]:
    """Return the days after which a month's earnings are lost, as the clock has them.

    Not where nothing comes after it: that is the last day to enroll itself.
    """
    waiting = mine.filter(status__in=_TO_DO, earns_from=None).order_by(
        "enroll_by", "pk"
    )
    facts = ("terms_id", "status", "enroll_by", "submitted_at")
    rows = list(waiting.values_list(*facts, "location__name")[:most])
    terms = ProgramTerms.objects.select_related("program", "fiscal_year__calendar")
    terms_of = terms.in_bulk({row[0] for row in rows})
    clocks = {}
    found = []
    for *known, location in rows:
        like = tuple(known)
        if like not in clocks:
            one = Enrollment(
                terms=terms_of[like[0]], **dict(zip(facts[1:], like[1:], strict=True))
            )
            clocks[like] = one.terms, clock_for(one, at=at)
        terms, clock = clocks[like]
        if clock is None or clock.is_tight or clock.is_last_chance:
            continue
        found.append(
            ComingDate(
                day=clock.act_by,
                kind="earns",
                terms=terms.pk,
                location=location,
                program=terms.program.name,
                year=terms.fiscal_year.number,
                earns_from=clock.earns_from,
            )
        )
    return found


def roles_to_act(person: User) -> list[HeldRoles]:
    """Return what somebody holds in each company where they may enroll something."""
    acting = roles_with(Permission.ENROLLMENT_EDIT)
    companies = companies_of(person) if person.is_active else []
    roles = [held_in(person, company) for company in companies]
    return [held for held in roles if held.anywhere & acting]


def calendar_of(person: User, *, at: datetime) -> str | None:
    """Return a person's calendar of all their companies, in the active language.

    None for whoever may enroll nothing anywhere: nothing here is for them.
    """
    days = FiscalCalendar.objects.by_day(at)
    roles = roles_to_act(person)
    events = []
    for held in roles:
        mine = Enrollment.objects.where_held(held, Permission.ENROLLMENT_EDIT)
        found = coming_dates(
            held,
            at=at,
            days=days,
            within=YEAR_AHEAD,
            most=MOST_IN_CALENDAR,
        )
        found += earning_dates(mine, at=at, most=MOST_IN_CALENDAR)
        events += _events(
            found, person=person, company=held.account, says_company=len(roles) > 1
        )
    if not roles:
        return None
    return calendar_text(
        sorted(events, key=lambda event: (event.on, event.title, event.uid)),
        name=_("Partner incentives"),
        language=person.language,
        # The same text all day long, unless something changed.
        made_at=at.replace(hour=0, minute=0, second=0, microsecond=0),
    )


def _events(
    dates: Iterable[ComingDate],
    *,
    person: User,
    company: PartnerAccount,
    says_company: bool,
) -> list[DayEvent]:
    """Return one event for all locations of a program, of one kind, on a day."""
    events = []
    grouped = groupby(
        sorted(dates, key=_what), key=lambda one: (one.day, one.kind, one.terms)
    )
    for (day, kind, terms), group in grouped:
        of_day = list(group)
        places = [one.location for one in of_day if one.location]
        parts = [_title(of_day)]
        if len(places) > 1:
            parts += places[:MOST_PLACES]
            more = len(places) - MOST_PLACES
            if more > 0:
                parts.append(
                    ngettext("and %(count)d more", "and %(count)d more", more)
                    % {"count": more}
                )
        if says_company:
            parts.append(company.name)
        key = f"{settings.PUBLIC_BASE_URL}/{person.pk}/{company.pk}/{kind}/{terms}/"
        events.append(
            DayEvent(
                uid=f"{uuid5(NAMESPACE_URL, key + day.isoformat())}@incentives",
                on=day,
                title=_title(of_day),
                text="\n".join(parts),
                url=settings.PUBLIC_BASE_URL + path_in(company, _page_of(kind)),
            )
        )
    return events


def _what(one: ComingDate) -> tuple:
    return (one.day, one.kind, one.terms, one.location)


def _page_of(kind: str) -> str:
    return "profiles:tax_list" if kind == "expires" else "enrollment:overview"


def _title(of_day: list[ComingDate]) -> str:
    """What is on the day: with the location's name if it is one, else their number."""
    first, count = of_day[0], len(of_day)
    if count == 1:
        return first.words
    words = {
        "count": count,
        "program": first.program,
        "month": date_format(first.earns_from, "F") if first.earns_from else "",
    }
    if first.kind == "enroll":
        title = ngettext(
            "Enroll %(count)d location in %(program)s",
            "Enroll %(count)d locations in %(program)s",
            count,
        )
    elif first.kind == "earns":
        title = ngettext(
            "Last day for %(month)s's earnings: %(count)d location in %(program)s",
            "Last day for %(month)s's earnings: %(count)d locations in %(program)s",
            count,
        )
    else:
        title = ngettext(
            "Tax profile of %(count)d location expires",
            "Tax profiles of %(count)d locations expire",
            count,
        )
    return title % words
