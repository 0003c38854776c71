"""Who is eligible, and what is missing before an enrollment can be submitted."""

import datetime
import itertools
from types import SimpleNamespace

import pytest
from django.utils import timezone

from accounts.tests.factories import LocationFactory, PartnerAccountFactory
from accounts.tests.shared_rows import shared
from enrollment import eligibility
from enrollment.eligibility import (
    GAPS,
    accepted_currencies,
    count_locations_to_invite,
    eligible_locations,
    gap_codes,
    gap_codes_of_many,
    gaps_of,
    is_part_validated,
    is_validated,
    locations_to_invite,
    payout_of,
    waits_for_part,
    why_not_paid_to,
)
from enrollment.models import (
    Enrollment,
    FiscalCalendar,
    PayoutAssignment,
    ProgramAtLocation,
    RequirementCheck,
)
from enrollment.tests.factories import (
    AgreementFactory,
    CriterionFactory,
    EarningTypeFactory,
    EnrollmentFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    RequirementFactory,
)
from profiles.tests.factories import (
    BankProfileFactory,
    BankVersionFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
    TaxVersionFactory,
    as_if_sent,
)

TODAY = datetime.date(2026, 11, 20)


def day(offset: int) -> datetime.date:
    return TODAY + datetime.timedelta(days=offset)


# --- One requirement at one location (database view) -----------------------------------


def state_of(terms, location, on=TODAY) -> str:
    return (
        RequirementCheck.objects.filter(terms=terms, location=location)
        .exclude(requirement=None)
        .as_of(on)
        .get()
        .state
    )


@pytest.mark.parametrize(
    ("value", "state"), [(25000, "met"), (24999.99, "unmet"), (25000.01, "met")]
)
def test_a_number_is_met_from_what_is_asked(goteborg, terms, value, state):
    criterion = RequirementFactory(terms=terms, at_least=25000).criterion
    MeasuredValueFactory(
        location=goteborg, criterion=criterion, value=value, measured_on=day(-1)
    )

    assert state_of(terms, goteborg) == state


@pytest.mark.parametrize(("value", "state"), [(1, "met"), (0, "unmet")])
def test_yes_meets_and_no_does_not(goteborg, terms, value, state):
    criterion = CriterionFactory(kind="yes_no")
    RequirementFactory(terms=terms, criterion=criterion, at_least=1)
    MeasuredValueFactory(
        location=goteborg, criterion=criterion, value=value, measured_on=day(-1)
    )

    assert state_of(terms, goteborg) == state


def test_what_was_never_measured_is_not_known(goteborg, terms):
    RequirementFactory(terms=terms)

    assert state_of(terms, goteborg) == "unknown"


@pytest.mark.parametrize(
    ("age", "value", "state"),
    [(30, 30000, "met"), (31, 30000, "unknown"), (31, 0, "unknown"), (30, 0, "unmet")],
)
def test_a_value_that_is_too_old_is_not_known_whatever_it_says(
    goteborg, terms, age, value, state
):
    criterion = CriterionFactory(max_age_days=30)
    RequirementFactory(terms=terms, criterion=criterion)
    MeasuredValueFactory(
        location=goteborg, criterion=criterion, value=value, measured_on=day(-age)
    )

    assert state_of(terms, goteborg) == state


def test_a_value_without_a_limit_never_grows_too_old(goteborg, terms):
    criterion = RequirementFactory(terms=terms).criterion
    MeasuredValueFactory(location=goteborg, criterion=criterion, measured_on=day(-5000))

    assert state_of(terms, goteborg) == "met"


def test_a_value_measured_after_the_day_is_not_known_on_it(goteborg, terms):
    criterion = RequirementFactory(terms=terms).criterion
    MeasuredValueFactory(location=goteborg, criterion=criterion, measured_on=day(1))

    assert state_of(terms, goteborg) == "unknown"
    assert state_of(terms, goteborg, on=day(1)) == "met"


def test_a_value_counts_at_its_own_location_only(goteborg, malmo, terms):
    criterion = RequirementFactory(terms=terms).criterion
    MeasuredValueFactory(location=malmo, criterion=criterion, measured_on=day(-1))

    assert state_of(terms, malmo) == "met"
    assert state_of(terms, goteborg) == "unknown"


