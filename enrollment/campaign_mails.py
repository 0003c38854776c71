"""What a campaign's mail says when it leaves: asked for a batch of them at once."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils import timezone, translation

from accounts import outbox
from accounts.models import OutgoingEmail, RoleAssignment, User
from accounts.roles import Permission, roles_with
from enrollment import emails
from enrollment.audience import locations_of
from enrollment.eligibility import payout_at, with_next_gaps
from enrollment.models import Campaign, Enrollment, Invitation

# A mail lists no more than these one by one in a preview.
MOST_PREVIEWED = 200


def facts_of(mails: Iterable[OutgoingEmail]) -> dict[UUID, tuple[dict[str, Any], str]]:
    """Return what each of a campaign's mails says now, and the path it leads to.

    A mail is left out when nothing of it waits for its reader any more: answered, over,
    or the role has ended. In a number of questions that does not grow with the mails.
    """
    known = {mail.pk: mail for mail in mails if mail.to_user and mail.to_user.is_active}
    waiting = (
        Invitation.objects.filter(
            email__in=list(known),
            enrollment__in=Enrollment.objects.to_answer(),
        )
        .select_related(
            "email__campaign_recipient__campaign",
            "enrollment__location__partner_account",
            "enrollment__terms__program",
            "enrollment__terms__fiscal_year__calendar",
        )
        .order_by(
            "enrollment__location__partner_account__name",
            "enrollment__location__name",
            "pk",
        )
    )
    roles = _roles_of(mail.to_user_id for mail in known.values())
    theirs: dict[UUID, list[Invitation]] = defaultdict(list)
    now = timezone.now()
    for invitation in waiting:
        enrollment = invitation.enrollment
        today = enrollment.terms.fiscal_year.calendar.day_at(now)
        if enrollment.enroll_by >= today and any(
            _covers(role, enrollment) for role in roles[invitation.user_id]
        ):
            theirs[invitation.email_id].append(invitation)
    enrollments = {one.enrollment for some in theirs.values() for one in some}
    payouts = payout_at(enrollments, at=now)
    facts = {}
    for key, invitations in theirs.items():
        reader = known[key].to_user
        campaign = invitations[0].email.campaign_recipient.campaign
        with translation.override(reader.language):
            facts[key] = emails.invitation_facts(
                invitations,
                terms=invitations[0].enrollment.terms,
                payouts=payouts,
                words=campaign.words(reader.language),
                name=reader.get_short_name(),
            )
    return facts


def _roles_of(people: Iterable[int]) -> dict[int, list[RoleAssignment]]:
    roles: dict[int, list[RoleAssignment]] = defaultdict(list)
    enrolling = RoleAssignment.objects.live().filter(
        role__in=roles_with(Permission.ENROLLMENT_EDIT), user__in=list(people)
    )
    for role in enrolling.order_by("pk"):
        roles[role.user_id].append(role)
    return roles


def _covers(role: RoleAssignment, enrollment: Enrollment) -> bool:
    location = enrollment.location
    return (
        role.partner_account_id == location.partner_account_id
        and role.location_id in (None, location.pk)
        and role.program_id in (None, enrollment.terms.program_id)
    )


# --- Before anything is sent ---------------------------------------------------------


@dataclass(frozen=True)
class _NextGaps:
    """What an enrollment that does not exist yet would lack."""

    bank_gap: str
    tax_gap: str
    currency_gap: str


def preview_of(
    campaign: Campaign, person: User, *, language: str = "", to: User | None = None
) -> OutgoingEmail | None:
    """Return the mail that a person would get, unsaved; None if they would get none.

    `language` shows the words of another one; `to` is who reads it instead, in a test.
    What is missing at a location is what its next enrollment would begin with.
    """
    now = timezone.now()
    today = campaign.terms.fiscal_year.calendar.day_at(now)
    locations = with_next_gaps(locations_of(campaign, person, on=today), on=today)
    invitations, payouts = [], {}
    for location in locations[:MOST_PREVIEWED]:
        enrollment = Enrollment(
            location=location,
            terms=campaign.terms,
            invited_at=now,
            enroll_by=campaign.terms.last_day_for(today),
        )
        invitations.append(Invitation(enrollment=enrollment, user=person))
        payouts[enrollment.pk] = [
            _NextGaps(
                bank_gap=location.next_bank_gap,
                tax_gap=location.next_tax_gap,
                currency_gap=location.next_currency_gap,
            )
        ]
    if not invitations:
        return None
    reader = User(
        pk=(to or person).pk,
        email=(to or person).email,
        full_name=person.full_name,
        language=language or person.language,
    )
    with translation.override(reader.language):
        context, path = emails.invitation_facts(
            invitations,
            terms=campaign.terms,
            payouts=payouts,
            words=campaign.words(reader.language),
            name=reader.get_short_name(),
        )
    return outbox.prepare(
        "invitation",
        to=reader,
        dedupe_key=f"campaign_test:{invitations[0].pk}",
        context=context,
        about_url="" if to else path,
        mutes="" if to else emails.muting(campaign.terms),
    )
