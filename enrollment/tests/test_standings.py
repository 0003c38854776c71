"""Where enrollments stand from day to day, and who is told of it."""

import datetime

import pytest
import time_machine
from django.core.management import call_command
from django.utils import timezone

from accounts.models import AuditEvent, OutgoingEmail
from accounts.tests.factories import RoleAssignmentFactory
from accounts.tests.shared_rows import shared
from enrollment import services, tasks
from enrollment.history import history_of
from enrollment.models import (
    Criterion,
    Enrollment,
    MeasuredValue,
    ProgramTerms,
    StandingNotice,
)
from enrollment.services import standings
from enrollment.tests.factories import (
    AgreementFactory,
    CriterionFactory,
    EnrollmentFactory,
    MeasuredValueFactory,
    RequirementFactory,
    enrolled,
)

pytestmark = pytest.mark.django_db

DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)


@shared
def revenue(terms):
    """The cast's program asks for 25 000 of revenue."""
    criterion = CriterionFactory(code="revenue", name_en="Revenue")
    RequirementFactory(terms=terms, criterion=criterion)
    return criterion


@shared
def ida_of_both(ida, malmo):
    RoleAssignmentFactory(
        user=ida, partner_account=malmo.partner_account, location=malmo
    )
    return ida


def status_of(enrollment) -> str:
    return Enrollment.objects.get(pk=enrollment.pk).status


def told(person) -> list[str]:
    mails = OutgoingEmail.objects.filter(to_user=person).order_by("created_at", "pk")
    return list(mails.values_list("name", flat=True))


def tell(after=2 * HOUR) -> None:
    turns = 0
    while services.tell_next_of_standings(at=timezone.now() + after) is not None:
        turns += 1
        assert turns < 5, OutgoingEmail.objects.values_list("name", "dedupe_key")


# --- What a day turns ----------------------------------------------------------------


def test_an_agreement_that_ended_by_itself_ends_enrollments_on_its_day(
    terms, goteborg, nordvik
):
    agreement = nordvik.agreements.get()
    agreement.ends_on = terms.today()
    agreement.save()
    enrollment = enrolled(goteborg, terms)

    tasks.follow_requirements()
    assert status_of(enrollment) == "enrolled"

    with time_machine.travel(timezone.now() + DAY, tick=False):
        tasks.follow_requirements()
        assert status_of(enrollment) == "ineligible"
        said = history_of(enrollment, sees_progress=True)["steps"][0]
        assert said.why == "The company has no active partner agreement."
        # Twice is once, and a day is asked once.
        tasks.follow_requirements()
        assert enrollment.events.filter(code="eligibility_lost").count() == 1
        assert terms not in services.terms_to_sweep(at=timezone.now())

        AgreementFactory(partner_account=nordvik, starts_on=terms.today() + DAY)
    with time_machine.travel(timezone.now() + 2 * DAY, tick=False):
        tasks.follow_requirements()
        assert status_of(enrollment) == "enrolled"


def test_an_agreement_ends_and_begins_again_at_once(terms, goteborg, nordvik, mina):
    enrollment = enrolled(goteborg, terms)
    today = terms.today()

    services.end_agreement(nordvik.agreements.get(), on=today, by=mina)
    assert status_of(enrollment) == "ineligible"
    assert enrollment.events.latest("pk").by == mina

    services.record_agreement(nordvik, starts_on=today, by=mina)
    assert status_of(enrollment) == "enrolled"


def test_a_value_that_grew_too_old_ends_nothing_and_brings_nothing_back(
    terms, goteborg, malmo, revenue
):
    Criterion.objects.filter(pk=revenue.pk).update(max_age_days=30)
    for place, value in ((goteborg, 30000), (malmo, 10)):
        MeasuredValueFactory(
            location=place, criterion=revenue, value=value, measured_on=terms.today()
        )
    one, other = enrolled(goteborg, terms), enrolled(malmo, terms)
    tasks.follow_requirements()
    assert [status_of(one), status_of(other)] == ["enrolled", "ineligible"]

    with time_machine.travel(timezone.now() + 31 * DAY, tick=False):
        tasks.follow_requirements()

    assert [status_of(one), status_of(other)] == ["enrolled", "ineligible"]