def test_a_check_carries_the_numbers_a_page_shows(goteborg, terms):
    # R60
    requirement = RequirementFactory(terms=terms, at_least=25000, position=3)
    MeasuredValueFactory(
        location=goteborg,
        criterion=requirement.criterion,
        value=21340,
        measured_on=day(-2),
        source="monthly report",
    )

    check = RequirementCheck.objects.get(requirement=requirement, location=goteborg)

    assert (check.needed, check.value) == (25000, 21340)
    assert (check.valid_from, check.valid_until) == (day(-2), None)
    assert (check.source, check.position) == ("monthly report", 4)
    assert check.criterion == requirement.criterion


# --- The agreement ---------------------------------------------------------------------


@shared
def asking(program):
    """Terms that ask for an active agreement and nothing else."""
    return ProgramTermsFactory(program=program)


def agreement_state(terms, location, on=TODAY) -> str:
    checks = RequirementCheck.objects.filter(terms=terms, location=location)
    return checks.as_of(on).get(requirement=None).state


@pytest.mark.parametrize(
    ("agreements", "state"),
    [
        ([], "unmet"),
        ([{"starts_on": day(-1)}], "met"),
        ([{"starts_on": day(0)}], "met"),
        ([{"starts_on": day(1)}], "unmet"),
        ([{"starts_on": day(-9), "ends_on": day(0)}], "met"),
        ([{"starts_on": day(-9), "ends_on": day(-1)}], "unmet"),
        ([{"starts_on": day(-9), "terminated_on": day(-1)}], "unmet"),
        (
            [
                {"starts_on": day(-9), "terminated_on": day(-5)},
                {"starts_on": day(-3)},
            ],
            "met",
        ),
        # The next one, signed ahead, does not hide the one that is active.
        (
            [
                {"starts_on": day(-9), "ends_on": day(9)},
                {"starts_on": day(10)},
            ],
            "met",
        ),
        (
            [
                {"starts_on": day(-9), "ends_on": day(-1)},
                {"starts_on": day(10)},
            ],
            "unmet",
        ),
    ],
    ids=[
        "missing",
        "signed yesterday",
        "signed today",
        "signed ahead",
        "last day today",
        "expired yesterday",
        "terminated",
        "signed anew after a termination",
        "the next one signed ahead",
        "a gap between two",
    ],
)
def test_an_agreement_counts_while_it_is_active(goteborg, asking, agreements, state):
    for dates in agreements:
        AgreementFactory(partner_account=goteborg.partner_account, **dates)

    assert agreement_state(asking, goteborg) == state
    assert eligible_locations(asking, on=TODAY).exists() == (state == "met")


def test_another_company_s_agreement_does_not_count(goteborg, asking):
    AgreementFactory(partner_account=PartnerAccountFactory())

    assert agreement_state(asking, goteborg) == "unmet"


def test_a_program_that_needs_no_agreement_does_not_ask_for_it(goteborg, program):
    terms = ProgramTermsFactory(program=program, needs_agreement=False)

    assert not RequirementCheck.objects.filter(terms=terms).exists()
    assert goteborg in eligible_locations(terms, on=TODAY)


# --- Eligible locations ------------------------------------------------------------------


def test_every_requirement_has_to_be_met(goteborg, malmo, terms):
    # R28
    first = RequirementFactory(terms=terms, at_least=1).criterion
    second = RequirementFactory(terms=terms, at_least=1).criterion
    for criterion in (first, second):
        MeasuredValueFactory(
            location=goteborg, criterion=criterion, measured_on=day(-1)
        )
    MeasuredValueFactory(location=malmo, criterion=first, measured_on=day(-1))

    assert list(eligible_locations(terms, on=TODAY)) == [goteborg]


def test_a_location_of_which_something_is_not_known_is_not_eligible(goteborg, terms):
    RequirementFactory(terms=terms)

    assert not eligible_locations(terms, on=TODAY).exists()


def test_another_program_s_requirement_does_not_count(goteborg, terms):
    RequirementFactory(terms=ProgramTermsFactory())

    assert goteborg in eligible_locations(terms, on=TODAY)


def test_an_open_program_without_criteria_takes_every_open_location(goteborg, malmo):
    terms = ProgramTermsFactory(open_to_all=True)
    malmo.closed_at = timezone.now()
    malmo.save()

    assert list(eligible_locations(terms, on=TODAY)) == [goteborg]


