"""What waits for the operators: invitations, profiles to validate, second signatures.

Questions over several models, each with a constant number of queries. The promise of
two days makes "oldest first" the same as "overdue on top" (R43); it stands still while
the partner owes an answer, so what was asked comes after what waits for an operator.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import (
    BooleanField,
    CharField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Value,
)
from django.db.models.functions import Coalesce, Greatest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

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
from accounts.roles import Role
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


def program_invitations(at: datetime) -> list[ProgramInvitations]:
    """Count, for every program's year that is running, where its locations stand."""
    running = _running_terms(at)
    statuses = _counted_statuses(running)
    uncovered = dict(
        _uncovered()
        .filter(terms__in=running)
        .order_by()
        .values_list("terms")
        .annotate(locations=Count("pk"))
    )
    to_invite = _counted_to_invite(running, at)
    return [
        ProgramInvitations(
            terms=terms,
            to_invite=to_invite.get(terms.pk, 0),
            invited=statuses[terms.pk][EnrollmentStatus.INVITED],
            in_progress=(
                statuses[terms.pk][EnrollmentStatus.ACTION_REQUIRED]
                + statuses[terms.pk][EnrollmentStatus.VALIDATING]
            ),
            enrolled=statuses[terms.pk][EnrollmentStatus.ENROLLED],
            uncovered=uncovered.get(terms.pk, 0),
            why_not=why_not_inviting(terms, on=_day(terms, at)),
        )
        for terms in running
    ]


