"""The address of a person's calendar: made, changed for a new one, ended."""

import uuid
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.link_tokens import CALENDAR, fingerprint_of, token_for
from accounts.models import AuditAction, RoleAssignment, User
from accounts.roles import Permission, roles_with
from accounts.services import record_of_person
from enrollment import emails
from enrollment.models import CalendarFeed

# How old "last read" may be before it is written anew.
READ_NOTED = timedelta(hours=1)


@transaction.atomic
def make_calendar_feed(person: User, *, by: User) -> CalendarFeed:
    """Give a person's calendar an address, a new one if there is one already.

    The old one opens nothing from then on. A mail tells the person: whoever has the
    address reads without signing in. Raises ValidationError when it is somebody
    else's calendar, and for whoever is Incentives admin nowhere: nothing would be in it.
    """
    _refuse_others(person, by=by)
    acting = RoleAssignment.objects.live().filter(
        user=person, role__in=roles_with(Permission.ENROLLMENT_EDIT)
    )
    if not acting.exists():
        raise ValidationError(
            _("Only an Incentives admin has dates to subscribe to."), code="no_role"
        )
    User.objects.select_for_update(of=("self",)).get(pk=person.pk)
    now = timezone.now()
    old = CalendarFeed.objects.filter(user=person, ended_at=None)
    replaces = old.update(ended_at=now) > 0
    key = uuid.uuid4()
    feed = CalendarFeed.objects.create(
        pk=key,
        user=person,
        secret_sha256=fingerprint_of(token_for(key, purpose=CALENDAR)),
        made_at=now,
    )
    record_of_person(person, AuditAction.FEED_MADE, by=by)
    emails.calendar_address_made(feed, replaces=replaces)
    return feed


@transaction.atomic
def end_calendar_feed(person: User, *, by: User) -> None:
    """End the address of a person's calendar; ending it twice changes nothing.

    Raises ValidationError when it is somebody else's.
    """
    _refuse_others(person, by=by)
    ended = CalendarFeed.objects.filter(user=person, ended_at=None).update(
        ended_at=timezone.now()
    )
    if ended:
        record_of_person(person, AuditAction.FEED_ENDED, by=by)


@transaction.atomic
def note_calendar_read(feed: CalendarFeed, *, at: datetime) -> None:
    """Remember when a calendar was last read: its owner sees whether anybody does."""
    if feed.read_at is None or at - feed.read_at >= READ_NOTED:
        CalendarFeed.objects.filter(pk=feed.pk).update(read_at=at)


def _refuse_others(person: User, *, by: User) -> None:
    if person != by:
        raise ValidationError(_("This is somebody else's calendar."), code="others")
