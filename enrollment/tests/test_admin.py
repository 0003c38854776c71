"""Programs' years in the admin: who edits them, how lists are typed, what is kept."""

import datetime

import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from accounts.tests.factories import UserFactory
from enrollment.models import (
    Criterion,
    FiscalCalendar,
    FiscalYear,
    ProgramTerms,
    ValueImport,
)
from enrollment.tests.factories import (
    CriterionFactory,
    EnrollmentFactory,
    FiscalYearFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    RequirementFactory,
)

ADD_TERMS = reverse("admin:enrollment_programterms_add")
NO_LINES = {
    f"{name}-{key}": "0"
    for name in ("earning_types", "requirements")
    for key in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")
}


# A second line of earning types.
CO_OP = {
    "earning_types-TOTAL_FORMS": "2",
    "earning_types-MAX_NUM_FORMS": "9",
    "earning_types-1-kind": "co_op",
    "earning_types-1-share": "100",
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


def test_a_way_of_paying_is_replaced_before_anybody_is_invited(client_of, mina):
    terms = ProgramTermsFactory()

    client_of(mina).post(
        change_url(terms),
        terms_typed() | lines_of(terms, **{"earning_types-0-DELETE": "on"}) | CO_OP,
    )

    assert terms.earning_types.get().kind == "co_op"


def test_shares_that_are_not_everything_are_refused_and_stay_typed(client_of, mina):
    terms = ProgramTermsFactory()

    answer = client_of(mina).post(
        change_url(terms),
        terms_typed(agreement_text_en="A long new text.")
        | lines_of(terms, **{"earning_types-0-share": "60"}),
    )

    page = answer.content.decode()
    assert "The shares of the earning types must be 100 % in all." in page
    assert "A long new text." in page
    assert terms.earning_types.get().share == 100


def test_an_accepted_agreement_is_not_reworded(client_of, mina):
    terms = EnrollmentFactory(accepted=True).terms

    answer = client_of(mina).post(
        change_url(terms), terms_typed(agreement_text_en="Other.") | lines_of(terms)
    )

    assert "Give the changed text a new version." in answer.content.decode()
    terms.refresh_from_db()
    assert terms.agreement_text_en == "The rules of the program."


def test_terms_with_an_accepted_agreement_are_saved_as_they_stand(client_of, mina):
    # Lines that a browser breaks in its own way are no other words.
    terms = EnrollmentFactory(accepted=True).terms
    ProgramTerms.objects.update(agreement_text_en="The rules.\nOne more.\n")

    answer = client_of(mina).post(
        change_url(terms),
        terms_typed(
            agreement_text_en="The rules.\r\nOne more.",
            agreement_text_sv=terms.agreement_text_sv,
            countries="se",
        )
        | lines_of(terms),
    )

    assert answer.status_code == 302
    assert ProgramTerms.objects.get().countries == ["SE"]


def test_a_program_that_is_open_to_all_asks_for_nothing(client_of, mina):
    # R26
    terms = ProgramTermsFactory()
    line = RequirementFactory(terms=terms)

    answer = client_of(mina).post(
        change_url(terms),
        terms_typed(is_open_to_all="on")
        | lines_of(terms)
        | {
            "requirements-TOTAL_FORMS": "1",
            "requirements-INITIAL_FORMS": "1",
            "requirements-0-id": line.pk,
            "requirements-0-terms": terms.pk,
            "requirements-0-criterion": line.criterion.pk,
            "requirements-0-at_least": "25000",
            "requirements-0-position": "0",
        },
    )

    assert "open to all has no criteria" in answer.content.decode()
    assert not ProgramTerms.objects.get().is_open_to_all


def test_the_audit_trail_remembers_what_changed_in_the_terms(client_of, mina):
    terms = ProgramTermsFactory()

    client_of(mina).post(
        change_url(terms), terms_typed(agreement_version="2") | lines_of(terms)
    )

    event = AuditEvent.objects.get(action="terms_defined")
    assert (event.actor, event.object_id) == (mina, str(terms.pk))
    assert event.before["agreement_version"] == "1"
    assert event.after["agreement_version"] == "2"
    assert event.after["enroll_within_days"] == 30
    assert "currencies" not in event.after
    assert "The rules" not in str(event.after)


def test_no_way_of_paying_is_added_once_somebody_was_invited(client_of, mina):
    # Enrollments carry one payout for each from the start.
    terms = EnrollmentFactory().terms

    client_of(mina).post(
        change_url(terms),
        terms_typed()
        | lines_of(
            terms,
            **CO_OP,
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


def test_enrollments_and_values_are_only_looked_at(client_of, mina):
    root = UserFactory(is_staff=True, is_superuser=True)
    records = [
        EnrollmentFactory(),
        MeasuredValueFactory(),
        ValueImport.objects.create(
            file_hash="0" * 64, accepted=1, changed=1, rejected=0
        ),
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
