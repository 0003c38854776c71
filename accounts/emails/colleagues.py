"""Mails about colleagues invited: the link to them, the news to whoever invited them.

The link is made when the mail leaves; what is stored holds none (security.md §6.6).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from accounts import outbox
from accounts.companies import path_in, site_path
from accounts.link_tokens import token_matching
from accounts.models import (
    ColleagueInvitation,
    Location,
    MailStatus,
    OutgoingEmail,
    User,
)
from accounts.roles import Role

INVITATION = "colleague_invitation"


def colleague_invited(
    invitation: ColleagueInvitation, *, occasion: str
) -> OutgoingEmail | None:
    """Queue the mail with the link; `occasion` tells the first from those sent again."""
    return outbox.queue(
        INVITATION,
        to=_reader(invitation),
        dedupe_key=f"{INVITATION}:{invitation.pk}:{occasion}",
        context=_offer(invitation)
        | {
            "is_kept": True,
            "url": settings.PUBLIC_BASE_URL + site_path("account_login"),
        },
        secret_of=invitation.pk,
    )


def invitation_link(email: OutgoingEmail) -> dict[str, Any]:
    """Make what only the mail itself holds: the link that accepts an invitation.

    Raises ValueError when the invitation was closed before the mail could leave.
    """
    invitation = (
        ColleagueInvitation.objects.open_at(timezone.now())
        .select_related("partner_account", "created_by")
        .filter(pk=email.secret_of)
        .first()
    )
    if invitation is None:
        raise ValueError("the invitation is not open any more")
    token = token_matching(invitation.pk, fingerprint=invitation.token_sha256)
    path = site_path("joining:link", token=token)
    return _offer(invitation) | {
        "is_kept": False,
        "url": settings.PUBLIC_BASE_URL + path,
    }


def invitation_mails(invitation: ColleagueInvitation) -> QuerySet[OutgoingEmail]:
    """Return the mails sent for an invitation, the newest first."""
    return OutgoingEmail.objects.filter(
        name=INVITATION, secret_of=invitation.pk
    ).order_by("-created_at", "pk")


def invitations_mailed_to(address: str, *, since: datetime) -> int:
    """Return how many of these mails an address was written, by whichever company."""
    return OutgoingEmail.objects.filter(
        is_bulk=False, name=INVITATION, to_address=address, created_at__gte=since
    ).count()


def undeliverable(invitations: Iterable[UUID]) -> frozenset[UUID]:
    """Return those of some invitations whose newest mail was given up."""
    newest = dict(
        OutgoingEmail.objects.filter(name=INVITATION, secret_of__in=list(invitations))
        .order_by("created_at", "pk")
        .values_list("secret_of", "status")
    )
    return frozenset(
        key for key, status in newest.items() if status == MailStatus.FAILED
    )


def invitation_withdrawn(
    invitation: ColleagueInvitation, *, location: Location
) -> None:
    """Tell inviter and invited that the location they were to work at is closed."""
    inviter, company = invitation.created_by, invitation.partner_account
    path = path_in(company, "accounts:invitations")
    about = _offer(invitation) | {"location": location, "address": invitation.email}
    mails = [
        outbox.prepare(
            "invitation_withdrawn",
            to=_reader(invitation),
            dedupe_key=f"invitation_withdrawn:{invitation.pk}:invited",
            context=about
            | {
                "is_inviter": False,
                "url": settings.PUBLIC_BASE_URL + site_path("account_login"),
            },
        )
    ]
    if inviter.is_active:
        mails.append(
            outbox.prepare(
                "invitation_withdrawn",
                to=inviter,
                dedupe_key=f"invitation_withdrawn:{invitation.pk}:inviter",
                context=about
                | {"is_inviter": True, "url": settings.PUBLIC_BASE_URL + path},
                about_url=path,
            )
        )
    outbox.queue_many(mails)


def colleague_joined(invitation: ColleagueInvitation, *, person: User) -> None:
    """Tell the inviter that the invitation was accepted."""
    account = invitation.partner_account
    path = path_in(account, "accounts:people")
    outbox.queue(
        "colleague_joined",
        to=invitation.created_by,
        dedupe_key=f"colleague_joined:{invitation.pk}",
        context=_offer(invitation)
        | {"joined": person, "url": settings.PUBLIC_BASE_URL + path},
        about_url=path,
    )


def _reader(invitation: ColleagueInvitation) -> User:
    """Whom a mail to the invited address is for: somebody known, or nobody yet."""
    known = User.objects.filter(
        email=invitation.email, is_active=True, is_staff=False
    ).first()
    return known or User(
        email=invitation.email,
        full_name=invitation.full_name,
        language=invitation.language,
    )


def _offer(invitation: ColleagueInvitation) -> dict[str, Any]:
    places = invitation.places.select_related("location", "program").order_by("pk")
    return {
        "full_name": invitation.full_name,
        "company": invitation.partner_account,
        "inviter": invitation.created_by,
        "role": Role(invitation.role) if invitation.role else None,
        "places": list(places),
        "ends_on": invitation.ends_on,
        "works_until": invitation.expires_at,
    }
