"""What each country asks, and what becomes of the answers."""

from itertools import product
from string import ascii_uppercase

import pytest
from django.core.exceptions import ValidationError
from django.utils import translation
from django.utils.functional import Promise
from schwifty import registry
from schwifty.exceptions import InvalidCountryCode

from profiles import countries, currencies
from profiles.bank_countries import BANK_COUNTRIES
from profiles.countries import bank_schema, missing_fields, tax_schema, validate
from profiles.countries.banks import BANK_SCHEMAS
from profiles.countries.fields import SECTIONS
from profiles.countries.taxes import TAX_FORMS, TAX_SCHEMAS

BENEFICIARY = {
    "account_holder": "Nordvik Konsult AB",
    "street": "Exempelgatan 1",
    "postcode": "411 14",
    "city": "Göteborg",
    "contact_name": "Ida Berg",
    "contact_email": "Ida.Berg@nordvik.example",
    "contact_phone": "+46 8 123 456 78",
}
COMPANY = {"legal_name": "Demo", "street": "Main Street 1", "city": "Town"}
SCHEMAS = [*BANK_SCHEMAS.values(), *TAX_SCHEMAS.values()]


def errors_of(schema, raw, **options):
    with pytest.raises(ValidationError) as refusal:
        validate(schema, raw, **options)
    return refusal.value.message_dict


def examples(schema):
    """Answer every field of a schema with its own example."""
    answers = {}
    for field in schema.fields:
        if field.is_asked(answers):
            choice = field.choices[0][0] if field.choices else ""
            answers[field.key] = field.example or choice or "Demo Bank"
    return answers


# --- The data -------------------------------------------------------------------------


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: f"{s.country}-{s.tax_form}")
def test_every_country_accepts_its_own_examples(schema):
    answers = examples(schema)
    if "bic" in answers:
        del answers["bic"]

    cleaned = validate(schema, answers)

    assert set(cleaned) == set(answers)
    assert validate(schema, cleaned) == cleaned
    assert missing_fields(schema, cleaned) == []


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: f"{s.country}-{s.tax_form}")
def test_every_field_is_named_in_words_that_can_be_translated(schema):
    keys = [field.key for field in schema.fields]
    assert len(keys) == len(set(keys))
    for field in schema.fields:
        assert isinstance(field.label, Promise)
        assert field.section in SECTIONS
        assert not field.is_secret or field.hint
        assert not field.hint or isinstance(field.hint, Promise)
        assert field.only_if is None or keys.index(field.only_if[0]) < keys.index(
            field.key
        )
    assert any(field.identifies for field in schema.fields)


def test_every_country_with_official_ibans_has_a_bank_schema():
    official = set()
    for code in map("".join, product(ascii_uppercase, repeat=2)):
        try:
            spec = registry.get_iban_spec(code)
        except InvalidCountryCode:
            continue
        if not spec.aspirational and spec.country == code:
            official.add(code)
    # Their accounts have IBANs of France, Finland and the United Kingdom.
    territories = "AX BL GF GG GP IM JE MF MQ NC PF PM RE TF WF YT"

    assert set(BANK_SCHEMAS) == official - set(territories.split()) | {"GB", "US"}


def test_the_tax_countries_and_their_forms():
    assert {code: schema.tax_form for code, schema in TAX_SCHEMAS.items()} == {
        "SE": "local",
        "DE": "local",
        "GB": "local",
        "US": "w9",
    }
    assert {schema.tax_form for schema in TAX_SCHEMAS.values()} <= set(TAX_FORMS)


def test_unknown_countries_have_no_schema():
    assert bank_schema("ZZ") is None
    assert tax_schema("NO") is None
    assert countries.field_keys("NO", "tax") == ("form", "document")


def test_countries_are_listed_by_name_in_the_readers_language():
    with translation.override("en"):
        listed = countries.bank_countries()

    assert ("SE", "Sweden") in listed
    assert [name for _, name in listed] == sorted(name for _, name in listed)
    assert [code for code, _ in countries.tax_countries()] == ["DE", "SE", "GB", "US"]


# --- Answers --------------------------------------------------------------------------


def test_only_the_countrys_own_fields_are_kept_and_normalized():
    # R48
    cleaned = validate(
        bank_schema("DE"),
        BENEFICIARY
        | {
            "account_holder": "  Nordvik\u00a0Konsult  AB ",
            "iban": "de89 3704 0044 0532 0130 00",
            "bic": "",
            "sort_code": "20-00-00",
        },
    )

    assert cleaned == BENEFICIARY | {
        "contact_email": "ida.berg@nordvik.example",
        "contact_phone": "+46812345678",
        "iban": "DE89370400440532013000",
    }


def test_every_wrong_field_says_so_at_once():
    errors = errors_of(
        bank_schema("DE"),
        BENEFICIARY | {"iban": "DE00", "street": "Postfach 12", "city": "\u00a0"},
    )

    assert set(errors) == {"iban", "street", "city"}
    assert errors["iban"] == ["Enter a valid IBAN, like DE89 3704 0044 0532 0130 00"]
    assert errors["city"] == ["Enter City"]


def test_the_iban_and_the_bic_must_be_of_the_banks_country():
    errors = errors_of(
        bank_schema("NL"),
        BENEFICIARY | {"iban": "DE89370400440532013000", "bic": "DEUTDEFF"},
    )

    assert set(errors) == {"iban", "bic"}
    assert "NL91 ABNA 0417 1643 00" in errors["iban"][0]


