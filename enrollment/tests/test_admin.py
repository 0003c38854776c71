"""Programs' years in the admin: who edits them, how lists are typed, what is kept."""

import datetime

import pytest
from django.urls import reverse

from accounts.tests.factories import UserFactory
from enrollment.models import Criterion, FiscalCalendar, FiscalYear, ProgramTerms
from enrollment.tests.factories import (
    AgreementFactory,
    CriterionFactory,
    EnrollmentFactory,
    FiscalYearFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
)

ADD_TERMS = reverse("admin:enrollment_programterms_add")
NO_LINES = {
    f"{name}-{key}": "0"
    for name in ("earning_types", "requirements")
    for key in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")
}


def change_url(record) -> str:
    return reverse(
        f"admin:{record._meta.app_label}_{record._meta.model_name}_change",
        args=[record.pk],
    )


def terms_typed(**others) -> dict:
    """What the form of a program's terms posts."""
    return (
        NO_LINES
        | {
            "is_listed": "on",
            "needs_agreement": "on",
            "methods": ["bank_transfer"],
            "currencies": "eur, usd",
            "countries": "",
            "bank_countries": "",
            "bank_countries_refused": "",
            "required_tax_details": "",
            "earnings_start": "validated",
            "agreement_version": "1",
            "agreement_text_en": "The rules.",
            "agreement_text_sv": "Reglerna.",
            "guide_url": "",
            "enroll_by": "",
            "enroll_within_days": "30",
        }
        | others
    )


@pytest.fixture
def year(db):
    return FiscalYearFactory()


