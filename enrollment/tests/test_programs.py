"""Programs, their years, terms and criteria are defined once and changed in place."""

import datetime

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEvent, IncentiveProgram
from enrollment.models import Criterion, FiscalYear, ProgramTerms, Requirement
from enrollment.services import (
    define_criterion,
    define_fiscal_calendar,
    define_fiscal_year,
    define_program,
    define_program_terms,
)
from enrollment.tests.factories import CriterionFactory, EnrollmentFactory

pytestmark = pytest.mark.django_db

TERMS = {
    "earning_types": [("rebate", 60), ("co_op", 40)],
    "countries": [],
    "bank_countries": [],
    "bank_countries_refused": [],
    "currencies": ["EUR"],
    "methods": ["bank_transfer"],
    "required_tax_details": [],
    "agreement_text_en": "The rules.",
    "agreement_text_sv": "Reglerna.",
    "by": None,
}


@pytest.fixture
def year():
    calendar = define_fiscal_calendar(code="july", name="July to June")
    return define_fiscal_year(
        calendar,
        number=2027,
        starts_on=datetime.date(2026, 7, 1),
        ends_on=datetime.date(2027, 6, 30),
    )


@pytest.fixture
def terms(program, year):
    return define_program_terms(program, fiscal_year=year, **TERMS)


