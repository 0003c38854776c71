"""What a mail's unsubscribe link switches off: signed, so that only the mail knows it.

The token names one person, one kind of mail and perhaps one program; it opens nothing
else and grants nothing (RFC 8058).
"""

from django.conf import settings
from django.core import signing

from accounts.companies import site_path

SALT = "accounts.mute"


def mute_token(person: int, mutes: str) -> str:
    """Return the token that switches off `mutes`, as OutgoingEmail.mutes says it."""
    return signing.Signer(salt=SALT).sign(f"{person}:{mutes}")


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
    token = mute_token(person.pk, mutes)
    return settings.PUBLIC_BASE_URL + site_path("unsubscribe", token=token)