@pytest.mark.parametrize(
    ("countries", "names"),
    [
        ([], ["Amsterdam", "Göteborg"]),
        (["SE"], ["Göteborg"]),
        (["NL", "DE"], ["Amsterdam"]),
        (["NO"], []),
    ],
)
def test_the_terms_say_in_which_countries_locations_take_part(
    nordvik, goteborg, terms, countries, names
):
    LocationFactory(partner_account=nordvik, name="Amsterdam", country="NL")
    terms.countries = countries
    terms.save()

    found = eligible_locations(terms, on=TODAY).order_by("name")

    assert [location.name for location in found] == names


def test_locations_with_an_enrollment_are_not_to_be_invited(goteborg, malmo, terms):
    # R29
    EnrollmentFactory(location=goteborg, terms=terms)
    EnrollmentFactory(location=malmo, terms=ProgramTermsFactory())

    assert list(locations_to_invite(terms, on=TODAY)) == [malmo]
    assert set(eligible_locations(terms, on=TODAY)) == {goteborg, malmo}


def test_counting_for_many_programs_agrees_with_listing_for_each(
    nordvik, goteborg, malmo, terms, django_assert_num_queries
):
    LocationFactory(partner_account=nordvik, country="NL")
    LocationFactory(partner_account=nordvik, closed_at=timezone.now())
    LocationFactory(country="DE")
    abroad = ProgramTermsFactory(countries=["NL", "DE"], needs_agreement=False)
    strict = ProgramTermsFactory()
    criterion = RequirementFactory(terms=strict).criterion
    MeasuredValueFactory(location=malmo, criterion=criterion, measured_on=day(-1))
    nobody = ProgramTermsFactory(countries=["BR"])
    EnrollmentFactory(location=goteborg, terms=terms)
    everything = [terms, abroad, strict, nobody]

    with django_assert_num_queries(1):
        counts = count_locations_to_invite([row.pk for row in everything], on=TODAY)

    assert counts == {
        row.pk: locations_to_invite(row, on=TODAY).count() for row in everything
    }
    assert [counts[row.pk] for row in everything] == [2, 2, 1, 0]


# --- Every program at every location (database view) -----------------------------------


def rows_at(location) -> list[ProgramAtLocation]:
    return list(ProgramAtLocation.objects.filter(location=location))


def test_a_listed_program_has_a_row_at_every_location(goteborg, malmo, terms):
    assert [row.terms for row in rows_at(goteborg)] == [terms]
    assert [row.terms for row in rows_at(malmo)] == [terms]
    assert rows_at(malmo)[0].enrollment is None


def test_a_program_that_is_not_listed_has_a_row_where_somebody_is_invited(
    goteborg, malmo, terms
):
    terms.is_listed = False
    terms.save()
    enrollment = EnrollmentFactory(location=goteborg, terms=terms)

    assert [row.enrollment for row in rows_at(goteborg)] == [enrollment]
    assert rows_at(malmo) == []


def test_an_open_program_is_listed_whatever_the_flag_says(goteborg, program):
    # R26
    terms = ProgramTermsFactory(program=program, open_to_all=True, is_listed=False)

    assert [row.terms for row in rows_at(goteborg)] == [terms]


@pytest.mark.parametrize("why", ["closed", "discontinued", "another country"])
def test_where_a_program_is_not_offered_only_enrollments_are_rows(
    goteborg, malmo, terms, why
):
    # R67
    enrollment = EnrollmentFactory(location=goteborg, terms=terms)
    if why == "closed":
        goteborg.partner_account.locations.update(closed_at=timezone.now())
    elif why == "discontinued":
        terms.program.discontinued_at = timezone.now()
        terms.program.save()
    else:
        terms.countries = ["NL"]
        terms.save()

    assert [row.enrollment for row in rows_at(goteborg)] == [enrollment]
    assert rows_at(malmo) == []


def shown_status(terms, location) -> str:
    days = FiscalCalendar.objects.by_day(timezone.now())
    return (
        ProgramAtLocation.objects.with_status(days)
        .get(terms=terms, location=location)
        .status
    )


def test_a_row_without_enrollment_says_open_eligible_or_not(goteborg, nordvik, terms):
    open_terms = ProgramTermsFactory(open_to_all=True)
    strict = ProgramTermsFactory()
    RequirementFactory(terms=strict)

    assert shown_status(open_terms, goteborg) == "open"
    assert shown_status(terms, goteborg) == "eligible"
    assert shown_status(strict, goteborg) == "ineligible"


