"""Mails about locations that a company wants to be closed."""

from datetime import datetime

from django.conf import settings

from accounts import outbox
from accounts.companies import path_in
from accounts.holders import appointers
from accounts.models import Location, OutgoingEmail, User


def closing_asked(location: Location, *, by: User) -> list[OutgoingEmail]:
    """Tell the other Global and Account admins what the program owner was asked."""
    return outbox.queue_many(
        [
            _about(
                "closing_asked",
                location,
                to=admin,
                event=location.closing_asked_at,
                context={"asked_by": by, "reason": location.closing_reason},
            )
            for admin in appointers(location.partner_account)
            if admin != by
        ]
    )


def closing_declined(
    location: Location, *, answer: str, to: User, asked_at: datetime
) -> list[OutgoingEmail]:
    """Tell who asked that the location stays open, and why."""
    return outbox.queue_many(
        [
            _about(
                "closing_declined",
                location,
                to=to,
                event=asked_at,
                context={"answer": answer},
            )
        ]
        if to.is_active
        else []
    )


def _about(
    name: str, location: Location, *, to: User, event: datetime, context: dict
) -> OutgoingEmail:
    path = path_in(location.partner_account, location)
    return outbox.prepare(
        name,
        to=to,
        dedupe_key=f"{name}:{location.pk}:{event.isoformat()}:{to.pk}",
        context={
            "company": location.partner_account,
            "location": location,
            "url": settings.PUBLIC_BASE_URL + path,
        }
        | context,
        about_url=path,
    )
