"""Undoing a year end: asked by one operator, approved by another, carried out in ranges.

Possible company by company until somebody changed something there in the new year:
what was changed is kept as it is. Nothing is deleted: the new year's enrollment ends
with the reason "undone", the old one is where it was, and both remember it. A new plan
for the year may follow; it takes the new year's enrollments up again.
"""

from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import AuditAction, User
from accounts.services import check_second_person, record_audit_event
from accounts.time_limits import at_length
from enrollment.models import RenewalPlan, RenewalPlanStatus, RenewalRange
from enrollment.services.renewals import (
    APPROVE,
    LAST_KEY,
    described_plan,
    held_plan,
    hold_rules_of,
    lock_companies_of,
)


@dataclass(frozen=True)
class Undoable:
    """What undoing would put back, and what it would keep because it was changed."""

    restored: int
    kept: int


@at_length()
def undoable(plan: RenewalPlan) -> Undoable:
    """Count what undoing a run would put back and keep now; changes nothing."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE NOT is_kept), "
            "count(*) FILTER (WHERE is_kept) "
            f"FROM ({FOUND}) found",
            _facts(plan, first=0, last=LAST_KEY),
        )
        return Undoable(*cursor.fetchone())


# --- Ask, drop, approve ------------------------------------------------------


@transaction.atomic
def ask_to_undo(plan: RenewalPlan, *, reason: str, by: User) -> RenewalPlan:
    """Ask a second operator to undo a run; asking again with the same reason is nothing.

    Raises ValidationError without a reason, while the plan runs, when it did not run,
    or when somebody asked already.
    """
    plan = held_plan(plan)
    reason = reason.strip()
    if not reason:
        raise ValidationError(
            {"reason": _("Say why this year end has to be undone.")}, code="required"
        )
    if plan.undo_asked_by_id == by.pk and plan.undo_reason == reason:
        return plan
    _refuse_unless_still(plan)
    if plan.undo_asked_by_id is not None:
        raise ValidationError(
            _("%(name)s asked to undo it already."),
            code="asked",
            params={"name": plan.undo_asked_by.full_name},
        )
    return _keep(
        plan,
        action=AuditAction.RENEWALS_UNDO_ASKED,
        by=by,
        undo_reason=reason,
        undo_asked_at=timezone.now(),
        undo_asked_by=by,
    )


@transaction.atomic
def drop_undoing(plan: RenewalPlan, *, by: User) -> RenewalPlan:
    """Leave a run as it is, though somebody asked to undo it.

    Dropping twice changes nothing. Raises ValidationError once it is approved.
    """
    plan = held_plan(plan)
    if plan.undo_asked_by_id is None:
        return plan
    _refuse_unless_still(plan)
    return _keep(
        plan,
        action=AuditAction.RENEWALS_UNDO_DROPPED,
        by=by,
        undo_reason="",
        undo_asked_at=None,
        undo_asked_by=None,
    )


@transaction.atomic
def approve_undoing(plan: RenewalPlan, *, by: User) -> RenewalPlan:
    """Let the workers undo a run that somebody else asked to undo (domain.md §10.7).

    Approving twice changes nothing. Raises ValidationError when nobody asked, when a
    range of a stopped run is still at work, and when `by` asked or may not approve
    (check_second_person).
    """
    plan = held_plan(plan)
    if plan.undo_approved_by_id == by.pk:
        return plan
    if plan.undo_asked_by_id is None:
        raise ValidationError(_("Nobody asked to undo this."), code="not_asked")
    _refuse_unless_still(plan)
    check_second_person(
        by,
        rights=[APPROVE],
        first=[
            (
                plan.undo_asked_by_id,
                ValidationError(
                    _("You asked for this. Somebody else has to approve it."),
                    code="four_eyes",
                ),
            )
        ],
    )
    _refuse_at_work(plan)
    return _keep(
        plan,
        action=AuditAction.RENEWALS_UNDO_APPROVED,
        by=by,
        status=RenewalPlanStatus.UNDOING,
        undo_approved_at=timezone.now(),
        undo_approved_by=by,
    )


# --- Carry it out ------------------------------------------------------------


def plans_to_undo() -> list[RenewalPlan]:
    """Return the plans that are being undone, the oldest first."""
    plans = RenewalPlan.objects.filter(status=RenewalPlanStatus.UNDOING)
    return list(plans.select_related("into__calendar").order_by("undo_approved_at"))


@transaction.atomic
def undo_next_range(
    plan: RenewalPlan, *, at: datetime | None = None
) -> RenewalRange | None:
    """Put back the next range that nobody else is at; None when none is free.

    The range is held against other workers, its companies against their own people.
    """
    at = at or timezone.now()
    plan = RenewalPlan.objects.filter(pk=plan.pk).select_related("into").get()
    if not plan.is_undoing:
        return None
    one = (
        plan.ranges.to_undo()
        .select_for_update(skip_locked=True)
        .order_by("number")
        .first()
    )
    if one is None:
        return None
    hold_rules_of(plan.into)
    lock_companies_of(one)
    facts = _facts(plan, first=one.first_company, last=one.last_company)
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE undo_found ON COMMIT DROP AS {FOUND}", facts
        )
        cursor.execute("ANALYZE undo_found")
        cursor.execute(
            "SELECT count(*) FILTER (WHERE NOT is_kept), "
            "count(*) FILTER (WHERE is_kept) FROM undo_found"
        )
        one.undone, one.kept = cursor.fetchone()
        cursor.execute(PUT_BACK, {"at": at})
        cursor.execute("DROP TABLE undo_found")
    one.undone_at = at
    one.save(update_fields=["undone", "kept", "undone_at"])
    return one


@transaction.atomic
def finish_undoing(plan: RenewalPlan, *, at: datetime | None = None) -> bool:
    """Close an undoing whose every range is put back; say whether it is closed now."""
    plan.refresh_from_db(fields=["status"])
    if not plan.is_undoing or plan.ranges.to_undo().exists():
        return plan.is_undone
    plan = held_plan(plan)
    if plan.is_undoing:
        _keep(
            plan,
            action=AuditAction.RENEWALS_UNDONE,
            by=None,
            status=RenewalPlanStatus.UNDONE,
            undone_at=at or timezone.now(),
        )
    return True


# --- The statements ----------------------------------------------------------

# What the run ended, with what continues it. A company in which anybody did anything
# since, to either of the two or by beginning anew, is kept whole.
FOUND = """
WITH ended AS (
    SELECT DISTINCT ON (e.id)
           e.id AS old, e.location_id, f.following_id, l.partner_account_id AS company,
           v.id AS event, v.from_status AS was
    FROM enrollment_followingterms f
    JOIN enrollment_enrollment e ON e.terms_id = f.terms_id
    JOIN accounts_location l ON l.id = e.location_id
    JOIN enrollment_enrollmentevent v
        ON v.enrollment_id = e.id AND v.code = 'year_ended'
    WHERE f.fiscal_year_id = %(year)s
      AND e.status = 'expired'
      AND v.at >= %(since)s
      AND l.partner_account_id BETWEEN %(first)s AND %(last)s
    ORDER BY e.id, v.id DESC
), pairs AS (
    SELECT ended.*, n.id AS new, n.status AS new_status, n.renewed_from_id,
           (SELECT max(r.id) FROM enrollment_enrollmentevent r
            WHERE r.enrollment_id = n.id AND r.code = 'renewed') AS renewed
    FROM ended
    LEFT JOIN enrollment_enrollment n
        ON n.location_id = ended.location_id
        AND n.terms_id = ended.following_id
        AND n.end_reason <> 'undone'
), changed AS (
    SELECT DISTINCT p.company
    FROM pairs p
    WHERE (p.new IS NOT NULL AND p.renewed_from_id IS DISTINCT FROM p.old)
       OR EXISTS (SELECT FROM enrollment_enrollmentevent x
                  WHERE x.enrollment_id = p.old AND x.id > p.event)
       OR EXISTS (SELECT FROM enrollment_enrollmentevent x
                  WHERE x.enrollment_id = p.new AND x.id > p.renewed)
)
SELECT p.old, p.new, p.was, p.new_status, p.event, c.company IS NOT NULL AS is_kept
FROM pairs p
LEFT JOIN changed c ON c.company = p.company
"""

# Why it had ended before is in what happened before.
PUT_BACK = """
WITH back AS (
    UPDATE enrollment_enrollment e
    SET status = f.was,
        -- Since when it had been so before: what waits has waited that long.
        status_since = COALESCE((
            SELECT max(x.at)
            FROM enrollment_enrollmentevent x
            WHERE x.enrollment_id = e.id
              AND x.id < f.event
              AND x.to_status = f.was
              AND x.from_status <> x.to_status
        ), %(at)s),
        end_reason = COALESCE((
            SELECT CASE x.code
                       WHEN 'location_closed' THEN 'location_closed'
                       ELSE 'program_ended'
                   END
            FROM enrollment_enrollmentevent x
            WHERE x.enrollment_id = e.id
              AND x.id < f.event
              AND x.to_status = f.was
              AND x.code IN ('location_closed', 'discontinued')
              AND f.was IN ('discontinued', 'inactive')
            ORDER BY x.id DESC
            LIMIT 1
        ), '')
    FROM undo_found f
    WHERE e.id = f.old AND NOT f.is_kept
    RETURNING e.id, e.status
), away AS (
    UPDATE enrollment_enrollment e
    SET status = 'expired', status_since = %(at)s, end_reason = 'undone'
    FROM undo_found f
    WHERE e.id = f.new AND NOT f.is_kept
    RETURNING e.id, f.new_status
)
INSERT INTO enrollment_enrollmentevent
    (enrollment_id, code, from_status, to_status, note, at)
