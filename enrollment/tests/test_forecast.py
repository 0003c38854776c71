"""What partners read of the next year months before it begins, and afterwards."""

import datetime
import html
import re
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from accounts.tests.factories import (
    LocationFactory,
    RoleAssignmentFactory,
)
from enrollment import services
from enrollment.changes import Use, amount, changes_between
from enrollment.forecast import ADMIN, KINDS, forecasts_of
from enrollment.models import (
    Agreement,
    Enrollment,
    FiscalCalendar,
    ProgramTerms,
    RenewalPlan,
)
from enrollment.states import Outcome
from enrollment.tests.factories import (
    CriterionFactory,
    EarningTypeFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    RequirementFactory,
    enrolled,
)
from profiles.services import revise_tax_profile
from profiles.tests.factories import (
    TAX_DETAILS,
    as_if_sent,
)

pytestmark = pytest.mark.django_db

TODAY = datetime.datetime(2027, 5, 20, 12, tzinfo=datetime.UTC)
IN_NEW_YEAR = datetime.datetime(2027, 7, 2, 12, tzinfo=datetime.UTC)


def text(response) -> str:
    """What a reader sees of a page: its main part without tags."""
    body = response.content.decode()
    main = re.search(r"<main\b.*?</main>", body, re.DOTALL).group()
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def forecast(enrollment, reader=ADMIN):
    enrollment = Enrollment.objects.for_pages().get(pk=enrollment.pk)
    years = FiscalCalendar.objects.days_at(timezone.now()).coming
    return forecasts_of([enrollment], years=years, reader=lambda one: reader).get(
        enrollment.pk
    )


def test_every_outcome_has_its_kind():
    assert set(KINDS) == set(Outcome)


# --- Pages -------------------------------------------------------------------


def test_home_overview_and_the_enrollment_say_what_the_next_year_brings(
    two_years, client_of, ida
):
    client = client_of(ida)
    renew = reverse(
        "profiles:change_tax",
        kwargs={"pk": two_years.expiring.payout_assignments.get().tax_profile_id},
    )
    risk = "At risk: tax form expires 31 May"

    home = client.get(reverse("home"))
    assert f"Malmö · {risk}" in text(home)
    assert "1 enrollment continues automatically on 1 July 2027." in text(home)
    assert f'href="{renew}"' in home.content.decode()
    assert "Nothing needs you" not in text(home)

    overview = client.get(reverse("enrollment:overview"))
    assert "Continues automatically on 1 July" in text(overview)
    assert f"Enrolled, needs attention Earns from 1 May · until 30 Jun {risk}" in (
        text(overview)
    )
    assert f'href="{renew}"' in overview.content.decode()

    page = client.get(two_years.expiring.get_absolute_url())
    assert risk in text(page)
    assert "nothing is earned until it is mended" in text(page)
    assert f'href="{renew}"' in page.content.decode()
    assert "Continues automatically on 1 July" in text(
        client.get(two_years.safe.get_absolute_url())
    )


def test_a_risk_is_gone_the_moment_it_is_cleared(two_years, client_of, ida):
    profile = two_years.expiring.payout_assignments.get().tax_profile
    revise_tax_profile(
        profile,
        country="SE",
        details=TAX_DETAILS,
        expires_on=datetime.date(2029, 12, 31),
        by=ida,
    )

    page = text(client_of(ida).get(reverse("home")))

    assert "At risk" not in page
    said = forecast(two_years.expiring)
    assert said.headline == "Continues on 1 July; validation goes on"


def test_pages_say_it_in_swedish(two_years, client_of, ida):
    ida.language = "sv"
    ida.save()
    with translation.override("sv"):
        said = forecast(two_years.expiring)
    assert "31 maj" in said.headline


@pytest.mark.parametrize(
    ("moment", "is_said"),
    [
        ("2026-12-31 23:59", False),
        ("2027-01-01 00:00", True),
        ("2027-06-30 23:59", True),
        ("2027-07-01 00:00", False),
    ],
)
def test_it_is_said_from_six_months_before_to_the_last_day(
    two_years, time_machine, moment, is_said
):
    time_machine.move_to(
        datetime.datetime.fromisoformat(moment).replace(tzinfo=datetime.UTC), tick=False
    )
    assert (forecast(two_years.safe) is not None) == is_said