def test_how_long_a_value_is_good_for_is_followed_when_it_changes(
    terms, goteborg, revenue, mina
):
    Criterion.objects.filter(pk=revenue.pk).update(max_age_days=5)
    MeasuredValueFactory(
        location=goteborg,
        criterion=revenue,
        value=10,
        measured_on=terms.today() - 9 * DAY,
    )
    enrollment = enrolled(goteborg, terms)
    tasks.follow_requirements()
    assert status_of(enrollment) == "enrolled"

    values = {
        name: getattr(revenue, name)
        for name in ("kind", "unit", "name_en", "name_sv")
        + ("how_to_fix_en", "how_to_fix_sv")
    }
    services.change_criterion(revenue, **values, max_age_days=30, by=mina)
    tasks.follow_requirements()

    assert status_of(enrollment) == "ineligible"


@pytest.mark.parametrize("status", ["invited", "declined", "action_required"])
def test_whatever_is_open_goes_and_comes_back_to_where_it_was(
    terms, goteborg, revenue, status
):
    value = MeasuredValueFactory(location=goteborg, criterion=revenue, value=10)
    enrollment = EnrollmentFactory(location=goteborg, terms=terms, status=status)
    tasks.follow_requirements()
    assert status_of(enrollment) == "ineligible"
    assert enrollment.events.latest("pk").note == "revenue=10.00/25000.00"

    MeasuredValue.objects.filter(pk=value.pk).update(value=30000)
    ProgramTerms.objects.update(standing_on=None)
    tasks.follow_requirements()

    assert status_of(enrollment) == status


def test_a_sweep_that_is_killed_is_gone_on_with(
    terms, goteborg, malmo, revenue, monkeypatch
):
    monkeypatch.setattr(standings, "ENROLLMENTS_AT_ONCE", 1)
    for place in (goteborg, malmo):
        MeasuredValueFactory(location=place, criterion=revenue, value=10)
        enrolled(place, terms)
    now = timezone.now()

    assert services.follow_requirements(terms, at=now) == 1
    assert terms in services.terms_to_sweep(at=now)
    tasks.follow_requirements()

    assert not Enrollment.objects.exclude(status="ineligible").exists()
    assert terms not in services.terms_to_sweep(at=now)


def test_what_is_asked_anew_while_a_sweep_ends_is_not_forgotten(terms):
    now = timezone.now()
    services.finish_sweep(terms, at=now)
    read = ProgramTerms.objects.get(pk=terms.pk)
    ProgramTerms.objects.update(standing_on=None)

    services.finish_sweep(read, at=now)

    assert terms in services.terms_to_sweep(at=now)


def test_a_year_that_is_over_is_left_to_the_year_end(terms, goteborg, revenue):
    MeasuredValueFactory(location=goteborg, criterion=revenue, value=10)
    enrollment = enrolled(goteborg, terms)

    with time_machine.travel(
        datetime.datetime.combine(
            terms.fiscal_year.ends_on + 2 * DAY, datetime.time(12), datetime.UTC
        )
    ):
        tasks.follow_requirements()

    assert status_of(enrollment) == "enrolled"


@pytest.mark.long
def test_the_demo_stands_where_its_requirements_put_it(db):
    call_command("load_demo")
    before = dict(Enrollment.objects.values_list("pk", "status"))

    tasks.follow_requirements()

    after = dict(Enrollment.objects.values_list("pk", "status"))
    assert after == before


# --- A program that is withdrawn ---------------------------------------------------------


def test_nothing_of_a_discontinued_program_stays_open(
    terms, goteborg, malmo, revenue, mina, monkeypatch
):
    monkeypatch.setattr(standings, "ENROLLMENTS_AT_ONCE", 1)
    monkeypatch.setattr(standings, "AT_ONCE", 1)
    MeasuredValueFactory(location=malmo, criterion=revenue, value=10)
    for place in (goteborg, malmo):
        enrolled(place, terms)
    tasks.follow_requirements()
    assert set(Enrollment.objects.values_list("status", flat=True)) == {
        "enrolled",
        "ineligible",
    }

    assert services.discontinue_program(terms.program, by=mina) == 2
    assert Enrollment.objects.filter(status="discontinued").count() == 1
    tasks.end_discontinued()

    ended = Enrollment.objects.values_list("status", "end_reason")
    assert set(ended) == {("discontinued", "program_ended")}
    assert AuditEvent.objects.filter(action="program_discontinued").count() == 1


