"""What the year end means for each enrollment: the annotation against the table."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from accounts.models import Location
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    UserFactory,
)
from accounts.tests.tries import tries
from enrollment import renewal
from enrollment.models import Enrollment, FiscalYear, ProgramTerms
from enrollment.states import (
    RENEWALS,
    TRANSITIONS,
    EndReason,
    EnrollmentStatus,
    Outcome,
)
from enrollment.tests.factories import (
    AgreementFactory,
    CriterionFactory,
    EnrollmentFactory,
    FiscalYearFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    RequirementFactory,
)
from profiles.tests.factories import BankProfileFactory, TaxProfileFactory

pytestmark = pytest.mark.django_db

THIS, NEXT = 2027, 2028
FIRST_DAY = date(2027, 7, 1)
TODAY = date(2027, 5, 20)
EDGE = st.sampled_from([-400, -1, 0, 1, 400])
LATER = st.none() | EDGE


def day(offset: int) -> date:
    """A day so many days after the new year's first."""
    return FIRST_DAY + timedelta(days=offset)


# --- A world: every fact the table asks for ----------------------------------


@dataclass(frozen=True)
class AgreementFact:
    starts: int = -1000
    ends: int | None = None
    terminated: int | None = None


@dataclass(frozen=True)
class Value:
    value: int
    days_old: int  # on the day of knowledge; 30 are allowed


@dataclass(frozen=True)
class BankFact:
    status: str = "approved"
    archived: bool = False
    country: str = "SE"
    pinned: bool = True


@dataclass(frozen=True)
class TaxFact:
    status: str = "approved"
    archived: bool = False
    expires: int | None = None
    pinned: bool = True


@dataclass(frozen=True)
class World:
    """An enrollment of the ending year, and what the new year asks."""

    status: str = "enrolled"
    discontinued: bool = False
    has_terms: bool = True
    needs_agreement: bool = True
    agreement: AgreementFact | None = AgreementFact()
    closed: bool = False
    countries: tuple[str, ...] = ()
    asks: bool = False
    value: Value | None = None
    bank: BankFact | None = BankFact()
    refused_banks: tuple[str, ...] = ()
    currency: str = "SEK"
    currencies: tuple[str, ...] = ("EUR",)
    pays_local: bool = True
    tax: TaxFact | None = TaxFact()
    asked_details: tuple[str, ...] = ()
    on: date = TODAY


VERSIONS = st.sampled_from(["approved", "pending", "action_required"])
WORLDS = st.builds(
    World,
    status=st.sampled_from(sorted(set(EnrollmentStatus.values) - {"expired"})),
    # Mostly no: the table's first line would hide the others.
    discontinued=st.sampled_from([False] * 9 + [True]),
    has_terms=st.sampled_from([True] * 9 + [False]),
    needs_agreement=st.booleans(),
    agreement=st.none()
    | st.builds(AgreementFact, starts=EDGE, ends=LATER, terminated=LATER).filter(
        lambda one: (
            (one.ends is None or one.ends >= one.starts)
            and (one.terminated is None or one.terminated >= one.starts)
        )
    ),
    closed=st.sampled_from([False] * 9 + [True]),
    countries=st.sampled_from([(), (), ("SE",), ("DE", "SE"), ("DE",)]),
    asks=st.booleans(),
    value=st.none()
    | st.builds(
        Value,
        value=st.sampled_from([9, 10, 11]),
        days_old=st.sampled_from([-1, 0, 30, 31]),
    ),
    bank=st.none()
    | st.builds(
        BankFact,
        status=VERSIONS,
        archived=st.booleans(),
        country=st.sampled_from(["SE", "SE", "DE"]),
        pinned=st.booleans(),
    ),
    refused_banks=st.sampled_from([(), (), ("DE",)]),
    currency=st.sampled_from(["SEK", "EUR", "USD", ""]),
    currencies=st.sampled_from([("EUR",), ("EUR", "USD"), ()]),
    pays_local=st.booleans(),
    tax=st.none()
    | st.builds(
        TaxFact,
        status=VERSIONS,
        archived=st.booleans(),
        expires=LATER,
        pinned=st.booleans(),
    ),
    asked_details=st.sampled_from([(), (), ("no_such_detail",)]),
    on=st.sampled_from([TODAY, day(-1), day(0), day(3)]),
)


# --- The table, read in plain Python -----------------------------------------


