"""Which browsers somebody has signed in with before: the browser itself remembers.

Its cookie holds one fingerprint for each person, made with the portal's key, and names
nobody. Signing out everywhere makes all browsers strangers. A known browser sends no
mail of a new place, and strangers' failures do not keep it out (T6).
"""

import hmac

from django.conf import settings
from django.utils.crypto import salted_hmac

MOST_PEOPLE = 5
LIFETIME = 365 * 24 * 60 * 60
SALT = "accounts.known_browsers"


def is_known(request, user) -> bool:
    """Whether this browser has signed the person in before."""
    wanted = fingerprint(user)
    return any(hmac.compare_digest(wanted, one) for one in _held(request))


def latest(request) -> str:
    """The fingerprint of whom this browser signed in last; "" where it knows nobody."""
    return next(iter(_held(request)), "")


def fingerprint(user) -> str:
    """What the browser keeps of a person: it names nobody."""
    return salted_hmac(
        SALT, f"{user.pk}.{user.session_epoch}", algorithm="sha256"
    ).hexdigest()


def remember(response, request, user) -> None:
    """Let the browser keep that it has signed the person in; the latest come first."""
    own = fingerprint(user)
    others = [one for one in _held(request) if one != own]
    response.set_cookie(
        settings.KNOWN_BROWSER_COOKIE_NAME,
        ".".join([own, *others][:MOST_PEOPLE]),
        max_age=LIFETIME,
        secure=settings.SECURE,
        httponly=True,
        samesite="Lax",
    )


def _held(request) -> list[str]:
    cookie = request.COOKIES.get(settings.KNOWN_BROWSER_COOKIE_NAME, "")
    held = [one for one in cookie.split(".") if one and one.isascii()]
    return held[:MOST_PEOPLE]
