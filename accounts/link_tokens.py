"""Tokens of one-time links: made from a row's id when a mail leaves, never stored."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from uuid import UUID

from django.conf import settings
from django.utils.crypto import salted_hmac

# One salt for each use: a token opens only what it was made for.
INVITATION = "accounts.colleague_invitation"
STOP_RESET = "accounts.stop_factor_reset"
STOP_CHANGE = "profiles.stop_bank_change"
PREPARED_PART = "profiles.prepared_part"
CALENDAR = "enrollment.calendar_feed"
TOKEN = r"[A-Za-z0-9_-]{43}"


def token_for(row_id: UUID, *, purpose: str = INVITATION) -> str:
    """Return the token of a row: 256 bits that only the keeper of the key can make."""
    return next(_tokens(row_id, purpose))


def token_matching(row_id: UUID, *, fingerprint: str, purpose: str = INVITATION) -> str:
    """Return the token that was given out for a row, also after the key has changed.

    Raises ValueError when no key that is known makes it.
    """
    for token in _tokens(row_id, purpose):
        if hmac.compare_digest(fingerprint_of(token), fingerprint):
            return token
    raise ValueError("no known key makes this link")


def fingerprint_of(token: str) -> str:
    """Return what is stored of a token: nobody can make a link from it."""
    return hashlib.sha256(token.encode()).hexdigest()


def _tokens(row_id: UUID, purpose: str) -> Iterator[str]:
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        mac = salted_hmac(purpose, str(row_id), secret=key, algorithm="sha256")
        yield base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()
