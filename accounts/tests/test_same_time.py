"""Known and unknown people are answered in the same time, measured (T6).

Asked in turns, so that what the machine does besides falls on both.
"""

import json
from statistics import median
from time import perf_counter

import pytest
from django.test import Client

from accounts import outbox
from accounts.adapters import QuietResetForm
from accounts.models import User
from accounts.tests.factories import PASSWORD
from accounts.tests.passkeys import ORIGIN, Passkey
from accounts.tests.test_passwords import REAL_HASHERS

# What is committed costs time too.
pytestmark = pytest.mark.django_db(transaction=True)

LOGIN = "/accounts/login/"
ROUNDS = 20
# What a machine at work may shift two medians; a step left out shifts them by more.
TOLERANCE = 0.15
TRIES = 4


@pytest.fixture(autouse=True)
def _as_in_production(settings, monkeypatch, ida):
    """The real hasher, and no limits, which would end the measuring."""
    settings.PASSWORD_HASHERS = REAL_HASHERS
    settings.ACCOUNT_RATE_LIMITS = False
    settings.MFA_RATE_LIMITS = False
    settings.PUBLIC_BASE_URL = ORIGIN
    monkeypatch.setattr(outbox.current_app, "send_task", lambda *_, **__: None)
    ida.set_password(PASSWORD)
    ida.save()


def ratio(ask, *people) -> float:
    """How much longer the answers for one take than for the other."""
    times = {person: [] for person in people}
    for _round in range(ROUNDS):
        for person in people:
            began = perf_counter()
            ask(person)
            times[person].append(perf_counter() - began)
    middle = [median(taken) for taken in times.values()]
    return max(middle) / min(middle) - 1


def is_even(ask, *people) -> bool:
    """Whether nothing shows who is known; a busy machine may be asked again."""
    ask(people[0])
    return any(ratio(ask, *people) < TOLERANCE for _try in range(TRIES))


def signs_in(email: str) -> None:
    Client().post(LOGIN, {"login": email, "password": "wrong"})


def asks_for_reset(email: str) -> None:
    Client().post("/accounts/password/reset/", {"email": email})


def test_signing_in(ida):
    assert is_even(signs_in, ida.email, "nobody@partner.example")


def test_without_hashing_for_strangers_it_would_show(ida, monkeypatch):
    # The control.
    monkeypatch.setattr(User, "set_password", lambda self, password: None)

    assert ratio(signs_in, ida.email, "nobody@partner.example") > 2 * TOLERANCE


def test_asking_for_a_new_password(ida):
    assert is_even(asks_for_reset, ida.email, "nobody@partner.example")


def test_without_writing_for_strangers_it_would_show(ida, monkeypatch):
    # The control.
    monkeypatch.setattr(QuietResetForm, "_write_to_nobody", lambda self, email: None)

    assert ratio(asks_for_reset, ida.email, "nobody@partner.example") > 2 * TOLERANCE


def test_passkeys(ida, lars):
    known = Passkey(lars)
    known.keep()
    client = Client()
    client.get("/accounts/login/passkey/", HTTP_ACCEPT="application/json")

    def signs_in_by_passkey(owner):
        answer = Passkey(owner).signed("any")
        client.post("/accounts/login/passkey/", {"credential": json.dumps(answer)})

    assert is_even(signs_in_by_passkey, lars, ida, User(pk=987654321))
