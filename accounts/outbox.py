"""How the portal writes to people: queue in the transaction, deliver from a worker.

The database remembers, the broker only wakes: a row that is due is found by a query,
so a lost or doubled wake-up changes nothing (security.md §6.6).
"""

import contextlib
import logging
import smtplib
import uuid
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import formataddr
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation

from accounts.models import MailStatus, OutgoingEmail, User
from accounts.sender import sender_problems

logger = logging.getLogger(__name__)

BATCH_SIZE = 50
LEASE = timedelta(minutes=5)
# A server that refuses for a while is asked again for two days, then it is given up.
GIVE_UP_AFTER = timedelta(hours=48)
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=4)
UNKNOWN_RETRY = timedelta(minutes=15)
WAKE_TASK = "accounts.tasks.deliver_mail"

_long_ago: ContextVar[datetime | None] = ContextVar("long_ago", default=None)


@dataclass
class Delivery:
    """What one round of delivering did."""

    claimed: int = 0
    sent: int = 0
    postponed: int = 0
    failed: int = 0
    is_server_away: bool = False


def queue(
    name: str,
    *,
    to: User,
    dedupe_key: str,
    context: dict[str, Any],
    about_url: str = "",
) -> OutgoingEmail | None:
    """Store one mail in the reader's language; a worker sends it after the commit.

    `dedupe_key` names the event and the reader: the same event is told once, and the
    second call returns None. `about_url` is the path on this site the mail is about.
    """
    rows = queue_many([prepare(name, to=to, dedupe_key=dedupe_key, context=context)])
    if about_url and rows:
        rows[0].about_url = about_url
        rows[0].save(update_fields=["about_url"])
    return rows[0] if rows else None


def prepare(
    name: str,
    *,
    to: User,
    dedupe_key: str,
    context: dict[str, Any],
    about_url: str = "",
) -> OutgoingEmail:
    """Return the unsaved row of one mail, rendered for its reader (R70)."""
    with translation.override(to.language):
        context = context | {
            "to": to,
            "base_url": settings.PUBLIC_BASE_URL,
            "portal_name": settings.PORTAL_NAME,
            "sender_name": settings.SENDER_NAME,
            "support_address": settings.SUPPORT_ADDRESS,
            "operator_name": settings.OPERATOR_NAME,
            "operator_postal_address": settings.OPERATOR_POSTAL_ADDRESS,
            "language": to.language,
        }
        subject = render_to_string(f"emails/{name}.subject.txt", context)
        context["subject"] = subject = " ".join(subject.split())
        text = render_to_string(f"emails/{name}.body.txt", context)
        html = render_to_string(f"emails/{name}.body.html", context)
    return OutgoingEmail(
        dedupe_key=dedupe_key,
        name=name,
        to_user=to,
        to_address=to.email,
        language=to.language,
        subject=subject[:200],
        body_text=text.strip() + "\n",
        body_html=html,
        about_url=about_url,
        next_attempt_at=timezone.now(),
    )


def queue_many(emails: Iterable[OutgoingEmail]) -> list[OutgoingEmail]:
    """Store prepared mails and return those that are new."""
    emails = list(emails)
    long_ago = _long_ago.get()
    if long_ago is not None:
        for email in emails:
            email.status, email.sent_at = MailStatus.SENT, long_ago
    OutgoingEmail.objects.bulk_create(emails, ignore_conflicts=True, batch_size=1000)
    stored = set(
        OutgoingEmail.objects.filter(pk__in=[email.pk for email in emails])
        .order_by()
        .values_list("pk", flat=True)
    )
    if stored and long_ago is not None:
        OutgoingEmail.objects.filter(pk__in=stored).update(created_at=long_ago)
    elif stored:
        transaction.on_commit(wake, robust=True)
    return [email for email in emails if email.pk in stored]


@contextlib.contextmanager
def as_sent_at(moment: datetime) -> Iterator[None]:
    """Keep what is queued inside as sent at a moment long ago: history, not news."""
    token = _long_ago.set(moment)
    try:
        yield
    finally:
        _long_ago.reset(token)


def wake() -> None:
    """Ask a worker to look at the outbox now; without a broker the clock will."""
    try:
        current_app.send_task(WAKE_TASK, ignore_result=True)
    except Exception as error:  # noqa: BLE001 - mail must never break a page
        logger.warning("no broker to wake a worker: %s", type(error).__name__)


def requeue(email: OutgoingEmail) -> OutgoingEmail:
    """Put a mail that was given up back in line."""
    email = OutgoingEmail.objects.select_for_update(of=("self",)).get(pk=email.pk)
    if email.status == MailStatus.FAILED:
        email.status = MailStatus.QUEUED
        email.attempts = 0
        email.next_attempt_at = timezone.now()
        email.save(update_fields=["status", "attempts", "next_attempt_at"])
        transaction.on_commit(wake, robust=True)
    return email


