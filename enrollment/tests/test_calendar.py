"""The calendar to subscribe to: what programs read of it, and who reads it how long."""

import datetime
import re
from hashlib import sha256

import icalendar
import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import (
    AuditEvent,
    Language,
    OutgoingEmail,
    RoleAssignment,
    User,
)
from accounts.services import revoke_role
from accounts.tests.factories import LocationFactory
from enrollment import services
from enrollment.coming import calendar_of
from enrollment.ics import DayEvent, calendar_text
from enrollment.models import CalendarFeed, Enrollment
from enrollment.tests.factories import (
    EnrollmentFactory,
    ProgramTermsFactory,
    enrolled,
)

NOON = datetime.datetime(2026, 11, 12, 12, tzinfo=datetime.UTC)


def address_of(person) -> str:
    """Where a calendar program of the person asks."""
    feed = services.make_calendar_feed(person, by=person)
    return reverse("enrollment:calendar_file", kwargs={"token": feed.token})


def events_in(text: str) -> dict[str, icalendar.Event]:
    """What the parser finds, by its title; it finds nothing wrong."""
    calendar = icalendar.Calendar.from_ical(text)
    assert calendar.errors == []
    events = calendar.walk("VEVENT")
    assert [error for event in events for error in event.errors] == []
    uids = [str(event["UID"]) for event in events]
    assert len(uids) == len(set(uids))
    return {str(event["SUMMARY"]): event for event in events}


