"""A program counts its days in its own calendar's zone, on every page (R66).

Half past eleven in the evening in UTC is tomorrow in Stockholm.
"""

import datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse

from accounts.models import OutgoingEmail
from accounts.tests.factories import IncentiveProgramFactory
from enrollment import services, tasks
from enrollment.models import Enrollment, FiscalCalendar, FiscalYear, RenewalPlan
from enrollment.tests.factories import (
    AgreementFactory,
    CriterionFactory,
    EnrollmentFactory,
    FiscalYearFactory,
    InvitationFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    RequirementFactory,
    enrolled,
)
from profiles.tests.factories import TaxProfileFactory

DAY = datetime.timedelta(days=1)
TODAY = datetime.date(2026, 11, 30)
HALF_PAST_ELEVEN = datetime.time(23, 30, tzinfo=datetime.UTC)


def late(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, HALF_PAST_ELEVEN)


@pytest.fixture(params=["UTC", "Europe/Stockholm"])
def zone(request, time_machine) -> str:
    """It is late on the last of November in UTC; the programs' days are this zone's."""
    time_machine.move_to(late(TODAY), tick=False)
    return request.param


@pytest.fixture
def is_tomorrow(zone, terms) -> bool:
    FiscalCalendar.objects.update(time_zone=zone)
    return zone != "UTC"


@pytest.fixture
def page_of(client_of, ida):
    def read(name, **key) -> str:
        answer = client_of(ida).get(reverse(f"enrollment:{name}", kwargs=key or None))
        return " ".join(answer.content.decode().split())

    return read


@pytest.fixture
def home(client_of, ida):
    return lambda: client_of(ida).get(reverse("home"))


def test_calendars_are_grouped_by_the_day_it_is_there(is_tomorrow):
    calendar = FiscalCalendar.objects.get()

    days = FiscalCalendar.objects.by_day(late(TODAY))

    assert days == {TODAY + DAY if is_tomorrow else TODAY: [calendar.pk]}


def test_the_last_day_is_over_at_midnight_in_the_calendar(
    is_tomorrow, goteborg, terms, ida, home
):
    enrollment = EnrollmentFactory(location=goteborg, terms=terms, enroll_by=TODAY)
    dates = [one.day for one in home().context["dates"]]
    lapsed = services.lapse_invitations(at=late(TODAY))

    assert (TODAY in dates) is not is_tomorrow
    enrollment.refresh_from_db()
    assert enrollment.is_invited is not is_tomorrow
    assert lapsed == is_tomorrow


def test_a_month_that_has_begun_there_is_the_one_that_earns(
    is_tomorrow, goteborg, terms, ida, home, page_of
):
    enrollment = EnrollmentFactory(location=goteborg, terms=terms)
    InvitationFactory(enrollment=enrollment, user=ida)
    month = datetime.date(2026, 12 if is_tomorrow else 11, 1)

    ((_message, row, _ready),) = home().context["messages_to_open"]

    assert row.standing.clock.earns_from == month
    assert f"from 1 {month:%B}" in page_of("detail", pk=enrollment.pk)
    assert f"from 1 {month:%b}" in page_of("overview")


def test_the_invitation_names_the_same_month(is_tomorrow, goteborg, terms, ida):
    services.invite_locations(terms, by=None)

    month = "December" if is_tomorrow else "November"
    assert f"1 {month} 2026" in OutgoingEmail.objects.get().body_text


def test_a_tax_profile_expires_at_midnight_in_the_calendar(
    is_tomorrow, accepted, default_bank, goteborg, home, page_of
):
    TaxProfileFactory(location=goteborg, version__expires_on=TODAY)
    said = "The tax profile has expired"

    pages = [
        page_of("detail", pk=accepted.pk),
        page_of("overview"),
        home().content.decode(),
    ]

    assert [said in page for page in pages] == [is_tomorrow] * 3


def test_a_value_is_too_old_at_midnight_in_the_calendar(
    is_tomorrow, goteborg, terms, page_of
):
    criterion = CriterionFactory(max_age_days=1)
    RequirementFactory(terms=terms, criterion=criterion, at_least=1)
    MeasuredValueFactory(
        location=goteborg, criterion=criterion, value=1, measured_on=TODAY - DAY
    )
    key = f"{terms.pk}-{goteborg.pk}"

    assert ("Not known" in page_of("why", pk=key)) is is_tomorrow
    assert ("1 of 2 requirements met" in page_of("overview")) is is_tomorrow


