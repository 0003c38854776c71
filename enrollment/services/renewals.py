"""The year end: rehearse, propose, approve, run in ranges, decide what was set aside.

The rule is renewal.with_outcome(); here it is compiled into the statements that write
its outcome, so that a million enrollments are a matter of minutes and nothing is
decided twice. A range is one transaction: killed anywhere, it is done or it is not.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import BigIntegerField, Count, Max, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import AuditAction, User
from accounts.services import (
    check_second_person,
    lock_companies,
    record_audit_event,
)
from enrollment import renewal
from enrollment.models import (
    Enrollment,
    FiscalYear,
    RenewalPlan,
    RenewalPlanStatus,
    RenewalRange,
    SetAside,
    TermsVersion,
)
from enrollment.services.year_end_notices import tell_of_decisions
from enrollment.states import FOLLOWS_PROFILES, RENEWALS, Outcome

# The right of the second operator (domain.md §10.7).
APPROVE = "enrollment.approve_renewals"
# Tried: smaller ranges are more round trips, larger ones more memory of the server.
ROWS_AT_ONCE = 20_000
LAST_KEY = BigIntegerField.MAX_BIGINT
# As many as a person waits for.
MOST_DECIDED_AT_ONCE = 200


@dataclass(frozen=True)
class _Slice:
    """Companies that belong together: first, last, and how many rows they have."""

    first: int
    last: int
    rows: int


@dataclass(frozen=True)
class RenewalProgress:
    """How far a run is: rows done of all, and what became of them."""

    done: int
    renewed: int
    ended: int
    set_aside: int


def renewal_progress(plan: RenewalPlan) -> RenewalProgress:
    """Add up the ranges that are done."""
    done = plan.ranges.exclude(done_at=None).aggregate(
        done=Sum("rows_count", default=0),
        renewed=Sum("renewed", default=0),
        ended=Sum("ended", default=0),
        set_aside=Sum("set_aside", default=0),
    )
    return RenewalProgress(**done)


# --- Rehearsal ---------------------------------------------------------------


@transaction.atomic
def ask_for_rehearsal(
    into: FiscalYear, *, by: User | None, at: datetime | None = None
) -> RenewalPlan:
    """Let the workers write down what the beginning of a year would do.

    Asking while one is asked for or under way returns that one. Raises ValidationError
    when a plan for the year is approved or ran already.
    """
    at = at or timezone.now()
    into = (
        FiscalYear.objects.select_for_update(of=("self",), no_key=True)
        .select_related("calendar")
        .get(pk=into.pk)
    )
    _refuse_another_in_force(into)
    plans = RenewalPlan.objects.filter(into=into)
    under_way = plans.unfinished().first()
    if under_way is not None:
        return under_way
    last = plans.aggregate(last=Max("number"))["last"] or 0
    plan = RenewalPlan.objects.create(
        into=into,
        number=last + 1,
        known_on=into.calendar.day_at(at),
        compared_with=plans.whole().order_by("-number").first(),
        rehearsed_by=by,
    )
    # The demo's was asked for in the past.
    plan.rehearsed_at = at
    plan.save(update_fields=["rehearsed_at"])
    return plan


def rehearse_renewals(
    into: FiscalYear, *, by: User | None, at: datetime | None = None
) -> RenewalPlan:
    """Write down what the beginning of a year would do; change nothing else.

    Each range is a transaction of its own; other workers may share them. Raises
    ValidationError as ask_for_rehearsal() does.
    """
    plan = ask_for_rehearsal(into, by=by, at=at)
    while rehearse_next_range(plan) is not None:
        pass
    finish_rehearsal(plan)
    return RenewalPlan.objects.select_related("into__calendar").get(pk=plan.pk)


def unfinished_rehearsals() -> list[RenewalPlan]:
    """Return the rehearsals that are asked for or under way, the oldest first."""
    plans = RenewalPlan.objects.unfinished().select_related("into__calendar")
    return list(plans.order_by("rehearsed_at", "pk"))


@transaction.atomic
def rehearse_next_range(plan: RenewalPlan) -> RenewalRange | None:
    """Write down the rows of the next range nobody else is at; None when none is free.

    The first of them cuts the ranges. Killed anywhere, the others go on.
    """
    _begin_rehearsal(plan)
    plan = _held_at_work(plan, RenewalPlanStatus.REHEARSING)
    if plan is None:
        return None
    one = (
        plan.ranges.unrehearsed()
        .select_for_update(skip_locked=True)
        .order_by("number")
        .first()
    )
    if one is not None:
        _rehearse_range(one, plan=plan)
    return one


@transaction.atomic
def _begin_rehearsal(plan: RenewalPlan) -> None:
    if plan.status != RenewalPlanStatus.ASKED:
        return
    plan = held_plan(plan)
    if plan.status != RenewalPlanStatus.ASKED:
        return
    slices = list(_slices(Enrollment.objects.all(), into=plan.into))
    RenewalRange.objects.bulk_create(
        (
            RenewalRange(
                plan=plan,
                number=number,
                first_company=one.first,
                last_company=one.last,
                rows_count=one.rows,
            )
            for number, one in enumerate(slices, start=1)
        ),
        batch_size=1000,
    )
    plan.status = RenewalPlanStatus.REHEARSING
    plan.rows_count = sum(one.rows for one in slices)
    plan.save(update_fields=["status", "rows_count"])


def _slices(enrollments: QuerySet[Enrollment], *, into: FiscalYear) -> Iterator[_Slice]:
    """Cut the companies' keys into ranges of whole companies, without a gap.

    Whoever begins to be a partner after the rehearsal falls into one as well.
    """
    companies = (
        renewal.ending(enrollments, into=into)
        .order_by("location__partner_account")
        .values_list("location__partner_account")
        .annotate(rows=Count("pk"))
    )
    first, rows = 0, 0
    for company, count in companies.iterator(chunk_size=5000):
        if rows and rows + count > ROWS_AT_ONCE:
            yield _Slice(first, company - 1, rows)
            first, rows = company, 0
        rows += count
    yield _Slice(first, LAST_KEY, rows)


# The rows of a range, each beside its outcome in the rehearsal before if it has another.
BEFORE = """
SELECT r.enrollment_id, r.outcome
FROM enrollment_renewalrow r
JOIN enrollment_renewalrange g ON g.id = r.range_id
WHERE g.plan_id = %s AND g.first_company <= %s AND g.last_company >= %s
"""
REHEARSE = """
INSERT INTO enrollment_renewalrow
    (range_id, enrollment_id, outcome, reasons, status, was)
