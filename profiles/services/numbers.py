"""Showing whole numbers: once, for a reason, and told (security.md §6.2)."""

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import AuditAction, AuditEvent, User
from accounts.roles import Permission
from accounts.services import check_still_may, record_audit_event
from accounts.text import clean_text
from profiles import emails
from profiles.models import BankProfile
from profiles.services.versions import locked
from profiles.services.words import checked_note
from profiles.states import CURRENT

REASON_LENGTH = 200
# How often somebody is shown whole numbers within a day (security.md §6.2).
MOST_SHOWN_A_DAY = 5


@transaction.atomic
def show_bank_number(profile: BankProfile, *, reason: str, by: User) -> BankProfile:
    """Let somebody read the whole numbers of a bank profile, once, for a reason.

    The trail keeps who and why, and the company's admins are told: without either
    nothing is shown (security.md §6.2). Raises ValidationError for a reason that says
    nothing or holds a number, and after five times in a day.
    """
    profile = locked(profile)
    check_still_may(profile, permission=Permission.PROFILE_VIEW, by=by)
    reason = clean_text(reason, max_length=REASON_LENGTH) if reason.strip() else ""
    if len(reason) < 10:
        raise ValidationError(
            {"reason": _("Say in at least 10 characters what you need it for.")}
        )
    for version in profile.versions.filter(status__in=CURRENT):
        try:
            checked_note(reason, version=version)
        except ValidationError as error:
            raise ValidationError({"reason": error.messages}) from None
    shown = AuditEvent.objects.filter(
        actor=by,
        action=AuditAction.NUMBER_SHOWN,
        at__gt=timezone.now() - timedelta(days=1),
    )
    if shown.count() >= MOST_SHOWN_A_DAY:
        raise ValidationError(
            _(
                "You were shown %(most)d numbers within a day. Come back tomorrow, or "
                "ask a colleague with the same role."
            )
            % {"most": MOST_SHOWN_A_DAY},
            code="too_many",
        )
    record_audit_event(
        profile,
        action=AuditAction.NUMBER_SHOWN,
        by=by,
        partner_account=profile.account,
        after={"profile": str(profile.pk)},
        reason=reason,
    )
    emails.bank_number_shown(profile, reason=reason, by=by)
    return profile