def _moment(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def test_a_program_is_one_however_often_it_is_defined(program):
    again = define_program(code=program.code, name="Another name")

    assert again.pk == program.pk
    assert IncentiveProgram.objects.get().name == "Another name"


def test_a_program_code_has_capital_letters():
    with pytest.raises(ValidationError, match="capital letters"):
        define_program(code="csp db", name="Direct Bill")


def test_a_criterion_is_one_however_often_it_is_defined():
    facts = {
        "code": "revenue",
        "kind": "number",
        "name_en": "Revenue",
        "name_sv": "Omsättning",
        "how_to_fix_en": "Sell more.",
        "how_to_fix_sv": "Sälj mer.",
    }
    define_criterion(**facts)

    define_criterion(**facts, unit="USD", max_age_days=400)

    criterion = Criterion.objects.get()
    assert (criterion.unit, criterion.max_age_days) == ("USD", 400)


def test_years_of_different_calendars_may_overlap(year):
    calendar = define_fiscal_calendar(code="january", name="Calendar year")

    define_fiscal_year(
        calendar,
        number=2027,
        starts_on=datetime.date(2027, 1, 1),
        ends_on=datetime.date(2027, 12, 31),
    )

    assert FiscalYear.objects.count() == 2


def test_years_of_one_calendar_do_not_overlap(year):
    with pytest.raises(ValidationError, match="overlaps another year"):
        define_fiscal_year(
            year.calendar,
            number=2028,
            starts_on=datetime.date(2027, 6, 30),
            ends_on=datetime.date(2028, 6, 29),
        )


def test_a_calendar_needs_a_time_zone_that_is_known():
    with pytest.raises(ValidationError, match="Europe/Stockholm"):
        define_fiscal_calendar(code="mars", name="Mars", time_zone="Mars/Olympus")


def test_terms_are_one_for_a_program_and_year(program, year, terms):
    again = define_program_terms(
        program, fiscal_year=year, **TERMS | {"currencies": ["SEK"]}
    )

    assert again.pk == terms.pk
    assert ProgramTerms.objects.get().currencies == ["SEK"]
    assert terms.earning_types.count() == 2


def test_shares_of_earning_types_are_everything_together(program, year):
    with pytest.raises(ValidationError, match="100%"):
        define_program_terms(
            program, fiscal_year=year, **TERMS | {"earning_types": [("rebate", 60)]}
        )


def test_an_earning_type_that_enrollments_are_paid_by_stays(program, year, terms):
    EnrollmentFactory(terms=terms)

    with pytest.raises(ValidationError, match="left out here"):
        define_program_terms(
            program, fiscal_year=year, **TERMS | {"earning_types": [("rebate", 100)]}
        )


def test_an_earning_type_nobody_is_paid_by_can_go(program, year, terms):
    define_program_terms(
        program, fiscal_year=year, **TERMS | {"earning_types": [("fee", 100)]}
    )

    assert [row.kind for row in terms.earning_types.all()] == ["fee"]


def test_requirements_are_the_ones_given_last_in_their_order(program, year):
    one, two, three = CriterionFactory.create_batch(3)
    define_program_terms(
        program, fiscal_year=year, requirements=[(one, 1), (two, 2)], **TERMS
    )

    define_program_terms(
        program, fiscal_year=year, requirements=[(three, 5), (two, 4)], **TERMS
    )

    assert list(
        Requirement.objects.order_by("position").values_list("criterion", "at_least")
    ) == [(three.pk, 5), (two.pk, 4)]


def test_a_program_that_is_open_to_all_has_no_criteria(program, year):  # R26
    with pytest.raises(ValidationError, match="open to all has no criteria"):
        define_program_terms(
            program,
            fiscal_year=year,
            is_open_to_all=True,
            requirements=[(CriterionFactory(), 1)],
            **TERMS,
        )

    assert not ProgramTerms.objects.exists()


def test_nobody_is_paid_in_a_currency_that_does_not_exist(program, year):
    with pytest.raises(ValidationError, match="ABC, XYZ"):
        define_program_terms(
            program, fiscal_year=year, **TERMS | {"currencies": ["XYZ", "EUR", "ABC"]}
        )


def test_an_accepted_agreement_is_not_reworded(program, year, terms):
    EnrollmentFactory(terms=terms, accepted=True)
    reworded = TERMS | {"agreement_text_en": "Other rules."}

    with pytest.raises(ValidationError, match="a new version"):
        define_program_terms(program, fiscal_year=year, **reworded)

    define_program_terms(program, fiscal_year=year, agreement_version="2", **reworded)
    assert ProgramTerms.objects.get().agreement_text_en == "Other rules."


def test_an_accepted_version_is_not_taken_up_again_with_another_text(
    program, year, terms
):
    EnrollmentFactory(terms=terms, accepted=True)
    reworded = TERMS | {"agreement_text_en": "Other rules."}
    define_program_terms(program, fiscal_year=year, agreement_version="2", **reworded)

    with pytest.raises(ValidationError, match="a new version"):
        define_program_terms(
            program, fiscal_year=year, agreement_version="1", **reworded
        )


def test_no_earning_type_is_added_once_somebody_was_invited(program, year):
    terms = define_program_terms(
        program, fiscal_year=year, **TERMS | {"earning_types": [("rebate", 100)]}
    )
    EnrollmentFactory(terms=terms)

    with pytest.raises(ValidationError, match="no earning type can be added"):
        define_program_terms(program, fiscal_year=year, **TERMS)


def test_the_last_day_to_enroll_is_in_the_fiscal_year(program, year):
    with pytest.raises(ValidationError, match="Choose a day of the fiscal year"):
        define_program_terms(
            program, fiscal_year=year, enroll_by=datetime.date(2027, 7, 1), **TERMS
        )


def test_defining_again_what_is_there_leaves_no_trace(program, year, terms):
    define_program_terms(program, fiscal_year=year, **TERMS)

    event = AuditEvent.objects.get(action="terms_defined")
    assert event.before == {}
    assert event.after["earning_types"] == {"co_op": 40, "rebate": 60}


def test_an_agreement_nobody_accepted_can_be_reworded(program, year, terms):
    EnrollmentFactory(terms=terms)

    define_program_terms(
        program, fiscal_year=year, **TERMS | {"agreement_text_en": "Other rules."}
    )

    assert ProgramTerms.objects.get().agreement_text_en == "Other rules."


def test_nothing_earns_before_the_fiscal_year_begins(terms):  # R45
    earns_from = terms.earns_from(
        submitted_at=_moment("2026-06-20"), validated_at=_moment("2026-06-21")
    )

    assert earns_from == datetime.date(2026, 7, 1)