def test_until_next_years_terms_are_written_nothing_is_foretold(
    two_years, client_of, ida
):
    two_years.next_terms.earning_types.all().delete()
    ProgramTerms.objects.filter(pk=two_years.next_terms.pk).delete()

    assert forecast(two_years.safe) is None
    page = text(client_of(ida).get(two_years.safe.get_absolute_url()))
    assert "Fiscal year 2028" not in page
    assert "It continues into the next fiscal year by itself" in page


@pytest.mark.parametrize(
    ("day", "is_approved", "is_said"),
    [
        ("2027-05-31", False, False),
        ("2027-06-01", False, True),
        ("2027-05-31", True, True),
    ],
)
def test_a_program_without_terms_is_said_to_end_from_thirty_days_before(
    two_years, time_machine, mina, lucia, day, is_approved, is_said
):
    two_years.next_terms.earning_types.all().delete()
    ProgramTerms.objects.filter(pk=two_years.next_terms.pk).delete()
    time_machine.move_to(
        datetime.datetime.fromisoformat(f"{day} 12:00").replace(tzinfo=datetime.UTC)
    )
    if is_approved:
        services.rehearse_renewals(two_years.into, by=mina)
        plan = services.propose_renewals(RenewalPlan.objects.get(), by=mina)
        services.approve_renewals(plan, digest=plan.digest, by=lucia)

    said = forecast(two_years.safe)

    assert (said is not None) is is_said
    if is_said:
        assert said.headline == (
            "Will end: the program has no terms yet for the time after 30 June"
        )
        assert "help@owner.example" in said.remedy.sentence


def test_whoever_may_not_mend_it_reads_who_can_and_no_bank_or_tax_detail(
    two_years, client_of, uma, nordvik, malmo
):
    # R12, R42
    RoleAssignmentFactory(
        user=uma, role="incentives_user", partner_account=nordvik, location=malmo
    )
    client = client_of(uma)
    for address in (
        reverse("enrollment:overview"),
        two_years.expiring.get_absolute_url(),
    ):
        page = client.get(address)
        assert "At risk: bank or tax details lack something" in text(page)
        assert "31 May" not in text(page)
        assert "/profiles/tax/" not in page.content.decode()
    assert "Your Incentives admin can mend it." in text(page)
    assert "Ida Lund" in text(page)


def test_the_veil_holds_for_what_is_not_in_force(two_years, client_of, uma, goteborg):
    # R42
    Enrollment.objects.filter(pk=two_years.safe.pk).update(status="action_required")
    page = text(client_of(uma).get(reverse("enrollment:overview")))
    assert "Enrolling" in page
    assert "1 July" not in page


# --- Each kind in words ------------------------------------------------------


def test_an_agreement_that_ends_is_named_with_its_day_and_who_can_renew_it(two_years):
    Agreement.objects.update(ends_on=datetime.date(2027, 6, 15))

    said = forecast(two_years.safe)

    assert said.headline == "Will end: the agreement of Nordvik IT AB ends 15 June"
    assert said.remedy.sentence.endswith("write to help@owner.example.")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (None, "Nordvik IT AB has no partner agreement"),
        (
            {"terminated_on": datetime.date(2027, 5, 1)},
            "the agreement of Nordvik IT AB was terminated 1 May",
        ),
        (
            {"terminated_on": datetime.date(2027, 6, 1)},
            "the agreement of Nordvik IT AB is terminated 1 June",
        ),
        (
            {"ends_on": datetime.date(2027, 5, 1)},
            "the agreement of Nordvik IT AB ended 1 May",
        ),
    ],
)
def test_why_the_agreement_is_not_active(two_years, facts, words):
    if facts is None:
        Agreement.objects.all().delete()
    else:
        Agreement.objects.update(**facts)
    assert forecast(two_years.safe).headline == f"Will end: {words}"


def test_an_unmet_requirement_is_named_with_its_numbers_and_its_page(
    two_years, client_of, ida, goteborg
):
    criterion = CriterionFactory(name_en="Revenue", unit="USD")
    MeasuredValueFactory(
        location=goteborg,
        criterion=criterion,
        value=21340,
        measured_on=datetime.date(2027, 5, 1),
    )
    RequirementFactory(terms=two_years.next_terms, criterion=criterion, at_least=25000)

    said = forecast(two_years.safe)

    assert said.headline == (
        "Will end: “Revenue” has to be 25,000 USD, and is 21,340 USD"
    )
    page = client_of(ida).get(said.remedy.url)
    assert page.status_code == 200
    assert "21,340 USD" in text(page)
    # What nobody measured is not foretold to end: it will not.
    assert forecast(two_years.expiring).outcome == Outcome.AT_RISK


