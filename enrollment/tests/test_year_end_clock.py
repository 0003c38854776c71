"""The clock before and after the year end: rehearsals by itself, reminders, Today."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.urls import reverse

from accounts.models import OutgoingEmail
from accounts.tests.factories import UserFactory
from accounts.tests.shared_rows import shared
from enrollment import services, tasks
from enrollment.models import Enrollment, RenewalPlan, SetAside
from enrollment.tests.test_renewal import World, made
from enrollment.tests.test_renewal_pages import run, said

pytestmark = [pytest.mark.django_db, pytest.mark.own_rows]

FIRST = datetime(2027, 7, 1, 9, tzinfo=UTC)


@pytest.fixture
def clock():
    with time_machine.travel(FIRST - timedelta(days=40), tick=False) as traveller:
        yield traveller


def operator(name: str, group: str):
    user = UserFactory(full_name=name, operator=True)
    user.groups.set([Group.objects.get(name=group)])
    return user


@shared
def mina(db):
    return operator("Mina Okafor", "Program manager")


@shared
def aino(db):
    return operator("Aino Virtanen", "Approver")


@pytest.fixture
def year(clock, mina, aino):
    operator("Ruth Reader", "Reader")
    return made(World())[1]


def tick(clock, days: int) -> None:
    """Let the clock come on a day before (or after) the first, twice."""
    clock.move_to(FIRST - timedelta(days=days))
    for _again in range(2):
        tasks.prepare_year_ends()
        tasks.rehearse_renewals()


def told() -> list[OutgoingEmail]:
    """The mails since the last look, by who is told."""
    mails = OutgoingEmail.objects.filter(sent_at=None).order_by("to_user__full_name")
    found = list(mails)
    mails.update(sent_at=FIRST, status="sent")
    return found


def test_the_clock_rehearses_weekly_then_daily_and_reminds(clock, year, mina, aino):
    rehearsed, reminded = [], []
    for days in (40, 28, 25, 21, 20, 8, 7, 6, 1, 0, -1):
        tick(clock, days)
        rehearsed.append(RenewalPlan.objects.count())
        if told():
            reminded.append(days)

    # Nobody was there on day 14, so day 8 makes up for it.
    assert reminded == [21, 8, 7, 1, 0, -1]
    assert rehearsed == [0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8]
    assert all(plan.rehearsed_by is None for plan in RenewalPlan.objects.all())


def test_operators_are_told_what_is_missing_in_their_language(clock, year, mina, aino):
    aino.language = "sv"
    aino.save()
    tick(clock, 7)

    assert [(mail.to_user, mail.subject) for mail in told()] == [
        (aino, "Årsskifte 2028: ingen plan är godkänd"),
        (mina, "Year end 2028: no plan is approved"),
    ]
    plan = RenewalPlan.objects.get()
    services.propose_renewals(plan, by=mina)
    # What waits for approval is not taken away by another rehearsal.
    tick(clock, 3)
    _, mail = told()
    assert "begins in 3 days, on 1 July 2027" in mail.body_text
    assert "Rehearsal 1 with 1 enrollment waits for the approval" in mail.body_text
    assert plan.get_absolute_url() in mail.body_text
    assert RenewalPlan.objects.count() == 1

    services.approve_renewals(plan, digest=plan.digest, by=aino)
    tick(clock, 1)
    assert told() == []


def test_today_says_what_the_year_end_waits_for(clock, year, mina, aino, client_of):
    assert "Queues are empty" in today(mina, client_of)

    tick(clock, 7)
    assert "Year ends without an approved plan 1" in today(mina, client_of)
    plan = services.propose_renewals(RenewalPlan.objects.get(), by=mina)
    assert "Year-end plans waiting for approval 1" in today(aino, client_of)
    services.approve_renewals(plan, digest=plan.digest, by=aino)
    assert "Queues are empty" in today(mina, client_of)

    made(World())
    clock.move_to(FIRST)
    services.start_renewals(plan, by=None)
    assert "left in the year end that runs 1" in today(mina, client_of)
    run(plan)
    assert "Enrollments set aside at the year end 1" in today(mina, client_of)
    reader = operator("Rea Reader", "Reader")
    assert "year end" not in today(reader, client_of).lower()


def today(person, client_of) -> str:
    return said(client_of(person).get(reverse("ops:today")))


def test_what_was_set_aside_is_reminded_of_until_it_is_decided(clock, year, mina, aino):
    plan = services.rehearse_renewals(year, by=None)
    services.propose_renewals(plan, by=mina)
    services.approve_renewals(plan, digest=plan.digest, by=aino)
    Enrollment.objects.update(status="validating")
    clock.move_to(FIRST)
    services.start_renewals(plan, by=None)
    run(plan)

    days = [days for days in range(15) if tick(clock, -days) or told()]

    assert days == [0, 1, 3, 7, 14]
    tick(clock, -21)
    _, mail = told()
    assert "1 enrollment aside" in mail.body_text
    aside = SetAside.objects.get()
    services.decide_set_aside(aside, apply=True, reason="Checked.", by=mina)
    tick(clock, -28)
    assert told() == []


def test_what_was_told_of_a_year_is_told_again_once_its_run_was_undone(
    clock, year, mina, aino
):
    tick(clock, 0)
    assert told()
    plan = services.propose_renewals(RenewalPlan.objects.get(), by=mina)
    services.approve_renewals(plan, digest=plan.digest, by=aino)
    services.start_renewals(plan, by=None)
    run(plan)
    services.ask_to_undo(plan, reason="Too early.", by=mina)
    services.approve_undoing(plan, by=aino)
    tasks.undo_renewals()

    tick(clock, 0)

    assert [mail.to_user for mail in told()] == [aino, mina]