def test_a_row_with_an_enrollment_says_its_status(goteborg, terms):
    EnrollmentFactory(location=goteborg, terms=terms, complete=True)

    assert shown_status(terms, goteborg) == "enrolled"


# --- What is missing before Submit ---------------------------------------------------------


@shared
def payout(goteborg, program, maria):
    """Göteborg's enrollment with everything in order, nothing by default."""
    terms = ProgramTermsFactory(program=program)
    bank = BankProfileFactory(
        partner_account=goteborg.partner_account, created_by=maria
    )
    tax = TaxProfileFactory(location=goteborg, created_by=maria)
    enrollment = EnrollmentFactory(
        location=goteborg,
        terms=terms,
        payout__bank_profile=bank,
        payout__tax_profile=tax,
        payout__currency="SEK",
    )
    return SimpleNamespace(
        enrollment=enrollment,
        terms=terms,
        bank=bank,
        tax=tax,
        row=enrollment.payout_assignments.get(),
    )


def gaps(payout, on=TODAY) -> list[str]:
    key = payout.enrollment.pk
    codes = [gap.code for gap in gaps_of(payout_of([payout.enrollment], on=on)[key])]
    # Asked for nothing else, the answer is the same.
    assert list(gap_codes([key], on=on).get(str(key), ())) == codes
    return codes


@pytest.mark.parametrize("chosen", [0, 1])
def test_each_account_that_an_enrollment_uses_is_asked_about(goteborg, chosen):
    terms = ProgramTermsFactory(earning_types=[("rebate", 60), ("co_op", 40)])
    enrollment = EnrollmentFactory(location=goteborg, terms=terms)
    row = enrollment.payout_assignments.order_by("-earning_type__share")[chosen]
    row.bank_profile = BankProfileFactory(
        partner_account=goteborg.partner_account, version__was_returned=True
    )
    row.save()

    assert [
        code for code in gaps(SimpleNamespace(enrollment=enrollment)) if "bank" in code
    ] == [
        ["bank_returned", "bank_missing"],
        ["bank_missing", "bank_returned"],
    ][chosen]


def choose(payout, **fields) -> None:
    PayoutAssignment.objects.filter(pk=payout.row.pk).update(**fields)


def ask(payout, **fields) -> None:
    type(payout.terms).objects.filter(pk=payout.terms.pk).update(**fields)


def test_with_everything_in_order_nothing_is_missing(payout):
    # R33
    assert gaps(payout) == []


def test_with_nothing_chosen_and_no_defaults_bank_and_tax_are_missing(goteborg, terms):
    # R34; the currency is asked for when there is a bank.
    enrollment = EnrollmentFactory(location=goteborg, terms=terms)
    rows = payout_of([enrollment], on=TODAY)[enrollment.pk]

    assert [gap.code for gap in gaps_of(rows)] == ["bank_missing", "tax_missing"]


def archive(profile, by) -> None:
    type(profile).objects.filter(pk=profile.pk).update(
        archived_at=timezone.now(), archived_by=by
    )


def test_an_archived_bank_profile_is_a_gap(payout, maria):
    archive(payout.bank, maria)

    assert gaps(payout) == ["bank_archived"]


def test_an_archived_tax_profile_is_a_gap(payout, maria):
    archive(payout.tax, maria)

    assert gaps(payout) == ["tax_archived"]


def test_a_returned_bank_profile_is_a_gap(payout, goteborg):
    bank = BankProfileFactory(
        partner_account=goteborg.partner_account, version__was_returned=True
    )
    choose(payout, bank_profile=bank)

    assert gaps(payout) == ["bank_returned"]


def test_a_returned_change_is_a_gap_though_the_old_version_is_in_force(payout, maria):
    BankVersionFactory(
        profile=payout.bank, number=2, was_returned=True, submitted_by=maria
    )

    assert gaps(payout) == ["bank_returned"]


def test_a_returned_tax_profile_is_a_gap(payout, goteborg):
    tax = TaxProfileFactory(location=goteborg, version__was_returned=True)
    choose(payout, tax_profile=tax)

    assert gaps(payout) == ["tax_returned"]


def test_what_waits_for_validation_is_no_gap(payout, goteborg):
    # R37: one can submit before the profiles are validated.
    bank = BankProfileFactory(
        partner_account=goteborg.partner_account, version__pending=True
    )
    tax = TaxProfileFactory(location=goteborg, version__pending=True)
    choose(payout, bank_profile=bank, tax_profile=tax)

    assert gaps(payout) == []