def lapsed_invitations(at: datetime) -> QuerySet[Enrollment]:
    """Return the invitations nobody answered that can be sent anew, the latest first."""
    open_terms = [
        terms
        for terms in _running_terms(at)
        if not why_not_enrolling(terms, on=_day(terms, at))
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
    counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    rows = (
        Enrollment.objects.filter(terms__in=running)
        .order_by()
        .values_list("terms", "status")
        .annotate(enrollments=Count("pk"))
    )
    for terms, status, number in rows:
        counts[terms][status] = number
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
) -> QuerySet:
    """Return (key, kind, since, is_partners_turn) of all that waits for a decision, oldest first.

    Validating enrollments, and pending profile versions that no validating enrollment
    uses; last, where it is the partner's turn. `part` keeps those that wait for their bank or tax part; `by` leaves out
    what this person cannot decide: who gave the first approval does not give the
    second, and not everybody may; what somebody else claimed, what waits for an
    answer. `claim`, `turn` and `risk` keep one of CLAIMS (of `reader`), TURNS, RISKS.
    """
    kinds = [_waiting_enrollments(part, by=by), *_waiting_versions(part, by=by)]
    if country:
        kinds = [kind.filter(country_of_partner=country) for kind in kinds]
    if is_overdue:
        # While the partner is asked no time passes.
        until = Coalesce("asked_at", Value(at))
        enrollments, *versions = (kind.alias(until=until) for kind in kinds)
        late = Q(since__lt=F("until") - VALIDATION_PROMISE)
        kinds = [
            enrollments.filter(was_promised_earlier()),
            *(kind.filter(late) for kind in versions),
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
    first, *others = (
        kind.order_by().values_list("key", "kind", "since", "is_partners_turn")
        for kind in kinds
    )
    return first.union(*others, all=True).order_by("is_partners_turn", "since", "key")


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
            return versions.filter(_is_elsewhere(versions.model))
        if versions.model is BankProfileVersion:
            return versions.pending().filter(usable_from__isnull=False)
        return versions.none()

    return lambda rows: _about_versions(rows, asked)


def _is_elsewhere(model: type[ProfileVersion]) -> Exists:
    """Whether another company has the same number, by its blind index."""
    account = f"profile__{model.profile.field.related_model.account_path}"
    same = (
        model.objects.filter(
            blind_index=OuterRef("blind_index"),
            status__in=CURRENT,
            profile__archived_at=None,
        )
        .exclude(**{account: OuterRef(account)})
        .exclude(blind_index="")
    )
    return Exists(same.order_by())


@dataclass(frozen=True)
class _Facts:
    """What a row of the queue says of one version, besides its status."""

    claimed_by: str
    is_own_claim: bool
    is_asked: bool
    is_escalated: bool
    risks: tuple[Promise, ...]


def _facts_of(
    model: type[ProfileVersion],
    keys: Iterable[UUID | None],
    *,
    reader: User | None,
    at: datetime,
) -> dict[UUID, _Facts]:
    """Ask it of all versions of a page at once, without opening what is sealed."""
    keys = {key for key in keys if key is not None}
    if not keys:
        return {}
    rows = (
        model.objects.filter(pk__in=keys)
        .order_by()
        .annotate(is_elsewhere=_is_elsewhere(model), is_escalated=_escalated(model))
        .values(
            "pk",
            "status",
            "claimed_at",
            "claimed_by",
            "claimed_by__full_name",
            "asked_at",
            "is_elsewhere",
            "is_escalated",
            *(["usable_from"] if model is BankProfileVersion else []),
        )
    )
    found = {}
    for row in rows:
        is_pending = row["status"] == ProfileStatus.PENDING
        is_claimed = row["claimed_at"] and row["claimed_at"] > at - CLAIM_LASTS
        risks = {
            "change": is_pending and row.get("usable_from") is not None,
            "elsewhere": row["is_elsewhere"],
        }
        found[row["pk"]] = _Facts(
            claimed_by=row["claimed_by__full_name"] if is_claimed else "",
            is_own_claim=bool(is_claimed and reader and row["claimed_by"] == reader.pk),
            is_asked=is_pending and row["asked_at"] is not None,
            is_escalated=is_pending and row["is_escalated"],
            risks=tuple(RISKS[name] for name, is_so in risks.items() if is_so),
        )
    return found


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


def countries_waiting() -> list[str]:
    """Return the countries of the partners in the queue."""
    first, *others = (
        kind.order_by().values_list("country_of_partner", flat=True)
        for kind in (_waiting_enrollments(), *_waiting_versions())
    )
    return sorted(first.union(*others))


def waiting_rows(
    keys: Iterable[tuple], *, reader: User | None = None, at: datetime
) -> list[Waiting]:
    """Return the rows of one page of validation_queue(), in its order."""
    keys = list(keys)
    kinds: dict[str, list[UUID]] = defaultdict(list)
    for key, kind, *_order in keys:
        kinds[kind].append(key)
    rows = {
        **_enrollment_rows(kinds["enrollment"], reader=reader, at=at),
        **_version_rows("bank", kinds["bank"], reader=reader, at=at),
        **_version_rows("tax", kinds["tax"], reader=reader, at=at),
    }
    return [rows[key] for key, *_rest in keys if key in rows]


def next_waiting(
    at: datetime, *, by: User, after: UUID | None = None
) -> Waiting | None:
    """Return the oldest thing that waits for a person, other than the one at hand.

    What the person gave the first approval to, or may not decide, waits for others.
    """
    oldest = validation_queue(at, by=by, without=after)[:1]
    return next(iter(waiting_rows(oldest, at=at)), None)


def waiting_behind(at: datetime, *, by: User, after: UUID) -> Waiting | None:
    """Return what comes in a person's queue behind an enrollment or a version.

    Behind the last one stands the first again; what is not in the queue stands before
    it. A version that an enrollment waits with has the place of the enrollment.
    """
    queue = [row[:3] for row in validation_queue(at, by=by)]
    used = Q(bank_profile__versions=after) | Q(tax_profile__versions=after)
    with_it = {
        after,
        *PayoutAssignment.objects.filter(used).values_list("enrollment", flat=True),
    }
    places = [place for place, row in enumerate(queue) if row[0] in with_it]
    start = places[0] + 1 if places else 0
    behind = (row for row in queue[start:] + queue[:start] if row[0] not in with_it)
    return next(iter(waiting_rows([*behind][:1], at=at)), None)


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
        country_of_partner=F("location__country"),
    )


