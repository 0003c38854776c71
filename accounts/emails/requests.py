"""Mails about access asked for: to those who can give it, and back to who asked."""

from typing import Any

from django.conf import settings

from accounts import outbox
from accounts.companies import path_in
from accounts.holders import givers_of
from accounts.models import AccessRequest
from accounts.roles import Role


def access_requested(request: AccessRequest) -> None:
    """Tell everybody who can give the role that somebody asks for it."""
    path = _in_company("accounts:requests", request)
    for giver in givers_of(Role(request.role), request.partner_account):
        outbox.queue(
            "access_requested",
            to=giver,
            dedupe_key=f"access_requested:{request.pk}:{giver.pk}",
            context=_about(request, path),
            about_url=path,
        )


def access_declined(request: AccessRequest) -> None:
    """Tell who asked that the answer is no, and why; who gets it hears of the role."""
    path = _in_company("accounts:request_access", request)
    outbox.queue(
        "access_declined",
        to=request.asked_by or request.user,
        dedupe_key=f"access_declined:{request.pk}",
        context=_about(request, path),
        about_url=path,
    )


def access_lapsed(request: AccessRequest) -> None:
    """Tell who asked that the location is closed, and with it their request."""
    path = _in_company("accounts:request_access", request)
    outbox.queue_many(
        [
            outbox.prepare(
                "access_lapsed",
                to=request.user,
                dedupe_key=f"access_lapsed:{request.pk}",
                context=_about(request, path) | {"location": request.location},
                about_url=path,
            )
        ]
        if request.user.is_active
        else []
    )


def _about(request: AccessRequest, path: str) -> dict[str, Any]:
    return {
        "company": request.partner_account,
        "asking": request.user,
        "request": request,
        "role": Role(request.role),
        "url": settings.PUBLIC_BASE_URL + path,
    }


def _in_company(name: str, request: AccessRequest) -> str:
    return path_in(request.partner_account, name)
