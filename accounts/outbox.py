"""How the portal writes to people: queue in the transaction, deliver from a worker.

The database remembers, the broker only wakes: a row that is due is found by a query,
so a lost or doubled wake-up changes nothing (security.md §6.6).
"""

import contextlib
import hashlib
import itertools
import logging
import random
import re
import smtplib
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import formataddr, formatdate
from functools import lru_cache, partial
from typing import Any, NamedTuple

from celery import current_app
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.message import forbid_multi_line_headers
from django.db import connection as database
from django.db import connections, transaction
from django.db.models import F, Q, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.module_loading import import_string

from accounts.companies import site_path
from accounts.mail_classes import WITH_UNSUBSCRIBE, class_of
from accounts.mail_words import Filled, wrapped
from accounts.models import (
    MailStatus,
    OutgoingEmail,
    SharedText,
    UndeliverableAddress,
    User,
    many,
    texts,
)
from accounts.muting import mute_token, mute_url, url_of_token
from accounts.sender import sender_problems
from accounts.text import one_stop

logger = logging.getLogger(__name__)

BATCH_SIZE = 50
# A claimed mail is this worker's until the lease runs out, and a worker that lives keeps
# it: what one had not begun that died goes within a minute, as the clock looks every half.
# Whose lease is over sends nothing more of it; the fence sees to that.
LEASE = timedelta(seconds=20)
BATCH_TIME = timedelta(minutes=2)
# A server that is away is asked again so soon that all mail leaves within a minute.
AWAY_RETRY = timedelta(seconds=15)
# A server that answers "later" is asked for two days: six times with growing pauses,
# then every hour.
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
MOST_ATTEMPTS = 54
# A mail that may have arrived is sent once more after this time, and never again.
UNCLEAR_RETRY = timedelta(minutes=15)
# After a broker did not answer, nobody waits for it again for a while.
QUIET_TIME = timedelta(seconds=10)
WAKE_TASK = "accounts.tasks.deliver_mail"
WAKE_EXPIRES = 60
KEY_LENGTH = 200
# Mails of campaigns are claimed and written so many at once, stamped so many at once. The
# first are fewer: they leave while the others are written.
BULK_SIZE = 500
FIRST_SIZE = 100
CHUNK = 100
# Of several that go in one go: what fits between the portal and a slow server, so that
# the portal has said all before it waits for the first answer.
BYTES_AT_ONCE = 200_000
# What was tried before goes one by one, after the others.
TOGETHER = Q(is_bulk=True, attempts=0, status=MailStatus.QUEUED)
# Headers that say what they say where that is plain ASCII, and addresses that do.
PLAIN_HEADERS = frozenset(
    {
        "To",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "X-Entity-Ref-ID",
        "Content-Language",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
    }
)
# What a part of a mail begins with.
_PART = (
    'Content-Type: text/{}; charset="utf-8"\r\n'
    "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
)
PLAIN_PART, HTML_PART = _PART.format("plain"), _PART.format("html")
PLAIN_ADDRESS = re.compile(r"[a-zA-Z0-9_+-]+(\.[a-zA-Z0-9_+-]+)*@[a-zA-Z0-9.-]+")
# What says that one mail cannot be written down; nothing of it left. Not what ends a
# worker or comes from the database.
UNWRITABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
# What is in line refers to no text that others share: workers of the version before these
# were kept send the bodies alone, and write their own to what was not tried.
WITHOUT_SHARED = {"own_words": "", "shared_text": None}
MAY_HAVE_ARRIVED = "may have arrived"
_NAMESPACE = uuid.NAMESPACE_URL.bytes
COMES_BACK = "mail to this address comes back"
NOTHING_LEFT = "nothing was left to say"

_long_ago: ContextVar[datetime | None] = ContextVar("long_ago", default=None)


class Words(NamedTuple):
    """What is written of a mail that waited without words, when it leaves.

    Whole bodies, or a shared text and what is the reader's own, one a line.
    """

    to_address: str
    language: str
    subject: str
    body_text: str
    body_html: str
    about_url: str
    own_words: str = ""
    shared_text: SharedText | None = None


@dataclass
class Delivery:
    """What one round of delivering did."""

    claimed: int = 0
    sent: int = 0
    postponed: int = 0
    failed: int = 0
    is_server_away: bool = False


# --- Queueing -------------------------------------------------------------------


def queue(
    name: str,
    *,
    to: User,
    dedupe_key: str,
    context: dict[str, Any],
    about_url: str = "",
    secret_of: uuid.UUID | None = None,
) -> OutgoingEmail | None:
    """Store one mail in the reader's language; a worker sends it after the commit.

    `dedupe_key` names the event and the reader: the same event is told once, and the
    second call returns None. `about_url` is the path on this site the mail is about,
    `secret_of` the row whose secret the mail holds when it leaves. The reader need not
    be stored: somebody invited is nobody here yet.
    """
    email = prepare(
        name, to=to, dedupe_key=dedupe_key, context=context, about_url=about_url
    )
    email.secret_of = secret_of
    return next(iter(queue_many([email])), None)


