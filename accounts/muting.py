"""What a mail's unsubscribe link switches off: signed, so that only the mail knows it.

The token names one person, one kind of mail and perhaps one program; it opens nothing
else and grants nothing (RFC 8058).
"""

import hmac
from functools import cache, lru_cache

from django.conf import settings
from django.core import signing
from django.utils.crypto import salted_hmac

from accounts.companies import site_path

SALT = "accounts.mute"


def mute_token(person: int, mutes: str) -> str:
    """Return the token that switches off `mutes`, as OutgoingEmail.mutes says it."""
    return _signed(f"{person}:{mutes}", settings.SECRET_KEY)


# A mail says it in its words and again in its headers, some hundred mails later.
@lru_cache(maxsize=4096)
def _signed(words: str, key: str) -> str:
    # What a signer says, in a third of its time: the key is worked into it once.
    digest = _keyed(key).copy()
    digest.update(words.encode())
    return f"{words}:{signing.b64_encode(digest.digest()).decode()}"


@lru_cache(maxsize=2)
def _keyed(key: str) -> hmac.HMAC:
    return salted_hmac(f"{SALT}signer", "", key, algorithm="sha256")


def read_mute_token(token: str) -> tuple[int, str, int | None]:
    """Return the person, the topic and the program of a token.

    Raises ValueError for a token that the portal did not make.
    """
    try:
        person, topic, program = signing.Signer(salt=SALT).unsign(token).split(":")
    except signing.BadSignature as error:
        raise ValueError("not a token of ours") from error
    return int(person), topic, int(program) if program else None


def mute_url(person, mutes: str) -> str:
    """Return the whole address of a mail's unsubscribe link; "" where it has none."""
    if not mutes or person.pk is None:
        return ""
    return url_of_token(mute_token(person.pk, mutes))


def url_of_token(token: str) -> str:
    """Return the whole address that a token stands in."""
    before, after = _around_the_token()
    return f"{settings.PUBLIC_BASE_URL}{before}{token}{after}"


@cache
def _around_the_token() -> tuple[str, ...]:
    """What stands before and after it: the same for all, and slow to ask for each."""
    return tuple(site_path("unsubscribe", token="TOKEN").split("TOKEN"))
