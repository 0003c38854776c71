"""The validation queue: what waits for a decision, in its order, and what of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any, Self
from uuid import UUID

from django.db.models import (
    BooleanField,
    CharField,
    DateTimeField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce, Greatest

from accounts.models import (
    User,
)
from accounts.prepared import Given, prepared
from accounts.stretches import Part, reader_of
from enrollment.eligibility import (
    waits_for_part,
    waits_for_time,
)
from enrollment.models import (
    Enrollment,
    PayoutAssignment,
    ProgramTerms,
)
from enrollment.models.enrollments import was_promised_earlier
from enrollment.states import EnrollmentStatus
from profiles.countries import all_countries
from profiles.models import (
    VALIDATION_PROMISE,
    BankProfileVersion,
    ProfileVersion,
    ReviewQuestion,
    TaxProfileVersion,
)
from profiles.services import APPROVE_ACCOUNTS, VALIDATE
from profiles.states import CURRENT

# The order of the validation queue, and what it says of each row.
ORDER = ("is_partners_turn", "since", "key")

_KEY = ("key", "kind", "since", "is_partners_turn")

# Whose turn it is, in this order.
PARTNERS_TURN = MappingProxyType({False: {}, True: {}})

# So many of what waits are counted; of more it is said that they are more.
MOST_WAITING = 1_000

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
                rows, lambda versions: versions.filter(escalated(versions.model))
            )
        answered = Q(asked_at=None, promised_from__isnull=False)
        asked = Q(asked_at__isnull=False)
        return {"ours": ~asked, "asked": asked, "answered": answered}[turn]

    return condition


def escalated(model: type[ProfileVersion]) -> Exists:
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