@pytest.mark.parametrize(
    ("offset", "missing"), [(0, []), (-1, ["tax_expired"]), (1, [])]
)
def test_a_tax_profile_is_good_until_its_last_day(payout, goteborg, offset, missing):
    # R54
    tax = TaxProfileFactory(location=goteborg, version__expires_on=day(offset))
    choose(payout, tax_profile=tax)

    assert gaps(payout) == missing


def test_a_program_can_ask_for_more_tax_details(payout):
    # R55
    ask(payout, required_tax_details=["legal_name", "vat_number"])

    assert gaps(payout) == ["tax_incomplete"]


def test_a_newer_tax_version_with_the_details_fills_the_gap(payout, maria):
    # R55
    ask(payout, required_tax_details=["vat_number"])
    TaxVersionFactory(
        profile=payout.tax,
        number=2,
        pending=True,
        submitted_by=maria,
        provided=["legal_name", "vat_number"],
    )

    assert gaps(payout) == []


@pytest.mark.parametrize(
    ("terms", "missing"),
    [
        ({"bank_countries": ["SE", "NO"]}, []),
        ({"bank_countries": ["NO"]}, ["bank_country"]),
        ({"bank_countries_refused": ["SE"]}, ["bank_country"]),
        ({"bank_countries_refused": ["BR"]}, []),
        (
            {"bank_countries": ["SE"], "bank_countries_refused": ["SE"]},
            ["bank_country"],
        ),
    ],
)
def test_a_program_says_which_countries_it_pays_to(payout, terms, missing):
    ask(payout, **terms)

    assert gaps(payout) == missing


def test_a_program_that_pays_by_credit_note_cannot_be_submitted_yet(payout):
    # domain.md §10.5: the confirmation screens come later.
    ask(payout, methods=["credit_note"])

    assert gaps(payout) == ["method_refused"]


# --- Currency -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "currency", "missing"),
    [
        # What the program pays in.
        ({"currencies": ["EUR"], "pays_local_currency": False}, "EUR", []),
        (
            {"currencies": ["EUR"], "pays_local_currency": False},
            "SEK",
            ["currency_refused"],
        ),
        # The bank's own currency where the program pays in it.
        ({"currencies": ["EUR"], "pays_local_currency": True}, "SEK", []),
        ({"currencies": [], "pays_local_currency": True}, "SEK", []),
        (
            {"currencies": ["EUR"], "pays_local_currency": True},
            "GBP",
            ["currency_refused"],
        ),
        ({"currencies": [], "pays_local_currency": False}, "SEK", ["currency_refused"]),
        # Nothing chosen, and no default to take it from.
        (
            {"currencies": ["SEK"], "pays_local_currency": True},
            "",
            ["currency_missing"],
        ),
    ],
)
def test_the_currency_is_one_the_program_pays_in(payout, terms, currency, missing):
    # R34
    ask(payout, **terms)
    choose(payout, currency=currency)

    assert gaps(payout) == missing


@pytest.mark.parametrize(
    ("currency", "missing"), [("USD", []), ("EUR", ["currency_refused"])]
)
def test_a_bank_that_takes_only_its_own_currency_gets_no_other(
    payout, goteborg, currency, missing
):
    # domain.md §3.7: banks of the United States.
    bank = BankProfileFactory(
        partner_account=goteborg.partner_account,
        version__local_currency="USD",
        version__takes_only_local=True,
    )
    choose(payout, bank_profile=bank, currency=currency)

    assert gaps(payout) == missing


# --- Chosen, or the location's default ---------------------------------------------------------


@shared
def by_default(goteborg, terms, maria):
    """Göteborg has a default and a tax profile; nothing is chosen for the enrollment."""
    default = DefaultBankProfileFactory(location=goteborg, currency="SEK", set_by=maria)
    tax = TaxProfileFactory(location=goteborg, created_by=maria)
    enrollment = EnrollmentFactory(location=goteborg, terms=terms)
    return SimpleNamespace(
        enrollment=enrollment,
        terms=terms,
        default=default,
        tax=tax,
        row=enrollment.payout_assignments.get(),
    )


def used(payout):
    (row,) = payout_of([payout.enrollment], on=TODAY)[payout.enrollment.pk]
    return row.used_bank, row.used_currency, row.used_tax


