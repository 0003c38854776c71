"""Disputing what is known of a requirement, and answering it (experience.md P7)."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import AuditAction, User
from accounts.roles import Permission
from accounts.services import check_still_may, lock_companies, record_audit_event
from enrollment import emails
from enrollment.models import (
    CheckState,
    ProgramAtLocation,
    Requirement,
    RequirementCheck,
    RequirementDispute,
)
from enrollment.models.disputes import DisputeOutcome


@transaction.atomic
def dispute_requirement(
    place: ProgramAtLocation,
    *,
    requirement: Requirement | None,
    text: str,
    by: User,
    at: datetime | None = None,
) -> RequirementDispute:
    """Ask the program owner to look again at one requirement at a location.

    Without a requirement it is about the partner agreement. Raises ValidationError when
    the requirement is met or not asked for, when it is disputed already, and when
    somebody may not see it any more.
    """
    at = at or timezone.now()
    lock_companies(place.location.partner_account_id)
    check_still_may(place, permission=Permission.REQUIREMENT_VIEW, by=by)
    text = text.strip()
    if not text:
        raise ValidationError({"text": _("Say what is wrong.")}, code="required")
    check = (
        RequirementCheck.objects.filter(
            location=place.location, terms=place.terms, requirement=requirement
        )
        .as_of(place.terms.fiscal_year.calendar.day_at(at))
        .first()
    )
    if check is None:
        raise ValidationError(
            _("The program does not ask for this any more."), code="not_asked"
        )
    if check.state == CheckState.MET:
        raise ValidationError(
            _("This requirement is met. There is nothing to dispute."), code="met"
        )
    known = RequirementDispute.objects.open().filter(
        location=place.location, terms=place.terms, requirement=requirement
    )
    if known.exists():
        raise ValidationError(
            _("Somebody of your company disputes this already. It is being looked at."),
            code="disputed",
        )
    dispute = RequirementDispute.objects.create(
        location=place.location,
        terms=place.terms,
        requirement=requirement,
        needed=check.needed,
        yours=check.value,
        known_on=check.valid_from,
        text=text[:1000],
        asked_at=at,
        asked_by=by,
    )
    record_audit_event(
        dispute,
        action=AuditAction.REQUIREMENT_DISPUTED,
        by=by,
        partner_account=place.location.partner_account,
        after=_described(dispute),
        reason=dispute.text,
    )
    return dispute


@transaction.atomic
def answer_dispute(
    dispute: RequirementDispute,
    *,
    outcome: DisputeOutcome | str,
    answer: str,
    by: User,
    at: datetime | None = None,
) -> RequirementDispute:
    """Answer what a partner disputed; whoever asked reads it on the page and by mail.

    A corrected value comes in with the next file. Raises ValidationError without an
    answer, and when somebody answered already.
    """
    dispute = (
        RequirementDispute.objects.select_for_update(of=("self",))
        .select_related(
            "location__partner_account", "terms__program", "requirement__criterion"
        )
        .get(pk=dispute.pk)
    )
    answer = answer.strip()
    if not answer:
        raise ValidationError({"answer": _("Write an answer.")}, code="required")
    if not dispute.is_open:
        raise ValidationError(
            _("%(name)s answered this already."),
            code="answered",
            params={"name": dispute.answered_by.full_name},
        )
    dispute.outcome = DisputeOutcome(outcome)
    dispute.answer = answer[:1000]
    dispute.answered_at = at or timezone.now()
    dispute.answered_by = by
    dispute.save(update_fields=["outcome", "answer", "answered_at", "answered_by"])
    record_audit_event(
        dispute,
        action=AuditAction.DISPUTE_ANSWERED,
        by=by,
        partner_account=dispute.location.partner_account,
        after=_described(dispute) | {"outcome": dispute.outcome},
        reason=dispute.answer,
    )
    emails.dispute_answered(dispute)
    return dispute


def _described(dispute: RequirementDispute) -> dict[str, str]:
    requirement = dispute.requirement
    return {
        "location": dispute.location.partner_id,
        "program": dispute.terms.program.code,
        "requirement": requirement.criterion.code if requirement else "agreement",
    }
