"""The watch over known numbers: a leak put in on purpose is found in every place."""

import base64
import logging
import re
import smtplib
import urllib.parse
import uuid

import pytest
import redis
from celery import Celery
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.core.mail import EmailMessage
from django.db import transaction

from accounts.models import AuditAction, AuditEvent
from accounts.services import audit
from accounts.tests import canaries
from accounts.tests.canaries import (
    WATCH,
    Watch,
    core_of,
    everything_in_redis,
    everything_in_tables,
)
from accounts.tests.mail_server import MailServer
from accounts.tests.mails import make_email

IBAN = "SE35 5000 0000 0549 1000 0003"
PLAIN = IBAN.replace(" ", "")

WAYS = {
    "plain": PLAIN,
    "in groups": IBAN,
    "in groups that do not break": IBAN.replace(" ", "\u00a0"),
    "in groups of others": "50-00 0000/0549.1000\n0003",
    "in an address": f"?q={urllib.parse.quote(IBAN)}",
    "in a form": urllib.parse.urlencode({"q": IBAN}),
    "in JSON": '"SE35\\u00a05000\\u00a00000\\u00a00549\\u00a01000\\u00a00003"',
    "in HTML": IBAN.replace(" ", "&nbsp;"),
    "in hex": f"\\x{PLAIN.encode().hex()}",
    "grouped in hex": IBAN.encode().hex(),
    **{
        f"in base64, {before} before": base64.b64encode(
            b"x" * before + PLAIN.encode() + b'", "more": 1'
        ).decode()
        for before in range(4)
    },
    "grouped in base64": base64.b64encode(f"iban={IBAN}".encode()).decode(),
}
LETTER = f"""Subject: Hello
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

{base64.encodebytes(f"<p>Your account{chr(160)}{IBAN}</p>".encode()).decode()}"""


@pytest.mark.parametrize("written", WAYS.values(), ids=WAYS)
def test_a_number_is_found_however_it_is_written(written):
    watch = Watch()
    watch.know([IBAN])

    assert watch.found_in(f"Something about {written}, and more") == {IBAN}


@pytest.mark.parametrize(
    "text", ["", "SE35 5000 0000 0549 1000 0004", "•••• •••• 0003", "0003", "%zz"]
)
def test_other_numbers_and_what_may_be_shown_of_it_are_not(text):
    watch = Watch()
    watch.know([IBAN])

    assert watch.found_in(text) == set()


BY_CHANCE = [
    "74185290-9d1e-4e6a-8f10-7418529a3b2c",
    "9f7418529" * 4,
    "{'at': 1763799607.418529}",
    "2026-11-22 08:20:57.418529+00:00",
]


@pytest.mark.parametrize("text", BY_CHANCE)
def test_digits_that_stand_in_a_row_by_chance_are_not(text):
    watch = Watch()
    watch.know(["7418529"], encoded=False)

    assert watch.found_in(text) == set()
    # What stands beside it is.
    for leaked in (f"{text} 741-8529", f"741 8529|{text}"):
        assert watch.found_in(leaked) == {"7418529"}


@pytest.mark.parametrize("text", BY_CHANCE)
def test_of_such_a_row_nothing_else_is_hidden(text, monkeypatch):
    monkeypatch.setattr(canaries, "CHANCE", re.compile(b"(?!)"))
    watch = Watch()
    watch.know(["7418529"], encoded=False)

    assert watch.found_in(text) == {"7418529"}


@pytest.mark.parametrize(
    ("number", "core"),
    [
        (IBAN, "50000000054910000003"),
        ("NL39 RABO 0300 0652 64", "RABO0300065264"),
        ("559999-0669", "5599990669"),
        ("GB 999 9999 73", "999999973"),
        ("12.ABC.345/01DE-35", "12ABC34501DE35"),
        ("12-3456789", "123456789"),
        ("0001234", ""),
        ("1234567", ""),
        ("5491", ""),
    ],
)
def test_what_tells_a_number_from_others(number, core):
    assert core_of(number) == core