def test_a_swedish_account_is_told_in_one_of_three_ways():
    schema = bank_schema("SE")
    iban = validate(schema, BENEFICIARY | {"iban": "SE3550000000054910000003"})
    account = validate(
        schema,
        BENEFICIARY
        | {
            "account_kind": "account",
            "clearing_number": "8327-9",
            "account_number": "000 000 3",
            "iban": "not asked for",
        },
    )
    giro = validate(
        schema, BENEFICIARY | {"account_kind": "bankgiro", "bankgiro": "999-0003"}
    )

    assert iban["account_kind"] == "iban"
    assert "iban" not in account
    assert countries.account_number(schema, iban) == "SE:SE3550000000054910000003"
    assert countries.account_number(schema, account) == "SE:83279:0000003"
    assert countries.account_number(schema, giro) == "SE:9990003"


def test_a_choice_that_is_not_offered_is_refused():
    errors = errors_of(bank_schema("SE"), BENEFICIARY | {"account_kind": "cash"})

    assert errors == {"account_kind": ["Choose one: Where the money should go"]}


def test_an_answer_of_any_length_is_refused_before_it_is_read():
    errors = errors_of(
        bank_schema("DE"), BENEFICIARY | {"iban": "DE" + "0" * 10_000_000}
    )

    assert list(errors) == ["iban"]


def test_a_program_can_ask_for_more_than_the_country_does():
    # R55
    schema = tax_schema("SE")
    raw = COMPANY | {"org_number": "559999-0669", "postcode": "411 14"}
    details = validate(schema, raw)

    assert missing_fields(schema, details) == []
    missing = missing_fields(schema, details, required={"vat", "ein"})
    assert [field.key for field in missing] == ["vat"]
    assert errors_of(schema, raw, required={"vat"}) == {"vat": ["Enter VAT number"]}


def test_a_british_company_outside_vat_leaves_the_number_out():
    cleaned = validate(
        tax_schema("GB"),
        COMPANY | {"company_number": "1234567", "postcode": "ls1 4ap"},
    )

    assert cleaned["company_number"] == "01234567"
    assert "vat" not in cleaned


# --- What is shown ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("SE:SE3550000000054910000003", "0003"),
        ("US:110000000:000123456789", "6789"),
        ("US:110000000:1234", "34"),
        ("SE:5491:3", ""),
    ],
)
def test_the_last_characters_are_those_of_the_account_itself(number, shown):
    # R59
    assert countries.last4(number) == shown


def test_numbers_are_masked_and_words_are_not():
    schema = bank_schema("GB")
    assert schema.field("account_number").masked("55779911") == "•••• 9911"
    assert schema.field("sort_code").masked("200000") == "20-00-00"
    assert schema.field("account_holder").masked("Nordvik") == "Nordvik"
    assert bank_schema("US").field("account_type").shown("savings") == "Savings"
    assert (
        bank_schema("DE").field("iban").shown("DE89370400440532013000")
        == "DE89 3704 0044 0532 0130 00"
    )
    assert bank_schema("SE").field("bankgiro").shown("9990003") == "999-0003"
    assert tax_schema("SE").field("org_number").shown("5599990669") == "559999-0669"
    assert tax_schema("US").field("ein").shown("123456789") == "12-3456789"


def test_every_account_and_tax_number_is_secret():
    for schema in SCHEMAS:
        for field in schema.fields:
            if field.key in {
                "iban", "account_number", "bankgiro", "org_number", "vat",
                "tax_number", "company_number", "utr", "ein",
            }:  # fmt: skip
                assert field.is_secret
                assert field.autocomplete == "off"


def test_the_bank_is_named_by_its_iban_or_by_the_partner():
    assert (
        countries.bank_name(bank_schema("DE"), {"iban": "DE89370400440532013000"})
        == "Commerzbank"
    )
    assert countries.bank_name(bank_schema("US"), {"bank_name": "Demo"}) == "Demo"
    assert countries.bank_name(bank_schema("BE"), {"iban": "BE68539007547034"}) == ""


def test_a_reason_can_be_about_a_field_or_the_whole():
    keys = countries.field_keys("GB", "bank")

    assert {"account_holder", "sort_code", "street", "country", "currency"} <= set(keys)
    assert countries.field_label("GB", "bank", "sort_code") == "Sort code"
    assert countries.field_label("GB", "bank", "currency") == "Currency"


def test_every_country_with_a_form_has_a_name():
    named = dict(countries.all_countries())

    for code in (*BANK_COUNTRIES, *dict(countries.tax_countries())):
        assert named[code] != code
    assert named["JP"] == "Japan"


# --- Currencies ---------------------------------------------------------------------------


def test_every_bank_country_has_a_currency_we_know():
    for code, row in BANK_COUNTRIES.items():
        assert row.currency in currencies.CURRENCIES
        assert currencies.local_currency(code) == row.currency


def test_american_banks_take_dollars_only_and_others_are_offered_the_usual():
    assert currencies.takes_only_local("US")
    assert currencies.default_currencies("US") == ("USD",)
    assert currencies.default_currencies("SE") == ("SEK", "EUR", "USD")
    assert currencies.default_currencies("DE") == ("EUR", "USD")