def test_a_program_manager_writes_a_programs_year(client_of, mina, program, year):
    criterion = CriterionFactory()

    client_of(mina).post(
        ADD_TERMS,
        terms_typed(program=program.pk, fiscal_year=year.pk, countries="se, no, SE")
        | {
            "earning_types-TOTAL_FORMS": "1",
            "earning_types-MAX_NUM_FORMS": "9",
            "earning_types-0-kind": "rebate",
            "earning_types-0-share": "100",
            "requirements-TOTAL_FORMS": "1",
            "requirements-MAX_NUM_FORMS": "9",
            "requirements-0-criterion": criterion.pk,
            "requirements-0-at_least": "25000",
            "requirements-0-position": "0",
        },
    )

    terms = ProgramTerms.objects.get(program=program)
    assert terms.currencies == ["EUR", "USD"]
    assert terms.countries == ["SE", "NO"]
    assert terms.methods == ["bank_transfer"]
    assert terms.earning_types.get().kind == "rebate"
    assert terms.requirements.get().criterion == criterion


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"currencies": "EUR, QQQ"}, "currencies"),
        ({"countries": "SWE"}, "countries"),
        ({"bank_countries": "S1"}, "bank_countries"),
        ({"methods": ["cash"]}, "methods"),
        ({"methods": []}, "methods"),
        ({"enroll_by": "1999-01-01"}, "enroll_by"),
        ({"guide_url": "javascript:alert(1)"}, "guide_url"),
        ({"agreement_text_en": "hidden\u200btext"}, "agreement_text_en"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(
    client_of, mina, program, year, wrong, field
):
    response = client_of(mina).post(
        ADD_TERMS, terms_typed(program=program.pk, fiscal_year=year.pk, **wrong)
    )

    assert field in response.context["adminform"].form.errors
    assert not ProgramTerms.objects.exists()


def test_a_program_has_one_set_of_terms_a_year(client_of, mina):
    terms = ProgramTermsFactory()

    response = client_of(mina).post(
        ADD_TERMS,
        terms_typed(program=terms.program.pk, fiscal_year=terms.fiscal_year.pk),
    )

    assert response.status_code == 200
    assert ProgramTerms.objects.count() == 1


def test_whose_terms_they_are_does_not_change(client_of, mina, program):
    terms = ProgramTermsFactory()

    response = client_of(mina).post(
        change_url(terms),
        terms_typed(program=program.pk, agreement_version="2", enroll_by=terms.today())
        | lines_of(terms),
    )

    assert response.status_code == 302
    changed = ProgramTerms.objects.get(pk=terms.pk)
    assert changed.program == terms.program
    assert changed.agreement_version == "2"


def lines_of(terms, **others) -> dict:
    """The earning type of some terms as the form posts it."""
    line = terms.earning_types.get()
    return {
        "earning_types-TOTAL_FORMS": "1",
        "earning_types-INITIAL_FORMS": "1",
        "earning_types-0-id": line.pk,
        "earning_types-0-terms": terms.pk,
        "earning_types-0-kind": line.kind,
        "earning_types-0-share": line.share,
    } | others


def test_a_way_of_paying_in_use_is_not_taken_away(client_of, mina):
    terms = EnrollmentFactory().terms

    response = client_of(mina).post(
        change_url(terms),
        terms_typed() | lines_of(terms, **{"earning_types-0-DELETE": "on"}),
    )

    assert response.status_code == 200
    assert terms.earning_types.count() == 1


def test_a_way_of_paying_is_taken_away_before_anybody_is_invited(client_of, mina):
    terms = ProgramTermsFactory()

    client_of(mina).post(
        change_url(terms),
        terms_typed() | lines_of(terms, **{"earning_types-0-DELETE": "on"}),
    )

    assert terms.earning_types.count() == 0


def test_no_way_of_paying_is_added_once_somebody_was_invited(client_of, mina):
    # Enrollments carry one payout for each from the start.
    terms = EnrollmentFactory().terms

    client_of(mina).post(
        change_url(terms),
        terms_typed()
        | lines_of(
            terms,
            **{
                "earning_types-TOTAL_FORMS": "2",
                "earning_types-MAX_NUM_FORMS": "9",
                "earning_types-1-terms": terms.pk,
                "earning_types-1-kind": "co_op",
                "earning_types-1-share": "40",
            },
        ),
    )

    assert terms.earning_types.count() == 1


def test_a_program_manager_writes_criteria_calendars_and_years(client_of, mina):
    client = client_of(mina)

    client.post(
        reverse("admin:enrollment_criterion_add"),
        {
            "code": "revenue",
            "kind": "number",
            "name_en": "Revenue",
            "name_sv": "Omsättning",
            "how_to_fix_en": "Sell more.",
            "how_to_fix_sv": "Sälj mer.",
        },
    )
    client.post(
        reverse("admin:enrollment_fiscalcalendar_add"),
        {"code": "july", "name": "July to June", "time_zone": "Europe/Stockholm"},
    )
    calendar = FiscalCalendar.objects.get(code="july")
    year = {
        "calendar": calendar.pk,
        "number": "2027",
        "starts_on": "2026-07-01",
        "ends_on": "2027-06-30",
    }
    add_year = reverse("admin:enrollment_fiscalyear_add")
    client.post(add_year, year)
    overlapping = client.post(add_year, year | {"number": "2028"})

    assert Criterion.objects.filter(code="revenue").exists()
    assert FiscalYear.objects.get().ends_on == datetime.date(2027, 6, 30)
    assert "overlaps another year" in overlapping.content.decode()


def test_a_time_zone_nobody_knows_is_refused(client_of, mina):
    client_of(mina).post(
        reverse("admin:enrollment_fiscalcalendar_add"),
        {"code": "moon", "name": "Moon", "time_zone": "Moon/Base"},
    )

    assert not FiscalCalendar.objects.exists()


@pytest.mark.parametrize("name", ["oscar", "greta", "ida"])
def test_nobody_else_writes_terms(client_of, cast, name, program, year):
    typed = terms_typed(program=program.pk, fiscal_year=year.pk)

    response = client_of(getattr(cast, name)).post(ADD_TERMS, typed)

    assert response.status_code in (403, 404)
    assert not ProgramTerms.objects.exists()


def test_enrollments_values_and_agreements_are_only_looked_at(client_of, mina, nordvik):
    root = UserFactory(is_staff=True, is_superuser=True)
    records = [
        EnrollmentFactory(),
        MeasuredValueFactory(),
        AgreementFactory(partner_account=nordvik),
    ]

    for person in (mina, root):
        client = client_of(person)
        for record in records:
            assert client.get(change_url(record)).status_code == 200
            assert client.post(change_url(record), {}).status_code == 403
            deletion = change_url(record).replace("/change/", "/delete/")
            assert client.post(deletion, {"post": "yes"}).status_code == 403


def test_an_enrollment_shows_its_reference_and_history(client_of, mina):
    enrollment = EnrollmentFactory()
    enrollment.events.create(
        code="invited", to_status="invited", at=enrollment.invited_at, note="By hand"
    )

    page = client_of(mina).get(change_url(enrollment)).content.decode()

    assert enrollment.reference in page
    assert "By hand" in page


@pytest.mark.parametrize("number", [1, 20])
def test_the_number_of_queries_does_not_grow(
    client_of, mina, number, django_assert_max_num_queries
):
    terms = ProgramTermsFactory()
    for _number in range(number):
        EnrollmentFactory(terms=terms)
    client = client_of(mina)
    url = reverse("admin:enrollment_enrollment_changelist")
    client.get(url)

    with django_assert_max_num_queries(20):
        client.get(url)
