"""What belongs to signing in: passwords, second factors, sessions, new places."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone, translation

from accounts import emails
from accounts.devices import device_words
from accounts.models import AuditAction, FactorReset, User
from accounts.services.audit import record_of_person
from accounts.services.leaving import end_sessions

PASSKEY = Authenticator.Type.WEBAUTHN
USER_AGENT_LENGTH = UserSession._meta.get_field("user_agent").max_length
RECOVERY_CODES = Authenticator.Type.RECOVERY_CODES
NEWS = {
    (Authenticator.Type.TOTP, True): "app_added",
    (Authenticator.Type.TOTP, False): "app_removed",
    (PASSKEY, True): "passkey_added",
    (PASSKEY, False): "passkey_removed",
    (RECOVERY_CODES, True): "codes_made",
}
_is_told: ContextVar[bool] = ContextVar("is_told", default=False)


@transaction.atomic
def set_password(user: User, password: str, *, by: User | None) -> User:
    """Store a password that was checked; the person is told, and so is the trail.

    `by` is None when a mailed link was followed: nobody is signed in then.
    """
    user.set_password(password)
    user.save(update_fields=["password"])
    record_of_person(user, AuditAction.PASSWORD_CHANGED, by=by)
    emails.password_changed(user)
    return user


@contextmanager
def told_otherwise() -> Iterator[None]:
    """Write no mail of factors that come or go inside: one mail says it all."""
    token = _is_told.set(True)
    try:
        yield
    finally:
        _is_told.reset(token)


@transaction.atomic
def note_second_factor(
    authenticator: Authenticator, *, is_added: bool, by: User | None
) -> None:
    """Write down that a second factor came or went, and tell the person.

    After a reset it is what the person had to set up. Recovery codes that go are replaced by others or were the last thing left: that is
    told already.
    """
    news = NEWS.get((authenticator.type, is_added))
    if news is None:
        return
    user = authenticator.user
    name = authenticator.data["name"] if authenticator.type == PASSKEY else ""
    if authenticator.type == RECOVERY_CODES:
        action = AuditAction.RECOVERY_CODES_MADE
    elif is_added:
        action = AuditAction.SECOND_FACTOR_ADDED
    else:
        action = AuditAction.SECOND_FACTOR_REMOVED
    record_of_person(user, action, by=by, after={"kind": authenticator.type})
    if is_added and authenticator.type != RECOVERY_CODES:
        FactorReset.objects.filter(user=user).unrenewed().update(
            renewed_at=timezone.now()
        )
    if not _is_told.get():
        emails.second_factor_changed(user, news=news, name=name)


@transaction.atomic
def note_recovery_code_used(user: User) -> None:
    """Write down that a recovery code was used up, and tell the person."""
    record_of_person(user, AuditAction.RECOVERY_CODE_USED, by=user)
    emails.second_factor_changed(user, news="code_used")


@transaction.atomic
def note_new_place(user: User, *, user_agent: str, place: str) -> None:
    """Tell a person of a sign-in from a browser that is new to them."""
    # The page that was signed in on may have had another language.
    with translation.override(user.language):
        device = device_words(user_agent)
    emails.signed_in_from_new_place(user, device=device, place=place, at=timezone.now())


@transaction.atomic
def note_new_address(user: User, *, before: str) -> None:
    """Tell a person at both addresses that another one signs in now.

    Who changed it wrote the trail.
    """
    emails.address_changed(user, before=before)


@transaction.atomic
def note_presence(user: User, *, session_key: str, user_agent: str, place: str) -> None:
    """Write down where and when a session was last used, for its owner's list."""
    UserSession.objects.update_or_create(
        session_key=session_key,
        defaults={
            "user": user,
            "ip": place,
            "user_agent": user_agent[:USER_AGENT_LENGTH],
            "last_seen_at": timezone.now(),
        },
    )


@transaction.atomic
def sign_out_elsewhere(session: UserSession, *, by: User) -> None:
    """Sign a person out in one place."""
    Session.objects.filter(pk=session.session_key).delete()
    session.delete()
    record_of_person(
        session.user, AuditAction.SESSIONS_ENDED, by=by, after={"sessions": 1}
    )


@transaction.atomic
def sign_out_everywhere(user: User, *, by: User) -> None:
    """Sign a person out in every place, those included that nobody has listed."""
    sessions = UserSession.objects.filter(user=user)
    count = sessions.count()
    sessions.delete()
    end_sessions(user)
    record_of_person(user, AuditAction.SESSIONS_ENDED, by=by, after={"sessions": count})