def outcome_of(world: World) -> str:
    under_way = world.status in ("enrolled", "validating", "action_required")
    if world.discontinued or not world.has_terms:
        return "program_ended"
    if under_way and not is_agreed(world):
        return "no_agreement"
    if under_way and why_not_eligible(world):
        return "not_eligible"
    if world.status == "enrolled":
        if missing(world):
            return "at_risk"
        return "enrolled" if is_validated(world) else "validating"
    if under_way:
        return world.status
    return "unanswered" if world.status in ("invited", "declined") else "over"


def reasons_of(world: World) -> set[str]:
    outcome = outcome_of(world)
    if outcome == "not_eligible":
        return why_not_eligible(world)
    if outcome in ("at_risk", "action_required"):
        return missing(world)
    return set()


def is_agreed(world: World) -> bool:
    if not world.needs_agreement:
        return True
    signed = world.agreement
    return (
        signed is not None
        and signed.starts <= 0
        and (signed.ends is None or signed.ends >= 0)
        and (signed.terminated is None or signed.terminated > 0)
    )


def why_not_eligible(world: World) -> set[str]:
    found = set()
    if world.closed:
        found.add("location_closed")
    if world.countries and "SE" not in world.countries:
        found.add("country")
    if world.asks:
        # What is not known ends nothing.
        known = world.value
        if known is not None and known.value < 10 and 0 <= known.days_old <= 30:
            found.add("requirement")
    return found


def missing(world: World) -> set[str]:
    return {gap for gap in (bank_gap(world), tax_gap(world), money_gap(world)) if gap}


def bank_gap(world: World) -> str:
    if world.bank is None:
        return "bank_missing"
    if world.bank.archived:
        return "bank_archived"
    if world.bank.status == "action_required":
        return "bank_returned"
    return "bank_country" if world.bank.country in world.refused_banks else ""


def money_gap(world: World) -> str:
    if world.bank is None:
        return ""
    if not world.currency:
        return "currency_missing"
    is_local = world.pays_local and world.currency == "SEK"
    return "" if is_local or world.currency in world.currencies else "currency_refused"


def tax_gap(world: World) -> str:
    if world.tax is None:
        return "tax_missing"
    if world.tax.archived:
        return "tax_archived"
    if world.tax.status == "action_required":
        return "tax_returned"
    if world.tax.expires is not None and world.tax.expires < 0:
        return "tax_expired"
    return "tax_incomplete" if world.asked_details else ""


def is_validated(world: World) -> bool:
    return all(
        part.status == "approved" and part.pinned for part in (world.bank, world.tax)
    )


# --- The same facts as rows --------------------------------------------------


def years() -> tuple[FiscalYear, FiscalYear]:
    return FiscalYearFactory(number=THIS), FiscalYearFactory(number=NEXT)


def made(world: World) -> tuple[Enrollment, FiscalYear]:
    this_year, next_year = years()
    program = IncentiveProgramFactory(
        discontinued_at=timezone.now() if world.discontinued else None
    )
    terms = ProgramTermsFactory(program=program, fiscal_year=this_year)
    location = LocationFactory(country="SE")
    if world.has_terms:
        following = ProgramTermsFactory(
            program=program,
            fiscal_year=next_year,
            needs_agreement=world.needs_agreement,
            countries=list(world.countries),
            bank_countries_refused=list(world.refused_banks),
            currencies=list(world.currencies),
            pays_local_currency=world.pays_local,
            required_tax_details=list(world.asked_details),
        )
        if world.asks:
            add_requirement(world, following, location)
    if world.agreement is not None:
        signed = world.agreement
        AgreementFactory(
            partner_account=location.partner_account,
            starts_on=day(signed.starts),
            ends_on=None if signed.ends is None else day(signed.ends),
            terminated_on=None if signed.terminated is None else day(signed.terminated),
        )
    enrollment = EnrollmentFactory(
        location=location, terms=terms, complete=True, payout=False
    )
    Enrollment.objects.filter(pk=enrollment.pk).update(status=world.status)
    choose(world, enrollment)
    if world.closed:
        Location.objects.filter(pk=location.pk).update(closed_at=timezone.now())
    return enrollment, next_year


def add_requirement(world: World, terms: ProgramTerms, location: Location) -> None:
    criterion = CriterionFactory(max_age_days=30)
    RequirementFactory(terms=terms, criterion=criterion, at_least=10)
    if world.value is not None:
        MeasuredValueFactory(
            location=location,
            criterion=criterion,
            value=world.value.value,
            measured_on=world.on - timedelta(days=world.value.days_old),
        )