def prepare(
    name: str,
    *,
    to: User,
    dedupe_key: str,
    context: dict[str, Any],
    about_url: str = "",
    mutes: str = "",
) -> OutgoingEmail:
    """Return the unsaved row of one mail, rendered for its reader (R70)."""
    subject, text, html = rendered(name, to=to, context=context, mutes=mutes)
    return OutgoingEmail(
        dedupe_key=_key(dedupe_key),
        name=name,
        to_user=to if to.pk else None,
        to_address=to.email,
        language=to.language,
        subject=subject,
        body_text=wrapped(text),
        body_html=html,
        about_url=about_url,
        mutes=mutes,
        sender_name=context.get("sender_name", ""),
        next_attempt_at=timezone.now(),
    )


def rendered(
    name: str, *, to: User, context: dict[str, Any], mutes: str = ""
) -> tuple[str, str, str]:
    """Return a mail's subject, text and HTML in its reader's language; lines unbroken."""
    with translation.override(to.language):
        context = context | {
            "to": to,
            "base_url": settings.PUBLIC_BASE_URL,
            "portal_name": settings.PORTAL_NAME,
            "sender_name": context.get("sender_name") or settings.SENDER_NAME,
            "support_address": settings.SUPPORT_ADDRESS,
            "operator_name": settings.OPERATOR_NAME,
            "operator_postal_address": settings.OPERATOR_POSTAL_ADDRESS,
            "language": to.language,
            "other_language": _other_language(to),
            "mute_url": mute_url(to, mutes),
        }
        subject = render_to_string(f"emails/{name}.subject.txt", context)
        # One line, whatever a name in it holds: nothing can add a header.
        context["subject"] = subject = " ".join(subject.split())[:200]
        text = one_stop(render_to_string(f"emails/{name}.body.txt", context))
        html = one_stop(render_to_string(f"emails/{name}.body.html", context))
    return subject, text, html


# What each language is asked for in, in its own words.
_IN_WORDS = {"en": "In English", "sv": "På svenska"}


def _other_language(to: User) -> dict[str, str]:
    """Return what leads a mail's reader to another language; nothing without an account."""
    if to.pk is None:
        return {}
    code = next(code for code in _IN_WORDS if code != to.language)
    return {
        "code": code,
        "words": _IN_WORDS[code],
        "url": f"{settings.PUBLIC_BASE_URL}{site_path('own:language')}?to={code}",
    }


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
        wake_after_commit()
    return [email for email in emails if email.pk in stored]


@contextlib.contextmanager
def as_sent_at(moment: datetime) -> Iterator[None]:
    """Keep what is queued or let go inside as sent at a moment long ago: no news."""
    token = _long_ago.set(moment)
    try:
        yield
    finally:
        _long_ago.reset(token)


@transaction.atomic
def hold(emails: QuerySet[OutgoingEmail]) -> int:
    """Let nothing of these mails leave that is not leaving; return how many are held.

    A worker that has claimed one finds that it is not its own any more.
    """
    return emails.filter(status=MailStatus.QUEUED).update(
        status=MailStatus.HELD, fence=F("fence") + 1, lease_until=None
    )


def _keep_as_sent(emails: QuerySet[OutgoingEmail], *, at: datetime) -> int:
    held = list(emails.select_related("to_user"))
    written = _written(_Lot(held, _asked_of_writers(held)), Delivery())
    for email in written:
        email.status, email.sent_at = MailStatus.SENT, at
    fields = [*Words._fields, "status", "sent_at"]
    return OutgoingEmail.objects.bulk_update(written, fields)


def release(emails: QuerySet[OutgoingEmail]) -> int:
    """Put held mails in line, after all that somebody waits for; return how many."""
    long_ago = _long_ago.get()
    if long_ago is not None:
        return _keep_as_sent(emails.filter(status=MailStatus.HELD), at=long_ago)
    released = emails.filter(status=MailStatus.HELD).update(
        status=MailStatus.QUEUED, next_attempt_at=timezone.now()
    )
    if released:
        wake_after_commit()
    return released


def cancel(emails: QuerySet[OutgoingEmail], *, why: str) -> int:
    """Stop mails before they leave, for good; return how many.

    One that may have arrived is given up instead: nobody can say that it was not sent.
    """
    emails.filter(status=MailStatus.UNKNOWN).update(
        status=MailStatus.FAILED,
        fence=F("fence") + 1,
        lease_until=None,
        last_error=f"{MAY_HAVE_ARRIVED}; {why}",
    )
    return emails.filter(status__in=[MailStatus.HELD, MailStatus.QUEUED]).update(
        status=MailStatus.CANCELED,
        fence=F("fence") + 1,
        lease_until=None,
        last_error=why,
    )


