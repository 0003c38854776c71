"""Loading the demo: once, in demo mode, on any day of any year."""

import io
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.password_validation import validate_password
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import (
    OutgoingEmail,
    PartnerAccount,
    User,
)
from enrollment.management.commands.load_demo import PASSWORD
from enrollment.management.demo.clock import Clock
from enrollment.models import Enrollment, EnrollmentEvent, FiscalYear
from enrollment.tests.demo_states import STATES, states

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _in_demo_mode(settings):
    settings.DEMO = True


def load_demo(**options):
    output = io.StringIO()
    call_command("load_demo", stdout=output, **options)
    return output.getvalue()


def test_a_portal_with_companies_is_left_alone_if_asked(nordvik):
    load_demo(if_empty=True)

    assert PartnerAccount.objects.get() == nordvik


def test_the_demo_is_refused_where_people_are_real(settings):
    settings.DEMO = False

    with pytest.raises(CommandError, match="demo mode only"):
        load_demo()

    assert not User.objects.exists()


def test_nobody_is_listed_where_the_demo_is_not_loaded():
    assert "not here" in load_demo(people=True)


def test_what_a_service_refuses_is_said_and_nothing_is_loaded(monkeypatch):
    monkeypatch.setattr(
        "enrollment.management.demo.cast.rows",
        lambda name: [
            {
                "code": "july",
                "name": "July",
                "name_sv": "Juli",
                "time_zone": "Mars",
            }
        ],
    )

    with pytest.raises(CommandError, match="Europe/Stockholm"):
        load_demo()

    assert not FiscalYear.objects.exists()


@pytest.mark.parametrize(
    "moment",
    [
        "2027-07-01T00:02",
        pytest.param("2028-02-29T23:58", marks=pytest.mark.long),
    ],
)
def test_the_demo_tells_the_same_story_on_every_day(moment):
    with time_machine.travel(datetime.fromisoformat(moment).replace(tzinfo=UTC)):
        load_demo()

        now = timezone.now()
        years = FiscalYear.objects.containing(now.date())
        age = now.date() - max(years.values_list("starts_on", flat=True))
        expected = dict(STATES)
        if age < timedelta(days=1):
            # On the first day of a year no invitation can have lapsed.
            expected["HOST Cardiff"] = "invited"
        assert states() == expected
        if age >= timedelta(days=7):
            overdue = Enrollment.objects.overdue(now)
            assert [str(row.location.name) for row in overdue] == ["Stockholm"]
        assert not EnrollmentEvent.objects.filter(at__gt=now).exists()
        assert 20 <= OutgoingEmail.objects.filter(status="queued").count() <= 80


@pytest.mark.parametrize(
    "age", [timedelta(minutes=5), timedelta(days=9), timedelta(days=300)]
)
def test_early_in_a_year_the_story_is_drawn_together_in_its_order(age):
    now = datetime(2026, 7, 10, 12, tzinfo=UTC)
    clock = Clock(now=now, began_at=now - age)

    moments = [
        clock.moment(offset)
        for offset in ("-100d", "-75d", "-22d", "-20d", "-8d", "-20h", "-5h", "-0h")
    ]

    assert moments == sorted(set(moments))
    assert moments[0] >= min(clock.began_at, now - timedelta(days=100))
    assert moments[-1] == now


def test_an_offset_that_cannot_be_read_is_refused():
    clock = Clock(now=timezone.now(), began_at=timezone.now())

    with pytest.raises(ValueError, match="not an offset"):
        clock.moment("yesterday")


def test_the_demos_password_is_one_that_people_could_choose():
    validate_password(PASSWORD)
