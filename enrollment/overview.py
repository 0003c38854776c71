"""What the Overview asks: the rows of a company as an address chooses them.

Each question is put together once for each choice that an address can make, not for each
page: that took longer than asking. Whose rows they are, and what a text names, are values.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Self

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Value

from accounts.models import Location, PartnerAccount, RoleAssignment, User, many
from accounts.prepared import Given, Prepared, planned_for, prepared
from accounts.roles import Permission, roles_with
from accounts.scoping import HeldRoles, reaches_all
from accounts.stretches import Part, is_number
from enrollment.forecast import found
from enrollment.models import Enrollment, FiscalYear, ProgramAtLocation, ShownTerms
from enrollment.models.terms import HashableDays, hashable
from enrollment.rows import at_risk, in_scope, places_of_turn
from enrollment.states import STATUS_ORDER, VEILED, EnrollmentStatus

_SEES_PROGRESS = roles_with(Permission.ENROLLMENT_SEE_PROGRESS)
# What a row is found by again.
KEY = ("pk", "location_id", "terms_id")
# Of more locations a program's rows are counted by status before they are sorted by it.
MANY_PLACES = 100
# Of what is said where rows are sorted by status, what an enrollment says, and what is said
# without one: which of these, is not known of a row without asking for its requirements.
BEGUN = frozenset({*EnrollmentStatus, "enrolling"})
NOT_BEGUN = frozenset({"open", "eligible", "ineligible"})


@dataclass(frozen=True)
class Choice:
    """Which rows an address chooses, as far as the same question asks for them."""

    held: HeldRoles
    days: HashableDays
    has_over: bool
    at_location: bool
    # Whether a text is looked for, and names locations too.
    is_searched: bool = False
    names_locations: bool = False
    # What OverviewFilter offers.
    status: str = ""
    country: str = ""
    pays: str = ""
    turn: str = ""
    has_worst: bool = False
    is_by_status: bool = False
    # Of the order by status: those a part of it is in, if that is known.
    statuses: tuple[str, ...] = ()

    @property
    def is_filtered(self) -> bool:
        """Whether filters leave out some of what was found."""
        return bool(self.status or self.country or self.pays or self.turn)

    @property
    def is_veiled(self) -> bool:
        """Whether the reader sees progress nowhere, or not everywhere (R42)."""
        return not self.held.everywhere & _SEES_PROGRESS

    def whole(self, value: Callable[[str], Any] = Given) -> QuerySet[ProgramAtLocation]:
        """Return the rows in the reader's scope, at the location that was chosen.

        `value` says each value by its name, or has its place kept.
        """
        over = value("over") if self.has_over else None
        places = in_scope(self.held).current(value("running"), over)
        if self.at_location:
            places = places.filter(location=value("location"))
        if not self.is_by_status:
            return places
        return places.with_status(dict(self.days), is_veiled=self.is_veiled)

    def found(
        self, people: Q | None = None, value: Callable[[str], Any] = Given
    ) -> QuerySet[ProgramAtLocation]:
        """Return what a text leaves of them, with the rows of people it names."""
        if not self.is_searched:
            return self.whole(value)
        named = Q(terms__among=value("programs"))
        if self.names_locations:
            named |= Q(location__among=value("locations"))
        return self.whole(value).filter(named if people is None else named | people)

    def chosen(
        self, people: Q | None = None, value: Callable[[str], Any] = Given
    ) -> QuerySet[ProgramAtLocation]:
        """Return what the filters leave of that; the veil holds in filters too (R42)."""
        places, status, days = self.found(people, value), self.status, dict(self.days)
        if status == "enrolling":
            places = places.filter(enrollment_status__in=VEILED, sees_progress=False)
        elif status in VEILED:
            places = places.filter(enrollment_status=status, sees_progress=True)
        elif status in ("eligible", "ineligible"):
            places = places.with_status(days).filter(status=status)
        elif status == "open":
            places = places.filter(enrollment=None, is_open_to_all=True)
        elif status:
            places = places.filter(enrollment_status=status)
        if self.country:
            places = places.filter(location__country=self.country)
        if self.pays:
            places = places.filter(terms__earning_types__kind=self.pays)
        if self.turn:
            worst = value("worst") if self.has_worst else None
            places = places_of_turn(places, self.turn, days=days, worst=worst)
        if self.statuses:
            begun = BEGUN & {*self.statuses}
            if "enrolling" in begun:
                begun |= VEILED
            within = Q(enrollment_status__in=[*begun])
            if not NOT_BEGUN.isdisjoint(self.statuses):
                within |= Q(enrollment=None)
            places = places.filter(within)
        return places


@dataclass(frozen=True)
class Chosen:
    """The rows that an address chooses for somebody, asked for as pages show them."""

    held: HeldRoles
    choice: Choice
    values: Mapping[str, Any]
    # As ShownTerms.named, of the rows' programs: if it is known which they are.
    programs: Mapping[str, list[int]]
    # The rows of people that a text names: no question to keep.
    people: Q | None = field(default=None)
    # Whether there are so many locations that a program's rows are not sorted for a page.
    is_large: bool = False
    # How many rows of some terms have each status that is seen of an enrollment, or none.
    _by_status: dict[int, dict[str | None, int]] = field(
        init=False, default_factory=dict
    )

    @classmethod
    def whole(
        cls, held: HeldRoles, *, terms: ShownTerms, location: Location | None
    ) -> Self:
        """Return all of a reader's rows, at a location if one is chosen.

        `terms` come from ProgramTerms.objects.shown().
        """
        choice = Choice(
            held=held.shape,
            days=hashable(terms.days.days),
            has_over=bool(terms.over),
            at_location=location is not None,
        )
        values = held.given | {
            "running": list(terms.running),
            "over": list(terms.over),
            "location": location and location.pk,
        }
        return cls(held, choice, values, terms.named)

    def kinds(self) -> tuple[list[str], set[bool], bool]:
        """Return the rows' countries, whether progress is seen in them, and whether the
        company is large.

        Roles for all of a company answer for all of its rows; to others it is not large.
        """
        held = self.held
        view, see = roles_with(Permission.ENROLLMENT_VIEW), _SEES_PROGRESS
        if held.everywhere & view and (
            held.everywhere & see or not held.anywhere & see
        ):
            places = dict(self._ask(_countries))
            is_large = sum(places.values()) > MANY_PLACES
            return sorted(places), {bool(held.everywhere & see)}, is_large
        kinds = self._ask(_kinds)
        countries = {country for country, _sees in kinds}
        return sorted(countries), {sees for _country, sees in kinds}, False

    def narrowed(
        self,
        asked: Mapping[str, str],
        *,
        terms: ShownTerms,
        is_by_status: bool,
        is_large: bool,
    ) -> Self:
        """Narrow by what OverviewFilter was asked for; sorted by status, or not.

        `is_large` as kinds() says.
        """
        chosen = self._about(asked["q"], terms) if asked["q"] else self
        if asked["turn"] and terms.days.coming:
            chosen = chosen._with_worst(terms.days.coming)
        filters = {name: asked[name] for name in ("status", "country", "pays", "turn")}
        choice = replace(chosen.choice, is_by_status=is_by_status, **filters)
        return replace(chosen, choice=choice, is_large=is_large)

    def _about(self, text: str, terms: ShownTerms) -> Self:
        """Narrow to what a text names: program, location, PartnerID, person.

        A person stands for the rows they may enroll, and for what they accepted or
        submitted where the reader sees progress (R42). What the text names is asked
        first, of programs, locations and people: there are far fewer of them than rows.
        """
        about = [
            one
            for one in (*terms.running.values(), *terms.over.values())
            if text.lower() in one.program.name.lower()
            or text.lower() == one.program.code.lower()
        ]
        keys: dict[str, list[int]] = defaultdict(list)
        for kind, key in self._ask(_named, text=text):
            keys[kind].append(key)
        names = {one.program.name for one in about}
        return replace(
            self,
            choice=replace(
                self.choice, is_searched=True, names_locations="location" in keys
            ),
            values={
                **self.values,
                "programs": [one.pk for one in about],
                "locations": keys["location"],
            },
            programs=(
                {name: some for name, some in terms.named.items() if name in names}
                if not any(keys.values())
                else {}
            ),
            people=(
                _of_people(keys["person"], self.held.account)
                if keys["person"]
                else None
            ),
        )

    def _with_worst(self, years: Mapping[FiscalYear, date]) -> Self:
        """Know which of them the next year puts at risk."""
        rows = self._real().found(self.people, self._real_value).order_by()
        mine = Enrollment.objects.filter(at_location__in=rows.values("pk"))
        worst = at_risk(found(mine, years))
        return replace(
            self,
            choice=replace(self.choice, has_worst=bool(worst)),
            values={**self.values, "worst": worst},
        )

    @property
    def places(self) -> QuerySet[ProgramAtLocation]:
        """The rows, for who asks something of their own."""
        return self._real().chosen(self.people, self._real_value)

    def keys(self, part: Part, values: Mapping[str, Any]) -> list[tuple]:
        """Return the keys of a part of the rows in its order."""
        chosen = self
        choice = self.choice
        if self.is_large and choice.is_by_status and not choice.is_filtered:
            chosen = self._nearest(part, values)
        return chosen._ask(_keys, part, **values)

    def _nearest(self, part: Part, values: Mapping[str, Any]) -> Self:
        """Narrow to the statuses that a part of a program's rows by status is in.

        The program's rows are counted for a page anyway. So a few hundred are sorted for
        it and not thousands, and requirements are asked of none that come later.
        """
        if part.place != "group" or part.narrowed != ("terms",):
            return self
        if self.choice.is_veiled and self.held.anywhere & _SEES_PROGRESS:
            # What is veiled is one status here and another there.
            return self
        counts, begins = self._statuses_of(values["terms"]), 0
        is_falling = (part.order[1][0] == "-") != part.is_back
        order = STATUS_ORDER[::-1] if is_falling else STATUS_ORDER
        if part.has_edge:
            begins = order.index(STATUS_ORDER[values["edge_1"] - 1])
        # How many of the edge's own come after it is not known.
        statuses = [*order[begins : begins + 1]] if part.has_edge else []
        found = 0
        for status in order[begins + len(statuses) :]:
            if found >= part.most:
                break
            some = counts.get(status, 0)
            if some or (status in NOT_BEGUN and counts.get(None)):
                statuses.append(status)
                found += some
        return replace(self, choice=replace(self.choice, statuses=tuple(statuses)))

    def _statuses_of(self, terms: int) -> dict[str | None, int]:
        if terms not in self._by_status:
            rows = replace(self, choice=replace(self.choice, is_by_status=False))
            counts: Counter[str | None] = Counter()
            for status, total in rows._ask(_statuses, counted=terms):
                is_hidden = self.choice.is_veiled and status in VEILED
                counts["enrolling" if is_hidden else status] += total
            self._by_status[terms] = counts
        return self._by_status[terms]

    def edge(self, key: str, order: tuple[str, ...]) -> tuple | None:
        """Return what a row that an address names is ordered by, if there is one."""
        terms, _dash, location = key.partition("-")
        if not (is_number(terms) and is_number(location)):
            return None
        found = self._ask(_edge, order, edge_terms=terms, edge_location=location)
        return next(iter(found), None)

    def counts(self, name: str, keys: list[int]) -> dict[int, tuple[int, int]]:
        """Count what was found, filtered or not, and what of it is enrolled.

        By the key of their terms or of their location, of those alone.
        """
        known = {
            key: (sum(some.values()), some.get(EnrollmentStatus.ENROLLED, 0))
            for key, some in self._by_status.items()
            if name == "terms" and key in keys
        }
        keys = [key for key in keys if key not in known]
        if not keys:
            return known
        rows = replace(self, choice=replace(self.choice, is_by_status=False))
        # Of one alone PostgreSQL looks for it, not through all of them.
        counted = keys[0] if len(keys) == 1 else keys
        found = rows._ask(_counts, name, counted is not keys, counted=counted)
        return known | {key: (total, enrolled) for key, total, enrolled in found}

    def locations(self, part: Part, values: Mapping[str, Any]) -> list[tuple]:
        """Return a part of the names and keys of the locations that have rows."""
        return self._ask(_locations, part, **values)

    def location(self, key: str) -> tuple | None:
        """Return the name and key of a location that an address names, if it is known."""
        found = self._ask(_location, at=key) if is_number(key) else []
        return next(iter(found), None)

    def at(self, locations: list[int]) -> list[ProgramAtLocation]:
        """Return all rows at some locations, by location and program."""
        return self._ask(_at, at=locations)

    def _ask(self, question, *shape, **values) -> list:
        if self.people is None:
            asked = question(self.choice, *shape)
        else:
            asked = Prepared(question.__wrapped__(self.choice, *shape, self.people))
        return asked.ask(**self.values, **values)

    def _real(self) -> Choice:
        return replace(self.choice, held=self.held)

    def _real_value(self, name: str) -> Any:
        value = self.values[name]
        return many(value) if isinstance(value, list) else value


# Of a company with thousands of locations PostgreSQL would decide for as long as it reads.
# What a text named is other keys each time, some or thousands.
_sees_all = reaches_all(Permission.ENROLLMENT_VIEW)
_planned = planned_for(
    "company",
    where=lambda choice, *_others: _sees_all(choice.held) and not choice.is_searched,
)


@prepared
def _countries(choice: Choice) -> QuerySet:
    locations = Location.objects.filter(partner_account=choice.held.account)
    counted = locations.order_by().values("country").annotate(places=Count("pk"))
    return counted.values_list("country", "places")


@_planned
def _kinds(choice: Choice) -> QuerySet:
    rows = choice.whole().order_by()
    return rows.values_list("location__country", "sees_progress").distinct()


@prepared
def _named(choice: Choice) -> QuerySet:
    """The locations and people that a text names, in one question."""
    company, text = choice.held.account, Given("text")
    locations = Location.objects.of_company(company).filter(
        Q(name__icontains=text) | Q(partner_id__startswith=text)
    )
    people = User.objects.filter(
        memberships__partner_account=company, full_name__icontains=text
    )
    return (
        locations.order_by()
        .values_list(Value("location"), "pk")
        .union(people.order_by().values_list(Value("person"), "pk"))
    )


@_planned
def _keys(choice: Choice, part: Part, people: Q | None = None) -> QuerySet:
    values = {name: Given(name) for name in part.names}
    return part.of(choice.chosen(people).values_list(*KEY), values)


@_planned
def _edge(choice: Choice, order: tuple[str, ...], people: Q | None = None) -> QuerySet:
    rows = choice.whole().filter(
        terms=Given("edge_terms"), location=Given("edge_location")
    )
    values = {f"edge_{n}": F(name.lstrip("-")) for n, name in enumerate(order)}
    return rows.order_by().annotate(**values).values_list(*values)


@_planned
def _counts(
    choice: Choice, name: str, is_one: bool, people: Q | None = None
) -> QuerySet:
    lookup = name if is_one else f"{name}__among"
    enrolled = Q(enrollment_status=EnrollmentStatus.ENROLLED)
    return (
        choice.found(people)
        .filter(**{lookup: Given("counted")})
        .order_by()
        .values(name)
        .annotate(total=Count("location"), enrolled=Count("location", filter=enrolled))
        .values_list(name, "total", "enrolled")
    )


@_planned
def _statuses(choice: Choice, people: Q | None = None) -> QuerySet:
    rows = choice.found(people).filter(terms=Given("counted")).order_by()
    counted = rows.values("enrollment_status").annotate(total=Count("location"))
    return counted.values_list("enrollment_status", "total")


@_planned
def _locations(choice: Choice, part: Part, people: Q | None = None) -> QuerySet:
    here = choice.chosen(people).filter(location=OuterRef("pk"))
    locations = Location.objects.where_held(choice.held, Permission.ENROLLMENT_VIEW)
    values = {name: Given(name) for name in part.names}
    shown = locations.filter(Exists(here.order_by())).values_list("name", "pk")
    return part.of(shown, values)


@prepared
def _location(choice: Choice, people: Q | None = None) -> QuerySet:
    locations = Location.objects.where_held(choice.held, Permission.ENROLLMENT_VIEW)
    return locations.filter(pk=Given("at")).order_by().values_list("name", "pk")


@_planned
def _at(choice: Choice, people: Q | None = None) -> QuerySet[ProgramAtLocation]:
    order = ("location_name", "location_id", "program_name", "-terms_id")
    return choice.chosen(people).filter(location__among=Given("at")).order_by(*order)


def _of_people(people: list[int], company: PartnerAccount) -> Q:
    """The rows that some people may enroll in a company, or have enrolled."""
    admins = RoleAssignment.objects.live().filter(
        partner_account=company,
        role__in=roles_with(Permission.ENROLLMENT_EDIT),
        user__in=people,
    )
    scopes: dict[int | None, set[int | None]] = defaultdict(set)
    for program, location in admins.order_by().values_list("program", "location"):
        scopes[program].add(location)
    covered = Q(pk__in=[])
    for program, locations in scopes.items():
        here = Q() if program is None else Q(program=program)
        if None not in locations:
            here &= Q(location__in=locations)
        covered |= here or ~Q(pk__in=[])
    at_work = Q(enrollment__accepted_by__in=people)
    at_work |= Q(enrollment__submitted_by__in=people)
    return covered | at_work & Q(sees_progress=True)
