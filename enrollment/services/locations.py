"""Closing a location: what ends is planned, shown, and ended as it was shown."""

import hashlib
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import (
    AccessRequest,
    ColleagueInvitation,
    Location,
    RoleAssignment,
    User,
)
from accounts.services import check_closing, lock_companies, mark_closed
from enrollment import emails
from enrollment.models import Enrollment
from enrollment.services.enrollments import end_at_closed_location
from profiles.models import BankProfile, TaxProfile
from profiles.services import put_away_at_closed_location


@dataclass(frozen=True)
class ClosingPlan:
    """What closing a location would end."""

    location: Location
    enrollments: list[Enrollment]
    roles: list[RoleAssignment]
    # What was offered and asked for there; an invitation to other places too goes on.
    invitations: list[ColleagueInvitation]
    requests: list[AccessRequest]
    tax_profiles: list[TaxProfile]

    @property
    def fingerprint(self) -> str:
        """The same for two plans that end the same things; for comparing."""
        parts = [
            *(f"enrollment {one.pk} {one.status}" for one in self.enrollments),
            *(f"role {one.pk}" for one in self.roles),
            *(f"invitation {one.pk}" for one in self.invitations),
            *(f"request {one.pk}" for one in self.requests),
            *(f"tax {one.pk}" for one in self.tax_profiles),
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
            Enrollment.objects.not_over()
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
        invitations=list(
            ColleagueInvitation.objects.open_for_place(location).order_by("pk")
        ),
        requests=list(
            AccessRequest.objects.waiting().filter(location=location).order_by("pk")
        ),
        tax_profiles=list(
            TaxProfile.objects.filter(location=location).in_use().order_by("pk")
        ),
    )


@transaction.atomic
def close_location(
    location: Location, *, reason: str, seen: str | None = None, by: User
) -> Location:
    """Close a location for good: its enrollments and the roles there end.

    What was offered or asked for there alone is withdrawn, its tax profiles are put
    away, and nothing waits for validation because of it any more. Its history stays. Its people and the company's admins are told, each once. `seen`
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
    banks = _banks_used_at(location)
    roles = mark_closed(location, reason=reason, by=by)
    ended = end_at_closed_location(
        location, reason=location.closing_reason, by=by, at=location.closed_at
    )
    put_away_at_closed_location(
        location,
        bank_profiles=BankProfile.objects.filter(pk__in=banks)
        .with_uses()
        .filter(uses=0, defaults=None)
        .order_by("pk"),
        reason=location.closing_reason,
        by=by,
    )
    emails.location_closed(location, enrollments=ended, roles=roles, readers=readers)
    return location


def _banks_used_at(location: Location) -> list:
    """The bank profiles that enrollments there or the default of a location use."""
    used = BankProfile.objects.filter(
        Q(payout_assignments__enrollment__in=Enrollment.objects.not_over())
        & Q(payout_assignments__enrollment__location=location)
        | Q(defaults__location=location)
    )
    return list(used.order_by().values_list("pk", flat=True).distinct())
