"""Reading a whole bank number: asked why, told, remembered, rarely, and once."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.urls import reverse

from accounts import outbox
from accounts.models import AuditAction, AuditEvent, OutgoingEmail
from accounts.tests.factories import RoleAssignmentFactory
from accounts.tests.shared_rows import shared
from profiles import services
from profiles.services import numbers
from profiles.tests.factories import (
    BANK_DETAILS,
    BankProfileFactory,
    BankVersionFactory,
)

pytestmark = pytest.mark.django_db

WHY = {"reason": "Our bank asks for it in writing."}
NUMBER = BANK_DETAILS["iban"]


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch):
    monkeypatch.setattr(outbox.current_app, "send_task", lambda *_, **__: None)


@shared
def profile(nordvik, ida):
    return BankProfileFactory(partner_account=nordvik, created_by=ida)


def address(profile) -> str:
    return reverse("profiles:show_bank_number", kwargs={"pk": profile.pk})


def holds(response, number: str = NUMBER) -> bool:
    """Whether a page shows a number, in groups or not."""
    return number in re.sub(r"\s", "", response.content.decode())


def shown_events():
    return AuditEvent.objects.filter(action=AuditAction.NUMBER_SHOWN)


def test_it_is_shown_once_for_a_reason(client_of, ida, profile):
    client = client_of(ida)

    asked = client.post(address(profile), WHY)
    first = client.get(asked.url)
    second = client.get(asked.url)

    assert asked.url == address(profile)
    assert holds(first)
    assert first["Cache-Control"] == "no-store"
    assert not holds(second)
    assert "What do you need it for?" in second.content.decode()


def test_without_asking_no_page_holds_it(client_of, ida, profile):
    client = client_of(ida)

    for page in (
        address(profile),
        profile.get_absolute_url(),
        reverse("profiles:list"),
    ):
        assert not holds(client.get(page))


def test_what_waits_for_approval_is_shown_too(client_of, ida, profile):
    other = BANK_DETAILS | {"iban": "SE4550000000058398257466"}
    BankVersionFactory(
        profile=profile, number=2, details=other, pending=True, submitted_by=ida
    )
    client = client_of(ida)

    page = client.get(client.post(address(profile), WHY).url)

    assert holds(page)
    assert holds(page, other["iban"])


def test_looking_ahead_uses_nothing_up(client_of, ida, profile):
    client = client_of(ida)
    client.post(address(profile), WHY)

    client.head(address(profile))

    assert holds(client.get(address(profile)))


def test_one_profile_opens_no_other(client_of, ida, nordvik, profile):
    other = BankProfileFactory(partner_account=nordvik, created_by=ida)
    client = client_of(ida)
    client.post(address(profile), WHY)

    assert not holds(client.get(address(other)))


def test_the_session_holds_no_number(client_of, ida, profile):
    client = client_of(ida)

    client.post(address(profile), WHY)

    assert NUMBER not in str(dict(client.session))


def test_it_is_remembered_with_its_reason(client_of, ida, nordvik, profile):
    client_of(ida).post(address(profile), WHY)

    (event,) = shown_events()
    assert (event.actor, event.partner_account) == (ida, nordvik)
    assert event.object_id == str(profile.pk)
    assert event.reason == WHY["reason"]
    assert NUMBER not in str([event.before, event.after, event.reason])


def test_the_admins_and_the_reader_are_told(client_of, ida, greta, alice, uma, profile):
    client_of(ida).post(address(profile), WHY)

    mails = OutgoingEmail.objects.filter(name="bank_number_shown")
    assert {mail.to_user for mail in mails} == {ida, greta, alice}
    for mail in mails:
        text = " ".join(mail.body_text.split())
        assert WHY["reason"] in text
        assert NUMBER not in mail.body_text + mail.body_html + mail.subject
        is_self = mail.to_user == ida
        assert ("You were shown" in text) is is_self
        assert ("Ida Lund was shown" in text) is not is_self


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("", "Say what you need it for."),
        ("why not", "at least 10 characters"),
        (f"For our bank, {NUMBER}", "Leave out the number"),
    ],
)
def test_a_reason_has_to_say_something_and_no_number(
    client_of, ida, profile, reason, words
):
    client = client_of(ida)

    response = client.post(address(profile), {"reason": reason})

    assert response.status_code == 422
    assert words in response.content.decode()
    assert not shown_events().exists()
    assert not holds(client.get(address(profile)))


def test_five_times_a_day(ida, profile):
    # Real time: the trail's clock is the database's.
    for _time in range(services.MOST_SHOWN_A_DAY):
        services.show_bank_number(profile, **WHY, by=ida)

    with pytest.raises(ValidationError, match="within a day"):
        services.show_bank_number(profile, **WHY, by=ida)

    with time_machine.travel(timedelta(days=1, minutes=1)):
        services.show_bank_number(profile, **WHY, by=ida)


def test_others_have_a_day_of_their_own(ida, nordvik, profile):
    for _time in range(services.MOST_SHOWN_A_DAY):
        services.show_bank_number(profile, **WHY, by=ida)

    colleague = RoleAssignmentFactory(partner_account=nordvik).user
    services.show_bank_number(profile, **WHY, by=colleague)


def test_without_the_count_there_would_be_no_end(ida, profile, monkeypatch):
    # The control.
    for _time in range(services.MOST_SHOWN_A_DAY):
        services.show_bank_number(profile, **WHY, by=ida)
    monkeypatch.setattr(numbers, "MOST_SHOWN_A_DAY", 99)

    services.show_bank_number(profile, **WHY, by=ida)


def test_where_the_trail_cannot_be_written_nothing_is_shown(
    client_of, ida, profile, monkeypatch
):
    client = client_of(ida)
    client.raise_request_exception = False

    def fails(*_rows, **_words):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1/0")

    monkeypatch.setattr(numbers, "record_audit_event", fails)

    assert client.post(address(profile), WHY).status_code >= 500
    assert not holds(client.get(address(profile)))
    assert not OutgoingEmail.objects.filter(name="bank_number_shown").exists()


def test_where_the_admins_cannot_be_told_nothing_is_shown(
    client_of, ida, profile, monkeypatch
):
    client = client_of(ida)
    client.raise_request_exception = False

    def fails(*_rows, **_words):
        raise RuntimeError

    monkeypatch.setattr(numbers.emails, "bank_number_shown", fails)

    assert client.post(address(profile), WHY).status_code >= 500
    assert not holds(client.get(address(profile)))
    assert not shown_events().exists()