def test_without_a_choice_the_location_s_default_is_used(by_default):
    # R30, R31
    assert gaps(by_default) == []
    assert used(by_default) == (
        by_default.default.bank_profile_id,
        "SEK",
        by_default.tax.pk,
    )


def test_a_chosen_bank_profile_comes_before_the_default_and_asks_its_own_currency(
    by_default, goteborg
):
    # R32
    other = BankProfileFactory(partner_account=goteborg.partner_account)
    choose(by_default, bank_profile=other)

    assert used(by_default) == (other.pk, None, by_default.tax.pk)
    assert gaps(by_default) == ["currency_missing"]


def test_choosing_the_default_s_own_bank_profile_keeps_its_currency(by_default):
    choose(by_default, bank_profile=by_default.default.bank_profile)

    assert used(by_default)[1] == "SEK"


def test_a_chosen_currency_comes_before_the_default_s(by_default):
    choose(by_default, currency="EUR")

    assert used(by_default)[1] == "EUR"


def test_another_location_s_default_and_tax_profile_are_not_used(
    goteborg, malmo, terms
):
    # R31
    DefaultBankProfileFactory(location=malmo)
    TaxProfileFactory(location=malmo)
    enrollment = EnrollmentFactory(location=goteborg, terms=terms)
    rows = payout_of([enrollment], on=TODAY)[enrollment.pk]

    assert [gap.code for gap in gaps_of(rows)] == ["bank_missing", "tax_missing"]


def test_the_newest_tax_profile_that_is_not_archived_is_used(
    by_default, goteborg, maria
):
    newest = TaxProfileFactory(location=goteborg)
    assert used(by_default)[2] == newest.pk

    archive(newest, maria)
    assert used(by_default)[2] == by_default.tax.pk


def test_every_earning_type_has_to_be_payable(goteborg, program, maria):
    # R56
    terms = ProgramTermsFactory(
        program=program, earning_types=[("rebate", 60), ("co_op", 40)]
    )
    bank = BankProfileFactory(partner_account=goteborg.partner_account)
    tax = TaxProfileFactory(location=goteborg)
    enrollment = EnrollmentFactory(
        location=goteborg,
        terms=terms,
        payout__bank_profile=bank,
        payout__tax_profile=tax,
        payout__currency="SEK",
    )
    co_op = enrollment.payout_assignments.get(earning_type__kind="co_op")
    PayoutAssignment.objects.filter(pk=co_op.pk).update(bank_profile=None, currency="")

    rebate_row, co_op_row = payout_of([enrollment], on=TODAY)[enrollment.pk]

    assert gaps_of([rebate_row]) == []
    assert gaps_of([rebate_row, co_op_row]) == [GAPS["bank_missing"]]


def test_a_gap_of_several_earning_types_is_named_once(goteborg, program):
    terms = ProgramTermsFactory(
        program=program, earning_types=[("rebate", 60), ("co_op", 40)]
    )
    enrollment = EnrollmentFactory(location=goteborg, terms=terms)
    rows = payout_of([enrollment], on=TODAY)[enrollment.pk]

    assert len(rows) == 2
    assert gaps_of(rows) == [GAPS["bank_missing"], GAPS["tax_missing"]]


@pytest.mark.parametrize("code", sorted(GAPS))
def test_every_gap_is_a_sentence_about_its_part(code):
    gap = GAPS[code]

    assert gap.code == code
    assert gap.part in ("bank", "tax", "currency")
    assert str(gap.sentence).endswith(".")


def test_the_payout_of_many_enrollments_is_one_query(terms, django_assert_num_queries):
    enrollments = [EnrollmentFactory(terms=terms) for _ in range(5)]

    with django_assert_num_queries(1):
        payouts = payout_of(enrollments, on=TODAY)

    assert all(len(payouts[enrollment.pk]) == 1 for enrollment in enrollments)


def test_what_many_enrollments_lack_is_one_query_and_in_the_order_of_shares(
    payout, django_assert_num_queries
):
    terms = ProgramTermsFactory(earning_types=[("co_op", 40), ("rebate", 60)])
    begun = [EnrollmentFactory(terms=terms, payout__tax_profile=None) for _ in range(2)]
    for one in begun:
        rebate = one.payout_assignments.filter(earning_type__kind="rebate")
        rebate.update(
            tax_profile=TaxProfileFactory(location=one.location),
            bank_profile=BankProfileFactory(
                partner_account=one.location.partner_account
            ),
        )

    with django_assert_num_queries(1):
        codes = gap_codes([payout.enrollment.pk, *(one.pk for one in begun)], on=TODAY)

    assert codes == {str(one.pk): ("currency_missing", "bank_missing") for one in begun}