# --- Who is told ---------------------------------------------------------------------------


def test_each_person_is_told_once_of_all_they_lost_and_once_when_it_is_back(
    terms, goteborg, malmo, revenue, ida_of_both, uma
):
    for place in (goteborg, malmo):
        MeasuredValueFactory(location=place, criterion=revenue, value=10)
        enrolled(place, terms)
    tasks.follow_requirements()

    tell(after=HOUR / 2)
    assert told(ida_of_both) == []
    tell()
    tell()
    assert told(ida_of_both) == ["eligibility_lost"]
    assert told(uma) == []
    mail = OutgoingEmail.objects.get(to_user=ida_of_both)
    for place in (goteborg, malmo):
        row = f"{place.name} (PartnerID {place.partner_id}), {terms.program.name}"
        assert f"{row}: Revenue: 10 of 25" in " ".join(mail.body_text.split())

    MeasuredValue.objects.update(value=30000)
    ProgramTerms.objects.update(standing_on=None)
    tasks.follow_requirements()
    tell()
    tell()
    assert told(ida_of_both) == ["eligibility_lost", "eligibility_regained"]
    assert not StandingNotice.objects.filter(is_over=False).exists()


def test_what_came_back_within_the_hour_is_told_to_nobody(
    terms, goteborg, nordvik, mina, ida
):
    enrolled(goteborg, terms)
    services.end_agreement(nordvik.agreements.get(), on=terms.today(), by=mina)
    services.record_agreement(nordvik, starts_on=terms.today(), by=mina)

    tell()

    assert told(ida) == []


def test_who_declined_is_told_nothing_and_old_losses_are_no_news(
    terms, goteborg, malmo, revenue, ida_of_both
):
    for place in (goteborg, malmo):
        MeasuredValueFactory(location=place, criterion=revenue, value=10)
    EnrollmentFactory(location=goteborg, terms=terms, status="declined")
    enrolled(malmo, terms)
    tasks.follow_requirements()

    tell(after=4 * DAY)
    assert told(ida_of_both) == []
    tell()

    mail = OutgoingEmail.objects.get(to_user=ida_of_both)
    assert mail.subject == f"Not eligible any more: {terms.program.name}, {malmo.name}"


def test_of_a_discontinued_program_each_person_reads_once(
    terms, goteborg, malmo, ida_of_both, mina
):
    for place in (goteborg, malmo):
        enrolled(place, terms)

    services.discontinue_program(terms.program, by=mina)
    tell(after=DAY / 24)
    tell()

    assert told(ida_of_both) == ["program_discontinued"]
    mail = OutgoingEmail.objects.get(to_user=ida_of_both)
    assert mail.subject == f"{terms.program.name} is discontinued"
    assert "These 2 enrollments ended with it" in " ".join(mail.body_text.split())


def test_who_began_and_did_not_submit_in_time_is_told_once(
    terms, goteborg, malmo, ida_of_both
):
    over = {"terms": terms, "enroll_by": terms.today() - DAY}
    begun = EnrollmentFactory(
        location=goteborg, status="action_required", accepted=True, **over
    )
    EnrollmentFactory(location=malmo, **over)
    services.lapse_invitations(at=timezone.now())

    tell(after=HOUR)
    tell()

    assert told(ida_of_both) == ["enrollment_lapsed"]
    mail = OutgoingEmail.objects.get(to_user=ida_of_both)
    said = " ".join(mail.body_text.split())
    assert mail.subject == f"Enrollment ended: {terms.program.name}, Göteborg"
    row = f"Göteborg (PartnerID {goteborg.partner_id}), {terms.program.name}"
    assert f"{row}: the last day was" in said
    assert "Malmö" not in said
    assert mail.about_url.endswith(begun.get_absolute_url())
    # More time is told of otherwise.
    Enrollment.objects.filter(pk=begun.pk).update(status="invited", end_reason="")
    tell()
    assert told(ida_of_both) == ["enrollment_lapsed"]
