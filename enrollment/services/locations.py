"""Closing a location: what ends is planned, shown, and ended as it was shown."""

import hashlib
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Location, RoleAssignment, User
from accounts.services import check_closing, lock_companies, mark_closed
from enrollment import emails
from enrollment.models import Enrollment
from enrollment.services.enrollments import end_at_closed_location


@dataclass(frozen=True)
class ClosingPlan:
    """What closing a location would end."""

    location: Location
    enrollments: list[Enrollment]
    roles: list[RoleAssignment]

    @property
    def fingerprint(self) -> str:
        """The same for two plans that end the same things; for comparing."""
        parts = [
            *(f"enrollment {one.pk} {one.status}" for one in self.enrollments),
            *(f"role {one.pk}" for one in self.roles),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class PlanChanged(ValidationError):
    """What was shown is no longer what would end; carries what would now."""

    def __init__(self, plan: ClosingPlan):
        super().__init__(
            _("Something changed since you looked. Nothing ended. Check it again."),
            code="plan_changed",
        )
        self.plan = plan


def plan_closing(location: Location) -> ClosingPlan:
    """Return what closing a location would end; change nothing."""
    return ClosingPlan(
        location=location,
        enrollments=list(
            Enrollment.objects.open()
            .filter(location=location)
            .for_pages()
            .order_by("terms__program__name", "pk")
        ),
        roles=list(
            RoleAssignment.objects.live()
            .filter(location=location)
            .select_related("user", "location", "program")
            .order_by("user__full_name", "user_id", "role", "pk")
        ),
    )


@transaction.atomic
def close_location(
    location: Location, *, reason: str, seen: str | None = None, by: User
) -> Location:
    """Close a location for good: open enrollments and the roles there end.

    Its history stays. Its people and the company's admins are told, each once. `seen`
    is the fingerprint of the plan somebody agreed to: raises PlanChanged when something
    else would end now. Raises ValidationError when `by` may not, without a reason, when
    it is closed already, and when it is the company's last one (account-deletion).
    """
    lock_companies(location.partner_account_id)
    location = (
        Location.objects.select_for_update(of=("self",))
        .select_related("partner_account")
        .get(pk=location.pk)
    )
    check_closing(location)
    plan = plan_closing(location)
    if seen is not None and seen != plan.fingerprint:
        raise PlanChanged(plan)
    readers = emails.readers_of_closing(plan.enrollments, location=location)
    roles = mark_closed(location, reason=reason, by=by)
    ended = end_at_closed_location(
        location, reason=location.closing_reason, by=by, at=location.closed_at
    )
    emails.location_closed(location, enrollments=ended, roles=roles, readers=readers)
    return location