def deliver(*, at: datetime | None = None, limit: int = BATCH_SIZE) -> Delivery:
    """Send one batch of what is due over one connection; return what happened.

    Nothing leaves while the sender's identity is not confirmed (experience.md §6.1):
    the rows stay queued and a system check says what is missing.
    """
    if sender_problems():
        return Delivery()
    claimed = _claim(at or timezone.now(), limit=limit)
    delivery = Delivery(claimed=len(claimed))
    connection = get_connection()
    for email in claimed:
        outcome = _send(email, connection)
        setattr(delivery, outcome, getattr(delivery, outcome) + 1)
        delivery.is_server_away |= connection.connection is None
    _close(connection)
    return delivery


def message_id(email: OutgoingEmail) -> str:
    """Return the Message-ID, which is the same at every attempt."""
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2]
    return f"<{uuid.uuid5(uuid.NAMESPACE_URL, email.dedupe_key)}@{domain}>"


def as_message(email: OutgoingEmail, connection=None) -> EmailMultiAlternatives:
    """Return the mail as it leaves: who sends, who gets, both bodies."""
    message = EmailMultiAlternatives(
        subject=email.subject,
        body=email.body_text,
        from_email=formataddr((settings.SENDER_NAME, settings.DEFAULT_FROM_EMAIL)),
        to=[email.to_address],
        reply_to=[settings.SUPPORT_ADDRESS] if settings.SUPPORT_ADDRESS else None,
        connection=connection,
        headers={
            "Message-ID": message_id(email),
            "Auto-Submitted": "auto-generated",
            "X-Entity-Ref-ID": str(email.pk),
            "Content-Language": email.language,
        },
    )
    message.attach_alternative(email.body_html, "text/html")
    return message


@transaction.atomic
def _claim(at: datetime, *, limit: int) -> list[OutgoingEmail]:
    """Take up to `limit` due rows for this worker alone, until the lease runs out.

    A row found in SENDING was left by a worker that died: whether its mail arrived is
    not known, and it goes once more with the same Message-ID.
    """
    emails = list(
        OutgoingEmail.objects.due(at)
        .select_for_update(skip_locked=True, of=("self",))
        .order_by("next_attempt_at", "pk")[:limit]
    )
    for email in emails:
        email.was_unclear = email.status in (MailStatus.UNKNOWN, MailStatus.SENDING)
        email.status = MailStatus.SENDING
        email.attempts += 1
        email.fence += 1
        email.lease_until = at + LEASE
    OutgoingEmail.objects.bulk_update(
        emails, ["status", "attempts", "fence", "lease_until"]
    )
    return emails


def _send(email: OutgoingEmail, connection) -> str:
    """Send one mail and write down the outcome; return the outcome's name."""
    try:
        connection.open()
    except (smtplib.SMTPException, OSError) as error:
        _close(connection)
        return _postpone_or_fail(email, code=421, error=type(error).__name__)
    try:
        as_message(email, connection).send()
    except smtplib.SMTPRecipientsRefused as error:
        code, _answer = next(iter(error.recipients.values()))
        return _postpone_or_fail(email, code=code, error=f"SMTP {code}")
    except smtplib.SMTPServerDisconnected:
        _close(connection)
        return _leave_unclear(email, error="connection lost")
    except smtplib.SMTPResponseException as error:
        if error.smtp_code == 421:
            _close(connection)
        return _postpone_or_fail(
            email, code=error.smtp_code, error=f"SMTP {error.smtp_code}"
        )
    except (smtplib.SMTPException, OSError) as error:
        _close(connection)
        return _leave_unclear(email, error=type(error).__name__)
    _stamp(email, status=MailStatus.SENT, sent_at=timezone.now(), last_error="")
    return "sent"


def _close(connection) -> None:
    with contextlib.suppress(smtplib.SMTPException, OSError):
        connection.close()
    connection.connection = None


def _postpone_or_fail(email: OutgoingEmail, *, code: int, error: str) -> str:
    """4xx and no answer: again later, longer each time. 5xx: given up, visibly."""
    now = timezone.now()
    if code >= 500 or now - email.created_at > GIVE_UP_AFTER:
        return _give_up(email, error=error)
    wait = min(FIRST_RETRY * 2 ** min(email.attempts - 1, 12), LONGEST_RETRY)
    _stamp(
        email,
        status=MailStatus.QUEUED,
        next_attempt_at=now + wait,
        last_error=error,
    )
    return "postponed"


def _leave_unclear(email: OutgoingEmail, *, error: str) -> str:
    """Sent, but no answer came: once more after a while, so at most one double."""
    if email.was_unclear:
        return _give_up(email, error=error)
    _stamp(
        email,
        status=MailStatus.UNKNOWN,
        next_attempt_at=timezone.now() + UNKNOWN_RETRY,
        last_error=error,
    )
    return "postponed"


def _give_up(email: OutgoingEmail, *, error: str) -> str:
    _stamp(email, status=MailStatus.FAILED, last_error=error)
    logger.error("mail %s given up: %s", email.pk, error)
    return "failed"


def _stamp(email: OutgoingEmail, **facts: Any) -> None:
    """Write the outcome, unless another worker has claimed the row since."""
    OutgoingEmail.objects.filter(pk=email.pk, fence=email.fence).update(
        lease_until=None, **facts
    )
