"""How an enrollment comes from one status into another, held and written down.

`at` is when it happened, for what is loaded afterwards; without it, now.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import Permission
from accounts.services import (
    check_still_may,
    lock_companies,
)
from accounts.templatetags.portal import within
from enrollment.eligibility import (
    payout_of,
)
from enrollment.models import (
    Enrollment,
    EnrollmentEvent,
    PayoutAssignment,
)
from enrollment.models.enrollments import EnrollmentQuerySet
from enrollment.states import (
    EnrollmentStatus,
)
from profiles.models import (
    BankProfileVersion,
    TaxProfileVersion,
)

Code = EnrollmentEvent.Code


def follow_questions_of(enrollment: Enrollment, *, at: datetime) -> None:
    """The enrollment's own time: what passed before it was sent is not in its promise."""
    bank, tax = (
        model.objects.pending()
        .filter(
            profile__payout_assignments__enrollment=enrollment, asked_at__isnull=False
        )
        .order_by()
        .values("pk")
        for model in (BankProfileVersion, TaxProfileVersion)
    )
    is_asked = bank.union(tax, all=True).exists()
    begun = enrollment.status_since
    before = (enrollment.asked_at, enrollment.promised_from)
    if enrollment.asked_at is not None and not is_asked:
        waited = max(at - max(enrollment.asked_at, begun), timedelta())
        if waited:
            since = max(begun, enrollment.promised_from or begun)
            enrollment.promised_from = since + waited
    if not is_asked:
        enrollment.asked_at = None
    elif enrollment.asked_at is None or enrollment.asked_at < begun:
        enrollment.asked_at = max(at, begun)
    if before != (enrollment.asked_at, enrollment.promised_from):
        enrollment.save(update_fields=["asked_at", "promised_from"])


def read_alone(enrollment: Enrollment) -> Enrollment:
    """Read the enrollment again, alone: the company first, then the row."""
    lock_companies(enrollment.location.partner_account_id)
    return _with_frame().get(pk=enrollment.pk)


def read_as_editor(enrollment: Enrollment, *, by: User) -> Enrollment:
    """Read the enrollment alone, for somebody who may still change it (T5)."""
    enrollment = read_alone(enrollment)
    check_still_may(enrollment, permission=Permission.ENROLLMENT_EDIT, by=by)
    return enrollment


def move(
    enrollment: Enrollment,
    status: EnrollmentStatus,
    *,
    code: str,
    by: User | None,
    at: datetime | None = None,
    note: str = "",
    also: list[str] | None = None,
) -> None:
    """Set the status and write the event; only move_all() does the same."""
    if not enrollment.can_become(status):
        raise ValidationError(
            _("This enrollment is %(status)s now and cannot change that way."),
            code="transition",
            params={"status": within(enrollment.get_status_display())},
        )
    before = enrollment.status
    enrollment.status = status
    enrollment.status_since = at or timezone.now()
    enrollment.save(update_fields=["status", "status_since", *(also or [])])
    if enrollment.is_validating:
        follow_questions_of(enrollment, at=enrollment.status_since)
    write_event(
        enrollment,
        code=code,
        from_status=before,
        by=by,
        note=note,
        at=enrollment.status_since,
    )


def move_all(
    enrollments: list[Enrollment],
    status: EnrollmentStatus,
    *,
    codes: Mapping[UUID, str],
    at: datetime,
    **also: str,
) -> None:
    """move() for many that the clock moves alike, in two statements.

    `also` are other fields that get one value with it.
    """
    events = [
        EnrollmentEvent(
            enrollment=one,
            code=codes[one.pk],
            from_status=one.status,
            to_status=status,
            at=at,
        )
        for one in enrollments
        if one.can_become(status)
    ]
    for event in events:
        event.enrollment.status, event.enrollment.status_since = status, at
    Enrollment.objects.filter(pk__in=[event.enrollment_id for event in events]).update(
        status=status, status_since=at, **also
    )
    EnrollmentEvent.objects.bulk_create(events)


def write_event(
    enrollment: Enrollment,
    *,
    code: str,
    from_status: str,
    by: User | None,
    note: str = "",
    at: datetime | None = None,
) -> EnrollmentEvent:
    return EnrollmentEvent.objects.create(
        enrollment=enrollment,
        code=code,
        from_status=from_status,
        to_status=enrollment.status,
        by=by,
        note=note[:400],
        at=at or timezone.now(),
    )


def payout_now(
    enrollment: Enrollment, *, at: datetime | None, on: date | None = None
) -> list[PayoutAssignment]:
    """What the enrollment uses and lacks on the program's day of a moment."""
    on = on or day_at(enrollment, at)
    return payout_of([enrollment], on=on)[enrollment.pk]


def day_at(enrollment: Enrollment, at: datetime | None) -> date:
    return enrollment.terms.fiscal_year.calendar.day_at(at or timezone.now())


def locked_all(enrollments: EnrollmentQuerySet) -> list[Enrollment]:
    """Read what is still so, alone: the companies first, then the rows in order."""
    companies = enrollments.order_by().values_list("location__partner_account")
    lock_companies(*(key for (key,) in companies.distinct()))
    keys = enrollments.order_by().values("pk")
    return list(_with_frame().filter(pk__in=keys).order_by("pk"))


def _with_frame() -> EnrollmentQuerySet:
    return Enrollment.objects.select_for_update(of=("self",)).select_related(
        "location__partner_account",
        "terms__program",
        "terms__fiscal_year__calendar",
    )
