"""Which tax form applies and why, which documents go with it, and how long it is good."""

import datetime

import pytest

from profiles import countries
from profiles.countries.tax_forms import (
    DOCUMENTS,
    RULES,
    expires_on,
    needed_form,
    setup_schema,
)

DAY = datetime.timedelta(days=1)


def day(*parts: int) -> datetime.date:
    return datetime.date(*parts)


OTHER = {"payer": "other"}


@pytest.mark.parametrize(
    ("country", "answers", "needs", "form", "reason", "documents"),
    [
        ("US", {"owner_abroad": "no"}, (), "w9", "in the United States", ["form_w9"]),
        (
            "US",
            {"owner_abroad": "yes"},
            (),
            "w8ben_e",
            "the owner's form",
            ["form_w8ben_e"],
        ),
        (
            "SE",
            {"payer": "us"},
            (),
            "w8ben_e",
            "registered in Sweden and paid by the program owner's company in the United",
            ["form_w8ben_e"],
        ),
        ("SE", OTHER | {"registered": "yes"}, (), "local", "GST or a tax like it", []),
        (
            "GB",
            OTHER | {"registered": "no"},
            (),
            "unregistered",
            "not registered for VAT",
            [],
        ),
        (
            "DE",
            OTHER | {"registered": "no"},
            ("residence_certificate",),
            "unregistered",
            "company number is enough",
            ["residence_certificate"],
        ),
        (
            "DE",
            {"payer": "us"},
            ("vat", "residence_certificate"),
            "w8ben_e",
            "Germany",
            ["form_w8ben_e", "residence_certificate"],
        ),
        # A leftover of another country's questions decides nothing.
        ("US", {"payer": "us"}, (), None, "", []),
        ("SE", {"owner_abroad": "no"}, (), None, "", []),
        ("SE", OTHER, (), None, "", []),
        ("SE", {}, (), None, "", []),
    ],
)
def test_the_form_that_applies_and_its_reason(
    country, answers, needs, form, reason, documents
):
    needed = needed_form(
        country, answers, country_name=countries.country_name(country), needs=needs
    )

    assert (needed.form if needed else None) == form
    if needed:
        assert reason in needed.sentence
        assert [kind.key for kind in needed.documents] == documents
        assert not set(needed.documents) & set(needed.optional)


def test_every_answer_leads_to_one_form():
    for country in ("US", "SE", "JP"):
        questions = setup_schema(country).fields
        ways = [{}]
        for question in questions:
            ways = [
                {**way, question.key: value}
                for way in ways
                for value, _label in question.choices
            ]
        for way in ways:
            fitting = [rule for rule in RULES if rule.fits(country, way)]
            assert len(fitting) >= 1, (country, way)


def test_who_is_registered_gives_the_number_and_who_is_not_need_not():
    for country, key in (("SE", ("vat",)), ("GB", ("vat",)), ("US", ())):
        schema = countries.tax_schema(country)
        registered = needed_form(country, OTHER | {"registered": "yes"})
        unregistered = needed_form(country, OTHER | {"registered": "no"})
        assert (registered.required_fields(schema) if registered else ()) == key
        assert not (unregistered and unregistered.required_fields(schema))


@pytest.mark.parametrize(
    ("kind", "dated_on", "last_day"),
    [
        ("form_w8ben_e", day(2026, 1, 1), day(2029, 12, 31)),
        ("form_w8ben_e", day(2026, 12, 31), day(2029, 12, 31)),
        ("form_w8ben_e", day(2027, 1, 1), day(2030, 12, 31)),
        ("form_w9", day(2020, 1, 1), None),
        ("residence_certificate", day(2026, 3, 1), day(2027, 2, 28)),
        ("residence_certificate", day(2024, 2, 29), day(2025, 2, 28)),
        ("registration", day(2026, 3, 1), None),
    ],
)
def test_how_long_a_document_is_good(kind, dated_on, last_day):
    assert DOCUMENTS[kind].last_day(dated_on) == last_day


def test_what_runs_out_first_is_when_all_of_it_does():
    dated = [
        ("form_w8ben_e", day(2026, 5, 1)),
        ("residence_certificate", day(2026, 5, 1)),
        ("registration", day(2026, 5, 1)),
    ]

    assert expires_on(dated) == day(2027, 4, 30)
    assert expires_on(dated[:1]) == day(2029, 12, 31)
    assert expires_on(dated[2:]) is None


@pytest.mark.parametrize(
    ("kind", "last_good"),
    [
        # Issued or signed on 2 March 2025.
        ("registration", day(2025, 3, 2) + 365 * DAY),
        ("residence_certificate", day(2026, 3, 1)),
        ("form_w8ben_e", day(2028, 12, 31)),
    ],
)
def test_a_document_is_too_old_from_a_day_on(kind, last_good):
    dated_on = day(2025, 3, 2)

    assert not DOCUMENTS[kind].is_too_old(dated_on, on=last_good)
    assert DOCUMENTS[kind].is_too_old(dated_on, on=last_good + DAY)
