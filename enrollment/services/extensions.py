"""Asking for more time to enroll, and granting it for one location."""

from datetime import date, datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.dates import full_day
from accounts.models import AuditAction, User
from accounts.roles import Permission
from accounts.services import check_still_may, record_audit_event
from enrollment import emails
from enrollment.eligibility import eligible_locations
from enrollment.models import Enrollment, ExtensionRequest, Invitation
from enrollment.services.lapsing import extend_last_day
from enrollment.services.moving import read_alone

# So long before the last day it can be asked for; after it until the year ends.
NEAR = timedelta(days=14)


def why_not_asking(enrollment: Enrollment, *, at: datetime) -> str:
    """Say why nobody can ask for more time to enroll at a moment; "" if they can."""
    year = enrollment.terms.fiscal_year
    today = year.calendar.day_at(at)
    if enrollment.terms.program.discontinued_at is not None:
        return _("%(program)s is discontinued.") % {
            "program": enrollment.terms.program.name
        }
    is_waiting = enrollment.is_editable and enrollment.submitted_at is None
    has_lapsed = enrollment.is_lapsed and not enrollment.can_begin_again(at)
    if not (is_waiting or has_lapsed) or enrollment.location.closed_at:
        return _("There is nothing to enroll for %(location)s any more.") % {
            "location": enrollment.location.name
        }
    if enrollment.enroll_by >= year.ends_on or today >= year.ends_on:
        return _("There is no later day: the fiscal year ends on %(day)s.") % {
            "day": full_day(year.ends_on)
        }
    if today < enrollment.enroll_by - NEAR:
        return _("The last day is %(day)s. Ask when it comes near.") % {
            "day": full_day(enrollment.enroll_by)
        }
    return ""


@transaction.atomic
def ask_for_extension(
    enrollment: Enrollment, *, text: str, by: User, at: datetime | None = None
) -> ExtensionRequest:
    """Ask the program owner for a later last day to enroll one location.

    Raises ValidationError without a reason, when there is nothing to ask for
    (why_not_asking), when somebody asked already, and when somebody may not enroll
    there any more.
    """
    at = at or timezone.now()
    enrollment = read_alone(enrollment)
    check_still_may(enrollment, permission=Permission.ENROLLMENT_EDIT, by=by)
    text = text.strip()
    if not text:
        raise ValidationError(
            {"text": _("Say why you need more time.")}, code="required"
        )
    reason = why_not_asking(enrollment, at=at)
    if reason:
        raise ValidationError(reason, code="nothing")
    if enrollment.extension_requests.filter(answered_at=None).exists():
        raise ValidationError(
            _("Somebody of your company asked already. The answer comes by mail."),
            code="asked",
        )
    request = ExtensionRequest.objects.create(
        enrollment=enrollment,
        enroll_by=enrollment.enroll_by,
        text=text[:1000],
        asked_at=at,
        asked_by=by,
    )
    record_audit_event(
        request,
        action=AuditAction.EXTENSION_ASKED,
        by=by,
        partner_account=enrollment.location.partner_account,
        after=_described(enrollment),
        reason=request.text,
    )
    return request


@transaction.atomic
def answer_extension(
    request: ExtensionRequest,
    *,
    until: date | None,
    answer: str,
    by: User,
    at: datetime | None = None,
) -> ExtensionRequest:
    """Grant a later last day, or none, with a reason that the partner reads.

    Granted, an invitation that lapsed is open again, whoever may enroll finds it on
    Home and is reminded of the new day; each gets a mail. Raises ValidationError
    without a reason, when somebody answered already, for a day that is not later or
    not of the fiscal year, and when the location may not be enrolled any more.
    """
    at = at or timezone.now()
    enrollment = read_alone(Enrollment.objects.get(pk=request.enrollment_id))
    request = ExtensionRequest.objects.select_for_update(of=("self",)).get(
        pk=request.pk
    )
    answer = answer.strip()
    if not answer:
        raise ValidationError({"answer": _("Write an answer.")}, code="required")
    if not request.is_open:
        raise ValidationError(
            _("%(name)s answered this already."),
            code="answered",
            params={"name": request.answered_by.full_name},
        )
    before = enrollment.enroll_by
    if until is not None:
        _refuse_until(enrollment, until=until, at=at)
        extend_last_day(enrollment, until=until, note=answer, by=by, at=at)
        Invitation.objects.filter(enrollment=enrollment).update(opened_at=None)
    request.until = until
    request.answer = answer[:1000]
    request.answered_at, request.answered_by = at, by
    request.save(update_fields=["until", "answer", "answered_at", "answered_by"])
    record_audit_event(
        request,
        action=AuditAction.EXTENSION_ANSWERED,
        by=by,
        partner_account=enrollment.location.partner_account,
        before={"enroll_by": before.isoformat()},
        after=_described(enrollment),
        reason=request.answer,
    )
    emails.extension_answered(request, enrollment)
    return request


def _refuse_until(enrollment: Enrollment, *, until: date, at: datetime) -> None:
    reason = why_not_asking(enrollment, at=at)
    if reason:
        raise ValidationError(reason, code="nothing")
    year = enrollment.terms.fiscal_year
    today = year.calendar.day_at(at)
    if not max(today, enrollment.enroll_by) < until <= year.ends_on:
        raise ValidationError(
            {
                "until": _("Choose a day after today and the last day, until %(day)s.")
                % {"day": full_day(year.ends_on)}
            },
            code="day",
        )
    place = enrollment.location
    eligible = eligible_locations(enrollment.terms, on=today).filter(pk=place.pk)
    if enrollment.is_lapsed and not eligible.exists():
        raise ValidationError(
            _("%(location)s is closed or does not meet what %(program)s asks now."),
            code="not_eligible",
            params={
                "location": place.name,
                "program": enrollment.terms.program.name,
            },
        )


def _described(enrollment: Enrollment) -> dict[str, str]:
    return {
        "location": enrollment.location.partner_id,
        "program": enrollment.terms.program.code,
        "enroll_by": enrollment.enroll_by.isoformat(),
    }