SELECT %s, found.id, found.outcome, found.reasons, found.status,
       CASE
           WHEN NOT %s OR b.outcome = found.outcome THEN ''
           ELSE COALESCE(b.outcome, 'new')
       END
FROM renewal_found found
LEFT JOIN ({before}) b ON b.enrollment_id = found.id
"""
COUNT_OUTCOMES = """
SELECT outcome, count(*) FROM enrollment_renewalrow WHERE range_id = %s GROUP BY 1
"""
COUNT_REASONS = """
SELECT outcome || ' ' || reason, count(*)
FROM enrollment_renewalrow
CROSS JOIN LATERAL unnest(reasons) reason
WHERE range_id = %s
GROUP BY 1
"""
# What was there before and is not any more has no outcome now, and the other way round.
COUNT_CHANGES = """
SELECT CASE was WHEN 'new' THEN '' ELSE was END || ' ' || outcome, count(*)
FROM enrollment_renewalrow
WHERE range_id = %s AND was <> ''
GROUP BY 1
UNION ALL
SELECT b.outcome || ' ', count(*)
FROM ({before}) b
JOIN enrollment_enrollment e ON e.id = b.enrollment_id
JOIN accounts_location l ON l.id = e.location_id
LEFT JOIN enrollment_renewalrow n
    ON n.range_id = %s AND n.enrollment_id = b.enrollment_id
WHERE n.id IS NULL AND l.partner_account_id BETWEEN %s AND %s
GROUP BY 1
"""


def _rehearse_range(one: RenewalRange, *, plan: RenewalPlan) -> None:
    earlier = [plan.compared_with_id, one.last_company, one.first_company]
    with connection.cursor() as cursor:
        _find(
            cursor,
            _enrollments_of(one),
            into=plan.into,
            on=plan.known_on,
            companies=_companies_of(one),
        )
        cursor.execute(
            REHEARSE.format(before=BEFORE),
            [one.pk, plan.compared_with_id is not None, *earlier],
        )
        one.rows_count = cursor.rowcount
        cursor.execute(DROP_FOUND)
        cursor.execute(COUNT_OUTCOMES, [one.pk])
        one.outcomes = dict(cursor.fetchall())
        cursor.execute(COUNT_REASONS, [one.pk])
        one.reasons = dict(cursor.fetchall())
        if plan.compared_with_id is not None:
            cursor.execute(
                COUNT_CHANGES.format(before=BEFORE),
                [one.pk, *earlier, one.pk, one.first_company, one.last_company],
            )
            one.changes = dict(cursor.fetchall())
    one.digest = _digest_of(one)
    one.rehearsed_at = timezone.now()
    one.save()


def _companies_of(one: RenewalRange) -> tuple[int, int]:
    return one.first_company, one.last_company


def _enrollments_of(one: RenewalRange) -> QuerySet[Enrollment]:
    first, last = _companies_of(one)
    return Enrollment.objects.filter(
        location__partner_account__gte=first, location__partner_account__lte=last
    )


def _find(
    cursor,
    enrollments: QuerySet[Enrollment],
    *,
    into: FiscalYear,
    on: date,
    companies: tuple[int, int] | None = None,
) -> None:
    """Write down in renewal_found what the one rule says of enrollments, and why.

    In one statement, so that a value that is imported meanwhile cannot give an outcome
    without its reason. Reasons are asked of the few that have some only: the others are
    never joined.
    """
    outcomes, params = _sql_of(
        renewal.with_outcome(enrollments, into=into, on=on, companies=companies)
        .order_by()
        .values("id", "status", "next_terms", "outcome")
    )
    whys = []
    for outcomes_alike in renewal.ALIKE:
        why, more = _sql_of(
            renewal.with_reasons(
                enrollments, outcome=outcomes_alike[0], into=into, on=on
            )
            .order_by()
            .values("id", "reasons")
        )
        whys.append(WHY.format(query=why))
        params += (*more, list(outcomes_alike))
    cursor.execute(BY_KEYS)
    cursor.execute(
        CREATE_FOUND.format(query=outcomes, whys=" UNION ALL ".join(whys)), params
    )
    cursor.execute("ANALYZE renewal_found")


def _sql_of(query: QuerySet) -> tuple[str, tuple[object, ...]]:
    """A QuerySet's own SQL, and its parameters."""
    return query.query.sql_with_params()


