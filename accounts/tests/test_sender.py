"""Nothing leaves before the operator has said who really sends it."""

import pytest
from django.core import mail
from django.core.checks import run_checks

from accounts import outbox
from accounts.models import MailStatus
from accounts.tests.mails import make_email

CONFIRMED = {
    "DEMO": False,
    "SENDER_ADDRESS": "no-reply@owner.example",
    "SUPPORT_ADDRESS": "support@owner.example",
    "OPERATOR_NAME": "Owner AB",
    "OPERATOR_POSTAL_ADDRESS": "Exempelgatan 1, 111 11 Stockholm",
    "SENDER_CONFIRMED": True,
}


@pytest.fixture
def identity(settings):
    """A portal that is no demo and has its sender's identity confirmed."""
    for name, value in CONFIRMED.items():
        setattr(settings, name, value)
    return settings


def said() -> list[str]:
    """What the system check says of the sender."""
    return [warning.msg for warning in run_checks() if warning.id == "accounts.W001"]


def test_a_confirmed_identity_leaves_nothing_to_say(identity):
    assert said() == []


@pytest.mark.parametrize("name", sorted(CONFIRMED.keys() - {"DEMO"}))
def test_the_system_check_names_what_is_missing(identity, name):
    setattr(identity, name, type(CONFIRMED[name])())
    (sentence,) = said()
    assert sentence.startswith(
        "No mail leaves until the sender's identity is confirmed"
    )
    assert name in sentence


def test_the_check_names_the_display_name_that_is_somebodys_trademark(identity):
    identity.SENDER_CONFIRMED = False
    (sentence,) = said()
    assert "Microsoft Partner Center" in sentence


def test_the_demo_needs_no_confirmation(identity):
    identity.DEMO = True
    identity.SENDER_CONFIRMED = False
    assert said() == []


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(CONFIRMED.keys() - {"DEMO"}))
def test_no_mail_leaves_before_the_identity_is_whole_and_it_leaves_then(identity, name):
    setattr(identity, name, type(CONFIRMED[name])())
    email = make_email()

    assert outbox.deliver().claimed == 0
    email.refresh_from_db()
    assert (email.status, email.attempts) == (MailStatus.QUEUED, 0)
    assert mail.outbox == []

    setattr(identity, name, CONFIRMED[name])
    assert outbox.deliver().sent == 1
    email.refresh_from_db()
    assert email.status == MailStatus.SENT
    assert [message.to for message in mail.outbox] == [[email.to_address]]