def test_a_year_begins_at_midnight_in_the_calendar(
    time_machine, zone, goteborg, ida, nordvik, page_of
):
    time_machine.move_to(late(datetime.date(2027, 6, 30)), tick=False)
    old, new = (
        ProgramTermsFactory(
            program=IncentiveProgramFactory(name=f"Program of {number}"),
            fiscal_year=FiscalYearFactory(number=number),
        )
        for number in (2027, 2028)
    )
    FiscalCalendar.objects.update(time_zone=zone)
    assert FiscalYear.objects.count() == 2

    page = page_of("overview")

    assert (old.program.name in page) is (zone == "UTC")
    assert (new.program.name in page) is (zone != "UTC")


# --- Another fiscal year ---------------------------------------------------------------

STOCKHOLM = ZoneInfo("Europe/Stockholm")


def test_where_it_is_one_day_in_all_calendars_a_row_is_not_asked_for_its_own():
    here, there = {TODAY: [1, 2]}, {TODAY: [1], TODAY + DAY: [2]}

    asked = [str(Enrollment.objects.unanswered(days).query) for days in (here, there)]

    assert ["calendar_id" in one for one in asked] == [False, True]


FIRST_MOMENT = datetime.datetime(2027, 1, 1, tzinfo=STOCKHOLM)
MICROSECOND = datetime.timedelta(microseconds=1)


@pytest.fixture
def two_calendars(nordvik, goteborg, ida, time_machine):
    """A program of calendar years in Stockholm, one of them withdrawn, one of July."""
    time_machine.move_to(FIRST_MOMENT - 7 * DAY, tick=False)
    AgreementFactory(partner_account=nordvik)
    of_calendar = {
        "calendar__code": "calendar-year",
        "calendar__name": "Calendar year",
        "calendar__time_zone": "Europe/Stockholm",
    }
    ending, into = (
        FiscalYearFactory(
            number=number,
            starts_on=datetime.date(number, 1, 1),
            ends_on=datetime.date(number, 12, 31),
            **of_calendar,
        )
        for number in (2026, 2027)
    )

    def enrolled_in(name: str, *years: FiscalYear, **facts):
        program = IncentiveProgramFactory(name=name)
        first, *_following = (
            ProgramTermsFactory(program=program, fiscal_year=year) for year in years
        )
        return enrolled(goteborg, first, **facts)

    return SimpleNamespace(
        into=into,
        goes_on=enrolled_in("Hosting", ending, into),
        last_day=enrolled_in("Devices", ending, into, expires=ending.ends_on),
        withdrawn=enrolled_in("Backup", ending, into),
        of_july=enrolled_in(
            "July", *(FiscalYearFactory(number=n) for n in (2027, 2028))
        ),
    )


def test_a_calendar_year_ends_by_its_own_midnight_and_leaves_july_alone(
    two_calendars, time_machine, mina, lucia, page_of
):
    world = two_calendars
    services.discontinue_program(world.withdrawn.terms.program, by=mina)
    page = page_of("overview")
    assert "Continues automatically on 1 January" in page
    assert "At risk: tax form expires 31 December" in page
    tasks.tell_of_year_ends()
    tasks.prepare_year_ends()
    told = OutgoingEmail.objects.get(name="renewal_forecast").body_text
    assert "The fiscal year ends on 31 December 2026." in " ".join(told.split())
    assert ("Devices" in told, "Hosting" in told, "July" in told) == (
        True,
        False,
        False,
    )

    # The clock asked for its rehearsal, and for no other year's.
    tasks.rehearse_renewals()
    plan = RenewalPlan.objects.get()
    assert (plan.into, plan.outcomes) == (
        world.into,
        {"at_risk": 1, "enrolled": 1, "program_ended": 1},
    )
    services.propose_renewals(plan, by=mina)
    services.approve_renewals(plan, digest=plan.digest, by=lucia)
    time_machine.move_to(FIRST_MOMENT - MICROSECOND, tick=False)
    tasks.renew_enrollments()
    assert "Continues automatically on 1 January" in page_of("overview")
    assert not Enrollment.objects.filter(status="expired").exists()

    time_machine.move_to(FIRST_MOMENT, tick=False)
    tasks.renew_enrollments()
    tasks.tell_of_year_ends()

    became = {
        one: (one.status, [new.status for new in one.renewals.all()])
        for one in Enrollment.objects.filter(renewed_from=None)
    }
    assert became == {
        world.goes_on: ("expired", ["enrolled"]),
        world.last_day: ("expired", ["action_required"]),
        world.withdrawn: ("expired", []),
        world.of_july: ("enrolled", []),
    }
    new = Enrollment.objects.get(renewed_from=world.goes_on)
    assert new.earns_from == datetime.date(2027, 1, 1)
    assert Enrollment.objects.get(pk=world.withdrawn.pk).end_reason == "program_ended"
    (summary,) = OutgoingEmail.objects.filter(name="renewal_done")
    assert summary.subject == "Renewed for fiscal year 2027"
