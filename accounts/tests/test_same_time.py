"""Known and unknown people are answered by the same work (T6): counted, not timed.

What costs time is written down in its order: statements to the database, passwords
hashed, codes signed, templates filled in, tasks handed to the broker. A clock on a busy
machine would tell less, and sometimes lie.
"""

import hmac
import json
import re
from contextlib import ExitStack

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection
from django.test import Client
from django.test.signals import template_rendered

from accounts import outbox
from accounts.adapters import QuietResetForm
from accounts.models import User
from accounts.tests.factories import PASSWORD
from accounts.tests.passkeys import ORIGIN, Passkey
from accounts.tests.test_passwords import REAL_HASHERS

# What waits for the end of a transaction is work too.
pytestmark = pytest.mark.django_db(transaction=True)

LOGIN = "/accounts/login/"
STRANGER = "nobody@partner.example"
# What is written of strangers is taken back, by one step as well (R16).
LEAVING = re.compile(r'(RELEASE|ROLLBACK TO) SAVEPOINT "s\d+_x\d+"')
SAVEPOINT = re.compile(r'"s\d+_x\d+"')


@pytest.fixture(autouse=True)
def _as_in_production(settings, ida, uma, lars):
    """The real hasher, and no limits, which would end the asking."""
    settings.PASSWORD_HASHERS = REAL_HASHERS
    settings.ACCOUNT_RATE_LIMITS = False
    settings.MFA_RATE_LIMITS = False
    settings.PUBLIC_BASE_URL = ORIGIN
    for person in (ida, uma):
        person.set_password(PASSWORD)
        person.save()
    # Who has not chosen one yet is known too.
    lars.set_unusable_password()
    lars.save()


@pytest.fixture
def work(monkeypatch):
    """Do something for somebody; return what it took, step by step."""
    steps: list[str] = []

    def noting(name, original):
        def noted(*args, **options):
            steps.append(name)
            return original(*args, **options)

        return noted

    def note_statement(execute, statement, params, many, context):
        # What is asked for differs, how it is asked does not.
        steps.append(SAVEPOINT.sub("it", LEAVING.sub("leave savepoint", statement)))
        return execute(statement, params, many, context)

    def note_template(sender, template, **options):
        steps.append(f"template {template.name}")

    for name in ("encode", "verify"):
        original = getattr(Argon2PasswordHasher, name)
        monkeypatch.setattr(Argon2PasswordHasher, name, noting("argon2", original))
    monkeypatch.setattr(hmac, "new", noting("hmac", hmac.new))
    monkeypatch.setattr(
        outbox.current_app, "send_task", noting("task", lambda *_, **__: None)
    )

    def done(ask, person) -> list[str]:
        steps.clear()
        template_rendered.connect(note_template)
        with ExitStack() as leaving:
            leaving.callback(template_rendered.disconnect, note_template)
            leaving.enter_context(connection.execute_wrapper(note_statement))
            ask(person)
        return list(steps)

    return done


def same(work, ask, first, *people) -> bool:
    """Whether nothing shows who is known, when they are asked for once and again.

    What the process learns only once it learns with the first, who is not compared.
    """
    work(ask, first)
    taken = [[work(ask, person), work(ask, person)] for person in people]
    return all(one == taken[0] for one in taken)


def signs_in(email: str) -> None:
    Client().post(LOGIN, {"login": email, "password": "wrong"})


def asks_for_reset(email: str) -> None:
    Client().post("/accounts/password/reset/", {"email": email})


def test_the_work_is_seen(work, ida):
    steps = work(signs_in, ida.email) + work(asks_for_reset, ida.email)

    assert steps.count("argon2") == 1
    assert {"hmac", "task", "template account/login.html"} <= {*steps}
    assert any(
        step.startswith('INSERT INTO "accounts_outgoingemail"') for step in steps
    )


def test_signing_in(work, uma, ida, lars):
    assert same(work, signs_in, uma.email, ida.email, lars.email, STRANGER)


def test_without_hashing_for_strangers_it_would_show(work, uma, ida, lars, monkeypatch):
    # The control.
    monkeypatch.setattr(User, "set_password", lambda self, password: None)

    assert same(work, signs_in, uma.email, ida.email, lars.email)
    assert not same(work, signs_in, uma.email, ida.email, "other@partner.example")


def test_asking_for_a_new_password(work, uma, ida, lars):
    assert same(work, asks_for_reset, uma.email, ida.email, lars.email, STRANGER)


def test_without_writing_for_strangers_it_would_show(work, uma, ida, lars, monkeypatch):
    # The control.
    monkeypatch.setattr(QuietResetForm, "_write_to_nobody", lambda self, email: None)

    assert same(work, asks_for_reset, uma.email, ida.email, lars.email)
    assert not same(work, asks_for_reset, uma.email, ida.email, STRANGER)


def test_passkeys(work, uma, ida, lars):
    Passkey(lars).keep()
    client = Client()
    client.get("/accounts/login/passkey/", HTTP_ACCEPT="application/json")

    def signs_in_by_passkey(owner):
        answer = Passkey(owner).signed("any")
        client.post("/accounts/login/passkey/", {"credential": json.dumps(answer)})

    assert same(work, signs_in_by_passkey, uma, lars, ida, User(pk=987654321))
