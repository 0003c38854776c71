"""What a session has proved: with what somebody signed in, and how long ago.

A session counts what it saw itself: a second factor that was added elsewhere says
nothing about the session of somebody who only knows the password.
"""

import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from django.conf import settings

from accounts.models import FactorReset
from accounts.roles import GUARDED, roles_with_any
from accounts.scoping import live_assignments

# What somebody signs in with besides the password; recovery codes stand in for these.
SECOND_FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
# How a session began that a company's directory signed in.
BY_COMPANY = "socialaccount"
# Seconds; what is remembered of a session's use is not more exact.
SEEN_EVERY = 60
# How a page that asks by itself for what is new says so.
_LOOKS_AGAIN = "X-Looks-Again"
_SIGNED_IN_AT = "signed_in_at"
_SEEN_AT = "seen_at"
# Whether a company's directory asked who it was when this session began, not we.
_ASKED_ELSEWHERE = "asked_elsewhere"
# Somebody's second factors were reset: a new one comes before anything else (T7).
_RENEWAL_DUE = "factor_renewal_due"
# Which recovery codes this session made: it alone is shown them.
CODES_MADE = "recovery_codes_made"


def second_factors_of(user) -> list[Authenticator]:
    """Return the person's passkeys and app, the oldest first."""
    return list(
        Authenticator.objects.filter(user=user, type__in=SECOND_FACTORS).order_by("pk")
    )


def needs_second_factor(user) -> bool:
    """Whether the person is an operator, or a role of theirs reaches what is guarded."""
    return (
        user.is_staff
        or live_assignments()
        .filter(user=user, role__in=roles_with_any(GUARDED))
        .exists()
    )


def is_proved(request) -> bool:
    """Whether this very session has seen a second factor.

    Here, or in the company's directory when it says that it asked for one there.
    """
    records = get_authentication_records(request, request.user)
    return any(map(_has_second_factor, records))


def is_fresh(request) -> bool:
    """Whether somebody proved who they are within the last ten minutes.

    With a second factor, where the person has one: a password, or a directory that asked
    for no more, proves nothing of them then (T1). A company's directory may know the
    browser and ask nothing: there the moment counts that it says it asked at.
    """
    records = get_authentication_records(request, request.user)
    if _is_recent(_moment_of(one) for one in records if _has_second_factor(one)):
        return True
    return _is_recent([_last_proof(request)]) and not second_factors_of(request.user)


def is_over(request) -> bool:
    """Whether the session is older than any may become, used or not (ASVS 7.3.2)."""
    began = request.session.get(_SIGNED_IN_AT, 0)
    return time.time() - began >= settings.SESSION_COOKIE_AGE


def has_paused(request) -> bool:
    """Whether nobody used the session for so long that somebody else may sit there."""
    last = max(request.session.get(_SEEN_AT, 0), _last_proof(request))
    return time.time() - last >= settings.SESSION_LONGEST_PAUSE


def is_looked_at_again(request) -> bool:
    """Whether the page asked by itself for what is new: nobody need be there (T8).

    It says so in a header, and in its address where there are no scripts.
    """
    return request.method in ("GET", "HEAD") and (
        _LOOKS_AGAIN in request.headers or "looks_again" in request.GET
    )


def stamp_sign_in(request, user) -> None:
    """Remember when this session began; the moment counts as a proof if it asked here."""
    records = get_authentication_records(request, user)
    request.session[_SIGNED_IN_AT] = request.session[_SEEN_AT] = time.time()
    request.session[_ASKED_ELSEWHERE] = bool(
        records and records[-1]["method"] == BY_COMPANY
    )
    if FactorReset.objects.filter(user=user).unrenewed().exists():
        request.session[_RENEWAL_DUE] = True


def is_renewal_due(request) -> bool:
    """Whether the person has to set up a second factor before anything else.

    A reset ends every session, so each one begins with knowing it.
    """
    return bool(request.session.get(_RENEWAL_DUE))


def note_renewal(request) -> None:
    """Remember that this session has added a second factor."""
    request.session.pop(_RENEWAL_DUE, None)


def stamp_use(request) -> bool:
    """Remember that the session is used, once a minute; return whether it was due."""
    now = time.time()
    if now - request.session.get(_SEEN_AT, 0) < SEEN_EVERY:
        return False
    request.session[_SEEN_AT] = now
    return True


def _last_proof(request) -> float:
    records = get_authentication_records(request, request.user)
    moments = [_moment_of(record) for record in records]
    if not request.session.get(_ASKED_ELSEWHERE):
        moments.append(request.session.get(_SIGNED_IN_AT, 0))
    return max(moments, default=0)


def _moment_of(record: dict) -> float:
    return (
        record.get("proved_at", 0) if record["method"] == BY_COMPANY else record["at"]
    )


def _has_second_factor(record: dict) -> bool:
    return record["method"] == "mfa" or (
        record["method"] == BY_COMPANY and record.get("has_second_factor") is True
    )


def _is_recent(moments: Iterable[float]) -> bool:
    age = time.time() - max(moments, default=0)
    return age < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT


def passkey_host(request) -> str:
    """Return the name that passkeys are bound to, or "" where there is none.

    It is the portal's own name, never what the request says; in the demo it may be
    localhost, for browsers take no passkeys at a bare number such as 127.0.0.1.
    """
    host = urlsplit(settings.PUBLIC_BASE_URL).hostname or ""
    if settings.DEMO and request.get_host().partition(":")[0] == "localhost":
        return "localhost"
    return "" if host.replace(".", "").isdigit() or ":" in host else host