def in_a_log(client, ida):
    logging.getLogger("portal").warning("refused %s", IBAN)


def in_an_exception(client, ida):
    try:
        raise ValueError(PLAIN)
    except ValueError:
        logging.getLogger("portal").exception("failed")


def beside_a_message(client, ida):
    logging.getLogger("portal").info("saved", extra={"details": {"iban": PLAIN}})


def in_the_outbox(client, ida):
    make_email(body_text=f"Your account {IBAN}")


def in_a_mail(client, ida):
    EmailMessage("Hello", f"Your account {IBAN}", to=["a@partner.example"]).send()


def in_a_mail_that_arrives(client, ida):
    with MailServer() as server, smtplib.SMTP("127.0.0.1", server.port) as line:
        line.sendmail("a@owner.example", ["b@partner.example"], LETTER)
        server.wait_for(1)


def in_the_audit_trail(client, ida):
    # Past the service, which would mask it.
    AuditEvent.objects.create(
        action=AuditAction.PROFILE_STOPPED,
        object_type="accounts.user",
        object_id=str(ida.pk),
        after={"note": PLAIN},
        **audit.chain_of(None),
    )


def in_a_session(client, ida):
    session = SessionStore()
    session["typed"] = {"iban": PLAIN}
    session.save()


def in_a_task(client, ida):
    with Celery(broker="memory://", set_as_current=False) as app:
        app.send_task("accounts.tasks.deliver_mail", [PLAIN])


def in_redis(client, ida):
    with redis.Redis.from_url(settings.REDIS_URL) as store:
        store.set("canary-control", PLAIN, px=1)


def on_a_page(client, ida):
    ida.full_name = f"Ida {PLAIN}"
    type(ida).objects.filter(pk=ida.pk).update(full_name=ida.full_name)
    client.get("/activity/")


PLACES = {
    in_a_log: "logs",
    in_an_exception: "logs",
    beside_a_message: "logs",
    in_the_outbox: "the database",
    in_a_mail: "mails",
    in_a_mail_that_arrives: "mails",
    in_the_audit_trail: "the database",
    in_a_session: "a session",
    in_a_task: "the arguments of tasks",
    in_redis: "Redis",
    on_a_page: "the answer of activity:list",
}


@pytest.mark.parametrize("leak", PLACES, ids=lambda leak: leak.__name__)
def test_a_leak_is_seen_where_it_happens(leak, client_of, ida):
    client = client_of(ida)

    with WATCH.letting_out() as seen:
        leak(client, ida)

    assert f"{IBAN} in {PLACES[leak]}" in seen


def test_a_leak_fails_the_test_it_happens_in():
    watch = Watch()
    watch.know([IBAN])
    watch.look("logs", PLAIN)

    with pytest.raises(AssertionError, match="in logs"):
        watch.complain()

    watch.complain()


def test_what_is_kept_is_searched_to_its_end(client_of, ida):
    watch = Watch()
    watch.know([IBAN])
    assert watch.found_in(everything_in_tables()) == set()

    for leak in (in_the_outbox, in_the_audit_trail, in_a_session):
        with transaction.atomic(), WATCH.letting_out():
            leak(None, ida)
            found = watch.found_in(everything_in_tables())
            transaction.set_rollback(True)
        assert found == {IBAN}, leak

    with redis.Redis.from_url(settings.REDIS_URL) as store:
        for kept in ("set", "rpush", "sadd"):
            key = f"canary-control:{uuid.uuid4()}"
            with WATCH.letting_out():
                getattr(store, kept)(key, base64.b64encode(f"[{PLAIN}]".encode()))
            found = watch.found_in(everything_in_redis(settings.REDIS_URL, key))
            store.delete(key)
            assert found == {IBAN}, kept
