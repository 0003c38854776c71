"""What a person was told, as Notifications lists it: mails and opened invitations.

As many questions for many rows as for few (experience.md P17).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import CharField, Count, F, Min, QuerySet, Value
from django.utils.translation import ngettext

from accounts.models import OutgoingEmail
from enrollment.models import Invitation, Reminder

MAIL, OPENED = "mail", "opened"


@dataclass(frozen=True)
class Notice:
    """One row: a mail, or an invitation whose message was opened on Home.

    `about` is the program, and where, of a mail whose subject many have.
    """

    at: datetime
    email: OutgoingEmail | None = None
    invitation: Invitation | None = None
    about: str = ""


def keys_of_mails(mails: QuerySet[OutgoingEmail]) -> QuerySet[Any]:
    """Return when each mail was written, its key and its kind, the newest first."""
    return _keys(mails, MAIL, at=F("created_at"))


def keys_of_opened(invitations: QuerySet[Invitation]) -> QuerySet[Any]:
    """Return when each message was opened, its key and its kind, the newest first."""
    return _keys(invitations, OPENED, at=F("opened_at"))


def together(*some: QuerySet[Any]) -> QuerySet[Any]:
    """Put keys of several kinds into one list, the newest first."""
    first, *others = (keys.order_by() for keys in some)
    return first.union(*others, all=True).order_by("-at", "pk")


def _keys(rows: QuerySet[Any], kind: str, *, at: F) -> QuerySet[Any]:
    keys = rows.annotate(at=at, kind=Value(kind, output_field=CharField()))
    return keys.order_by("-at", "pk").values_list("at", "pk", "kind")


def notices_of(keys: Iterable[tuple[datetime, Any, str]]) -> list[Notice]:
    """Return the rows of some keys, in their order."""
    keys = list(keys)
    mails = OutgoingEmail.objects.defer("body_text", "body_html").in_bulk(
        [pk for _at, pk, kind in keys if kind == MAIL]
    )
    invitations = Invitation.objects.select_related(
        "enrollment__location",
        "enrollment__terms__program",
        "enrollment__terms__fiscal_year",
    ).in_bulk([pk for _at, pk, kind in keys if kind == OPENED])
    about = _programs_of(mails)
    return [
        Notice(at, email=mails[pk], about=about.get(pk, ""))
        if kind == MAIL
        else Notice(at, invitation=invitations[pk])
        for at, pk, kind in keys
    ]


def _programs_of(mails: Iterable[Any]) -> dict[Any, str]:
    """Name the program of invitations, with where, and of reminders of one program."""
    named = {}
    program = "enrollment__terms__program"
    for email, programs, name in (
        Reminder.objects.filter(email__in=list(mails))
        .order_by()
        .values("email")
        .annotate(programs=Count(program, distinct=True), name=Min(f"{program}__name"))
        .values_list("email", "programs", "name")
    ):
        if programs == 1:
            named[email] = name
    for email, name, places, place in (
        Invitation.objects.filter(email__in=list(mails))
        .order_by()
        .values("email")
        .annotate(
            name=Min(f"{program}__name"),
            places=Count("pk"),
            place=Min("enrollment__location__name"),
        )
        .values_list("email", "name", "places", "place")
    ):
        said = ngettext(
            "%(program)s, %(place)s", "%(program)s, %(count)d locations", places
        )
        named[email] = said % {"program": name, "place": place, "count": places}
    return named