def requeue(emails: QuerySet[OutgoingEmail]) -> int:
    """Put mails that were given up back in line, as if they were new; return how many.

    One that may have arrived is unclear again: it goes once more as it stands, to whom
    and with the words and the Message-ID it had.
    """
    may_have_arrived = Q(last_error__contains=MAY_HAVE_ARRIVED, bounced_at=None)
    given_up = emails.filter(status=MailStatus.FAILED)
    anew = {
        "attempts": 0,
        "fence": F("fence") + 1,
        "lease_until": None,
        "next_attempt_at": timezone.now(),
    }
    requeued = given_up.filter(may_have_arrived).update(
        status=MailStatus.UNKNOWN, **anew
    )
    requeued += given_up.exclude(may_have_arrived).update(
        status=MailStatus.QUEUED, **WITHOUT_SHARED, **anew
    )
    if requeued:
        wake_after_commit()
    return requeued


# --- Waking a worker ----------------------------------------------------------------


class _Bell:
    """Wakes a worker through the broker; one that does not answer is left in peace."""

    quiet_until = 0.0

    def ring(self) -> None:
        if time.monotonic() < self.quiet_until:
            return
        try:
            current_app.send_task(WAKE_TASK, expires=WAKE_EXPIRES, ignore_result=True)
        except Exception as error:  # noqa: BLE001 - mail must never break a page
            self.quiet_until = time.monotonic() + QUIET_TIME.total_seconds()
            logger.warning("no broker to wake a worker: %s", type(error).__name__)


_bell = _Bell()


def wake() -> None:
    """Ask a worker to look at the outbox now; without a broker the clock will."""
    _bell.ring()


def wake_after_commit() -> None:
    """Wake once for each transaction, however many mails it queues."""
    if all(function is not wake for _, function, _ in database.run_on_commit):
        transaction.on_commit(wake, robust=True)


# --- Delivering ---------------------------------------------------------------------


def deliver(*, limit: int = BATCH_SIZE) -> Delivery:
    """Send one batch of what is due over one connection; return what happened.

    Nothing leaves while the sender's identity is not confirmed (experience.md §6.1):
    the rows stay queued and a system check says what is missing. A server that is
    away is asked once, not once for every mail.
    """
    if sender_problems():
        return Delivery()
    waiting = deque(_claim(limit))
    if not waiting:
        delivery = _deliver_bulk()
        if delivery.claimed:
            return delivery
        waiting = deque(_claim(limit, Q(is_bulk=True)))
    delivery = Delivery(claimed=len(waiting))
    waiting = deque(_reachable(waiting, delivery))
    connection = get_connection()
    stop_at = time.monotonic() + BATCH_TIME.total_seconds()
    try:
        while waiting and not delivery.is_server_away and time.monotonic() < stop_at:
            _keep(waiting)
            _send(waiting.popleft(), connection, delivery)
    finally:
        _hand_back(waiting)
        _close(connection)
    return delivery


def message_id(email: OutgoingEmail) -> str:
    """Return the Message-ID, which is the same at every attempt."""
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2]
    return f"<{_named(email.dedupe_key)}@{domain}>"


def _named(name: str) -> str:
    """What uuid5(NAMESPACE_URL, name) says, in a third of its time (RFC 9562)."""
    digest = hashlib.sha1(_NAMESPACE + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return (
        f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}"
        f"-{digest[20:32]}"
    )


def _sent_from(email: OutgoingEmail) -> str:
    """The name of its own or of all mail; the address is one (experience.md §6.1).

    On one line, whatever somebody typed: nothing can add a header.
    """
    name = email.sender_name or settings.SENDER_NAME
    return _address_line(name, settings.DEFAULT_FROM_EMAIL)


@lru_cache(maxsize=64)
def _address_line(name: str, address: str) -> str:
    return formataddr((" ".join(name.split()), address))


def as_message(email: OutgoingEmail, connection=None) -> EmailMultiAlternatives:
    """Return the mail as it leaves: who sends, who gets, both bodies."""
    if email.name in settings.MAIL_SECRETS:
        email = _with_secret(email)
    message = EmailMultiAlternatives(
        subject=email.subject,
        body=email.text,
        from_email=_sent_from(email),
        to=[email.to_address],
        reply_to=[settings.SUPPORT_ADDRESS] if settings.SUPPORT_ADDRESS else None,
        connection=connection,
        headers=_own_headers(email),
    )
    message.attach_alternative(email.html, "text/html")
    return message


def _own_headers(email: OutgoingEmail) -> dict[str, str]:
    return {
        "Message-ID": message_id(email),
        "Auto-Submitted": "auto-generated",
        "X-Entity-Ref-ID": email.key,
        "Content-Language": email.language,
    } | _unsubscribing(email)


