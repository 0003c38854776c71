"""Why a step of an enrollment is not taken; each raises ValidationError."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Location
from accounts.templatetags.portal import within
from enrollment.models import (
    Enrollment,
    PayoutAssignment,
    RequirementCheck,
)
from enrollment.revisions import is_same
from enrollment.services.moving import day_at, payout_now


def refuse_closed(enrollment: Enrollment, *, at: datetime | None) -> None:
    if enrollment.terms.program.discontinued_at is not None:
        raise ValidationError(
            _("%(program)s is discontinued."),
            code="discontinued",
            params={"program": enrollment.terms.program.name},
        )
    if not enrollment.is_editable:
        raise ValidationError(
            _("This enrollment is %(status)s now and cannot be changed."),
            code="not_editable",
            params={"status": within(enrollment.get_status_display())},
        )
    if enrollment.location.closed_at is not None:
        raise ValidationError(
            _("%(location)s is closed."),
            code="closed",
            params={"location": enrollment.location.name},
        )
    refuse_late(enrollment, at=at)
    refuse_unmigrated(enrollment.location)


def refuse_late(enrollment: Enrollment, *, at: datetime | None) -> None:
    if enrollment.is_late(at or timezone.now()):
        raise ValidationError(
            _("The last day to enroll has passed. Write to the program owner."),
            code="late",
        )


def refuse_unmet(enrollment: Enrollment, *, at: datetime) -> None:
    """Refuse what is measured and does not meet a requirement, though nothing moved it yet.

    What is not known refuses nobody who was invited.
    """
    unmet = RequirementCheck.objects.filter(
        location=enrollment.location_id, terms=enrollment.terms_id
    ).known_unmet(day_at(enrollment, at))
    if unmet.exists():
        raise ValidationError(
            _("%(location)s does not meet what %(program)s asks now."),
            code="unmet",
            params={
                "location": enrollment.location.name,
                "program": enrollment.terms.program.name,
            },
        )


def refuse_changed(
    enrollment: Enrollment,
    *,
    seen: str,
    rows: list[PayoutAssignment] | None = None,
    at: datetime | None,
) -> None:
    """Refuse what was decided before something else than is there now.

    Without a note of what was seen there is nothing to hold against it.
    """
    if not seen:
        return
    if not is_same(enrollment, rows or payout_now(enrollment, at=at), seen):
        raise ValidationError(
            _("This enrollment was changed meanwhile. Look at what is here now."),
            code="changed",
        )


def refuse_unmigrated(location: Location) -> None:
    if location.partner_account.awaits_migration:
        raise ValidationError(
            _(
                "%(company)s has not finished the migration to the portal. Finish it "
                "before you enroll."
            ),
            code="migration",
            params={"company": location.partner_account.name},
        )


def refuse_unchangeable(enrollment: Enrollment, *, at: datetime | None) -> None:
    """Accepted, still open, not too late: only then can it be changed or submitted."""
    refuse_closed(enrollment, at=at)
    if not enrollment.is_accepted:
        raise ValidationError(_("Accept the invitation first."), code="not_accepted")