def choose(world: World, enrollment: Enrollment) -> None:
    chosen = {"currency": world.currency}
    location = enrollment.location
    if world.bank is not None:
        bank = BankProfileFactory(
            partner_account=location.partner_account,
            **archived(world.bank.archived),
            version__country=world.bank.country,
            version__local_currency="SEK",
            **version_of(world.bank.status),
        )
        chosen["bank_profile"] = bank
        if world.bank.pinned:
            chosen["bank_version"] = bank.versions.get()
    if world.tax is not None:
        expires = world.tax.expires
        tax = TaxProfileFactory(
            location=location,
            **archived(world.tax.archived),
            version__expires_on=None if expires is None else day(expires),
            **version_of(world.tax.status),
        )
        chosen["tax_profile"] = tax
        if world.tax.pinned:
            chosen["tax_version"] = tax.versions.get()
    enrollment.payout_assignments.update(**chosen)


def archived(is_archived: bool) -> dict:
    return (
        {"archived_at": timezone.now(), "archived_by": UserFactory()}
        if is_archived
        else {}
    )


def version_of(status: str) -> dict[str, bool]:
    return {
        "pending": {"version__pending": True},
        "action_required": {"version__was_returned": True},
    }.get(status, {})


def found(enrollment: Enrollment, *, into: FiscalYear, on: date) -> Enrollment:
    return renewal.with_outcome(Enrollment.objects.all(), into=into, on=on).get(
        pk=enrollment.pk
    )


def without_keys(reasons) -> set[str]:
    """A requirement's key says nothing here."""
    return {"requirement" if one.startswith("requirement-") else one for one in reasons}


def compare(world: World) -> None:
    point = transaction.savepoint()
    try:
        enrollment, next_year = made(world)
        row = found(enrollment, into=next_year, on=world.on)
        assert row.outcome == outcome_of(world)
        assert without_keys(row.reasons) == reasons_of(world)
        assert len(row.reasons) == len(set(row.reasons))
        if row.outcome in renewal.REASONED:
            alone = renewal.with_reasons(
                Enrollment.objects.filter(pk=enrollment.pk),
                outcome=row.outcome,
                into=next_year,
                on=world.on,
            ).get()
            assert alone.reasons == row.reasons
    finally:
        transaction.savepoint_rollback(point)