def _is_for_others(by: User) -> Q:
    """Bank versions whose next approval somebody else gives (domain.md §10.7)."""
    signed = Q(seconded_by__isnull=False)
    if not by.has_perm(VALIDATE):
        return ~signed | Q(seconded_by=by)
    return Q(seconded_by=by) if by.has_perm(APPROVE_ACCOUNTS) else signed


def _waiting_versions(part: str = "", *, by: User | None = None) -> list[QuerySet]:
    banks = _unused(BankProfileVersion, "bank").annotate(
        country_of_partner=F("profile__partner_account__country")
    )
    taxes = _unused(TaxProfileVersion, "tax").annotate(
        country_of_partner=F("profile__location__country")
    )
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


def _unused(model: type[ProfileVersion], part: str) -> QuerySet:
    used = PayoutAssignment.objects.filter(
        **{f"{part}_profile": OuterRef("profile")},
        enrollment__status=EnrollmentStatus.VALIDATING,
    )
    return (
        model.objects.pending().filter(profile__archived_at=None).exclude(Exists(used))
    )


def _is_asked() -> ExpressionWrapper:
    return ExpressionWrapper(Q(asked_at__isnull=False), output_field=BooleanField())


def _kind(name: str) -> Value:
    return Value(name, output_field=CharField())