def _unsubscribing(email: OutgoingEmail) -> dict[str, str]:
    """What lets a mail program switch off what a mail is one of (RFC 8058)."""
    if not email.mutes or email.to_user_id is None:
        return {}
    if class_of(email.name) not in WITH_UNSUBSCRIBE:
        return {}
    token = mute_token(email.to_user_id, email.mutes)
    ways = [f"<{url_of_token(token)}>"]
    if settings.SUPPORT_ADDRESS:
        # quote(token), which has nothing else to be quoted.
        subject = "unsubscribe%20" + token.replace(":", "%3A")
        ways.append(f"<mailto:{settings.SUPPORT_ADDRESS}?subject={subject}>")
    return {
        "List-Unsubscribe": ", ".join(ways),
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def _with_secret(email: OutgoingEmail) -> OutgoingEmail:
    """Render a mail with what only it may hold; the row keeps none (security.md §6.6).

    A secret of a person goes only to the address that is theirs now. Whoever makes it
    raises ValueError when nobody may have it any more.
    """
    reader = email.to_user
    if reader and not (reader.is_active and reader.email == email.to_address):
        raise ValueError("the address is nobody's who may sign in")
    context = import_string(settings.MAIL_SECRETS[email.name])(email)
    if reader is None:
        name = context.get("full_name", "")
        reader = User(email=email.to_address, language=email.language, full_name=name)
    whole = prepare(email.name, to=reader, dedupe_key=email.dedupe_key, context=context)
    whole.pk = email.pk
    return whole


@transaction.atomic
def _claim(limit: int, which: Q | None = None) -> list[OutgoingEmail]:
    """Take up to `limit` due mails for this worker alone, until the lease runs out.

    Those that somebody waits for, if `which` does not say otherwise.
    """
    now = timezone.now()
    emails = list(
        OutgoingEmail.objects.due(now)
        .filter(Q(is_bulk=False) if which is None else which)
        .select_related("to_user")
        .select_for_update(skip_locked=True, of=("self",))
        .order_by("is_bulk", "next_attempt_at", "pk")[:limit]
    )
    until = now + LEASE
    OutgoingEmail.objects.filter(pk__among=many(email.key for email in emails)).update(
        fence=F("fence") + 1, lease_until=until
    )
    for email in emails:
        email.fence += 1
        email.lease_until = until
    return emails


def _keep(waiting: Sequence[OutgoingEmail]) -> None:
    """Hold on to what was claimed and not begun, as a worker that died does not."""
    now, until = timezone.now(), waiting[0].lease_until
    if until is None or until - now > LEASE / 2:
        return
    # A lease ends at a moment of its own: only this worker's rows have it.
    OutgoingEmail.objects.filter(
        pk__among=many(email.key for email in waiting), lease_until=until
    ).update(lease_until=now + LEASE)
    for email in waiting:
        email.lease_until = now + LEASE


def _reachable(
    emails: Iterable[OutgoingEmail], delivery: Delivery
) -> list[OutgoingEmail]:
    """Give up what would go to addresses that mail came back from (fault 20)."""
    emails = list(emails)
    bad = set(
        UndeliverableAddress.objects.filter(
            address__in={email.to_address.lower() for email in emails}
        ).values_list("address", flat=True)
    )
    for email in emails:
        if email.to_address.lower() in bad:
            _give_up(email, delivery, error=COMES_BACK)
    return [email for email in emails if email.to_address.lower() not in bad]


def _send(email: OutgoingEmail, connection, delivery: Delivery) -> None:
    """Send one mail and write down what came of it."""
    email.attempts += 1
    try:
        is_fresh = connection.open()
    except (smtplib.SMTPException, OSError) as error:
        _close(connection)
        delivery.is_server_away = True
        _wait_for_server(email, delivery, error=type(error).__name__)
        return
    if _begin(email) and _hand_over(
        email,
        connection,
        delivery,
        is_fresh=bool(is_fresh),
        send=lambda: as_message(email, connection).send(),
    ):
        delivery.sent += 1
        _stamp(email, status=MailStatus.SENT, sent_at=timezone.now(), last_error="")


def _hand_over(
    email: OutgoingEmail, connection, delivery: Delivery, *, is_fresh: bool, send
) -> bool:
    """Hand one mail to the server; True if it took it, else it is written down why not."""
    try:
        send()
    except smtplib.SMTPRecipientsRefused as error:
        code, _answer = next(iter(error.recipients.values()))
        _follow_answer(email, connection, delivery, code=code)
    except (smtplib.SMTPSenderRefused, smtplib.SMTPHeloError) as error:
        # The server wants nothing of us, whoever it is to: no fault of the mail.
        _close(connection)
        delivery.is_server_away = True
        _wait_for_server(email, delivery, error=f"SMTP {error.smtp_code} to the sender")
    except smtplib.SMTPResponseException as error:
        # The server may still wait for this mail's text: the next one begins anew.
        _close(connection)
        _follow_answer(email, connection, delivery, code=error.smtp_code)
    except (smtplib.SMTPException, OSError) as error:
        open_to_it = getattr(connection, "may_have_it", True)
        may_have_it = getattr(error, "may_have_it", open_to_it)
        _close(connection)
        if may_have_it:
            _leave_unclear(
                email, delivery, error=f"connection lost, {MAY_HAVE_ARRIVED}"
            )
            return False
        # A connection in use for long may just have been closed: the next one tells.
        delivery.is_server_away = is_fresh
        _wait_for_server(email, delivery, error=type(error).__name__)
    except UNWRITABLE as error:
        # This mail can never be written down; it must not keep others waiting.
        _give_up(email, delivery, error=type(error).__name__)
    else:
        return True
    return False


def _begin(email: OutgoingEmail) -> bool:
    """Write down that the mail goes out now; False when another worker has it.

    Whatever ends this worker now leaves the mail unclear: sent once more when its time
    has come. The one that is sent once more counts as given up until the server has
    answered, so that no mail is sent a third time by itself.
    """
    if email.is_unclear:
        return _stamp(
            email,
            status=MailStatus.FAILED,
            attempts=email.attempts,
            last_error=f"ended while sending once more, {MAY_HAVE_ARRIVED}",
            **_whole(email),
        )
    return _stamp(
        email,
        status=MailStatus.SENDING,
        attempts=email.attempts,
        lease_until=timezone.now() + UNCLEAR_RETRY,
    )


def _follow_answer(
    email: OutgoingEmail, connection, delivery: Delivery, *, code: int
) -> None:
    """4xx: again later, for two days. 5xx: given up at once, visibly."""
    if code == 421:
        _close(connection)
        delivery.is_server_away = True
    if code >= 500 or email.attempts >= MOST_ATTEMPTS:
        _give_up(email, delivery, error=f"SMTP {code}")
        return
    delivery.postponed += 1
    _put_back(email, pause=_growing_pause(email.attempts), error=f"SMTP {code}")


def _wait_for_server(email: OutgoingEmail, delivery: Delivery, *, error: str) -> None:
    """Nothing was sent and nobody refused it: asked for as long as it takes."""
    delivery.postponed += 1
    email.attempts = max(email.attempts - 1, 1)  # does not count, but shows
    _put_back(email, pause=_varied(AWAY_RETRY), error=error)


def _leave_unclear(email: OutgoingEmail, delivery: Delivery, *, error: str) -> None:
    """Sent, but no answer came: once more after a while, so at most one double."""
    if email.is_unclear:
        _give_up(email, delivery, error=error)
        return
    delivery.postponed += 1
    _stamp(
        email,
        status=MailStatus.UNKNOWN,
        next_attempt_at=timezone.now() + UNCLEAR_RETRY,
        last_error=error,
        **_whole(email),
    )


def _put_back(email: OutgoingEmail, *, pause: timedelta, error: str) -> None:
    """Let a mail wait; one that may have arrived before stays marked as such."""
    _stamp(
        email,
        status=MailStatus.UNKNOWN if email.is_unclear else MailStatus.QUEUED,
        attempts=email.attempts,
        next_attempt_at=timezone.now() + pause,
        last_error=error,
        **_whole(email),
    )


def _whole(email: OutgoingEmail) -> dict[str, Any]:
    """All that a mail says, in its own columns, where it shares a text."""
    if email.shared_text is None:
        return {}
    return WITHOUT_SHARED | {"body_text": email.text, "body_html": email.html}


def _give_up(email: OutgoingEmail, delivery: Delivery, *, error: str) -> None:
    delivery.failed += 1
    # What the second try was answered says nothing of the first one.
    if email.is_unclear and error != COMES_BACK and MAY_HAVE_ARRIVED not in error:
        error = f"{error}, {MAY_HAVE_ARRIVED} before"
    facts = {"to_address": email.to_address, "last_error": error}
    _stamp(email, status=MailStatus.FAILED, **facts)
    logger.error("mail %s given up: %s", email.pk, error)


def _hand_back(emails: Iterable[OutgoingEmail]) -> None:
    """Free what was claimed and not begun: it is due as before."""
    keys = defaultdict(list)
    for email in emails:
        keys[email.fence].append(email.key)
    for fence, some in keys.items():
        OutgoingEmail.objects.filter(pk__among=many(some), fence=fence).update(
            lease_until=None
        )


def _stamp(email: OutgoingEmail, **facts: Any) -> bool:
    """Write an outcome; False when another worker has claimed the mail since."""
    return bool(_claimed(email).update(**({"lease_until": None} | facts)))


def _claimed(email: OutgoingEmail):
    """The row, as long as it is ours: every claim raises the fence."""
    return OutgoingEmail.objects.filter(pk=email.pk, fence=email.fence)


def _growing_pause(attempts: int) -> timedelta:
    return _varied(min(FIRST_RETRY * 2 ** min(attempts - 1, 12), LONGEST_RETRY))


def _varied(pause: timedelta) -> timedelta:
    """A fifth more or less, so that what failed together does not return together."""
    return pause * random.uniform(0.8, 1.2)


def _close(connection) -> None:
    with contextlib.suppress(smtplib.SMTPException, OSError):
        connection.close()
    connection.connection = None


# --- Many at once -----------------------------------------------------------------------


def _deliver_bulk() -> Delivery:
    """Send the next mails of campaigns: written together, stamped a few at a time.

    Whatever ends this worker leaves at most CHUNK of them unclear; each of these goes
    once more, with its Message-ID. While some are sent the next are claimed and written,
    until somebody waits for a mail of another kind.
    """
    delivery, ahead = Delivery(), _Ahead()
    stop_at = time.monotonic() + BATCH_TIME.total_seconds()
    connection = get_connection()
    size = FIRST_SIZE
    lot = _next_lot(size)
    try:
        while lot.emails:
            delivery.claimed += len(lot.emails)
            if len(lot.emails) == size:
                ahead.begin()
            _send_lot(lot, connection, delivery, ahead=ahead, stop_at=stop_at)
            if delivery.is_server_away or time.monotonic() > stop_at or _is_asked_for():
                break
            lot, size = ahead.take(), BULK_SIZE
    finally:
        ahead.end()
        _close(connection)
    return delivery


def _is_asked_for() -> bool:
    """Whether a mail is due that goes before those of campaigns."""
    return OutgoingEmail.objects.due(timezone.now()).filter(is_bulk=False).exists()


@dataclass
class _Lot:
    """Mails that are this worker's, and what their writers say of each."""

    emails: list[OutgoingEmail] = field(default_factory=list)
    # None of what nothing is left of, an error of what cannot be written.
    words: dict[uuid.UUID, Words | Exception] = field(default_factory=dict)


def _next_lot(size: int) -> _Lot:
    """Claim the next mails of campaigns, and ask what each says now."""
    emails = _claim(size, TOGETHER)
    try:
        return _Lot(emails, _asked_of_writers(emails))
    except BaseException:
        _hand_back(emails)
        raise


class _Ahead:
    """What is sent next, claimed and written beside on a connection of its own.

    PostgreSQL is asked for long what waits and what it lacks: Python sends meanwhile.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._lot: Future[_Lot] | None = None

    def begin(self) -> None:
        self._thread = self._thread or ThreadPoolExecutor(max_workers=1)
        self._lot = self._thread.submit(_next_lot, BULK_SIZE)

    def keep(self) -> None:
        """Hold on to what is written already, as _keep() does."""
        lot = self._lot
        if lot and lot.done() and not lot.exception() and lot.result().emails:
            _keep(lot.result().emails)

    def take(self) -> _Lot:
        """Return it; an empty one where none was begun."""
        lot, self._lot = self._lot, None
        return lot.result() if lot else _Lot()

    def end(self) -> None:
        """Hand back what was not taken, and close the connection."""
        if self._thread is None:
            return
        try:
            _hand_back(self.take().emails)
        finally:
            # Of that thread.
            self._thread.submit(connections.close_all)
            self._thread.shutdown()


def _send_lot(
    lot: _Lot, connection, delivery: Delivery, *, ahead: _Ahead, stop_at: float
) -> None:
    """Send what was claimed, until a moment; what was not begun by then is handed back."""
    waiting = deque(lot.emails)
    chunk, beside = _Chunk(), ThreadPoolExecutor(max_workers=1)
    try:
        # Whoever has another address by now is written to there.
        waiting = deque(_reachable(_written(lot, delivery), delivery))
        while waiting and not delivery.is_server_away and time.monotonic() < stop_at:
            _keep(waiting)
            ahead.keep()
            is_fresh = _is_opened(connection, delivery)
            if is_fresh is None:
                break
            some = [waiting.popleft() for _ in range(min(CHUNK, len(waiting)))]
            prepare = partial(_prepared, connection=connection)
            chunk = _begin_together(some, after=chunk, prepare=prepare, beside=beside)
            _send_together(chunk, connection, delivery, is_fresh=is_fresh)
    finally:
        beside.shutdown()
        _end(chunk)
        _hand_back(waiting)


def _is_opened(connection, delivery: Delivery) -> bool | None:
    """Open the connection if need be: whether it was, None where no server answers."""
    try:
        return bool(connection.open())
    except (smtplib.SMTPException, OSError) as error:
        _close(connection)
        delivery.is_server_away = True
        logger.warning("no mail server: %s", type(error).__name__)
        return None


def _asked_of_writers(
    emails: Iterable[OutgoingEmail],
) -> dict[uuid.UUID, Words | Exception]:
    """Ask what each of these mails that waited without words says now."""
    by_name: dict[str, list[OutgoingEmail]] = defaultdict(list)
    for email in emails:
        by_name[email.name].append(email)
    words: dict[uuid.UUID, Words | Exception] = {}
    for name, some in by_name.items():
        words |= import_string(settings.MAIL_WRITERS[name])(some)
    return words


def _written(lot: _Lot, delivery: Delivery) -> list[OutgoingEmail]:
    """Give mails their words; what has none left is canceled, what cannot be written
    given up, that mail alone.
    """
    written = []
    for email in lot.emails:
        words = lot.words.get(email.pk)
        if words is None:
            _stamp(email, status=MailStatus.CANCELED, last_error=NOTHING_LEFT)
        elif isinstance(words, Exception):
            _give_up(email, delivery, error=type(words).__name__)
        else:
            say(email, Words(*words))
            written.append(email)
    _keep_shared(written)
    return written


def say(email: OutgoingEmail, words: Words) -> None:
    """Give a mail its words; it is not stored."""
    for part, value in zip(Words._fields, words, strict=True):
        setattr(email, part, value)


def _keep_shared(emails: Iterable[OutgoingEmail]) -> None:
    """Store the texts that these mails share, before a mail refers to one."""
    shared = {email.shared_text_id: email.shared_text for email in emails}
    shared.pop(None, None)
    kept = SharedText.objects.filter(pk__in=shared).values_list("pk", flat=True)
    missing = shared.keys() - set(kept.order_by())
    SharedText.objects.bulk_create(
        [shared[key] for key in sorted(missing)], ignore_conflicts=True
    )


@dataclass
class _Chunk:
    """A few mails that go out between two writings, and what became of them."""

    emails: list[OutgoingEmail] = field(default_factory=list)
    # By their keys, what send_prepared() takes.
    raws: dict[str, bytes | None] = field(default_factory=dict)
    # Ends at a moment of its own: only this worker's rows have it.
    lease: datetime | None = None
    # Known once all were tried.
    sent: list[str] = field(default_factory=list)
    not_tried: list[str] = field(default_factory=list)


def _send_together(
    chunk: _Chunk, connection, delivery: Delivery, *, is_fresh: bool
) -> None:
    """Send a few mails; what the server refuses is noted alone, the rest by the next."""
    left, sent = deque(chunk.emails), []
    while left and not delivery.is_server_away:
        try:
            is_fresh = bool(connection.open()) or is_fresh
        except (smtplib.SMTPException, OSError) as error:
            _close(connection)
            delivery.is_server_away = True
            email = _tried(left.popleft())
            _wait_for_server(email, delivery, error=type(error).__name__)
            break
        try:
            for email, send in _next_few(left, chunk, connection, is_fresh=is_fresh):
                facts = {"is_fresh": is_fresh, "send": send}
                if _hand_over(_tried(email), connection, delivery, **facts):
                    sent.append(email.key)
        except Exception:
            # Whatever went wrong, what the server has taken is not sent again.
            chunk.sent = sent
            raise
        is_fresh = False
    delivery.sent += len(sent)
    chunk.sent, chunk.not_tried = sent, [email.key for email in left]


def _tried(email: OutgoingEmail) -> OutgoingEmail:
    email.status, email.attempts = MailStatus.QUEUED, email.attempts + 1
    return email


def _next_few(
    left: deque[OutgoingEmail], chunk: _Chunk, connection, *, is_fresh: bool
) -> list[tuple[OutgoingEmail, Callable[[], None]]]:
    """Take the next mails that go out in one go; with each what says how it went.

    The first of a connection goes alone: a server that takes none is asked with one.
    """
    at_once = 1 if is_fresh else getattr(connection, "at_once", 1)
    few: list[tuple[str, bytes]] = []
    size = 0
    for email in itertools.islice(left, at_once):
        raw = chunk.raws[email.key]
        size += len(raw or b"")
        if raw is None or size > BYTES_AT_ONCE:
            break
        few.append((email.to_address, raw))
    if len(few) < 2:
        email = left.popleft()
        return [
            (email, partial(send_prepared, email, connection, chunk.raws[email.key]))
        ]
    outcomes = connection.send_together(settings.DEFAULT_FROM_EMAIL, few)
    return [(left.popleft(), partial(_tell, outcome)) for outcome in outcomes]


def _tell(outcome: Exception | None) -> None:
    if outcome is not None:
        raise outcome


BEGIN = """
WITH sent AS (
    UPDATE accounts_outgoingemail
    SET status = 'sent', sent_at = %s, lease_until = NULL, last_error = ''
    WHERE id = ANY(%s::uuid[]) AND status = 'sending' AND lease_until = %s
)
UPDATE accounts_outgoingemail m
SET status = 'sending', attempts = m.attempts + 1, lease_until = %s,
    to_address = v.to_address, language = v.language, subject = v.subject,
    body_text = v.body_text, body_html = v.body_html, about_url = v.about_url,
    own_words = v.own_words, shared_text_id = v.shared_text_id
FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::text[], %s::text[], %s::text[],
            %s::text[], %s::text[], %s::text[], %s::uuid[])
     v (id, fence, to_address, language, subject, body_text, body_html, about_url,
        own_words, shared_text_id)