SELECT id, 'year_end_undone', 'expired', status, '', %(at)s FROM back
UNION ALL
SELECT id, 'year_end_undone', new_status, 'expired', '', %(at)s FROM away
"""


# --- Small things ------------------------------------------------------------


def _facts(plan: RenewalPlan, *, first: int, last: int) -> dict[str, object]:
    return {
        "year": plan.into_id,
        "since": plan.started_at,
        "first": first,
        "last": last,
    }


def _refuse_unless_still(plan: RenewalPlan) -> None:
    if plan.is_running:
        raise ValidationError(
            _("It is running. Stop it first, then it can be undone."), code="running"
        )
    if not plan.can_be_undone:
        raise ValidationError(
            _("Only a year end that ran can be undone. This one is: %(status)s."),
            code="status",
            params={"status": plan.get_status_display()},
        )


def _refuse_at_work(plan: RenewalPlan) -> None:
    """Refuse while a worker is at a range: it would end after the others were put back.

    What is free is held until the plan is no run any more, so none is begun meanwhile.
    """
    waiting = plan.ranges.waiting()
    free = waiting.select_for_update(skip_locked=True).values_list("pk", flat=True)
    if len(free) < waiting.count():
        raise ValidationError(
            _("A batch is still at work. Try again in a moment."), code="at_work"
        )


def _keep(
    plan: RenewalPlan, *, action: AuditAction, by: User | None, **facts
) -> RenewalPlan:
    reason = plan.undo_reason or facts.get("undo_reason", "")
    for name, value in facts.items():
        setattr(plan, name, value)
    plan.save(update_fields=list(facts))
    record_audit_event(
        plan,
        action=action,
        by=by,
        partner_account=None,
        after=described_plan(plan),
        reason=reason,
    )
    return plan