DIGEST_OF_RANGE = """
SELECT COALESCE(encode(sha256(convert_to(string_agg(
    enrollment_id::text || ' ' || outcome || ' ' || array_to_string(reasons, ','),
    E'\\n' ORDER BY enrollment_id), 'UTF8')), 'hex'), '')
FROM enrollment_renewalrow
WHERE range_id = %s
"""


def _digest_of(one: RenewalRange) -> str:
    with connection.cursor() as cursor:
        cursor.execute(DIGEST_OF_RANGE, [one.pk])
        return cursor.fetchone()[0]


@transaction.atomic
def finish_rehearsal(plan: RenewalPlan) -> bool:
    """Close a rehearsal whose every range is written down; say whether it is closed."""
    plan = held_plan(plan)
    if plan.status != RenewalPlanStatus.REHEARSING:
        return not plan.is_unfinished
    ranges = list(plan.ranges.order_by("number"))
    if any(one.rehearsed_at is None for one in ranges):
        return False
    plan.rows_count = sum(one.rows_count for one in ranges)
    plan.outcomes = _added_up(one.outcomes for one in ranges)
    plan.reasons = _added_up(one.reasons for one in ranges)
    plan.changes = _added_up(one.changes for one in ranges)
    _step(
        plan,
        RenewalPlanStatus.REHEARSED,
        action=AuditAction.RENEWALS_REHEARSED,
        by=plan.rehearsed_by,
        digest=_digest(plan, [(one, one.digest) for one in ranges]),
        **{
            name: getattr(plan, name)
            for name in ("rows_count", "outcomes", "reasons", "changes")
        },
    )
    return True


def rehearsal_progress(plan: RenewalPlan) -> RenewalProgress:
    """Add up the ranges that are written down."""
    done = plan.ranges.exclude(rehearsed_at=None).aggregate(
        done=Sum("rows_count", default=0)
    )
    return RenewalProgress(renewed=0, ended=0, set_aside=0, **done)