def test_what_many_lack_is_asked_of_one_where_nobody_gave_anything(
    payout, maria, monkeypatch
):
    credit = ProgramTermsFactory(methods=["credit_note"])
    bare = [EnrollmentFactory(terms=payout.terms) for _ in range(3)]
    bare += [EnrollmentFactory(terms=credit) for _ in range(2)]
    with_tax, with_bank = (EnrollmentFactory(terms=payout.terms) for _ in range(2))
    TaxProfileFactory(location=with_tax.location)
    at = with_bank.location
    DefaultBankProfileFactory(
        location=at,
        bank_profile=BankProfileFactory(partner_account=at.partner_account),
        set_by=maria,
    )
    every = [payout.enrollment, *bare, with_tax, with_bank]
    places = [
        (str(one.pk), one.terms_id, one.location_id, one.location.partner_account_id)
        for one in every
    ]
    asked = []

    def asking(keys, *, on):
        asked.extend(keys)
        return gap_codes(keys, on=on)

    expected = gap_codes([one.pk for one in every], on=TODAY)
    monkeypatch.setattr(eligibility, "gap_codes", asking)

    assert gap_codes_of_many(places, on=TODAY) == expected
    assert expected[str(bare[0].pk)] == ("bank_missing", "tax_missing")
    assert expected[str(bare[-1].pk)] == ("method_refused", "tax_missing")
    # Each that has something, and one of those without under each terms.
    assert len(asked) == 5


# --- What is validated ------------------------------------------------------------------------


@shared
def submitted(goteborg, terms, maria, ida):
    """Sent to the program owner; both profiles are approved, not yet for this."""
    bank = BankProfileFactory(
        partner_account=goteborg.partner_account, created_by=maria
    )
    tax = TaxProfileFactory(location=goteborg, created_by=maria)
    enrollment = EnrollmentFactory(
        location=goteborg,
        terms=terms,
        submitted=True,
        payout__bank_profile=bank,
        payout__tax_profile=tax,
        payout__currency="SEK",
    )
    return SimpleNamespace(
        enrollment=enrollment,
        bank=bank,
        tax=tax,
        row=enrollment.payout_assignments.get(),
    )


def pin(payout) -> None:
    choose(
        payout,
        bank_version=payout.bank.versions.get(number=1),
        tax_version=payout.tax.versions.get(number=1),
    )


def revised_bank(payout) -> None:
    BankVersionFactory(profile=payout.bank, number=2, pending=True)


def revised_tax(payout) -> None:
    TaxVersionFactory(profile=payout.tax, number=2, pending=True)


def returned_in_force(payout) -> None:
    as_if_sent(
        payout.bank.versions.all(),
        status="action_required",
        returned=[{"field": "iban", "code": "OTHER"}],
    )


@pytest.mark.parametrize(
    ("steps", "bank", "tax"),
    [
        ([], False, False),
        ([pin], True, True),
        ([pin, revised_bank], False, True),
        ([pin, revised_tax], True, False),
        ([pin, returned_in_force], False, True),
    ],
    ids=[
        "approved, not for this enrollment",
        "validated",
        "a new bank version",
        "a new tax version",
        "returned after it was in force",
    ],
)
def test_only_exactly_what_is_used_now_counts_as_validated(submitted, steps, bank, tax):
    # R38, R39, R44
    for step in steps:
        step(submitted)
    (row,) = payout_of([submitted.enrollment], on=TODAY)[submitted.enrollment.pk]

    assert is_part_validated(row, "bank") is bank
    assert is_part_validated(row, "tax") is tax
    assert is_validated(row) is (bank and tax)
    # The same question, asked of many.
    waiting = Enrollment.objects.filter(waits_for_part("bank"))
    assert waiting.exists() is not bank
    waiting = Enrollment.objects.filter(waits_for_part("tax"))
    assert waiting.exists() is not tax


def test_paid_by_credit_note_there_is_no_bank_to_validate(submitted):
    choose(submitted, method="credit_note", bank_profile=None)
    (row,) = payout_of([submitted.enrollment], on=TODAY)[submitted.enrollment.pk]

    assert is_part_validated(row, "bank")
    assert not Enrollment.objects.filter(waits_for_part("bank")).exists()


