"""What the portal writes about enrollments: one function per event.

Each chooses its readers and queues the mail in the caller's transaction; the reader's
language and the frame are the outbox's. No mail holds a bank or tax number.
"""

import hashlib
from collections.abc import Iterable

from django.conf import settings
from django.urls import reverse

from accounts import outbox
from accounts.access import appointers, people_with
from accounts.models import Location, OutgoingEmail, PartnerAccount, User
from accounts.roles import Permission
from enrollment.eligibility import Gap, gaps_of
from enrollment.models import (
    Enrollment,
    Invitation,
    PayoutAssignment,
    ProgramTerms,
)
from profiles.models import BankProfileVersion, ProfileVersion
from profiles.reasons import explained


def invitation_sent(
    user: User,
    invitations: list[Invitation],
    *,
    terms: ProgramTerms,
    payouts: dict[object, list[PayoutAssignment]],
) -> OutgoingEmail:
    """Prepare the invitation to one person, listing all their locations (R18, R19).

    `payouts` are the enrollments' annotated assignments. The link of its button only
    navigates; the role at sign-in gives the right.
    """
    enrollments = [invitation.enrollment for invitation in invitations]
    companies = dict.fromkeys(
        enrollment.location.partner_account for enrollment in enrollments
    )
    rows = [
        {
            "location": enrollment.location,
            "gaps": gaps_of(payouts[enrollment.pk]),
        }
        for enrollment in enrollments
    ]
    path = reverse("enrollment:get_started", kwargs={"pk": invitations[0].pk})
    return outbox.prepare(
        "invitation",
        to=user,
        dedupe_key=f"invitation:{invitations[0].pk}",
        context={
            "invitation_subject": settings.INVITATION_SUBJECT,
            "company": next(iter(companies)),
            "companies": list(companies),
            "program": terms.program,
            "year": terms.fiscal_year,
            "rows": rows,
            "enroll_by": min(enrollment.enroll_by for enrollment in enrollments),
            "earns_from": terms.today().replace(day=1),
            "url": settings.PUBLIC_BASE_URL + path,
        },
        about_url=path,
    )


def nobody_can_enroll(
    account: PartnerAccount, *, locations: list[Location], terms: ProgramTerms
) -> None:
    """Tell the Global and Account admins that an invitation reaches nobody (rule 74)."""
    path = reverse("accounts:gaps")
    keys = ",".join(str(location.pk) for location in locations)
    event = hashlib.sha256(keys.encode()).hexdigest()[:32]
    for admin in appointers(account):
        outbox.queue(
            "nobody_can_enroll",
            to=admin,
            dedupe_key=f"nobody_can_enroll:{terms.pk}:{event}:{admin.pk}",
            context={
                "company": account,
                "locations": locations,
                "program": terms.program,
                "url": f"{settings.PUBLIC_BASE_URL}{path}?company={account.partner_id}",
            },
            about_url=path,
        )


def enrollment_submitted(enrollment: Enrollment) -> None:
    """Confirm the submission to the location's Incentives admins, with a receipt."""
    _tell_incentive_admins(
        "enrollment_submitted",
        enrollment,
        event=enrollment.submitted_at.isoformat(),
        context={"submitted_by": enrollment.submitted_by},
    )


def enrollment_completed(enrollment: Enrollment) -> None:
    """Say that the enrollment is complete and from when it earns (R40, R45)."""
    _tell_incentive_admins(
        "enrollment_completed", enrollment, event=enrollment.status_since.isoformat()
    )


def enrollment_needs_attention(
    enrollment: Enrollment,
    *,
    gaps: Iterable[Gap],
    version: ProfileVersion | None,
) -> None:
    """Say what must be mended, the full reason and where (R41, R54)."""
    reasons = (
        explained(version.returned, country=version.country)
        if version is not None and version.is_returned
        else []
    )
    _tell_incentive_admins(
        "needs_attention",
        enrollment,
        event=enrollment.status_since.isoformat(),
        context={
            "gaps": list(gaps),
            "reasons": reasons,
            "profile": version.profile if version is not None else None,
            "last4": version.last4 if version is not None else "",
            "is_bank": isinstance(version, BankProfileVersion),
        },
        path=reverse("enrollment:profiles", kwargs={"pk": enrollment.pk}),
    )


def profile_decided(version: ProfileVersion) -> None:
    """Tell whoever sent a profile that is used nowhere yet what was decided."""
    is_bank = isinstance(version, BankProfileVersion)
    path = version.profile.get_absolute_url()
    outbox.queue(
        "profile_approved" if version.is_approved else "profile_returned",
        to=version.submitted_by,
        dedupe_key=f"profile_decided:{version.pk}:{version.decided_at.isoformat()}",
        context={
            "profile": version.profile,
            "is_bank": is_bank,
            "last4": version.last4,
            "reasons": explained(version.returned, country=version.country),
            "url": settings.PUBLIC_BASE_URL + path,
        },
        about_url=path,
    )


def _tell_incentive_admins(
    name: str,
    enrollment: Enrollment,
    *,
    event: str,
    context: dict | None = None,
    path: str = "",
) -> None:
    company = enrollment.location.partner_account
    path = path or enrollment.get_absolute_url()
    for person in people_with(
        Permission.ENROLLMENT_EDIT, company=company, row=enrollment
    ):
        outbox.queue(
            name,
            to=person,
            dedupe_key=f"{name}:{enrollment.pk}:{event}:{person.pk}",
            context={
                "enrollment": enrollment,
                "company": company,
                "location": enrollment.location,
                "program": enrollment.terms.program,
                "year": enrollment.terms.fiscal_year,
                "url": settings.PUBLIC_BASE_URL + path,
            }
            | (context or {}),
            about_url=path,
        )