def _added_up(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


# --- Propose, approve, withdraw ----------------------------------------------


@transaction.atomic
def propose_renewals(plan: RenewalPlan, *, by: User) -> RenewalPlan:
    """Put a rehearsed plan before a second operator; proposing twice changes nothing.

    Raises ValidationError when it is not rehearsed, or not the newest rehearsal.
    """
    plan = held_plan(plan)
    if plan.is_proposed:
        return plan
    _refuse_unless(plan, RenewalPlanStatus.REHEARSED)
    _refuse_older(plan)
    _refuse_another_in_force(plan.into)
    return _step(
        plan,
        RenewalPlanStatus.PROPOSED,
        action=AuditAction.RENEWALS_PROPOSED,
        by=by,
        proposed_at=timezone.now(),
        proposed_by=by,
    )


@transaction.atomic
def approve_renewals(plan: RenewalPlan, *, digest: str, by: User) -> RenewalPlan:
    """Approve exactly the rows a digest stands for (domain.md §10.7).

    Raises ValidationError when `by` rehearsed or proposed the plan or may not approve
    (check_second_person), the digest is not the plan's, or something newer was
    rehearsed meanwhile.
    """
    plan = held_plan(plan)
    if plan.is_approved and plan.approved_by_id == by.pk:
        return plan
    _refuse_unless(plan, RenewalPlanStatus.PROPOSED)
    _refuse_older(plan)
    prepared = ValidationError(
        _("You prepared this plan. Somebody else has to approve it."), code="four_eyes"
    )
    check_second_person(
        by,
        rights=[APPROVE],
        first=[(plan.proposed_by_id, prepared), (plan.rehearsed_by_id, prepared)],
    )
    if digest != plan.digest or _recomputed(plan) != plan.digest:
        raise ValidationError(
            _("This is not the plan that was rehearsed. Look at it again."),
            code="changed",
        )
    return _step(
        plan,
        RenewalPlanStatus.APPROVED,
        action=AuditAction.RENEWALS_APPROVED,
        by=by,
        approved_at=timezone.now(),
        approved_by=by,
    )


@transaction.atomic
def withdraw_renewals(plan: RenewalPlan, *, by: User) -> RenewalPlan:
    """Take a plan back that did not begin; withdrawing twice changes nothing.

    Older rehearsals that wait are taken back with it: what is known since then must not
    be forgotten by taking it back.
    """
    plan = held_plan(plan)
    if plan.status == RenewalPlanStatus.WITHDRAWN:
        return plan
    if plan.started_at is not None:
        raise ValidationError(
            _("This plan has begun to run. Pause it instead."), code="status"
        )
    older = RenewalPlan.objects.filter(into=plan.into, number__lt=plan.number)
    waiting = older.filter(
        status__in=[RenewalPlanStatus.REHEARSED, RenewalPlanStatus.PROPOSED]
    )
    for one in [*waiting.order_by("number"), plan]:
        _step(
            held_plan(one),
            RenewalPlanStatus.WITHDRAWN,
            action=AuditAction.RENEWALS_WITHDRAWN,
            by=by,
        )
    return held_plan(plan)


# --- Run ---------------------------------------------------------------------


@transaction.atomic
def start_renewals(
    plan: RenewalPlan, *, by: User | None, at: datetime | None = None
) -> RenewalPlan:
    """Let an approved plan run from its due moment on; what was paused stays so.

    Started twice, it runs once. Raises ValidationError before the year begins, and
    when the plan is not approved.
    """
    at = at or timezone.now()
    plan = held_plan(plan)
    if plan.started_at is not None:
        return plan
    if not plan.is_approved:
        raise ValidationError(
            _("Only an approved plan can run. This one is: %(status)s."),
            code="status",
            params={"status": plan.get_status_display()},
        )
    if at < plan.due_at:
        raise ValidationError(
            _("Fiscal year %(year)s has not begun."),
            code="early",
            params={"year": plan.into},
        )
    return _step(
        plan,
        RenewalPlanStatus.RUNNING,
        action=AuditAction.RENEWALS_STARTED,
        by=by,
        started_at=at,
    )


@transaction.atomic
def pause_renewals(plan: RenewalPlan, *, by: User | None) -> RenewalPlan:
    """Stop after the ranges at work; resume_renewals() goes on from there."""
    plan = held_plan(plan)
    if plan.is_paused:
        return plan
    _refuse_unless(plan, RenewalPlanStatus.RUNNING)
    return _step(
        plan, RenewalPlanStatus.PAUSED, action=AuditAction.RENEWALS_PAUSED, by=by
    )


@transaction.atomic
def resume_renewals(plan: RenewalPlan, *, by: User | None) -> RenewalPlan:
    """Go on with what was paused; resuming what runs changes nothing."""
    plan = held_plan(plan)
    if plan.is_running:
        return plan
    _refuse_unless(plan, RenewalPlanStatus.PAUSED)
    return _step(
        plan, RenewalPlanStatus.RUNNING, action=AuditAction.RENEWALS_RESUMED, by=by
    )


def due_plans(*, at: datetime) -> list[RenewalPlan]:
    """Return what should be running: approved and due, or running already."""
    plans = RenewalPlan.objects.filter(
        status__in=[RenewalPlanStatus.APPROVED, RenewalPlanStatus.RUNNING]
    ).select_related("into__calendar")
    return [plan for plan in plans.order_by("into__starts_on") if plan.due_at <= at]


@transaction.atomic
def renew_next_range(
    plan: RenewalPlan, *, at: datetime | None = None
) -> RenewalRange | None:
    """Carry out the next range that nobody else is at; None when none is free.

    The range is held against other workers, its companies against their own people; who
    pauses the plan waits for nobody, and nothing is begun after that. What the rule says
    on the day of `at` is compared with the plan: only rows where both agree are touched, the others
    are set aside (domain.md §10.2).
    Raises ValidationError when a range's rows are not those that were approved, nor
    its companies, nor the other ranges.
    """
    at = at or timezone.now()
    plan = _held_at_work(plan, RenewalPlanStatus.RUNNING)
    if plan is None:
        return None
    one = (
        plan.ranges.waiting()
        .select_for_update(skip_locked=True)
        .order_by("number")
        .first()
    )
    # Asked once more now that the range is held: whoever undoes a run looks for ranges
    # that are.
    still = RenewalPlan.objects.filter(pk=plan.pk, status=RenewalPlanStatus.RUNNING)
    if one is None or not still.exists():
        return None
    hold_rules_of(plan.into)
    lock_companies_of(one)
    if _digest_of(one) != one.digest or not _is_approved(plan):
        raise ValidationError(
            _("Range %(number)d of this plan is not what was approved."),
            code="changed",
            params={"number": one.number},
        )
    with connection.cursor() as cursor:
        _find(
            cursor,
            _enrollments_of(one),
            into=plan.into,
            on=_today(plan, at),
            companies=_companies_of(one),
        )
        cursor.execute(SET_DRIFT_ASIDE, {"plan": plan.pk, "range": one.pk})
        one.renewed, one.ended = _carry_out(cursor, plan=plan, at=at)
        cursor.execute(DROP_FOUND)
    one.set_aside = SetAside.objects.filter(
        plan=plan,
        enrollment__location__partner_account__gte=one.first_company,
        enrollment__location__partner_account__lte=one.last_company,
    ).count()
    one.done_at = at
    one.save(update_fields=["renewed", "ended", "set_aside", "done_at"])
    return one


@transaction.atomic
def finish_renewals(plan: RenewalPlan, *, at: datetime | None = None) -> bool:
    """Close a run whose every range is done; say whether it is closed now.

    One AuditEvent records the run with the digest of its plan.
    """
    plan.refresh_from_db(fields=["status"])
    if not plan.is_running or plan.ranges.waiting().exists():
        return plan.is_finished
    plan = held_plan(plan)
    if not plan.is_running:
        return plan.is_finished
    _step(
        plan,
        RenewalPlanStatus.FINISHED,
        action=AuditAction.RENEWALS_FINISHED,
        by=None,
        finished_at=at or timezone.now(),
    )
    return True


class _Drifted(ValidationError):
    """The rule says something else of an enrollment than whoever decides has seen."""

    def __init__(self, found: str, reasons: list[str]):
        super().__init__(
            _(
                "What the rule says of it has changed since: %(outcome)s. Look at it "
                "again, then decide."
            ),
            code="changed",
            params={"outcome": Outcome(found).label},
        )
        self.facts = {"found": found, "reasons": reasons}


def decide_set_aside(row: SetAside, *, apply: bool, reason: str, by: User) -> SetAside:
    """Carry out what the rule says now of an enrollment set aside, or leave it.

    Deciding the same twice changes nothing. What ends an enrollment under way needs an
    approver who neither prepared the plan nor published the terms since (domain.md
    §10.7). Raises ValidationError without a reason, when somebody decided otherwise
    meanwhile, when there is nothing to carry out, and with the code "changed" when the
    rule says something else than the row did when it was looked at; that is what it
    says from then on.
    """
    refused = _decide_each([row], apply=apply, reason=reason, by=by)
    for error in refused.values():
        raise error
    return SetAside.objects.get(pk=row.pk)


def decide_alike(
    rows: Iterable[SetAside], *, apply: bool, reason: str, by: User
) -> dict[SetAside, str]:
    """Decide many enrollments set aside with one reason; each person is mailed once.

    Returns those that could not be decided so, with the sentence why; the others are.
    """
    refused = _decide_each(rows, apply=apply, reason=reason, by=by)
    return {row: " ".join(error.messages) for row, error in refused.items()}


@transaction.atomic
def _decide_each(
    rows: Iterable[SetAside], *, apply: bool, reason: str, by: User
) -> dict[SetAside, ValidationError]:
    """Decide all that can be, and say of the others why not.

    The rule is asked once for all: nobody's company is held for longer than that takes.
    """
    at, seen = timezone.now(), {row.pk: row for row in rows}
    for into in FiscalYear.objects.filter(
        renewal_plans__in={row.plan_id for row in seen.values()}
    ).distinct():
        hold_rules_of(into)
    lock_companies(
        *(row.enrollment.location.partner_account_id for row in seen.values())
    )
    held = (
        SetAside.objects.select_for_update(of=("self",))
        .select_related(
            "plan__into__calendar",
            "enrollment__location__partner_account",
            "enrollment__terms",
        )
        .filter(pk__in=list(seen))
        .order_by("pk")
    )
    refused, asked = {}, []
    for row in held:
        try:
            if _is_to_decide(row, seen=seen[row.pk], apply=apply, by=by):
                asked.append(row)
        except ValidationError as error:
            refused[seen[row.pk]] = error
    if not reason.strip():
        missing = ValidationError(_("Say why."), code="required")
        return refused | {seen[row.pk]: missing for row in asked}
    errors = _apply_alone(asked, at=at) if apply else {}
    decided = [row for row in asked if row.pk not in errors]
    for row in decided:
        row.decided_at, row.decided_by, row.is_applied = at, by, apply
        row.reason = reason.strip()
        row.save(update_fields=["decided_at", "decided_by", "is_applied", "reason"])
        record_audit_event(
            row.enrollment,
            action=AuditAction.SET_ASIDE_DECIDED,
            by=by,
            partner_account=row.enrollment.location.partner_account,
            after={"applied": apply, "outcome": row.found},
            reason=row.reason,
        )
    tell_of_decisions(decided)
    for key, error in errors.items():
        if isinstance(error, _Drifted):
            SetAside.objects.filter(pk=key).update(**error.facts)
    return refused | {seen[key]: error for key, error in errors.items()}


def _is_to_decide(row: SetAside, *, seen: SetAside, apply: bool, by: User) -> bool:
    """Whether it is still to be decided; raises what stands against it."""
    if row.plan.is_undoing or row.plan.is_undone:
        raise ValidationError(
            _("The year end was undone. The next one decides this anew."),
            code="undone",
        )
    if row.decided_at is not None:
        if row.is_applied == apply:
            return False
        raise ValidationError(
            _("%(name)s decided this meanwhile."),
            code="decided",
            params={"name": row.decided_by.full_name},
        )
    if apply:
        if (row.found, row.reasons) != (seen.found, seen.reasons):
            raise _Drifted(row.found, row.reasons)
        _check_ending(row, by=by)
    return True


def _check_ending(row: SetAside, *, by: User) -> None:
    """Nobody ends an enrollment under way alone: not who prepared, nor whose terms do.

    The plan that was approved does not say this end.
    """
    is_under_way = row.enrollment.status in FOLLOWS_PROFILES
    if not row.found or not is_under_way or _goes_on(row.found):
        return
    own = ValidationError(
        _(
            "This ends an enrollment, and you prepared the plan or published its terms "
            "since. Somebody else has to carry it out."
        ),
        code="four_eyes",
    )
    publishers = TermsVersion.objects.filter(
        terms__program=row.enrollment.terms.program_id,
        terms__fiscal_year=row.plan.into,
        published_at__gte=row.plan.rehearsed_at,
    ).values_list("published_by", flat=True)
    first = {row.plan.proposed_by_id, row.plan.rehearsed_by_id, *publishers.order_by()}
    check_second_person(by, rights=[APPROVE], first=[(person, own) for person in first])


def _goes_on(outcome: str) -> bool:
    return RENEWALS[Outcome(outcome)].renews_as is not None


def _apply_alone(
    rows: Sequence[SetAside], *, at: datetime
) -> dict[int, ValidationError]:
    """Carry out what the rule says of rows if it is what they say; else why not."""
    errors = {}
    by_plan: dict[RenewalPlan, list[SetAside]] = defaultdict(list)
    for row in rows:
        by_plan[row.plan].append(row)
    for plan, some in by_plan.items():
        keys = [row.enrollment_id for row in some]
        enrollments = Enrollment.objects.filter(pk__in=keys)
        with connection.cursor() as cursor:
            _find(cursor, enrollments, into=plan.into, on=_today(plan, at))
            cursor.execute("SELECT id, outcome, reasons FROM renewal_found")
            now = {key: (outcome, reasons) for key, outcome, reasons in cursor}
            cursor.execute(PLACES_TAKEN)
            taken = {key for (key,) in cursor.fetchall()}
            for row in some:
                key = row.enrollment_id
                becomes = now.get(key)
                if becomes is None or (key in taken and _goes_on(becomes[0])):
                    errors[row.pk] = ValidationError(
                        _(
                            "There is nothing to carry out: it has ended already, or "
                            "its place in the new year is taken. Leave it as it is."
                        ),
                        code="nothing",
                    )
                elif becomes != (row.found, row.reasons):
                    errors[row.pk] = _Drifted(*becomes)
            left = [row.enrollment_id for row in some if row.pk in errors]
            cursor.execute("DELETE FROM renewal_found WHERE id = ANY (%s)", [left])
            _carry_out(cursor, plan=None, at=at)
            cursor.execute(DROP_FOUND)
    return errors


# --- The statements ----------------------------------------------------------

# A range is a small part of its tables, and what is asked of is in memory: told that
# a page costs little there, wherever it is, PostgreSQL reaches rows by their keys and
# does not read whole tables once a range, which would make a row of a million cost more
# than one of ten thousand. Until the transaction's end.
BY_KEYS = "SET LOCAL seq_page_cost = 0.1; SET LOCAL random_page_cost = 0.1"
CREATE_FOUND = """
CREATE TEMPORARY TABLE renewal_found ON COMMIT DROP AS
WITH decided AS MATERIALIZED ({query})
SELECT d.id, d.status, d.next_terms, d.outcome,
       COALESCE(why.reasons, '{{}}'::text[]) AS reasons
FROM decided d
LEFT JOIN ({whys}) why ON why.id = d.id
"""
WHY = """
SELECT asked.id, asked.reasons
FROM decided
CROSS JOIN LATERAL (
    -- OFFSET 0: asked of the few alone, by their keys.
    SELECT * FROM ({query}) every WHERE every.id = decided.id OFFSET 0
) asked
WHERE decided.outcome = ANY (%s)
"""
DROP_FOUND = "DROP TABLE renewal_found"

# What the plan does not say of an enrollment, or says otherwise than is true now,
# waits for a person; so does what is ending no more, and what ends for another reason.
# What continues with other things missing continues, and is told what is missing now.
SET_DRIFT_ASIDE = """
WITH planned AS (
    SELECT enrollment_id, outcome, reasons
    FROM enrollment_renewalrow
    WHERE range_id = %(range)s
), drift AS (
    SELECT COALESCE(p.enrollment_id, f.id) AS enrollment_id,
           COALESCE(p.outcome, '') AS planned,
           COALESCE(f.outcome, '') AS found,
           COALESCE(f.reasons, '{}') AS reasons
    FROM planned p
    FULL JOIN renewal_found f ON f.id = p.enrollment_id
    WHERE p.outcome IS DISTINCT FROM f.outcome
       OR (p.outcome = 'not_eligible' AND p.reasons::text[] <> f.reasons::text[])
), aside AS (
    INSERT INTO enrollment_setaside
        (plan_id, enrollment_id, planned, found, reasons, is_applied)
    SELECT %(plan)s, enrollment_id, planned, found, reasons, false
    FROM drift
    ON CONFLICT (plan_id, enrollment_id) DO NOTHING
)
DELETE FROM renewal_found f USING drift d WHERE d.enrollment_id = f.id
"""

# The new row takes over who accepted and who submitted; what was validated stays so.
RENEW = """
CREATE TEMPORARY TABLE renewal_new ON COMMIT DROP AS
WITH fresh AS (
    INSERT INTO enrollment_enrollment
        (id, location_id, partner_account_id, terms_id, status, status_since,
         invited_at, enroll_by, accepted_at, accepted_by_id, agreement_version,
         first_submitted_at, submitted_at, submitted_by_id, enrolled_at, earns_from, end_reason,
         renewed_from_id)
    SELECT gen_random_uuid(), e.location_id, e.partner_account_id, f.next_terms,
           m.renews_as, %(at)s, e.invited_at, y.ends_on, e.accepted_at,
           e.accepted_by_id, e.agreement_version, e.first_submitted_at, e.submitted_at,
           e.submitted_by_id,
           CASE WHEN m.renews_as = 'enrolled' THEN %(at)s END,
           CASE WHEN m.renews_as = 'enrolled' THEN y.starts_on END,
           '', e.id
    FROM renewal_found f
    JOIN enrollment_enrollment e ON e.id = f.id
    JOIN (VALUES {map}) m (outcome, ends_as, renews_as) ON m.outcome = f.outcome
    JOIN enrollment_programterms t ON t.id = f.next_terms
    JOIN enrollment_fiscalyear y ON y.id = t.fiscal_year_id
    WHERE m.renews_as <> ''
    -- What was undone is taken up again; what somebody began is not touched.
    ON CONFLICT (location_id, terms_id) DO UPDATE
    SET status = EXCLUDED.status, status_since = EXCLUDED.status_since,
        invited_at = EXCLUDED.invited_at, enroll_by = EXCLUDED.enroll_by,
        accepted_at = EXCLUDED.accepted_at, accepted_by_id = EXCLUDED.accepted_by_id,
        agreement_version = EXCLUDED.agreement_version,
        first_submitted_at = EXCLUDED.first_submitted_at,
        submitted_at = EXCLUDED.submitted_at,
        submitted_by_id = EXCLUDED.submitted_by_id,
        enrolled_at = EXCLUDED.enrolled_at, earns_from = EXCLUDED.earns_from,
        end_reason = '', renewed_from_id = EXCLUDED.renewed_from_id
    WHERE enrollment_enrollment.end_reason = 'undone'
    RETURNING id, renewed_from_id, status, terms_id, location_id, partner_account_id
)
SELECT id, renewed_from_id, status, terms_id, location_id, partner_account_id FROM fresh
"""
DROP_NEW = "DROP TABLE renewal_new"

# Its place in the new year is taken: a person has to look.
SET_TAKEN_ASIDE = """
WITH taken AS (
    SELECT f.id, f.outcome, f.reasons
    FROM renewal_found f
    JOIN (VALUES {map}) m (outcome, ends_as, renews_as) ON m.outcome = f.outcome
    LEFT JOIN renewal_new n ON n.renewed_from_id = f.id
    WHERE m.renews_as <> '' AND n.id IS NULL
), aside AS (
    INSERT INTO enrollment_setaside
        (plan_id, enrollment_id, planned, found, reasons, is_applied)
    SELECT %(plan)s, id, outcome, '', reasons, false
    FROM taken
    WHERE %(plan)s IS NOT NULL
    ON CONFLICT (plan_id, enrollment_id) DO NOTHING
)
DELETE FROM renewal_found f USING taken WHERE taken.id = f.id
"""

# Whose place in the new year somebody has; the companies are held, so it stays so.
PLACES_TAKEN = """
SELECT f.id
FROM renewal_found f
JOIN enrollment_enrollment e ON e.id = f.id
JOIN enrollment_enrollment n
    ON n.location_id = e.location_id AND n.terms_id = f.next_terms
WHERE n.end_reason <> 'undone'
"""

PAY_AS_BEFORE = """
INSERT INTO enrollment_payoutassignment
    (enrollment_id, earning_type_id, location_id, partner_account_id, method,
     bank_profile_id, tax_profile_id, currency, bank_version_id, tax_version_id)
SELECT n.id, f.earning_type_id, n.location_id, n.partner_account_id,
       CASE
           WHEN a.method IS NOT NULL AND (t.methods = '{{}}' OR a.method = ANY (t.methods))
               THEN a.method
           ELSE COALESCE(t.methods[1], 'bank_transfer')
       END,
       a.bank_profile_id, a.tax_profile_id, COALESCE(a.currency, ''),
       a.bank_version_id, a.tax_version_id
FROM renewal_new n
JOIN enrollment_programterms t ON t.id = n.terms_id
-- OFFSET 0: asked of each row. Else it is asked of every enrollment there is, once a range.
CROSS JOIN LATERAL (
    SELECT earning_type_id, assignment_id
    FROM enrollment_takenoverassignment
    WHERE enrollment_id = n.renewed_from_id AND terms_id = n.terms_id
    OFFSET 0
) f
LEFT JOIN enrollment_payoutassignment a ON a.id = f.assignment_id
ON CONFLICT (enrollment_id, earning_type_id) DO UPDATE
SET method = EXCLUDED.method, bank_profile_id = EXCLUDED.bank_profile_id,
    tax_profile_id = EXCLUDED.tax_profile_id, currency = EXCLUDED.currency,
    bank_version_id = EXCLUDED.bank_version_id,
    tax_version_id = EXCLUDED.tax_version_id
"""

END_AND_REMEMBER = """
WITH ended AS (
    UPDATE enrollment_enrollment e
    SET status = 'expired', status_since = %(at)s, end_reason = m.ends_as
    FROM renewal_found f
    JOIN (VALUES {map}) m (outcome, ends_as, renews_as) ON m.outcome = f.outcome
    WHERE e.id = f.id
    RETURNING e.id, f.status AS was, f.reasons
)
INSERT INTO enrollment_enrollmentevent
    (enrollment_id, code, from_status, to_status, note, at)
SELECT id, 'year_ended', was, 'expired', left(array_to_string(reasons, ' '), 400), %(at)s
FROM ended
UNION ALL
SELECT n.id, 'renewed', '', n.status, left(array_to_string(f.reasons, ' '), 400), %(at)s
FROM renewal_new n
JOIN renewal_found f ON f.id = n.renewed_from_id
"""


def _carry_out(cursor, *, plan: RenewalPlan | None, at: datetime) -> tuple[int, int]:
    """End what renewal_found holds and continue what continues; count both."""
    mapping = ", ".join(
        f"('{outcome}', '{end.ends_as}', '{end.renews_as or ''}')"
        for outcome, end in RENEWALS.items()
    )
    facts = {"at": at, "plan": plan and plan.pk}
    cursor.execute(RENEW.format(map=mapping), facts)
    renewed = cursor.rowcount
    cursor.execute("ANALYZE renewal_new")
    cursor.execute(SET_TAKEN_ASIDE.format(map=mapping), facts)
    cursor.execute(PAY_AS_BEFORE.format())
    cursor.execute("SELECT count(*) FROM renewal_found")
    (ended,) = cursor.fetchone()
    cursor.execute(END_AND_REMEMBER.format(map=mapping), facts)
    cursor.execute(DROP_NEW)
    return renewed, ended - renewed


# --- Small things ------------------------------------------------------------


def _today(plan: RenewalPlan, at: datetime) -> date:
    """The day it is in the plan's calendar: the newest values count (R66)."""
    return plan.into.calendar.day_at(at)


def held_plan(plan: RenewalPlan) -> RenewalPlan:
    """Hold a plan against everybody else who would take a step with it."""
    return (
        RenewalPlan.objects.select_for_update(of=("self",), no_key=True)
        .select_related("into__calendar")
        .get(pk=plan.pk)
    )


def _held_at_work(plan: RenewalPlan, status: RenewalPlanStatus) -> RenewalPlan | None:
    """Share the plan with other workers, as long as it is where they work on it.

    Whoever would pause it is not kept waiting by a range at work, nor by the next.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM enrollment_renewalplan "
            "WHERE id = %s AND status = %s FOR KEY SHARE",
            [plan.pk, status],
        )
        if cursor.fetchone() is None:
            return None
    return RenewalPlan.objects.select_related("into__calendar").get(pk=plan.pk)


def hold_rules_of(into: FiscalYear) -> None:
    """Keep what a year end decides by as it is until its rows are written.

    Whoever publishes terms or withdraws a program holds it against everybody, and
    whoever applies a file of values holds the criteria, before the companies: so
    neither writes what the other does not see, and neither waits for the other in a
    ring.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT id FROM enrollment_criterion "
            "ORDER BY id FOR SHARE) held"
        )
        cursor.execute(
            "SELECT count(*) FROM (SELECT id FROM accounts_incentiveprogram "
            "WHERE id IN (SELECT t.program_id FROM enrollment_followingterms f "
            "JOIN enrollment_programterms t ON t.id = f.terms_id "
            "WHERE f.fiscal_year_id = %s) ORDER BY id FOR SHARE) held",
            [into.pk],
        )