# --- Which currencies are accepted -------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "bank", "accepted"),
    [
        ({"currencies": ["EUR", "USD"]}, {}, ["SEK", "EUR", "USD"]),
        ({"currencies": ["EUR", "SEK"]}, {}, ["EUR", "SEK"]),
        (
            {"currencies": ["EUR", "USD"], "pays_local_currency": False},
            {},
            ["EUR", "USD"],
        ),
        ({"currencies": ["EUR", "SEK"]}, {"takes_only_local": True}, ["SEK"]),
        (
            {"currencies": ["EUR"], "pays_local_currency": False},
            {"takes_only_local": True},
            [],
        ),
    ],
)
def test_what_both_the_program_and_the_bank_accept_is_accepted(
    payout, goteborg, asked, bank, accepted
):
    ask(payout, **asked)
    choose(
        payout,
        bank_profile=BankProfileFactory(
            partner_account=goteborg.partner_account,
            version__local_currency="SEK",
            **{f"version__{name}": value for name, value in bank.items()},
        ),
    )

    rows = payout_of([payout.enrollment], on=TODAY)[payout.enrollment.pk]

    assert accepted_currencies(rows) == accepted


def test_two_banks_accept_what_both_accept(goteborg, terms):
    terms.earning_types.all().delete()
    EarningTypeFactory(terms=terms, kind="rebate", share=60)
    EarningTypeFactory(terms=terms, kind="co_op", share=40)
    enrollment = EnrollmentFactory(location=goteborg, terms=terms)
    for row, currency in zip(
        enrollment.payout_assignments.all(), ["SEK", "NOK"], strict=True
    ):
        row.bank_profile = BankProfileFactory(
            partner_account=goteborg.partner_account, version__local_currency=currency
        )
        row.save()

    rows = payout_of([enrollment], on=TODAY)[enrollment.pk]

    assert accepted_currencies(rows) == ["EUR", "USD"]
    assert accepted_currencies(rows[:1])[0] in ("SEK", "NOK")


def test_a_payment_without_a_bank_leaves_the_choice_to_the_others(goteborg, terms):
    terms.earning_types.all().delete()
    EarningTypeFactory(terms=terms, kind="rebate", share=60)
    EarningTypeFactory(terms=terms, kind="co_op", share=40)
    enrollment = EnrollmentFactory(location=goteborg, terms=terms)
    none_yet = payout_of([enrollment], on=TODAY)[enrollment.pk]
    row = enrollment.payout_assignments.order_by("pk")[0]
    row.bank_profile = BankProfileFactory(
        partner_account=goteborg.partner_account, version__local_currency="SEK"
    )
    row.save()

    rows = payout_of([enrollment], on=TODAY)[enrollment.pk]

    assert accepted_currencies(none_yet) == ["EUR", "USD"]
    assert accepted_currencies(rows) == ["SEK", "EUR", "USD"]


def test_what_is_said_before_a_bank_is_chosen_is_what_is_found_after_it(
    accepted, nordvik, maria
):
    # One answer for the choice and for what keeps the enrollment from being sent.
    banks = [
        BankProfileFactory(
            partner_account=nordvik,
            created_by=maria,
            version__country=country,
            version__local_currency=currency,
            version__takes_only_local=takes_only_local,
            **version,
        )
        for country, currency in (("SE", "SEK"), ("DE", "EUR"))
        for takes_only_local in (False, True)
        for version in ({}, {"version__pending": True}, {"version__was_returned": True})
    ]
    row, terms = accepted.payout_assignments.get(), accepted.terms
    answers = set()
    for allowed, refused, currencies, pays_local in itertools.product(
        ([], ["SE"]), ([], ["SE"]), (["USD"], ["SEK", "USD"]), (False, True)
    ):
        terms.bank_countries, terms.bank_countries_refused = allowed, refused
        terms.currencies, terms.pays_local_currency = currencies, pays_local
        terms.save()
        for bank in banks:
            row.bank_profile = bank
            row.save()
            (found,) = payout_of([accepted], on=timezone.localdate())[accepted.pk]

            is_refused = bool(why_not_paid_to(bank, terms=terms))

            cannot_be_paid = found.bank_gap or not found.accepted_currencies
            assert is_refused == bool(cannot_be_paid), (bank, terms.__dict__)
            answers.add(is_refused)
    assert answers == {True, False}
