"""What the portal writes about signing in: security news, which nobody can switch off.

Each function queues its mail in the caller's transaction (experience.md §6.2).
"""

import uuid

from django.conf import settings

from accounts import outbox
from accounts.companies import site_path
from accounts.models import OutgoingEmail, User


def site_address(name: str, **parts: str) -> str:
    """Return a whole address of this site, whatever name the request came to (T9)."""
    return settings.PUBLIC_BASE_URL + site_path(name, **parts)


def password_changed(user: User) -> OutgoingEmail | None:
    """Tell that the password is another one now, and what to do if it was not them."""
    return _queue("password_changed", user, url=site_address("account_reset_password"))


def second_factor_changed(user: User, *, news: str, name: str = "") -> None:
    """Tell what was added, removed or used besides the password.

    `news` is one of passkey_added, passkey_removed, app_added, app_removed, codes_made,
    code_used, company_connected and company_disconnected; `name` is the passkey's, or
    the domain of the company's directory.
    """
    _queue(
        "second_factor_changed",
        user,
        news=news,
        name=name,
        url=site_address("own:account"),
    )


def signed_in_from_new_place(user: User, *, device: str, place: str, at) -> None:
    """Tell of a sign-in from a browser that the person has not used before."""
    _queue(
        "new_sign_in",
        user,
        device=device,
        place=place,
        at=at,
        url=site_address("own:account"),
    )


def address_changed(user: User, *, before: str) -> None:
    """Tell that the address is another one now: to the new one, and to the old."""
    context = {"before": before, "url": site_address("own:account")}
    mails = [
        outbox.prepare(
            "address_changed",
            to=user,
            dedupe_key=f"address_changed:{user.pk}:{uuid.uuid4()}",
            context=context | {"is_old": is_old},
        )
        for is_old in (False, True)
    ]
    # Only here does a mail go to an address that is not the person's: it was.
    mails[1].to_address = before
    outbox.queue_many(mails)


def _queue(mail: str, user: User, **context) -> OutgoingEmail | None:
    return outbox.queue(
        mail,
        to=user,
        dedupe_key=f"{mail}:{user.pk}:{uuid.uuid4()}",
        context=context,
    )
