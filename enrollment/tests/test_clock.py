"""The earning clock: what acting today earns, and what a page says of it."""

import datetime
from datetime import UTC, date

import pytest
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from enrollment.clock import clock_for, clock_of, earning_outlook
from enrollment.models import Enrollment, FiscalCalendar, FiscalYear, ProgramTerms
from profiles.models import VALIDATION_PROMISE

YEAR = FiscalYear(
    calendar=FiscalCalendar(time_zone="UTC"),
    number=2027,
    starts_on=date(2026, 7, 1),
    ends_on=date(2027, 6, 30),
)
DAYS = st.dates(date(2026, 5, 1), date(2027, 7, 10))


def terms_of(rule: str) -> ProgramTerms:
    return ProgramTerms(fiscal_year=YEAR, earnings_start=rule)


def noon(day: date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(12), tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "on", "last_day", "said"),
    [
        (
            "submitted",
            date(2026, 11, 12),
            date(2027, 6, 30),
            (
                "Enroll by 30 November 2026 and earn from 1 November 2026; later, November "
                "is lost. The last day to enroll is 30 June 2027."
            ),
        ),
        (
            "validated",
            date(2026, 11, 28),
            date(2026, 12, 12),
            (
                "Enroll by 28 November 2026 and earn from 1 November 2026; validated after "
                "30 November 2026, November is lost. Validation takes up to 2 days. The "
                "last day to enroll is 12 December 2026."
            ),
        ),
        (
            "validated",
            date(2026, 11, 29),
            date(2026, 11, 30),
            (
                "Enroll today: validated by 30 November 2026, it earns from 1 November "
                "2026; later, November is lost. Validation takes up to 2 days. The last "
                "day to enroll is 30 November 2026."
            ),
        ),
        (
            "submitted",
            date(2026, 11, 12),
            date(2026, 11, 20),
            "Enroll by 20 November 2026 and earn from 1 November 2026.",
        ),
        (
            "validated",
            date(2026, 11, 12),
            None,
            (
                "Put it right by 28 November 2026 and earn from 1 November 2026; validated "
                "after 30 November 2026, November is lost. Validation takes up to 2 days."
            ),
        ),
        (
            "submitted",
            date(2026, 6, 20),
            date(2027, 6, 30),
            (
                "Enroll by 31 July 2026 and earn from 1 July 2026; later, July is lost. "
                "The last day to enroll is 30 June 2027."
            ),
        ),
    ],
)
def test_the_clock_says_until_when_and_what_is_lost(rule, on, last_day, said):
    # R45, domain.md §2.6
    assert clock_of(terms_of(rule), on=on, last_day=last_day).sentence == said


def test_each_reader_reads_the_same_clock_in_their_own_language():
    on, last_day = date(2026, 11, 12), date(2026, 11, 20)
    said = {}
    for language in ("en", "sv", "en"):
        with translation.override(language):
            said[language] = clock_of(
                terms_of("submitted"), on=on, last_day=last_day
            ).sentence

    assert "20 November 2026" in said["en"]
    assert "20 november 2026" in said["sv"]


@settings(deadline=None)
@given(rule=st.sampled_from(["submitted", "validated"]), on=DAYS, last_day=DAYS)
def test_what_the_clock_promises_is_what_the_terms_pay(rule, on, last_day):
    terms, clock = terms_of(rule), clock_of(terms_of(rule), on=on, last_day=last_day)
    if on > last_day or on > YEAR.ends_on:
        assert clock is None
        return
    assert clock.act_by <= last_day
    if on <= clock.act_by:
        # Sent at the last moment of that day, answered at the last promised one.
        sent = noon(clock.act_by) + datetime.timedelta(hours=11, minutes=59)
        assert clock.earns_from == terms.earns_from(
            submitted_at=sent, validated_at=sent + VALIDATION_PROMISE
        )
        assert not clock.is_tight
    if not clock.is_last_chance:
        late = noon(clock.month_ends + datetime.timedelta(days=1))
        lost = terms.earns_from(submitted_at=late, validated_at=late)
        assert lost > clock.earns_from


def enrollment_of(rule: str, **facts) -> Enrollment:
    facts = {"enroll_by": date(2027, 6, 30)} | facts
    return Enrollment(terms=terms_of(rule), **facts)


@pytest.mark.parametrize("rule", ["submitted", "validated"])
@pytest.mark.parametrize(
    "facts",
    [
        {"status": "validating", "submitted_at": noon(date(2026, 11, 12))},
        {"status": "declined"},
        {
            "status": "action_required",
            "submitted_at": noon(date(2026, 10, 12)),
            "earns_from": date(2026, 10, 1),
        },
        {"status": "invited", "enroll_by": date(2026, 11, 19)},
    ],
    ids=lambda facts: facts["status"],
)
def test_nothing_ticks_where_waiting_costs_nothing(rule, facts):
    one = enrollment_of(rule, **facts)

    assert clock_for(one, at=noon(date(2026, 11, 20))) is None


@pytest.mark.parametrize(
    ("rule", "since", "said"),
    [
        (
            "submitted",
            noon(date(2026, 11, 30)),
            "As soon as it is validated, it earns from 1 November 2026.",
        ),
        (
            "validated",
            noon(date(2026, 11, 12)),
            "Validated by 30 November 2026, it earns from 1 November 2026.",
        ),
        (
            "validated",
            noon(date(2026, 11, 29)),
            (
                "Validated by 30 November 2026, it earns from 1 November 2026; the answer "
                "is promised later than that, and then it earns from 1 December 2026."
            ),
        ),
    ],
)
def test_after_submitting_it_says_what_the_answer_will_earn(rule, since, said):
    one = enrollment_of(
        rule, status="validating", submitted_at=since, status_since=since
    )

    assert earning_outlook(one, at=since) == said


def test_what_earned_before_goes_on_earning_while_it_is_validated_again():
    one = enrollment_of("validated", status="validating", earns_from=date(2026, 8, 1))

    said = earning_outlook(one, at=noon(date(2026, 11, 20)))
    assert said == "It earns from 1 August 2026, as before."
