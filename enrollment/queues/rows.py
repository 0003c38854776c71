"""Rows of the validation queue: what a page says of each, and which is the next."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import (
    DateTimeField,
    F,
    Q,
    QuerySet,
    Value,
)
from django.urls import reverse
from django.utils.functional import Promise

from accounts.models import (
    IncentiveProgram,
    Location,
    PartnerAccount,
    User,
)
from accounts.prepared import Given, planned
from accounts.stretches import beyond
from enrollment.eligibility import (
    is_part_validated,
    payout_at,
)
from enrollment.models import (
    Enrollment,
    PayoutAssignment,
)
from enrollment.queues.waiting import ORDER, escalated, validation_queue
from enrollment.queues.words import (
    ASKED,
    PARTS,
    RISKS,
    SECONDED,
    TO_CONFIRM,
    VALIDATED,
    age,
)
from enrollment.states import EnrollmentStatus
from profiles.models import (
    CLAIM_LASTS,
    VALIDATION_PROMISE,
    BankProfileVersion,
    TaxProfileVersion,
)
from profiles.services import REVIEW, VALIDATE
from profiles.states import SHOWN, ProfileStatus, ShownStatus


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
            is_escalated=escalated(model),
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
