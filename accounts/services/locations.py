"""A company's locations: added, asked to be closed, closed; the last one stays."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import emails
from accounts.models import (
    AuditAction,
    Location,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.roles import Permission, roles_with
from accounts.services.audit import record_audit_event
from accounts.services.colleagues import withdraw_at_closed_location
from accounts.services.companies import lock_companies, refuse_taken_partner_id
from accounts.services.refused import noting_refusals
from accounts.services.requests import lapse_at_closed_location
from accounts.services.roles import end_at_closed_location
from accounts.text import clean_line

REASON_LENGTH = 400
CLOSE = "accounts.close_location"


@noting_refusals
@transaction.atomic
def add_location(
    account: PartnerAccount,
    *,
    partner_id: str,
    name: str,
    country: str,
    legal_name: str = "",
    street: str = "",
    postcode: str = "",
    city: str = "",
    by: User | None,
) -> Location:
    """Add a location to a company; a PartnerID belongs to one of them only.

    Roles for the whole company hold there at once; nothing is enrolled there, not
    even if it takes the place of a closed one (account-deletion). Raises
    ValidationError when `by` may not (permission table), and when the PartnerID is
    taken or anything is malformed. `by` is None when the program owner sets up.
    """
    lock_companies(account.pk)
    _refuse_unless_editing(by, account=account)
    location = Location(
        partner_account=account,
        partner_id=partner_id,
        name=name,
        legal_name=legal_name or account.legal_name,
        country=country,
        street=street,
        postcode=postcode,
        city=city,
    )
    refuse_taken_partner_id(partner_id)
    location.full_clean()
    location.save()
    record_audit_event(
        location,
        action=AuditAction.LOCATION_ADDED,
        by=by,
        partner_account=account,
        after={"partner_id": partner_id, "name": name, "country": country},
    )
    return location


@noting_refusals
@transaction.atomic
def ask_for_closing(location: Location, *, reason: str, by: User) -> Location:
    """Ask the program owner to close a location; the other admins are told.

    Asking again changes nothing. Raises ValidationError when `by` may not ask, without
    a reason, and as check_closing does.
    """
    location = _alone(location)
    account = location.partner_account
    _refuse_unless_editing(by, account=account)
    check_closing(location)
    if location.is_closing_asked:
        return location
    location.closing_reason = _checked_reason(reason)
    location.closing_asked_at = timezone.now()
    location.closing_asked_by = by
    location.save(
        update_fields=["closing_reason", "closing_asked_at", "closing_asked_by"]
    )
    record_audit_event(
        location,
        action=AuditAction.CLOSING_ASKED,
        by=by,
        partner_account=account,
        reason=location.closing_reason,
    )
    emails.closing_asked(location, by=by)
    return location


@noting_refusals
@transaction.atomic
def withdraw_closing(location: Location, *, by: User) -> Location:
    """Take the wish to close a location back; without one nothing changes."""
    location = _alone(location)
    account = location.partner_account
    _refuse_unless_editing(by, account=account)
    if location.is_closing_asked:
        _forget_wish(location)
        record_audit_event(
            location,
            action=AuditAction.CLOSING_WITHDRAWN,
            by=by,
            partner_account=account,
        )
    return location


@transaction.atomic
def decline_closing(location: Location, *, answer: str, by: User) -> Location:
    """Answer that a location stays open, and why; who asked is told.

    Raises ValidationError when `by` may not close locations, without an answer, and
    when nobody asks for it any more.
    """
    location = _alone(location)
    _refuse_unless_closing(by)
    if not location.is_closing_asked:
        raise ValidationError(
            _("Nobody asks to close %(location)s any more."),
            code="not_asked",
            params={"location": location.name},
        )
    answer = _checked_reason(answer)
    asked_by = location.closing_asked_by
    asked_at = location.closing_asked_at
    _forget_wish(location)
    record_audit_event(
        location,
        action=AuditAction.CLOSING_DECLINED,
        by=by,
        partner_account=location.partner_account,
        reason=answer,
    )
    emails.closing_declined(location, answer=answer, to=asked_by, asked_at=asked_at)
    return location


def check_closing(location: Location) -> None:
    """Raise ValidationError when a location is closed already or the company's last.

    A company keeps at least one (account-deletion).
    """
    if location.is_closed:
        raise ValidationError(
            _("%(location)s is closed."),
            code="closed",
            params={"location": location.name},
        )
    others = Location.objects.active().of_company(location.partner_account_id)
    if not others.exclude(pk=location.pk).exists():
        raise ValidationError(
            _(
                "%(location)s is the only location of %(company)s. A company keeps at "
                "least one: add another one first."
            ),
            code="last_location",
            params={
                "location": location.name,
                "company": location.partner_account.name,
            },
        )


def mark_closed(location: Location, *, reason: str, by: User) -> list[RoleAssignment]:
    """Close a location and end the roles there; return those roles.

    What was offered or asked for there alone is withdrawn too. The part of enrollment's close_location() that is about people: nothing else calls
    it, since enrollments end first. For the caller's transaction, which holds the
    company's lock. Raises ValidationError when `by` may not close locations, without a
    reason, and as check_closing does.
    """
    _refuse_unless_closing(by)
    check_closing(location)
    location.closing_reason = _checked_reason(reason)
    location.closing_asked_at = None
    location.closing_asked_by = None
    location.closed_at = timezone.now()
    location.save(
        update_fields=[
            "closing_reason",
            "closing_asked_at",
            "closing_asked_by",
            "closed_at",
        ]
    )
    ended = end_at_closed_location(location, by=by)
    withdraw_at_closed_location(location, by=by, at=location.closed_at)
    lapse_at_closed_location(location, at=location.closed_at)
    record_audit_event(
        location,
        action=AuditAction.LOCATION_CLOSED,
        by=by,
        partner_account=location.partner_account,
        after={"roles_ended": len(ended)},
        reason=location.closing_reason,
    )
    return ended


def _alone(location: Location) -> Location:
    lock_companies(location.partner_account_id)
    locked = Location.objects.select_for_update(of=("self",))
    return locked.select_related("partner_account", "closing_asked_by").get(
        pk=location.pk
    )


def _forget_wish(location: Location) -> None:
    location.closing_asked_at = None
    location.closing_asked_by = None
    location.closing_reason = ""
    location.save(
        update_fields=["closing_asked_at", "closing_asked_by", "closing_reason"]
    )


def _checked_reason(reason: str) -> str:
    reason = clean_line(reason, max_length=REASON_LENGTH) if reason.strip() else ""
    if not reason:
        raise ValidationError({"reason": _("Say why.")})
    return reason


def _refuse_unless_editing(by: User | None, *, account: PartnerAccount) -> None:
    if by is None or (by.is_staff and by.is_superuser):
        return
    editors = RoleAssignment.objects.live().filter(
        user=by, partner_account=account, role__in=roles_with(Permission.LOCATION_EDIT)
    )
    if not editors.exists():
        raise ValidationError(
            _("You cannot add or close locations of %(company)s."),
            code="not_editing_locations",
            params={"company": account.name},
        )


def _refuse_unless_closing(by: User) -> None:
    if not (by.is_staff and by.has_perm(CLOSE)):
        raise ValidationError(
            _("Only the program owner's operators close locations."),
            code="not_closing_locations",
        )