WHERE m.id = v.id AND m.fence = v.fence AND m.status = 'queued'
RETURNING m.id::text
"""


# As BEGIN names them; the last is a key.
COLUMNS = tuple(OutgoingEmail._meta.get_field(one).attname for one in Words._fields)


def _begin_together(
    emails: list[OutgoingEmail],
    *,
    after: _Chunk,
    prepare: Callable[[list[OutgoingEmail]], dict] = lambda _emails: {},
    beside: Executor | None = None,
) -> _Chunk:
    """Write down words, and that these mails go out now; return those still ours.

    What went before them is noted with it: no mail is unclear for longer than that. They
    are prepared while the database writes, if there is a thread to wait for it `beside`,
    and leave when it has.
    """
    now = timezone.now()
    lease = now + UNCLEAR_RETRY
    keys = many(email.key for email in emails).value
    fences = many(email.fence for email in emails).value
    words = [[getattr(email, name) for email in emails] for name in COLUMNS]
    # Few are shared by many.
    shared = {key: key and str(key) for key in {*words[-1]}}
    words[-1] = [shared[key] for key in words[-1]]
    before = [now, many(after.sent).value, after.lease]
    with database.cursor() as cursor:
        write = partial(
            cursor.execute, BEGIN, [*before, lease, keys, fences, *map(texts, words)]
        )
        raws = _meanwhile(write, partial(prepare, emails), beside=beside)
        ours = {key for (key,) in cursor.fetchall()}
    return _Chunk([email for email in emails if email.key in ours], raws, lease)


def _meanwhile(
    write: Callable[[], object], work: Callable[[], dict], *, beside: Executor | None
) -> dict:
    """Do some work while the database writes, and return it when that is done too."""
    if beside is None:
        write()
        return work()
    written = beside.submit(write)
    try:
        return work()
    finally:
        written.result()


def _end(chunk: _Chunk) -> None:
    """Note what became of the last few; what was not tried is in line again."""
    if chunk.sent:
        _begin_together([], after=chunk)
    if chunk.not_tried:
        OutgoingEmail.objects.filter(
            pk__among=many(chunk.not_tried),
            status=MailStatus.SENDING,
            lease_until=chunk.lease,
        ).update(
            status=MailStatus.QUEUED,
            attempts=F("attempts") - 1,
            lease_until=None,
            **WITHOUT_SHARED,
        )


def _prepared(emails: list[OutgoingEmail], connection) -> dict[str, bytes | None]:
    """Return what send_prepared() takes of each, None where that is built part by part."""
    if not hasattr(connection, "send_prepared"):
        return dict.fromkeys(email.key for email in emails)
    raws: dict[str, bytes | None] = {}
    for email in emails:
        # Built part by part it says so again, for this mail alone.
        raws[email.key] = None
        with contextlib.suppress(*UNWRITABLE):
            raws[email.key] = prepared_bytes(email)
    return raws


def send_prepared(email: OutgoingEmail, connection, raw: bytes | None) -> None:
    """Send a mail without building it part by part, where that says the same."""
    if raw is None:
        as_message(email, connection).send()
    else:
        connection.send_prepared(settings.DEFAULT_FROM_EMAIL, email.to_address, raw)


def prepared_bytes(email: OutgoingEmail) -> bytes | None:
    """Return a mail as it leaves, or None where only as_message() can write it.

    Raises ValueError for a header with a line break, as it does.
    """
    filled = email.filled or Filled.of(email.body_text, email.body_html)
    if not filled.is_short or not email.to_address.isascii():
        return None
    own = {"To": email.to_address, "Date": _date(int(time.time()))}
    head = _lines(own | _own_headers(email))
    boundary = f"={email.key}="
    # Joined once: a mail is some kilobytes, copied for each piece.
    return b"".join(
        (
            f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n'
            f"MIME-Version: 1.0\r\n{_same_lines(email.subject, _sent_from(email))}{head}"
            f"\r\n--{boundary}\r\n{PLAIN_PART}".encode(),
            filled.text,
            f"\r\n--{boundary}\r\n{HTML_PART}".encode(),
            filled.html,
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )


@lru_cache(maxsize=64)
def _same_lines(subject: str, sender: str) -> str:
    """The headers that all mails of a campaign in a language have alike."""
    headers = {"Subject": subject, "From": sender}
    if settings.SUPPORT_ADDRESS:
        headers["Reply-To"] = settings.SUPPORT_ADDRESS
    return _lines(headers)


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second)


def _lines(headers: dict[str, str]) -> str:
    if not _are_plain(headers):
        headers = {name: _folded(name, value) for name, value in headers.items()}
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def _are_plain(headers: dict[str, str]) -> bool:
    """Whether headers say what they say as it stands; looked at together, it is quick."""
    values = "".join(headers.values())
    return (
        values.isascii()
        and values.isprintable()
        and headers.keys() <= PLAIN_HEADERS
        and PLAIN_ADDRESS.fullmatch(headers.get("To", "")) is not None
    )


# Most are the same in every mail of a campaign.
@lru_cache(maxsize=512)
def _folded(name: str, value: str) -> str:
    """A long value is folded; each of its lines ends as SMTP wants it (RFC 5321)."""
    return forbid_multi_line_headers(name, value, "utf-8")[1].replace("\n", "\r\n")


# --- Text -----------------------------------------------------------------------------


def _key(text: str) -> str:
    """Return a key that fits its column, and is as unique as a long one was."""
    if len(text) <= KEY_LENGTH:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[: KEY_LENGTH - len(digest) - 1]}:{digest}"
