"""Second factors for tests: codes as an app shows them, people who have one."""

import re
import time

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.account.internal.flows.login import (
    _AUTHENTICATION_METHODS_USER_SESSION_KEY as WHOSE,
)
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp

from accounts.sealing import seal

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
SEED = "0123456789abcdef" * 5


def code_of(secret: str = SECRET, *, steps: int = 0) -> str:
    """What an app shows now, or so many steps of 30 seconds later."""
    counter = int(time.time()) // 30 + steps
    return totp.format_hotp_value(totp.hotp_value(secret, counter))


def give_app(user, *, secret: str = SECRET) -> Authenticator:
    """Let a person have an authenticator app, as if added on another day."""
    return Authenticator.objects.create(
        user=user,
        type=Authenticator.Type.TOTP,
        data={"secret": seal(secret, **place_of(user))},
    )


def give_codes(user) -> Authenticator:
    """Let a person have recovery codes."""
    return Authenticator.objects.create(
        user=user,
        type=Authenticator.Type.RECOVERY_CODES,
        data={"seed": seal(SEED, **place_of(user)), "used_mask": 0},
    )


def place_of(user) -> dict[str, object]:
    return {"table": "mfa_authenticator", "pk": user.pk, "column": "data"}


def prove(
    client, user, method: str = "mfa", *, at: float | None = None, **said
) -> None:
    """Let a session have seen more than a password."""
    session = client.session
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [
        {"method": method, "at": time.time() if at is None else at} | said
    ]
    session[WHOSE] = str(user.pk)
    session.save()


def secret_on(page) -> str:
    """The key that the page of a new app shows."""
    shown = re.search(r'class="num">((?:[A-Z2-7]{4} ?){8})<', page.content.decode())
    return shown[1].replace(" ", "")
