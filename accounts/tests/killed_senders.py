"""Sends all mail by processes that are killed at work: a program of its own.

It is called with PORT (the mail server's), SENDERS, DEATHS, LONGEST_LIFE, a SEED and
maybe a word of what is done wrong on purpose, once Django is set up. SENDERS processes
at once run the worker's task; each dies by `kill -9` before or after a step of its own
(a statement to the database, a word to the mail server), until DEATHS have died; those
that follow live. Between two rounds two hours pass. It ends when nothing is on its way.

Prints as JSON how many died, how many rounds it took, and the mails that were at the
end of any round marked as "may have arrived".
"""

import json
import os
import random
import signal
import sys
from collections.abc import Iterable
from datetime import timedelta
from email.utils import make_msgid

from django.conf import settings
from django.db import connection
from django.db.models import F, Q
from django.utils import timezone

from accounts import outbox, tasks
from accounts.models import MailStatus, OutgoingEmail
from accounts.smtp import SMTP, EmailBackend, Unanswered

PAUSE = timedelta(hours=2)
# Longer than any answer takes that comes at all.
PATIENCE = 2
MAY_HAVE_ARRIVED = Q(status__in=[MailStatus.SENDING, MailStatus.UNKNOWN]) | Q(
    last_error__contains="may have arrived"
)


class Death:
    """Ends the process around its so-manieth step."""

    def __init__(self, chance: random.Random, *, longest_life: int):
        self.left = chance.randint(1, longest_life)
        self.is_before = chance.random() < 0.5

    def take(self, step, *args):
        self.left -= 1
        if not self.left and self.is_before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = step(*args)
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def __call__(self, execute, sql, params, many, context):
        return self.take(execute, sql, params, many, context)

    def listen(self) -> None:
        """Count what is said to the mail server, and what it answers."""
        for name in ("send", "pour", "getreply"):
            self._count(name, getattr(SMTP, name))

    def _count(self, name: str, original) -> None:
        setattr(SMTP, name, lambda *args: self.take(original, *args))


def words(emails: Iterable[OutgoingEmail]) -> dict:
    """Write mails that waited without words."""
    return {
        email.pk: (
            email.to_address,
            "en",
            f"Mail to {email.to_address}",
            "Hello.\n",
            "<p>Hello.</p>",
            "",
        )
        for email in emails
    }


def be_hasty() -> None:
    """Note as sent what is only about to be."""
    stamp = outbox._stamp
    outbox._begin = lambda email: stamp(
        email, status=MailStatus.SENT, sent_at=timezone.now()
    )
    outbox._stamp = lambda email, **facts: stamp(email, **({"sent_at": None} | facts))


def be_sure() -> None:
    """Take for not sent what got no answer."""
    EmailBackend.may_have_it = Unanswered.may_have_it = False


def name_anew() -> None:
    """Give a mail another Message-ID each time."""
    outbox.message_id = lambda email: make_msgid()


# What goes wrong on purpose: the controls.
WRONGS = {"hasty": be_hasty, "sure": be_sure, "anew": name_anew}


def begin(death: Death | None) -> int:
    """Start a sender; return its process."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        if death:
            death.listen()
            connection.execute_wrappers.append(death)
        tasks.deliver_mail()
        status = 0
    finally:
        os._exit(status)


def pass_time() -> None:
    """Let what waits for its time, or for a dead one's lease, be due."""
    now = timezone.now()
    OutgoingEmail.objects.filter(
        Q(next_attempt_at__gt=now) | Q(lease_until__gt=now), sent_at=None
    ).update(
        next_attempt_at=F("next_attempt_at") - PAUSE,
        lease_until=F("lease_until") - PAUSE,
    )


def main() -> None:
    port, senders, deaths, longest_life, seed = map(int, sys.argv[1:6])
    for word in sys.argv[6:]:
        WRONGS[word]()
    settings.EMAIL_BACKEND = "accounts.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.EMAIL_TIMEOUT = PATIENCE
    settings.MAIL_WRITERS = {"invitation": "accounts.tests.killed_senders.words"}
    # So few that the next ones are claimed ahead in a short trial, too.
    outbox.FIRST_SIZE = outbox.BULK_SIZE = 20
    chance = random.Random(seed)
    died = rounds = 0
    unclear: set[str] = set()
    while OutgoingEmail.objects.due(timezone.now()).exists():
        connection.close()
        fates = [
            Death(chance, longest_life=longest_life) if died < deaths else None
            for _ in range(senders)
        ]
        ends = [os.waitpid(pid, 0)[1] for pid in [begin(fate) for fate in fates]]
        killed = [end for end in ends if os.WIFSIGNALED(end)]
        if any(ends) and len(killed) != sum(map(bool, ends)):
            raise SystemExit("a sender failed of itself")
        died += len(killed)
        rounds += 1
        unclear.update(
            map(
                str,
                OutgoingEmail.objects.filter(MAY_HAVE_ARRIVED).values_list(
                    "pk", flat=True
                ),
            )
        )
        pass_time()
    json.dump({"died": died, "rounds": rounds, "unclear": [*unclear]}, sys.stdout)