def test_what_new_terms_do_not_accept_is_named(two_years):
    next_terms = two_years.next_terms
    next_terms.currencies, next_terms.pays_local_currency = ["EUR"], False
    next_terms.required_tax_details = ["vat"]
    next_terms.bank_countries_refused = ["SE"]
    next_terms.save()
    as_if_sent(
        two_years.safe.payout_assignments.get().tax_profile.versions.all(), provided=[]
    )

    said = forecast(two_years.safe)

    assert {risk.phrase for risk in said.risks} >= {
        "the program does not pay to banks in Sweden any more",
    }
    assert said.headline.startswith("At risk: ")
    assert said.remedy.page == "profiles:change_bank"


def test_a_closed_location_and_a_country_left_out_are_said(two_years):
    two_years.next_terms.countries = ["DE"]
    two_years.next_terms.save()
    assert forecast(two_years.safe).headline == (
        "Will end: the program is not offered in Sweden any more"
    )


# --- What the terms change ---------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [(1, "people", "1 person"), ("2.5", "points", "2.50 points"), (40, "%", "40%")],
)
def test_an_amount_is_said_with_its_unit(value, unit, words):
    assert amount(Decimal(value), unit) == words


def test_what_changed_is_said_for_whom_it_matters(two_years):
    revenue = CriterionFactory(name_en="Revenue", unit="USD")
    staff = CriterionFactory(name_en="Certified staff", unit="people")
    before, after = two_years.terms, two_years.next_terms
    RequirementFactory(terms=before, criterion=revenue, at_least=20000)
    RequirementFactory(terms=after, criterion=revenue, at_least=25000)
    RequirementFactory(terms=after, criterion=staff, at_least=2)
    before.currencies = ["EUR", "GBP"]
    after.currencies = ["EUR", "USD"]
    after.enroll_within_days = 14
    after.required_tax_details = ["vat"]
    after.agreement_version = "2"
    EarningTypeFactory(terms=after, kind="co_op", share=40)
    after.earning_types.filter(kind="rebate").update(share=60)
    use = Use(
        country="SE",
        paid_in=[("GBP", "SEK")],
        values={revenue.pk: 31200},
        tax_details={"vat"},
    )

    said = changes_between(before, after, use=use)

    assert [(one.sentence, one.concerns) for one in said] == [
        ("New requirement: “Certified staff”, at least 2 people.", True),
        ("Not paid any more: GBP.", True),
        ("“Revenue”: 20,000 USD → 25,000 USD; you are at 31,200 USD.", False),
        ("The text of the program's agreement is new: version 2.", False),
        ("Paid from now on, too: USD.", False),
        ("New in the tax profile: VAT number.", False),
        ("It pays otherwise: rebate 60% and co-op 40%.", False),
    ]
    softly = changes_between(before, after, use=Use(country="SE", continues=False))
    assert ("Not paid any more: GBP.", False) in [
        (one.sentence, one.concerns) for one in softly
    ]
    assert softly[-1].sentence == "Invitations have to be answered within 14 days."


def test_the_page_says_what_is_new_and_nothing_where_nothing_is(
    two_years, client_of, ida
):
    client = client_of(ida)
    assert "What is new" not in text(client.get(two_years.safe.get_absolute_url()))
    two_years.next_terms.currencies = ["USD"]
    two_years.next_terms.save()

    page = text(client.get(two_years.safe.get_absolute_url()))

    assert "What is new in fiscal year 2028 Not paid any more: EUR." in page


# --- How many questions ------------------------------------------------------


def test_pages_ask_as_few_questions_for_many_forecasts(
    two_years, client_of, ida, nordvik, terms_that_end, django_assert_max_num_queries
):
    client = client_of(ida)
    paths = {"Home": reverse("home"), "Overview": reverse("enrollment:overview")}
    asked = {}
    for count in (1, 3):
        for number in range(count):
            location = LocationFactory(partner_account=nordvik)
            RoleAssignmentFactory(user=ida, partner_account=nordvik, location=location)
            enrolled(
                location, two_years.terms, expires=datetime.date(2027, 6, 1 + number)
            )
            enrolled(location, terms_that_end)
        for name, path in paths.items():
            client.get(path)
            with CaptureQueriesContext(connection) as queries:
                page = text(client.get(path))
            assert "At risk" in page
            assert "Will end" in page
            asked.setdefault(name, []).append(len(queries))

    # What is at risk, what payments lack and what requirements miss are three questions
    # more than Home asks anyway, however many rows there are.
    assert asked["Home"][0] == asked["Home"][1] <= 15, asked
    assert asked["Overview"][0] == asked["Overview"][1] <= 15, asked