def lock_companies_of(one: RenewalRange) -> None:
    """Hold a range's companies, as every change of theirs does, in their order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT id FROM accounts_partneraccount "
            "WHERE id BETWEEN %s AND %s ORDER BY id FOR NO KEY UPDATE) held",
            [one.first_company, one.last_company],
        )


def _step(
    plan: RenewalPlan,
    status: RenewalPlanStatus,
    *,
    action: AuditAction,
    by: User | None,
    **facts,
) -> RenewalPlan:
    plan.status = status
    for name, value in facts.items():
        setattr(plan, name, value)
    plan.save(update_fields=["status", *facts])
    record_audit_event(
        plan, action=action, by=by, partner_account=None, after=described_plan(plan)
    )
    return plan


def described_plan(plan: RenewalPlan) -> dict[str, object]:
    """What the trail keeps of a plan: its digest stands for every row."""
    return {
        "year": plan.into.number,
        "rehearsal": plan.number,
        "digest": plan.digest,
        "rows": plan.rows_count,
        "outcomes": plan.outcomes,
    }


def _recomputed(plan: RenewalPlan) -> str:
    """The digest of the rows and ranges as they are now."""
    return _digest(
        plan, [(one, _digest_of(one)) for one in plan.ranges.order_by("number")]
    )


def _is_approved(plan: RenewalPlan) -> bool:
    """Whether the ranges together are those that the approved digest stands for.

    Plans rehearsed before the digest stood for the companies of each range as well run
    by the rows alone.
    """
    ranges = list(plan.ranges.order_by("number"))
    of_rows = _sealed(plan, [one.digest for one in ranges])
    return plan.digest in (
        _digest(plan, [(one, one.digest) for one in ranges]),
        of_rows,
    )


def _digest(plan: RenewalPlan, ranges: Iterable[tuple[RenewalRange, str]]) -> str:
    """What stands for every row of a plan and for the companies that each range takes."""
    return _sealed(
        plan,
        [
            f"{one.number} {one.first_company}-{one.last_company} {digest}"
            for one, digest in ranges
        ],
    )


def _sealed(plan: RenewalPlan, lines: list[str]) -> str:
    text = "\n".join([str(plan.into_id), plan.known_on.isoformat(), *lines])
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_unless(plan: RenewalPlan, status: RenewalPlanStatus) -> None:
    if plan.status != status:
        raise ValidationError(
            _("This plan is not where that can be done. It is: %(status)s."),
            code="status",
            params={"status": plan.get_status_display()},
        )


def _refuse_older(plan: RenewalPlan) -> None:
    """Only what was rehearsed last may run."""
    newer = RenewalPlan.objects.filter(into=plan.into, number__gt=plan.number).exclude(
        status=RenewalPlanStatus.WITHDRAWN
    )
    if newer.exists():
        raise ValidationError(
            _("A newer rehearsal exists. Look at that one."), code="older"
        )


def _refuse_another_in_force(into: FiscalYear) -> None:
    if RenewalPlan.objects.filter(into=into).in_force().exists():
        raise ValidationError(
            _("A plan for fiscal year %(year)s is approved already."),
            code="in_force",
            params={"year": into},
        )