def test_a_calendar_program_reads_the_days_that_home_shows_and_more(
    client_of, ida, accepted, time_machine
):
    time_machine.move_to(NOON, tick=False)
    Enrollment.objects.filter(pk=accepted.pk).update(
        enroll_by=datetime.date(2026, 12, 20)
    )
    enrolled(accepted.location, ProgramTermsFactory(), expires=NOON.date())
    address = address_of(ida)
    answer = Client().get(address)

    events = events_in(answer.content.decode())
    program = accepted.terms.program.name
    enroll = events[f"Enroll Göteborg in {program}"]
    assert enroll.start == datetime.date(2026, 12, 20)
    assert enroll.end == datetime.date(2026, 12, 21)
    earns = events[f"Last day for November's earnings: Göteborg in {program}"]
    assert earns.start == datetime.date(2026, 11, 28)
    assert events["Tax profile of Göteborg expires"].start == NOON.date()
    assert [one for one in events if one.startswith("Fiscal year 2027 ends")]
    home = client_of(ida).get("/").content.decode()
    assert f"Enroll Göteborg in {program}" in home
    assert reverse("enrollment:calendar") in home

    assert answer["Content-Type"] == "text/calendar; charset=utf-8"
    assert "private" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] == "no-referrer"
    again = Client().get(address, headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert Client().get(address).content == answer.content


def test_texts_of_any_letters_come_back_from_the_parser_as_they_were():
    title = "Göteborg; Malmö, \\ 東京\nBEGIN:VEVENT\r\nX:" + "å" * 90
    text = calendar_text(
        [DayEvent("one@here", NOON.date(), title, title * 3, "https://x.example/")],
        name="Ö" * 80,
        language="sv",
        made_at=NOON,
    )

    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    (event,) = events_in(text).values()
    assert str(event["SUMMARY"]) == title.replace("\r\n", "\n")
    assert str(event["DESCRIPTION"]) == (title * 3).replace("\r\n", "\n")


def test_many_locations_of_a_program_are_one_event_in_the_persons_language(
    ida, accepted, nordvik, time_machine
):
    time_machine.move_to(NOON, tick=False)
    RoleAssignment.objects.filter(user=ida).update(location=None, program=None)
    for number in range(25):
        place = LocationFactory(partner_account=nordvik, name=f"Ort {number:02}")
        EnrollmentFactory(
            location=place, terms=accepted.terms, enroll_by=accepted.enroll_by
        )
    User.objects.filter(pk=ida.pk).update(language=Language.SWEDISH)

    answer = Client().get(address_of(ida))

    events = events_in(answer.content.decode())
    program = accepted.terms.program.name
    together = events[f"Registrera 26 platser i {program}"]
    assert "och 6 till" in str(together["DESCRIPTION"])
    assert answer["Content-Language"] == "sv"


def test_a_new_address_ends_the_old_one_and_its_end_ends_it(client_of, ida, accepted):
    web = client_of(ida)
    page = reverse("enrollment:calendar")
    shown = []
    for _time in range(2):
        web.post(reverse("enrollment:new_calendar"))
        found = re.search(r"/calendar/[\w-]{43}\.ics", web.get(page).content.decode())
        shown.append(found[0])

    assert [Client().get(one).status_code for one in shown] == [404, 200]
    mails = OutgoingEmail.objects.filter(to_user=ida, name="calendar_address")
    first, second = mails.order_by("created_at")
    assert "The address from before no longer works" not in first.body_text
    assert "The address from before no longer works" in " ".join(
        second.body_text.split()
    )
    assert not any(one in mail.body_text for one in shown for mail in mails)
    web.post(reverse("enrollment:end_calendar"))
    assert Client().get(shown[1]).status_code == 404
    assert shown[1] not in web.get(page).content.decode()
    actions = AuditEvent.objects.filter(action__startswith="feed_").order_by("pk")
    assert [one.action for one in actions] == ["feed_made", "feed_made", "feed_ended"]
    # Nobody reads an address out of the database, nor out of the trail.
    token = shown[0].removeprefix("/calendar/").removesuffix(".ics")
    kept = str([*CalendarFeed.objects.values(), *actions.values()])
    assert token not in kept
    assert sha256(token.encode()).hexdigest() in kept


def test_a_calendar_ends_with_the_role_and_with_the_account(ida, greta, accepted):
    address = address_of(ida)
    User.objects.filter(pk=ida.pk).update(is_active=False)
    assert Client().get(address).status_code == 404
    User.objects.filter(pk=ida.pk).update(is_active=True)
    assert "SUMMARY" in Client().get(address).content.decode()

    revoke_role(RoleAssignment.objects.get(user=ida), by=greta)

    assert Client().get(address).status_code == 404
    assert calendar_of(ida, at=timezone.now()) is None


def test_nobody_makes_an_address_without_the_role_or_for_somebody_else(
    client_of, ida, uma, greta
):
    for person, by in ((uma, uma), (greta, greta), (ida, greta)):
        with pytest.raises(ValidationError):
            services.make_calendar_feed(person, by=by)
    web = client_of(uma)
    said = web.post(reverse("enrollment:new_calendar"), follow=True).content.decode()

    assert "Only an Incentives admin has dates to subscribe to." in said
    assert not CalendarFeed.objects.exists()


def test_addresses_are_not_guessed_at_nor_read_without_end(ida, accepted, settings):
    address = address_of(ida)
    limits = {"calendar_read": "2/h/key", "calendar_failed": "3/10m/ip"}
    settings.ACCOUNT_RATE_LIMITS = settings.ACCOUNT_RATE_LIMITS | limits
    wrong = reverse("enrollment:calendar_file", kwargs={"token": "x" * 43})

    assert [Client().get(wrong).status_code for _time in range(4)] == [404] * 3 + [429]
    assert [Client().get(address).status_code for _time in range(3)] == [200, 200, 429]
    # The control: nothing else stops them.
    without = dict.fromkeys(limits, "")
    settings.ACCOUNT_RATE_LIMITS = settings.ACCOUNT_RATE_LIMITS | without
    assert Client().get(wrong).status_code == 404
    assert Client().get(address).status_code == 200


def test_a_calendar_holds_nothing_of_what_others_see(sam, ida, accepted):
    mine, theirs = (calendar_of(one, at=timezone.now()) for one in (ida, sam))

    assert "Göteborg" in mine
    assert "Göteborg" not in theirs