def _enrollment_rows(
    keys: list[UUID], *, reader: User | None, at: datetime
) -> dict[UUID, Waiting]:
    enrollments = Enrollment.objects.for_pages().in_bulk(keys)
    payouts = payout_at(enrollments.values(), at=at)
    seconded = seconded_versions(row for rows in payouts.values() for row in rows)
    used = {
        key: [
            version
            for row in rows
            for version in (row.newest_bank_version, row.newest_tax_version)
        ]
        for key, rows in payouts.items()
    }
    every = [version for versions in used.values() for version in versions]
    facts = {
        **_facts_of(BankProfileVersion, every, reader=reader, at=at),
        **_facts_of(TaxProfileVersion, every, reader=reader, at=at),
    }
    asked = {version for version, one in facts.items() if one.is_asked}
    return {
        key: Waiting(
            key=key,
            url=reverse("ops:enrollment", kwargs={"pk": key}),
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
    part: str, keys: list[UUID], *, reader: User | None, at: datetime
) -> dict[UUID, Waiting]:
    if not keys:
        return {}
    if part == "bank":
        versions = BankProfileVersion.objects.select_related("profile__partner_account")
    else:
        versions = TaxProfileVersion.objects.select_related(
            "profile__location__partner_account"
        )
    facts = _facts_of(versions.model, keys, reader=reader, at=at)
    # Opening the sealed details is for the page of one version.
    return {
        key: Waiting(
            key=key,
            url=reverse(f"ops:{part}_version", kwargs={"pk": key}),
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
    """One queue of the Today page: how many, since when, where to."""

    name: Promise
    count: int
    oldest: datetime | None
    age: str
    url: str
    turn: str


def queues_today(at: datetime, *, may: Callable[[str], bool]) -> list[Queue]:
    """Return the queues whose page a person may open; `may` answers permissions."""
    queues = []
    if may("enrollment.view_enrollment"):
        queues += _validation_queues(at)
    if may(REVIEW):
        queues += [_second_approvals(at), _escalations(at), _stopped_changes(at)]
    if may("accounts.view_recoveryrequest"):
        queues += _recovery_queues(at)
    if may("accounts.view_companytenant"):
        queues.append(_app_roles_to_approve(at))
    if may("accounts.view_factorreset"):
        queues.append(_factor_resets(at))
    if may("accounts.view_outgoingemail"):
        queues.append(_undelivered_mail(at))
    if may("enrollment.view_programterms"):
        queues += _invitation_queues(at)
        queues.append(_extensions_asked(at))
    if may("accounts.view_location"):
        queues.append(_closings_asked(at))
    if may("enrollment.view_valueimport"):
        queues += _eligibility_queues(at)
    if may("enrollment.view_renewalplan"):
        queues += _year_end_queues(at)
    return queues


def _eligibility_queues(at: datetime) -> list[Queue]:
    """What partners dispute, and files that wait for somebody."""
    disputed = RequirementDispute.objects.open().aggregate(
        count=Count("pk"), oldest=Min("asked_at")
    )
    waiting = ValueImport.objects.waiting_for_people().aggregate(
        count=Count("pk"), oldest=Min("imported_at")
    )
    return [
        _queue(name, found["count"], found["oldest"], reverse(url), "you", at)
        for name, found, url in (
            (_("Disputed requirements"), disputed, "ops:disputes"),
            (_("Files of measured values that wait"), waiting, "ops:imports"),
        )
    ]


def _extensions_asked(at: datetime) -> Queue:
    """Who asked for more time to enroll."""
    asked = ExtensionRequest.objects.open().aggregate(
        count=Count("pk"), oldest=Min("asked_at")
    )
    return _queue(
        _("Requests for more time"),
        asked["count"],
        asked["oldest"],
        reverse("ops:extensions"),
        "you",
        at,
    )


def _validation_queues(at: datetime) -> list[Queue]:
    url = reverse("ops:validation")
    waiting = validation_queue(at)
    overdue = validation_queue(at, is_overdue=True)
    found = []
    for title, rows, address, turn in (
        (_("Overdue for validation"), overdue, f"{url}?overdue=on", "stop"),
        (_("Waiting for validation"), waiting, url, "them"),
    ):
        first = rows.first()
        oldest = first[2] if first else None
        found.append(_queue(title, rows.count(), oldest, address, turn, at))
    return found


def _second_approvals(at: datetime) -> Queue:
    found = BankProfileVersion.objects.signed_once().aggregate(
        count=Count("pk"), oldest=Min("seconded_at")
    )
    return _queue(
        _("Bank accounts that wait for a second operator"),
        found["count"],
        found["oldest"],
        reverse("ops:second_approvals"),
        "you",
        at,
    )


def _escalations(at: datetime) -> Queue:
    found = (
        ReviewQuestion.objects.open()
        .escalated()
        .order_by()
        .aggregate(count=Count("pk"), oldest=Min("asked_at"))
    )
    return _queue(
        _("Escalated reviews"),
        found["count"],
        found["oldest"],
        reverse("ops:escalations"),
        "you",
        at,
    )


def _stopped_changes(at: datetime) -> Queue:
    found = (
        BankChangeStop.objects.open()
        .filter(version__in=BankProfileVersion.objects.stopped())
        .aggregate(count=Count("pk"), oldest=Min("stopped_at"))
    )
    return _queue(
        _("Bank changes that were stopped"),
        found["count"],
        found["oldest"],
        reverse("ops:stopped_changes"),
        "stop",
        at,
    )


def _recovery_queues(at: datetime) -> list[Queue]:
    """Companies without an admin: for evidence, and for the operator who appoints."""
    asked = Count("pk", filter=Q(state=RecoveryState.WAITING))
    checked = Q(state=RecoveryState.REVIEWED, asked_at__lte=at - TIME_TO_OBJECT)
    found = RecoveryRequest.objects.open().aggregate(
        asked=asked,
        asked_oldest=Min("asked_at", filter=Q(state=RecoveryState.WAITING)),
        checked=Count("pk", filter=checked),
        checked_oldest=Min("reviewed_at", filter=checked),
    )
    url = reverse("ops:recoveries")
    return [
        _queue(
            _("Companies that ask for an admin"),
            found["asked"],
            found["asked_oldest"],
            url,
            "you",
            at,
        ),
        _queue(
            _("Companies without an admin that wait for a second operator"),
            found["checked"],
            found["checked_oldest"],
            url,
            "you",
            at,
        ),
    ]


def _app_roles_to_approve(at: datetime) -> Queue:
    found = TenantRoleMapping.objects.waiting().aggregate(
        count=Count("pk"), oldest=Min("mapped_at")
    )
    return _queue(
        _("App roles that wait for a second operator"),
        found["count"],
        found["oldest"],
        reverse("ops:sign_ins"),
        "you",
        at,
    )


def _factor_resets(at: datetime) -> Queue:
    """Lost second factors that one person vouched for; the time to stop it is over."""
    found = (
        FactorReset.objects.open()
        .filter(state=ResetState.VOUCHED, asked_at__lte=at - TIME_TO_STOP)
        .aggregate(count=Count("pk"), oldest=Min("vouched_at"))
    )
    return _queue(
        _("Lost second factors that wait for a second person"),
        found["count"],
        found["oldest"],
        reverse("ops:recoveries"),
        "you",
        at,
    )


def _undelivered_mail(at: datetime) -> Queue:
    found = OutgoingEmail.objects.undelivered().aggregate(
        count=Count("pk"), oldest=Min("created_at")
    )
    url = reverse("ops:mail")
    name = _("Undelivered mail")
    return _queue(name, found["count"], found["oldest"], url, "stop", at)


def _closings_asked(at: datetime) -> Queue:
    found = Location.objects.closing_asked().aggregate(
        count=Count("pk"), oldest=Min("closing_asked_at")
    )
    return _queue(
        _("Locations to close"),
        found["count"],
        found["oldest"],
        reverse("ops:locations"),
        "you",
        at,
    )


def _invitation_queues(at: datetime) -> list[Queue]:
    url = reverse("ops:invitations")
    uncovered = (
        _uncovered()
        .order_by()
        .aggregate(count=Count("location", distinct=True), oldest=Min("status_since"))
    )
    to_invite = sum(_counted_to_invite(_running_terms(at), at).values())
    campaigns = (
        Campaign.objects.under_way()
        .order_by()
        .aggregate(count=Count("pk"), oldest=Min("confirmed_at"))
    )
    return [
        _queue(
            _("Invited locations that nobody can enroll"),
            uncovered["count"],
            uncovered["oldest"],
            url,
            "you",
            at,
        ),
        # Nothing tells since when a location has been eligible.
        _queue(_("Eligible locations to invite"), to_invite, None, url, "new", at),
        _queue(
            _("Campaigns under way"),
            campaigns["count"],
            campaigns["oldest"],
            reverse("ops:campaigns"),
            "them",
            at,
        ),
        _queue(
            _("Campaigns to confirm anew"),
            Campaign.objects.to_confirm_anew().count(),
            None,
            reverse("ops:campaigns"),
            "you",
            at,
        ),
    ]


def _year_end_queues(at: datetime) -> list[Queue]:
    """What the year end waits for: an approval, an answer to it, decisions."""
    url = reverse("ops:renewals")
    years = years_ending(at, ahead=services.AHEAD, behind=services.BEHIND)
    in_force = set(
        RenewalPlan.objects.in_force()
        .filter(into__in=years)
        .order_by()
        .values_list("into", flat=True)
    )
    waiting = [year for year in years if year.pk not in in_force]
    past = [year.begins_at for year in waiting if year.begins_at <= at]
    proposed = RenewalPlan.objects.filter(status=RenewalPlanStatus.PROPOSED).aggregate(
        count=Count("pk"), oldest=Min("proposed_at")
    )
    aside = (
        SetAside.objects.undecided()
        .order_by()
        .aggregate(count=Count("pk"), oldest=Min("plan__started_at"))
    )
    return [
        _queue(
            _("Year ends without an approved plan"),
            len(waiting),
            min(past, default=None),
            url,
            "stop" if past else "you",
            at,
        ),
        _queue(
            _("Year-end plans waiting for approval"),
            proposed["count"],
            proposed["oldest"],
            url,
            "them",
            at,
        ),
        _queue(
            _("Enrollments set aside at the year end"),
            aside["count"],
            aside["oldest"],
            url,
            "you",
            at,
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
    count: int,
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
        turn=turn if count else "done",
    )