@pytest.fixture
def terms_that_end(two_years):
    """A program that is not offered next year where anybody is."""
    terms = ProgramTermsFactory(fiscal_year=two_years.terms.fiscal_year)
    ProgramTermsFactory(
        program=terms.program, fiscal_year=two_years.into, countries=["JP"]
    )
    return terms


# --- The year after ----------------------------------------------------------


@pytest.fixture
def ended(two_years, time_machine, mina, lucia):
    """The year end has run."""
    plan = services.rehearse_renewals(two_years.into, by=mina, at=TODAY)
    plan = services.propose_renewals(plan, by=mina)
    plan = services.approve_renewals(plan, digest=plan.digest, by=lucia)
    time_machine.move_to(IN_NEW_YEAR, tick=False)
    return plan


def run(plan):
    services.start_renewals(plan, by=None)
    while services.renew_next_range(plan):
        pass
    services.finish_renewals(plan)


def test_years_lead_to_each_other_and_history_says_who_when_and_why(
    ended, two_years, client_of, ida
):
    run(ended)
    client = client_of(ida)
    new = Enrollment.objects.get(renewed_from=two_years.expiring)

    page = client.get(new.get_absolute_url())
    assert "Continues the enrollment of fiscal year 2027" in text(page)
    assert f'href="{two_years.expiring.get_absolute_url()}"' in page.content.decode()

    old = client.get(two_years.expiring.get_absolute_url())
    assert "Open the enrollment of fiscal year 2028" in text(old)
    assert f'href="{new.get_absolute_url()}"' in old.content.decode()
    assert "The fiscal year ended: The tax profile has expired. 2 Jul, 12:00" in (
        text(old)
    )
    assert "To enroll after all" not in text(old)

    past = text(client.get(reverse("enrollment:past")))
    assert "Incentives of fiscal year 2027" in past
    assert "Malmö" in past
    assert "it continued in the next fiscal year" in past


def test_an_incentives_user_reads_no_step_behind_the_veil(
    ended, two_years, client_of, uma, nordvik, malmo
):
    # R42
    RoleAssignmentFactory(
        user=uma, role="incentives_user", partner_account=nordvik, location=malmo
    )
    run(ended)
    client = client_of(uma)
    page = text(client.get(two_years.expiring.get_absolute_url()))
    assert "The fiscal year ended" in page
    for shown in (page, text(client.get(reverse("enrollment:past")))):
        assert "it continued in the next fiscal year" in shown
        assert "tax profile" not in shown
        assert "something is missing" not in shown


def test_past_years_are_empty_before_one_is_over(two_years, client_of, ida):
    assert "No fiscal year is over yet." in text(
        client_of(ida).get(reverse("enrollment:past"))
    )


def test_what_the_year_end_has_not_reached_is_with_the_program_owner(
    ended, two_years, client_of, ida, mina
):
    # Set aside: the form was renewed after the approval.
    as_if_sent(
        two_years.expiring.payout_assignments.get().tax_profile.versions.all(),
        expires_on=datetime.date(2030, 1, 1),
    )
    run(ended)
    client = client_of(ida)
    looking = "The program owner is looking at this · fiscal year 2027 ended 30 Jun"

    assert f"Malmö · {looking}" in text(client.get(reverse("home")))
    overview = client.get(reverse("enrollment:overview"))
    assert looking in text(overview)
    assert (
        f'href="{two_years.expiring.get_absolute_url()}"' in overview.content.decode()
    )
    page = text(client.get(two_years.expiring.get_absolute_url()))
    assert looking in page
    assert "You need to do nothing." in page

    services.decide_set_aside(
        two_years.expiring.set_aside.get(), apply=False, reason="Asked to end.", by=mina
    )

    assert looking not in text(client.get(reverse("home")))
    page = text(client.get(two_years.expiring.get_absolute_url()))
    assert "Fiscal year 2027 ended 30 Jun · it was not continued" in page
