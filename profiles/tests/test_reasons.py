"""The reasons a profile is returned for."""

import pytest
from django.utils.functional import Promise

from profiles.countries import field_keys
from profiles.countries.banks import BANK_SCHEMAS
from profiles.countries.taxes import TAX_SCHEMAS
from profiles.reasons import BY_CODE, REASONS, explained, reasons_for

COUNTRIES = {"bank": BANK_SCHEMAS, "tax": TAX_SCHEMAS}


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.code)
def test_every_reason_says_what_is_wrong_and_what_to_do(reason):
    for words in (reason.title, reason.text, reason.remedy):
        assert isinstance(words, Promise)
        assert "{" not in str(words)
        assert "%" not in str(words)
    assert str(reason.text).endswith(".")
    assert str(reason.remedy).endswith(".")


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.code)
def test_every_reason_can_be_tied_to_a_field_that_exists(reason):
    for part in reason.parts:
        asked = {
            key for country in COUNTRIES[part] for key in field_keys(country, part)
        }
        assert set(reason.field_keys) & asked or not reason.field_keys
        assert any(map(reason.fits, asked))


def test_the_catalog_has_one_meaning_per_code():
    assert len(BY_CODE) == len(REASONS) == 16


def test_bank_and_tax_profiles_have_their_own_reasons():
    bank = {reason.code for reason in reasons_for("bank")}
    tax = {reason.code for reason in reasons_for("tax")}

    assert "IBAN_CHECK_FAILED" in bank - tax
    assert "TAX_ID_NOT_FOUND" in tax - bank
    assert {"ADDRESS_PO_BOX", "OTHER", "DOC_UNREADABLE"} <= bank & tax
    assert bank | tax == set(BY_CODE)


def test_only_the_free_reason_needs_a_note_and_fits_anything():
    assert [reason.code for reason in REASONS if reason.needs_note] == ["OTHER"]
    assert BY_CODE["OTHER"].fits("anything")
    assert BY_CODE["IBAN_CHECK_FAILED"].fits("iban")
    assert not BY_CODE["IBAN_CHECK_FAILED"].fits("street")


def test_a_stored_reason_is_explained_at_its_field():
    returned = [
        {"field": "iban", "code": "IBAN_CHECK_FAILED", "note": ""},
        {"field": "org_number", "code": "OTHER", "note": "Send the new certificate."},
        {"field": "currency", "code": "GONE_FROM_THE_CATALOG"},
    ]

    first, second, third = explained(returned, country="SE")

    assert (first.label, first.reason.code) == ("IBAN", "IBAN_CHECK_FAILED")
    assert (second.label, second.note) == (
        "Organisation number",
        "Send the new certificate.",
    )
    assert (third.label, third.reason.code, third.note) == ("Currency", "OTHER", "")
