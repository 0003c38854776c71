"""What waits for the operators: invitations, profiles to validate, second signatures.

Questions over several models, each with a constant number of queries. The promise of
two days makes "oldest first" the same as "overdue on top" (R43); it stands still while
the partner owes an answer, so what was asked comes after what waits for an operator.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any, Self
from uuid import UUID

from django.db.models import (
    BooleanField,
    CharField,
    Count,
    DateTimeField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce, Greatest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.kept import MANY, kept
from accounts.models import (
    TIME_TO_OBJECT,
    TIME_TO_STOP,
    FactorReset,
    IncentiveProgram,
    Location,
    OutgoingEmail,
    PartnerAccount,
    RecoveryRequest,
    RecoveryState,
    ResetState,
    TenantRoleMapping,
    User,
)
from accounts.prepared import Given, planned, prepared
from accounts.roles import Role
from accounts.scoping import live_assignments
from accounts.stretches import Part, beyond, reader_of
from accounts.time_limits import at_length
from enrollment import services
from enrollment.eligibility import (
    count_locations_to_invite,
    is_part_validated,
    payout_at,
    waits_for_part,
    waits_for_time,
    why_not_enrolling,
    why_not_inviting,
)
from enrollment.models import (
    Campaign,
    Enrollment,
    ExtensionRequest,
    PayoutAssignment,
    ProgramTerms,
    RenewalPlan,
    RenewalPlanStatus,
    RequirementDispute,
    SetAside,
    ValueImport,
)
from enrollment.models.enrollments import was_promised_earlier
from enrollment.renewal import years_ending
from enrollment.states import EnrollmentStatus
from profiles.countries import all_countries
from profiles.models import (
    CLAIM_LASTS,
    VALIDATION_PROMISE,
    BankChangeStop,
    BankProfileVersion,
    ProfileVersion,
    ReviewQuestion,
    TaxProfileVersion,
)
from profiles.services import APPROVE_ACCOUNTS, REVIEW, VALIDATE
from profiles.states import CURRENT, SHOWN, ProfileStatus, ShownStatus

# Up to three days an age is told in hours, because the promise is 48 of them.
TOLD_IN_HOURS = timedelta(hours=72)

PARTS = {"bank": _("Bank"), "tax": _("Tax")}

# Whose claim, whose turn, and what to look at twice, as the queue is filtered by them.
CLAIMS = {"mine": _("Mine"), "free": _("Nobody's"), "others": _("Somebody else's")}
TURNS = {
    "ours": _("Ours"),
    "asked": _("Partner asked"),
    "answered": _("Partner answered"),
    "escalated": _("Escalated"),
}
RISKS = {
    "change": _("Change of an account in force"),
    "elsewhere": _("Number at another company"),
}

ASKED = ShownStatus("asked", _("Partner asked"), "you", "question")
VALIDATED = ShownStatus("validated", _("Validated"), "done", "check")
TO_CONFIRM = ShownStatus("to_confirm", _("To be confirmed"), "them", "clock")
SECONDED = SHOWN["seconded"]


def age(since: datetime, at: datetime) -> str:
    """Return how long something has waited: "31 hours", "8 days"."""
    waited = max(at - since, timedelta())
    if waited < timedelta(hours=1):
        minutes = waited // timedelta(minutes=1)
        return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {
            "count": minutes
        }
    if waited < TOLD_IN_HOURS:
        hours = waited // timedelta(hours=1)
        return ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours}
    return ngettext("%(count)d day", "%(count)d days", waited.days) % {
        "count": waited.days
    }


# --- Invitations ------------------------------------------------------------------


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
    running = _running_terms(at)
    # Which day it is where a program's calendar is decides who is to be invited to it.
    days = " ".join(f"{terms.pk}:{_day(terms, at)}" for terms in running)
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
                why_not=why_not_inviting(terms, on=_day(terms, at)),
                under_way=newest.get((terms.pk, False)),
                draft=newest.get((terms.pk, True)),
            )
        )
    return rows, as_of


def _count_invitations(running: list[ProgramTerms], at: datetime) -> _Counted:
    """Count all locations for each program: seconds, where they are hundred thousands."""
    uncovered = (
        _uncovered()
        .filter(terms__in=running)
        .order_by()
        .values_list("terms")
        .annotate(locations=Count("pk"))
    )
    with at_length():
        return _Counted(
            statuses=_counted_statuses(running),
            uncovered=dict(uncovered),
            to_invite=_counted_to_invite(running, at),
        )


def lapsed_invitations(
    running: Iterable[ProgramTerms], at: datetime
) -> QuerySet[Enrollment]:
    """Return the invitations nobody answered that can be sent anew, the latest first.

    `running` are the terms of program_invitations().
    """
    open_terms = [
        terms for terms in running if not why_not_enrolling(terms, on=_day(terms, at))
    ]
    return (
        Enrollment.objects.lapsed()
        .filter(terms__in=open_terms, location__closed_at=None)
        .for_pages()
        .order_by("-status_since", "pk")
    )


def _running_terms(at: datetime) -> list[ProgramTerms]:
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
        terms for terms in candidates if terms.fiscal_year.contains(_day(terms, at))
    ]


def _day(terms: ProgramTerms, at: datetime) -> date:
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


def _counted_to_invite(running: list[ProgramTerms], at: datetime) -> dict[int, int]:
    """Ask once per day that it is somewhere on Earth: one, two, at most three."""
    by_day: dict[Any, list[int]] = defaultdict(list)
    for terms in running:
        if not why_not_inviting(terms, on=_day(terms, at)):
            by_day[_day(terms, at)].append(terms.pk)
    return {
        terms: number
        for day, keys in by_day.items()
        for terms, number in count_locations_to_invite(keys, on=day).items()
    }


def _uncovered() -> QuerySet[Enrollment]:
    """Invitations at open locations that nobody can answer (R6, rule 74)."""
    return (
        Enrollment.objects.invited()
        .filter(location__closed_at=None)
        .without_holder(Role.INCENTIVES_ADMIN)
    )


# --- Validation ---------------------------------------------------------------------


@dataclass(frozen=True)
class PartStatus:
    """How far the validation of the bank or the tax part has come."""

    label: str
    status: ShownStatus


@dataclass(frozen=True)
class Waiting:
    """One row of the validation queue; `right` is what its page asks for."""

    key: UUID
    url: str
    right: str
    since: datetime
    age: str
    is_overdue: bool
    company: PartnerAccount
    location: Location | None
    program: IncentiveProgram | None
    name: str
    parts: list[PartStatus]
    # Who is at it; names, and whether the reader is among them.
    claimed_by: list[str]
    is_own_claim: bool
    is_asked: bool
    is_answered: bool
    is_escalated: bool
    risks: list[Promise]


# The order of the validation queue, and what it says of each row.
ORDER = ("is_partners_turn", "since", "key")
_KEY = ("key", "kind", "since", "is_partners_turn")
# Whose turn it is, in this order.
PARTNERS_TURN = MappingProxyType({False: {}, True: {}})
# So many of what waits are counted; of more it is said that they are more.
MOST_WAITING = 1_000
# So often Today asks whether a location is to be invited to a program.
MOST_ASKED = 5_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class WaitingKeys:
    """(key, kind, since, is_partners_turn) of what waits, of three tables as of one.

    Of each table no more rows are looked at than are asked for, in the order of an index
    within one side's turn: what waits may be a hundred thousand.
    """

    kinds: tuple[QuerySet, ...]
    order: tuple[str, ...] = ORDER
    # What partners are asked about is not much: it is asked for in one query.
    is_few: bool = False

    def filter(self, *conditions, **wanted) -> Self:
        found = (kind.filter(*conditions, **wanted) for kind in self.kinds)
        is_few = self.is_few or wanted.get("is_partners_turn") is True
        return replace(self, kinds=tuple(found), is_few=is_few)

    def order_by(self, *order: str) -> Self:
        return replace(self, order=order)

    def first_some(self) -> list[tuple]:
        """Return the first rows, one more than MOST_WAITING at most."""
        ours, asked = (
            self.filter(is_partners_turn=turn).order_by(*ORDER[1:])
            for turn in PARTNERS_TURN
        )
        found = ours[: MOST_WAITING + 1]
        left = MOST_WAITING + 1 - len(found)
        return found + asked[:left] if left else found

    def count_some(self) -> int:
        """Count the rows, to one more than MOST_WAITING."""
        first, *others = (
            kind.order_by().values_list("key")[: MOST_WAITING + 1]
            for kind in self.kinds
        )
        return first.union(*others, all=True)[: MOST_WAITING + 1].count()

    def __getitem__(self, some: slice) -> list[tuple]:
        upto, is_falling = some.stop, self.order[0][0] == "-"
        if not upto or self.is_few or "is_partners_turn" in self.order[0]:
            return self._at_once(upto)[some]
        first, *others = self.kinds
        found = list(first.order_by(*self.order).values_list(*_KEY)[:upto])
        rest = replace(self, kinds=tuple(others))
        if len(found) == upto:
            # Of the other tables nothing behind the last of these is looked at.
            side = "gte" if is_falling else "lte"
            rest = rest.filter(**{f"since__{side}": found[-1][2]})
        found += rest._at_once(upto)
        return sorted(found, key=_as_ordered, reverse=is_falling)[some]

    def _at_once(self, upto: int | None) -> list[tuple]:
        first, *others = (
            kind.order_by(*self.order).values_list(*_KEY)[:upto] for kind in self.kinds
        )
        is_falling = self.order[0][0] == "-"
        rows = first.union(*others, all=True)
        return sorted(rows, key=_as_ordered, reverse=is_falling)[:upto]

    def __iter__(self) -> Iterator[tuple]:
        return iter(self[:None])

    def __len__(self) -> int:
        return len(self[:None])


def read_waiting(part: Part, values: Mapping[str, Any]) -> list[tuple]:
    """Read a part of the whole queue, as WaitingKeys does, by questions that are kept."""
    if part.place != "group" or values["group"]:
        return reader_of(WaitingKeys(_all_waiting()))(part, values)
    found = _enrollments_waiting(part).ask(**values)
    # Of the other tables nothing behind the last of these is looked at.
    last = found[-1][2] if len(found) == part.most else None
    found += _versions_waiting(part, last is not None).ask(**values, last=last)
    return sorted(found, key=_as_ordered, reverse=part.is_back)[: part.most]


@prepared
def _enrollments_waiting(part: Part) -> QuerySet:
    return _part_of(_waiting_enrollments(), part)


@prepared
def _versions_waiting(part: Part, has_last: bool) -> QuerySet:
    side = "gte" if part.is_back else "lte"
    until = {f"since__{side}": Given("last")} if has_last else {}
    banks, taxes = (_part_of(one.filter(**until), part) for one in _waiting_versions())
    return banks.union(taxes, all=True)


def _part_of(kind: QuerySet, part: Part) -> QuerySet:
    """What waits for the program owner: told the planner, for an index has no other."""
    values = {name: Given(name) for name in part.names} | {"group": False}
    return part.of(kind, values).values_list(*_KEY)


def _as_ordered(row: tuple) -> tuple:
    """What a row is ordered by, as by ORDER."""
    key, _kind, since, is_partners_turn = row
    return is_partners_turn, since, key


def _shortest_promise_before(at: datetime) -> ExpressionWrapper:
    hours = ProgramTerms.objects.order_by("validation_hours").values("validation_hours")
    promise = ExpressionWrapper(
        Subquery(hours[:1]) * Value(timedelta(hours=1)), output_field=DurationField()
    )
    return ExpressionWrapper(Value(at) - promise, output_field=DateTimeField())


def place_of(row: tuple) -> str:
    """Return where a row of the queue stands, for an address."""
    key, _kind, since, is_partners_turn = row
    return f"{is_partners_turn:d}.{(since - _EPOCH) // _MICROSECOND}.{key}"


def values_at(place: str) -> tuple[bool, datetime, UUID] | None:
    """Return what place_of() wrote down, by ORDER: the row may have been decided."""
    try:
        turn, since, key = place.split(".")
        return turn == "1", _EPOCH + int(since) * _MICROSECOND, UUID(key)
    except (ValueError, OverflowError):
        return None


def validation_queue(
    at: datetime,
    *,
    part: str = "",
    country: str = "",
    is_overdue: bool = False,
    claim: str = "",
    turn: str = "",
    risk: str = "",
    reader: User | None = None,
    by: User | None = None,
    without: UUID | None = None,
) -> WaitingKeys:
    """Return all that waits for a decision, oldest first.

    Validating enrollments, and pending profile versions that no validating enrollment
    uses; last, where it is the partner's turn. `part` keeps those that wait for their bank or tax part; `by` leaves out
    what this person cannot decide: who gave the first approval does not give the
    second, and not everybody may; what somebody else claimed, what waits for an
    answer. `claim`, `turn` and `risk` keep one of CLAIMS (of `reader`), TURNS, RISKS.
    """
    kinds = list(_all_waiting())
    if part or by is not None:
        kinds = [_waiting_enrollments(part, by=by), *_waiting_versions(part, by=by)]
    if country:
        kinds = [kind.filter(**{_COUNTRIES[kind.model]: country}) for kind in kinds]
    if is_overdue:
        # While the partner is asked no time passes.
        until = Coalesce("asked_at", Value(at))
        enrollments, *versions = (kind.alias(until=until) for kind in kinds)
        late = Q(since__lt=F("until") - VALIDATION_PROMISE)
        kinds = [
            # By an index first: no program promises its answer earlier.
            enrollments.filter(since__lt=_shortest_promise_before(at)).filter(
                was_promised_earlier()
            ),
            *(
                kind.filter(late, since__lt=at - VALIDATION_PROMISE)
                for kind in versions
            ),
        ]
    wanted = [
        condition
        for condition in (
            claim and _claimed(claim, by=reader, at=at),
            turn and _in_turn(turn),
            risk and _risky(risk),
        )
        if condition
    ]
    if by is not None:
        wanted += [
            lambda rows: ~_claimed("others", by=by, at=at)(rows),
            _in_turn("ours"),
            lambda rows: ~_in_turn("escalated")(rows),
        ]
    for condition in wanted:
        kinds = [kind.filter(condition(kind)) for kind in kinds]
    if without:
        kinds = [kind.exclude(pk=without) for kind in kinds]
    return WaitingKeys(tuple(kinds))


# Conditions on what waits, asked of the versions: an enrollment's are those it is paid
# through, a version's is itself. Each takes the rows and returns what they are filtered by.
Condition = Callable[[QuerySet], Q | Exists]


def _about_versions(rows: QuerySet, asked: Callable[[QuerySet], QuerySet]):
    """Whether one of the versions that some rows wait with is among `asked`."""
    if rows.model is not Enrollment:
        found = asked(rows.model.objects.filter(pk=OuterRef("pk")))
        return Q(Exists(found.order_by()))
    used = {"profile__payout_assignments__enrollment": OuterRef("pk")}
    return Q(
        *(
            Exists(asked(model.objects.filter(**used, status__in=CURRENT)).order_by())
            for model in (BankProfileVersion, TaxProfileVersion)
        ),
        _connector=Q.OR,
    )


def _claimed(claim: str, *, by: User | None, at: datetime) -> Condition:
    def condition(rows: QuerySet):
        anybody = _about_versions(rows, lambda versions: versions.claimed(at))
        mine = _about_versions(
            rows, lambda versions: versions.claimed(at).filter(claimed_by=by)
        )
        return {"mine": mine, "free": ~anybody, "others": anybody & ~mine}[claim]

    return condition


def _in_turn(turn: str) -> Condition:
    def condition(rows: QuerySet):
        if turn == "escalated":
            return _about_versions(
                rows, lambda versions: versions.filter(_escalated(versions.model))
            )
        answered = Q(asked_at=None, promised_from__isnull=False)
        asked = Q(asked_at__isnull=False)
        return {"ours": ~asked, "asked": asked, "answered": answered}[turn]

    return condition


def _escalated(model: type[ProfileVersion]) -> Exists:
    questions = (
        ReviewQuestion.objects.open()
        .escalated()
        .filter(**{f"{model.part}_version": OuterRef("pk")})
    )
    return Exists(questions.order_by())


def _risky(risk: str) -> Condition:
    def asked(versions: QuerySet) -> QuerySet:
        if risk == "elsewhere":
            return versions.filter(versions.model.objects.is_elsewhere())
        if versions.model is BankProfileVersion:
            return versions.pending().filter(usable_from__isnull=False)
        return versions.none()

    return lambda rows: _about_versions(rows, asked)


@dataclass(frozen=True)
class _Facts:
    """What a row of the queue says of one version, besides its status."""

    claimed_by: str
    is_own_claim: bool
    is_asked: bool
    is_seconded: bool
    is_escalated: bool
    risks: tuple[Promise, ...]


def _facts_of(
    keys: Iterable[UUID | None], *, reader: User | None, at: datetime
) -> dict[UUID, _Facts]:
    """Ask it of all versions of a page at once, without opening what is sealed."""
    keys = {key for key in keys if key is not None}
    if not keys:
        return {}
    rows = [
        dict(zip(_ASKED_OF_VERSIONS, row, strict=True))
        for row in _versions().ask(keys=list(keys))
    ]
    # Of a company's thousands with one number one is asked about.
    numbers = {(row["blind_index"], row["account"]): row["pk"] for row in rows}
    elsewhere = dict(_same_elsewhere().ask(keys=list(numbers.values())))
    found = {}
    for row in rows:
        one = numbers[row["blind_index"], row["account"]]
        is_pending = row["status"] == ProfileStatus.PENDING
        is_claimed = row["claimed_at"] and row["claimed_at"] > at - CLAIM_LASTS
        risks = {
            "change": is_pending and row["usable"] is not None,
            "elsewhere": elsewhere[one],
        }
        found[row["pk"]] = _Facts(
            claimed_by=row["claimed_by__full_name"] if is_claimed else "",
            is_own_claim=bool(is_claimed and reader and row["claimed_by"] == reader.pk),
            is_asked=is_pending and row["asked_at"] is not None,
            is_seconded=is_pending and row["seconded"] is not None,
            is_escalated=is_pending and row["is_escalated"],
            risks=tuple(RISKS[name] for name, is_so in risks.items() if is_so),
        )
    return found


_ASKED_OF_VERSIONS = (
    "pk",
    "status",
    "blind_index",
    "claimed_at",
    "claimed_by",
    "claimed_by__full_name",
    "asked_at",
    "account",
    "is_escalated",
    "usable",
    "seconded",
)


@planned
def _versions() -> QuerySet:
    never = Value(None, output_field=DateTimeField())
    banks, taxes = (
        model.objects.filter(pk__among=Given("keys"))
        .order_by()
        .annotate(
            account=F(model.account_path),
            is_escalated=_escalated(model),
            usable=never if model is TaxProfileVersion else F("usable_from"),
            seconded=never if model is TaxProfileVersion else F("seconded_at"),
        )
        .values_list(*_ASKED_OF_VERSIONS)
        for model in (BankProfileVersion, TaxProfileVersion)
    )
    return banks.union(taxes, all=True)


@planned
def _same_elsewhere() -> QuerySet:
    banks, taxes = (
        model.objects.filter(pk__among=Given("keys"))
        .order_by()
        .annotate(is_elsewhere=model.objects.is_elsewhere())
        .values_list("pk", "is_elsewhere")
        for model in (BankProfileVersion, TaxProfileVersion)
    )
    return banks.union(taxes, all=True)


def _told(facts: Iterable[_Facts]) -> dict[str, Any]:
    """What several versions say of the row they wait with."""
    facts = list(facts)
    names = dict.fromkeys(one.claimed_by for one in facts if one.claimed_by)
    return {
        "claimed_by": list(names),
        "is_own_claim": any(one.is_own_claim for one in facts),
        "is_escalated": any(one.is_escalated for one in facts),
        "risks": list(dict.fromkeys(risk for one in facts for risk in one.risks)),
    }


def some_waiting() -> list[str]:
    """Return the country of each row of the queue, of one more than MOST_WAITING at most."""
    # Each table's share first: PostgreSQL plans for no more than that of each.
    first, *others = (
        kind.order_by().values_list(_COUNTRIES[kind.model], flat=True)[
            : MOST_WAITING + 1
        ]
        for kind in _all_waiting()
    )
    return list(first.union(*others, all=True)[: MOST_WAITING + 1])


def countries_of(some: list[str]) -> list[str]:
    """Return the countries to filter the queue by; of too many rows, all there are."""
    if len(some) > MOST_WAITING:
        return [code for code, _name in all_countries()]
    return sorted(set(some))


def waiting_rows(
    keys: Iterable[tuple], *, reader: User | None = None, at: datetime
) -> list[Waiting]:
    """Return the rows of one page of validation_queue(), in its order."""
    keys = list(keys)
    kinds: dict[str, list[UUID]] = defaultdict(list)
    for key, kind, *_order in keys:
        kinds[kind].append(key)
    enrollments = {one.pk: one for one in _enrollments().ask(keys=kinds["enrollment"])}
    payouts = payout_at(enrollments.values(), at=at)
    used = {
        key: [
            version
            for row in rows
            for version in (row.newest_bank_version, row.newest_tax_version)
        ]
        for key, rows in payouts.items()
    }
    every = [version for versions in used.values() for version in versions]
    facts = _facts_of([*every, *kinds["bank"], *kinds["tax"]], reader=reader, at=at)
    rows = {
        **_enrollment_rows(enrollments, payouts, used, facts, at=at),
        **_version_rows("bank", kinds["bank"], facts, at=at),
        **_version_rows("tax", kinds["tax"], facts, at=at),
    }
    return [rows[key] for key, *_rest in keys if key in rows]


@planned
def _enrollments() -> QuerySet[Enrollment]:
    return Enrollment.objects.filter(pk__among=Given("keys")).order_by().for_pages()


def next_waiting(
    at: datetime, *, by: User, after: UUID | None = None
) -> Waiting | None:
    """Return the oldest thing that waits for a person, other than the one at hand.

    What the person gave the first approval to, or may not decide, waits for others.
    """
    oldest = validation_queue(at, by=by, without=after).order_by(*ORDER[1:])[:1]
    return next(iter(waiting_rows(oldest, at=at)), None)


def next_address(at: datetime, *, by: User) -> str:
    """Return the address of next_waiting(); "" where nothing waits for the person."""
    for key, kind, *_rest in validation_queue(at, by=by).order_by(*ORDER[1:])[:1]:
        return _address_of(kind, key)
    return ""


def _address_of(kind: str, key: UUID) -> str:
    name = "ops:enrollment" if kind == "enrollment" else f"ops:{kind}_version"
    return reverse(name, kwargs={"pk": key})


def waiting_behind(at: datetime, *, by: User, after: UUID) -> Waiting | None:
    """Return what comes in a person's queue behind an enrollment or a version.

    Behind the last one stands the first again; what is not in the queue stands before
    it. A version that an enrollment waits with has the place of the enrollment.
    """
    queue = validation_queue(at, by=by).order_by(*ORDER[1:])
    used = Q(bank_profile__versions=after) | Q(tax_profile__versions=after)
    with_it = {
        after,
        *PayoutAssignment.objects.filter(
            used, enrollment__status=EnrollmentStatus.VALIDATING
        ).values_list("enrollment", flat=True),
    }
    others = queue.filter(~Q(key__in=with_it))
    following: list[tuple] = []
    for key, _kind, since, _turn in queue.filter(key__in=with_it)[:1]:
        following = list(others.filter(beyond(ORDER[1:], (since, key)))[:1])
    return next(iter(waiting_rows(following or others[:1], at=at)), None)


def part_status(
    assignments: Iterable[PayoutAssignment],
    part: str,
    *,
    seconded: set[UUID],
    asked: Collection[UUID] = (),
) -> ShownStatus:
    """Return how far a part is; with several profiles, the one that is least far.

    `asked` are the versions of which the partner owes an answer.
    """
    statuses = [
        _status_of(row, part, seconded=seconded, asked=asked) for row in assignments
    ]
    return min(statuses, key=_FURTHER.index, default=VALIDATED)


def seconded_versions(assignments: Iterable[PayoutAssignment]) -> set[UUID]:
    """Return the bank versions that have a first approval and wait for the second."""
    keys = {row.newest_bank_version for row in assignments} - {None}
    return set(
        BankProfileVersion.objects.pending()
        .filter(pk__in=keys, seconded_at__isnull=False)
        .order_by()
        .values_list("pk", flat=True)
    )


_FURTHER = (
    SHOWN["action_required"],
    SHOWN["stopped"],
    ASKED,
    SHOWN["pending"],
    SECONDED,
    SHOWN["cooling"],
    TO_CONFIRM,
    VALIDATED,
)


def _status_of(
    assignment: PayoutAssignment,
    part: str,
    *,
    seconded: set[UUID],
    asked: Collection[UUID],
) -> ShownStatus:
    if is_part_validated(assignment, part):
        return VALIDATED
    newest = getattr(assignment, f"newest_{part}_version")
    if newest in asked:
        return ASKED
    if newest in seconded:
        return SECONDED
    status = getattr(assignment, f"{part}_status")
    if status == "approved":
        return TO_CONFIRM
    return SHOWN.get(status, SHOWN["action_required"])


@cache
def _all_waiting() -> tuple[QuerySet, ...]:
    """All three tables of the queue: put together once, to be asked further of."""
    return _waiting_enrollments(), *_waiting_versions()


def _waiting_enrollments(part: str = "", *, by: User | None = None) -> QuerySet:
    enrollments = Enrollment.objects.validating()
    if part:
        enrollments = enrollments.filter(waits_for_part(part))
    enrollments = enrollments.exclude(waits_for_time() & ~waits_for_part("tax"))
    if by is not None:
        banks = BankProfileVersion.objects.pending()
        paid_through = PayoutAssignment.objects.filter(enrollment=OuterRef("pk"))
        if by.has_perm(VALIDATE):
            others = banks.filter(_is_for_others(by))
            signed = paid_through.filter(bank_profile__versions__in=others)
            enrollments = enrollments.exclude(Exists(signed) & ~waits_for_part("tax"))
        else:
            theirs = banks.exclude(_is_for_others(by))
            signed = paid_through.filter(bank_profile__versions__in=theirs)
            enrollments = enrollments.filter(Exists(signed))
    return enrollments.annotate(
        key=F("pk"),
        kind=_kind("enrollment"),
        since=Greatest("promised_from", "status_since"),
        is_partners_turn=_is_asked(),
    )


def _is_for_others(by: User) -> Q:
    """Bank versions whose next approval somebody else gives (domain.md §10.7)."""
    signed = Q(seconded_by__isnull=False)
    if not by.has_perm(VALIDATE):
        return ~signed | Q(seconded_by=by)
    return Q(seconded_by=by) if by.has_perm(APPROVE_ACCOUNTS) else signed


def _waiting_versions(part: str = "", *, by: User | None = None) -> list[QuerySet]:
    banks = _unused(BankProfileVersion, "bank", whose="partner_account")
    taxes = _unused(TaxProfileVersion, "tax", whose="location")
    if by is not None:
        banks = banks.exclude(_is_for_others(by))
        taxes = taxes if by.has_perm(VALIDATE) else taxes.none()
    return [
        versions.annotate(
            key=F("pk"),
            kind=_kind(name),
            since=Coalesce("promised_from", "submitted_at"),
            is_partners_turn=_is_asked(),
        )
        for name, versions in (("bank", banks), ("tax", taxes))
        if part in ("", name)
    ]


def _unused(model: type[ProfileVersion], part: str, *, whose: str) -> QuerySet:
    """Pending versions that no enrollment waits with; it is looked for at `whose`."""
    used = PayoutAssignment.objects.filter(
        **{
            f"{part}_profile": OuterRef("profile"),
            f"enrollment__{whose}": OuterRef(f"profile__{whose}"),
        },
        enrollment__status=EnrollmentStatus.VALIDATING,
    )
    return (
        model.objects.pending().filter(profile__archived_at=None).exclude(Exists(used))
    )


# Where the country of the partner stands, for each table of the queue.
_COUNTRIES = {
    Enrollment: "location__country",
    BankProfileVersion: "profile__partner_account__country",
    TaxProfileVersion: "profile__location__country",
}


def _is_asked() -> ExpressionWrapper:
    return ExpressionWrapper(Q(asked_at__isnull=False), output_field=BooleanField())


def _kind(name: str) -> Value:
    return Value(name, output_field=CharField())


def _enrollment_rows(
    enrollments: dict[UUID, Enrollment],
    payouts: dict[object, list[PayoutAssignment]],
    used: dict[object, list[UUID]],
    facts: dict[UUID, _Facts],
    *,
    at: datetime,
) -> dict[UUID, Waiting]:
    seconded = {version for version, one in facts.items() if one.is_seconded}
    asked = {version for version, one in facts.items() if one.is_asked}
    return {
        key: Waiting(
            key=key,
            url=_address_of("enrollment", key),
            right="enrollment.view_enrollment",
            since=enrollment.due_at - enrollment.terms.validation_promise,
            age=age(
                enrollment.due_at - enrollment.terms.validation_promise,
                enrollment.asked_at if enrollment.is_asked else at,
            ),
            is_overdue=enrollment.is_overdue(at),
            is_asked=enrollment.is_asked,
            is_answered=not enrollment.is_asked
            and enrollment.due_at
            > enrollment.status_since + enrollment.terms.validation_promise,
            **_told(facts[one] for one in used[key] if one in facts),
            company=enrollment.location.partner_account,
            location=enrollment.location,
            program=enrollment.terms.program,
            name=enrollment.terms.program.name,
            parts=[
                PartStatus(
                    label,
                    part_status(payouts[key], part, seconded=seconded, asked=asked),
                )
                for part, label in PARTS.items()
            ],
        )
        for key, enrollment in enrollments.items()
    }


def _version_rows(
    part: str, keys: list[UUID], facts: dict[UUID, _Facts], *, at: datetime
) -> dict[UUID, Waiting]:
    if not keys:
        return {}
    if part == "bank":
        versions = BankProfileVersion.objects.select_related("profile__partner_account")
    else:
        versions = TaxProfileVersion.objects.select_related(
            "profile__location__partner_account"
        )
    # Opening the sealed details is for the page of one version.
    return {
        key: Waiting(
            key=key,
            url=_address_of(part, key),
            right=REVIEW if part == "bank" else VALIDATE,
            since=version.due_at - VALIDATION_PROMISE,
            age=age(
                version.due_at - VALIDATION_PROMISE,
                version.asked_at if version.is_asked else at,
            ),
            is_overdue=version.is_overdue(at),
            is_asked=version.is_asked,
            is_answered=not version.is_asked and version.promised_from is not None,
            **_told(facts[one] for one in [key] if one in facts),
            company=version.profile.account,
            location=getattr(version.profile, "location", None),
            program=None,
            name=version.profile.name,
            parts=[
                PartStatus(
                    PARTS[part],
                    ASKED
                    if version.is_asked
                    else SECONDED
                    if getattr(version, "seconded_at", None)
                    else SHOWN["pending"],
                )
            ],
        )
        for key, version in versions.defer("details").in_bulk(keys).items()
    }


# --- Today --------------------------------------------------------------------------


@dataclass(frozen=True)
class Queue:
    """One queue of the Today page: how many, since when, where to.

    Without a `count`, its page counts; more than MOST_WAITING is one more than that, and
    since when is told only where the oldest is known.
    """

    name: Promise
    count: int | None
    oldest: datetime | None
    age: str
    url: str
    turn: str

    @property
    def has_more(self) -> bool:
        """Whether there are more than are counted."""
        return self.count is not None and self.count > MOST_WAITING


@dataclass(frozen=True)
class _Asked:
    """A queue whose rows are counted together with those of the others, in one query."""

    name: Promise
    rows: QuerySet
    # The column that says since when; "" where nothing does.
    since: str
    url: str
    turn: str = "you"


# What the queues of Today are told apart by: whoever holds the same sees the same.
TODAYS_RIGHTS = (
    "enrollment.view_enrollment",
    REVIEW,
    "accounts.view_recoveryrequest",
    "accounts.view_companytenant",
    "accounts.view_factorreset",
    "accounts.view_outgoingemail",
    "enrollment.view_programterms",
    "accounts.view_location",
    "enrollment.view_valueimport",
    "enrollment.view_renewalplan",
)


def queues_today(
    at: datetime, *, may: Callable[[str], bool]
) -> tuple[list[Queue], datetime | None]:
    """Return the queues whose page a person may open, and as of when their numbers are.

    `may` answers permissions. Where more waits than is counted they are kept a minute.
    """
    rights = [one for one in TODAYS_RIGHTS if may(one)]
    queues, as_of = kept(
        "today:" + "".join(f"{one in rights:d}" for one in TODAYS_RIGHTS),
        lambda: _queues_of(rights, at),
        at=at,
        is_large=lambda found: any(one.has_more for one in found),
    )
    if as_of is None:
        return queues, None
    # How long something has waited is told now, in the reader's language.
    return [
        replace(one, age=age(one.oldest, at) if one.oldest else "") for one in queues
    ], as_of


def _queues_of(rights: Collection[str], at: datetime) -> list[Queue]:
    may = rights.__contains__
    queues: list[Queue | _Asked] = []
    if may("enrollment.view_enrollment"):
        queues += _validation_queues(at)
    if may(REVIEW):
        queues += _review_queues()
    if may("accounts.view_recoveryrequest"):
        queues += _recovery_queues(at)
    if may("accounts.view_companytenant"):
        queues.append(
            _Asked(
                _("App roles that wait for a second operator"),
                TenantRoleMapping.objects.waiting(),
                "mapped_at",
                reverse("ops:sign_ins"),
            )
        )
    if may("accounts.view_factorreset"):
        # One person vouched for each; the time to stop it is over.
        vouched = FactorReset.objects.open().filter(
            state=ResetState.VOUCHED, asked_at__lte=at - TIME_TO_STOP
        )
        queues.append(
            _Asked(
                _("Lost second factors that wait for a second person"),
                vouched,
                "vouched_at",
                reverse("ops:recoveries"),
            )
        )
    if may("accounts.view_outgoingemail"):
        queues.append(
            _Asked(
                _("Undelivered mail"),
                OutgoingEmail.objects.undelivered(),
                "created_at",
                reverse("ops:mail"),
                "stop",
            )
        )
    if may("enrollment.view_programterms"):
        queues += _invitation_queues(at)
    if may("accounts.view_location"):
        queues.append(
            _Asked(
                _("Locations to close"),
                Location.objects.closing_asked(),
                "closing_asked_at",
                reverse("ops:locations"),
            )
        )
    if may("enrollment.view_valueimport"):
        queues += _eligibility_queues()
    if may("enrollment.view_renewalplan"):
        queues += _year_end_queues(at)
    return _counted(queues, at)


def _counted(queues: list[Queue | _Asked], at: datetime) -> list[Queue]:
    """Count in one query what has not been counted, in the order of the queues."""
    kinds = [
        one.rows.order_by()
        .annotate(place=Value(place))
        .values("place")
        .annotate(
            number=Count("pk"),
            oldest=Min(one.since)
            if one.since
            else Value(None, output_field=DateTimeField()),
        )
        .values_list("place", "number", "oldest")
        for place, one in enumerate(queues)
        if isinstance(one, _Asked)
    ]
    if not kinds:
        return queues
    first, *others = kinds
    found = {
        place: (number, oldest)
        for place, number, oldest in first.union(*others, all=True)
    }
    return [
        _queue(one.name, *found.get(place, (0, None)), one.url, one.turn, at)
        if isinstance(one, _Asked)
        else one
        for place, one in enumerate(queues)
    ]


def _eligibility_queues() -> list[_Asked]:
    """What partners dispute, and files that wait for somebody."""
    return [
        _Asked(
            _("Disputed requirements"),
            RequirementDispute.objects.open(),
            "asked_at",
            reverse("ops:disputes"),
        ),
        _Asked(
            _("Files of measured values that wait"),
            ValueImport.objects.waiting_for_people(),
            "imported_at",
            reverse("ops:imports"),
        ),
    ]


def _validation_queues(at: datetime) -> list[Queue]:
    url = reverse("ops:validation")
    waiting = validation_queue(at).first_some()
    late = validation_queue(at, is_overdue=True)
    are_many = len(waiting) > MOST_WAITING
    overdue = late.first_some() if are_many else late[: MOST_WAITING + 1]
    found = []
    for title, some, address, turn in (
        (_("Overdue for validation"), overdue, f"{url}?overdue=on", "stop"),
        (_("Waiting for validation"), waiting, url, "them"),
    ):
        oldest = some[0][2] if some else None
        found.append(_queue(title, len(some), oldest, address, turn, at))
    return found


def _review_queues() -> list[_Asked]:
    """Second signatures, what was escalated, and changes that somebody stopped."""
    stops = BankChangeStop.objects.open().filter(
        version__in=BankProfileVersion.objects.stopped()
    )
    return [
        _Asked(
            _("Bank accounts that wait for a second operator"),
            BankProfileVersion.objects.signed_once(),
            "seconded_at",
            reverse("ops:second_approvals"),
        ),
        _Asked(
            _("Escalated reviews"),
            ReviewQuestion.objects.open().escalated(),
            "asked_at",
            reverse("ops:escalations"),
        ),
        _Asked(
            _("Bank changes that were stopped"),
            stops,
            "stopped_at",
            reverse("ops:stopped_changes"),
            "stop",
        ),
    ]


def _recovery_queues(at: datetime) -> list[_Asked]:
    """Companies without an admin: for evidence, and for the operator who appoints."""
    asked = RecoveryRequest.objects.open()
    url = reverse("ops:recoveries")
    return [
        _Asked(
            _("Companies that ask for an admin"),
            asked.filter(state=RecoveryState.WAITING),
            "asked_at",
            url,
        ),
        _Asked(
            _("Companies without an admin that wait for a second operator"),
            asked.filter(
                state=RecoveryState.REVIEWED, asked_at__lte=at - TIME_TO_OBJECT
            ),
            "reviewed_at",
            url,
        ),
    ]


def _invitation_queues(at: datetime) -> list[Queue | _Asked]:
    url, campaigns = reverse("ops:invitations"), reverse("ops:campaigns")
    return [
        _nobody_can_enroll(at, url=url),
        _to_invite(at, url=url),
        _Asked(
            _("Campaigns under way"),
            Campaign.objects.under_way(),
            "confirmed_at",
            campaigns,
            "them",
        ),
        _Asked(
            _("Campaigns to confirm anew"),
            Campaign.objects.to_confirm_anew(),
            "",
            campaigns,
        ),
        _Asked(
            _("Requests for more time"),
            ExtensionRequest.objects.open(),
            "asked_at",
            reverse("ops:extensions"),
        ),
    ]


def _nobody_can_enroll(at: datetime, *, url: str) -> Queue:
    """Invited locations that nobody can answer for, looked for where somebody may lack.

    Who holds the role in a whole company covers each location of it.
    """
    whole = live_assignments().filter(
        role=Role.INCENTIVES_ADMIN, location=None, program=None
    )
    uncovered = _uncovered().order_by()
    some = list(
        Location.objects.active()
        .exclude(partner_account__in=whole.order_by().values("partner_account"))
        .filter(Exists(uncovered.filter(location=OuterRef("pk"))))
        .order_by()
        .values_list("pk", flat=True)[: MOST_WAITING + 1]
    )
    oldest = None
    if 0 < len(some) <= MOST_WAITING:
        here = uncovered.filter(location__in=some)
        oldest = here.aggregate(oldest=Min("status_since"))["oldest"]
    name = _("Invited locations that nobody can enroll")
    return _queue(name, len(some), oldest, url, "you", at)


def _to_invite(at: datetime, *, url: str) -> Queue:
    """Eligible locations to invite, counted where that is no more than a moment's work.

    Each location is asked for each program: of many the Invitations page counts, program
    by program. Nothing tells since when a location has been eligible.
    """
    running = _running_terms(at)
    inviting = [
        terms for terms in running if not why_not_inviting(terms, on=_day(terms, at))
    ]
    count: int | None = 0
    if inviting:
        most = MOST_ASKED // len(inviting)
        is_much = Location.objects.active().order_by()[: most + 1].count() > most
        count = None if is_much else sum(_counted_to_invite(inviting, at).values())
    name = _("Eligible locations to invite")
    return _queue(name, count, None, url, "new", at)


def _year_end_queues(at: datetime) -> list[Queue | _Asked]:
    """What the year end waits for: an approval, an answer to it, decisions."""
    url = reverse("ops:renewals")
    years = years_ending(at, ahead=services.AHEAD, behind=services.BEHIND)
    in_force = years and set(
        RenewalPlan.objects.in_force()
        .filter(into__in=years)
        .order_by()
        .values_list("into", flat=True)
    )
    waiting = [year for year in years if year.pk not in in_force]
    past = [year.begins_at for year in waiting if year.begins_at <= at]
    return [
        _queue(
            _("Year ends without an approved plan"),
            len(waiting),
            min(past, default=None),
            url,
            "stop" if past else "you",
            at,
        ),
        _Asked(
            _("Year-end plans waiting for approval"),
            RenewalPlan.objects.filter(status=RenewalPlanStatus.PROPOSED),
            "proposed_at",
            url,
            "them",
        ),
        _Asked(
            _("Enrollments set aside at the year end"),
            SetAside.objects.undecided(),
            "plan__started_at",
            url,
        ),
        *(_under_way(plan, url=url, at=at) for plan in _running_plans()),
    ]


def _running_plans() -> QuerySet[RenewalPlan]:
    at_work = [RenewalPlanStatus.RUNNING, RenewalPlanStatus.PAUSED]
    return RenewalPlan.objects.filter(status__in=at_work).order_by("started_at")


def _under_way(plan: RenewalPlan, *, url: str, at: datetime) -> Queue:
    left = plan.rows_count - services.renewal_progress(plan).done
    return _queue(
        _("Enrollments left in the year end that is paused")
        if plan.is_paused
        else _("Enrollments left in the year end that runs"),
        max(left, 0),
        plan.started_at,
        plan.get_absolute_url(),
        "stop" if plan.is_paused else "them",
        at,
    )


def _queue(
    name: Promise,
    count: int | None,
    oldest: datetime | None,
    url: str,
    turn: str,
    at: datetime,
) -> Queue:
    oldest = oldest if count else None
    return Queue(
        name=name,
        count=count,
        oldest=oldest,
        age=age(oldest, at) if oldest else "",
        url=url,
        turn="done" if count == 0 else turn,
    )