CASES = settings(
    max_examples=tries(16),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@CASES
@given(world=WORLDS)
@example(world=World())
@example(world=World(status="action_required", tax=TaxFact(expires=-1)))
@example(world=World(status="declined", agreement=None))
@example(world=World(agreement=AgreementFact(ends=-1)))
@example(world=World(agreement=AgreementFact(terminated=0)))
@example(world=World(asks=True))
@example(world=World(asks=True, value=Value(9, 30)))
@example(world=World(asks=True, value=Value(9, 31)))
@example(world=World(asks=True, value=Value(9, -1)))
@example(world=World(bank=BankFact(status="pending")))
def test_the_annotation_reads_the_table_as_a_person_does(world):
    compare(world)


def test_every_line_of_the_table_is_reached():
    by_hand = {
        Outcome.PROGRAM_ENDED: World(has_terms=False),
        Outcome.NO_AGREEMENT: World(agreement=None),
        Outcome.NOT_ELIGIBLE: World(asks=True, value=Value(9, 0)),
        Outcome.AT_RISK: World(tax=None),
        Outcome.ENROLLED: World(),
        Outcome.VALIDATING: World(status="validating"),
        Outcome.ACTION_REQUIRED: World(status="action_required"),
        Outcome.UNANSWERED: World(status="invited"),
        Outcome.OVER: World(status="ineligible"),
    }

    assert set(by_hand) == set(Outcome) == set(RENEWALS)
    for outcome, world in by_hand.items():
        assert outcome_of(world) == outcome
        compare(world)


# --- The days (R66) ----------------------------------------------------------


@pytest.mark.parametrize(
    ("expires", "outcome"),
    [
        (date(2027, 6, 30), Outcome.AT_RISK),
        (date(2027, 7, 1), Outcome.ENROLLED),
        (None, Outcome.ENROLLED),
    ],
)
def test_a_tax_form_has_to_reach_the_new_years_first_day(expires, outcome):
    offset = None if expires is None else (expires - FIRST_DAY).days
    enrollment, year = made(World(tax=TaxFact(expires=offset)))

    assert found(enrollment, into=year, on=TODAY).outcome == outcome


def test_only_what_is_known_not_to_be_met_ends_anything():
    enrollment, year = made(World(asks=True, value=Value(9, 0), on=TODAY))
    never_measured, _ = made(World(asks=True))

    assert found(enrollment, into=year, on=TODAY).outcome == Outcome.NOT_ELIGIBLE
    # The value is 42 days old on 1 July, and 30 are allowed: not known is no "no".
    for day in (FIRST_DAY, FIRST_DAY + timedelta(days=90)):
        assert found(enrollment, into=year, on=day).outcome == Outcome.ENROLLED
    assert found(never_measured, into=year, on=TODAY).outcome == Outcome.ENROLLED


def test_an_enrollment_that_expired_or_is_of_another_year_does_not_end():
    enrollment, year = made(World())
    expired, _ = made(World())
    Enrollment.objects.filter(pk=expired.pk).update(
        status="expired", end_reason=EndReason.NOT_ANSWERED
    )
    last_year = ProgramTermsFactory(fiscal_year=FiscalYearFactory(number=THIS - 1))
    EnrollmentFactory(terms=last_year)
    other_calendar = FiscalYearFactory(
        calendar__code="calendar-year", number=THIS, starts_on=date(2027, 1, 1)
    )
    EnrollmentFactory(terms=ProgramTermsFactory(fiscal_year=other_calendar))

    assert list(renewal.ending(Enrollment.objects.all(), into=year)) == [enrollment]


# --- What is paid how --------------------------------------------------------


def test_a_new_kind_of_earning_takes_over_what_the_largest_share_used():
    enrollment, year = made(World())
    following = ProgramTerms.objects.get(fiscal_year=year)
    following.earning_types.update(share=60)
    following.earning_types.create(kind="co_op", share=40)

    row = found(enrollment, into=year, on=TODAY)

    assert (row.outcome, row.reasons) == (Outcome.ENROLLED, [])


def test_one_missing_thing_of_two_payments_is_said_once():
    enrollment, year = made(World(tax=None))
    following = ProgramTerms.objects.get(fiscal_year=year)
    following.earning_types.update(share=60)
    following.earning_types.create(kind="co_op", share=40)

    assert found(enrollment, into=year, on=TODAY).reasons == ["tax_missing"]


def test_an_enrollment_without_payments_never_continues_as_enrolled():
    enrollment, year = made(World())
    enrollment.payout_assignments.all().delete()

    row = found(enrollment, into=year, on=TODAY)

    assert row.outcome == Outcome.AT_RISK
    assert set(row.reasons) == {"bank_missing", "tax_missing"}


# --- The data of the table ---------------------------------------------------


def test_what_continues_says_so_and_what_ends_has_no_row():
    continued = {EndReason.CONTINUED, EndReason.CONTINUED_WITH_GAPS}
    for end in RENEWALS.values():
        assert (end.renews_as is not None) == (end.ends_as in continued)


def test_whatever_has_an_outcome_may_expire():
    ending = set(EnrollmentStatus) - {EnrollmentStatus.EXPIRED}

    assert all(EnrollmentStatus.EXPIRED in TRANSITIONS[status] for status in ending)


def test_a_thousand_enrollments_are_one_query():
    _, year = made(World())
    for _ in range(3):
        made(World())

    with CaptureQueriesContext(connection) as queries:
        rows = list(renewal.with_outcome(Enrollment.objects.all(), into=year, on=TODAY))

    assert (len(rows), len(queries)) == (4, 1)


# --- Controls: each part of the rule off, and the comparison fails -----------

WITHOUT: dict[str, tuple[str, Callable, World]] = {
    "agreement": (
        "_is_agreed",
        lambda **_: renewal.Q(pk__isnull=False),
        World(agreement=None),
    ),
    "gaps": (
        "_lacking",
        lambda **_: renewal.TakenOverPayout.objects.alias(
            tax_gap=renewal.Value("")
        ).none(),
        World(tax=None),
    ),
    "requirements": (
        "_unmet",
        lambda **_: renewal.RequirementCheck.objects.none(),
        World(asks=True, value=Value(9, 0)),
    ),
    "validation": (
        "waits_for_part",
        lambda *parts: renewal.Q(pk__in=[]),
        World(bank=BankFact(status="pending")),
    ),
}


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_without_a_part_of_the_rule_the_comparison_fails(name, monkeypatch):
    attribute, nothing, world = WITHOUT[name]
    compare(world)
    monkeypatch.setattr(renewal, attribute, nothing)

    with pytest.raises(AssertionError):
        compare(world)
