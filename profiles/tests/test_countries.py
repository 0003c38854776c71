"""What each country asks, and what becomes of the answers."""

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import replace
from itertools import product
from pathlib import Path
from string import ascii_uppercase

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from schwifty import registry
from schwifty.exceptions import InvalidCountryCode
from stdnum.util import get_cc_module

from profiles import countries, currencies
from profiles.bank_countries import BANK_COUNTRIES, BankCountry
from profiles.countries import bank_schema, missing_fields, tax_schema, validate
from profiles.countries.banks import (
    BANK_SCHEMAS,
    EARLIER_BANK_SCHEMAS,
    bank_schema_as_written,
)
from profiles.countries.fields import SECTIONS, FieldSpec
from profiles.countries.own_banks import OWN_BANK_FIELDS
from profiles.countries.postcodes import POSTCODES
from profiles.countries.taxes import (
    EARLIER_TAX_SCHEMAS,
    OWN_TAX_SCHEMAS,
    TAX_FORMS,
    TAX_SCHEMAS,
    UNINHABITED,
    tax_schema_as_written,
)
from profiles.country_names import COUNTRY_NAMES
from profiles.validators import Shape

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
VERSIONS = Path(__file__).with_name("schema_versions.json")


def errors_of(schema, raw, **options):
    with pytest.raises(ValidationError) as refusal:
        validate(schema, raw, **options)
    return refusal.value.message_dict


def documented_vat(country):
    """A VAT number of a country, as stdnum's documentation has one."""
    module = get_cc_module(country.lower(), "vat")
    written = re.findall(r"validate\('([^']+)'\)", module.__doc__) if module else []
    return next(filter(module.is_valid, written), "") if module else "DEMO1234"


def examples(schema):
    """Answer every field of a schema with its own example."""
    answers = {}
    for field in schema.fields:
        if field.is_asked(answers):
            choice = field.choices[0][0] if field.choices else ""
            is_vat = field.key == "vat"
            known = documented_vat(schema.country) if is_vat else "DEMO1234"
            answers[field.key] = field.example or choice or known
    return answers


# --- The data -------------------------------------------------------------------------


def accepts_its_own_examples(schema) -> None:
    """What is accepted is written and read back the same."""
    answers = examples(schema)
    if "iban" in answers:
        answers.pop("bic", None)

    cleaned = validate(schema, answers)

    assert set(cleaned) == set(answers), schema.country
    assert validate(schema, cleaned) == cleaned
    assert missing_fields(schema, cleaned) == []
    written = {key: schema.field(key).formatter(cleaned[key]) for key in cleaned}
    assert validate(schema, written) == cleaned


def refuses_what_is_wrong_where_it_is(schema) -> None:
    assert set(errors_of(schema, {})) == {
        field.key
        for field in schema.fields
        if field.is_required and field.only_if is None and not field.default
    } | ({"iban"} if schema is BANK_SCHEMAS["SE"] else set())
    for field in schema.fields:
        if not (field.is_secret or field.identifies):
            continue
        alone = replace(schema, fields=(replace(field, only_if=None),))
        for wrong in ("?", "Å" * 9, "9" * 200, "' OR 1=1 --", "0\x00", "\u202e"):
            errors = errors_of(alone, {field.key: wrong})
            assert not any("%(" in sentence for sentence in errors[field.key])


def names_every_field(schema) -> None:
    """In words that can be translated."""
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


OF_EVERY_COUNTRY = [
    accepts_its_own_examples,
    refuses_what_is_wrong_where_it_is,
    names_every_field,
]


@pytest.mark.parametrize("holds", OF_EVERY_COUNTRY)
def test_of_every_country_it_holds_that_it(holds):
    for schema in SCHEMAS:
        holds(schema)


# A country that is nowhere in the code: rows, and nothing else.
ZEDLAND = [
    (COUNTRY_NAMES, "Zedland"),
    (BANK_COUNTRIES, BankCountry("EUR", "")),
    (POSTCODES, Shape(_("City"), "Z1-23", pattern="(Z[0-9])([0-9]{2})", separator="-")),
    (
        OWN_BANK_FIELDS,
        (
            FieldSpec(
                key="account_number",
                label=_("Account number"),
                hint=_("Account number"),
                checker=Shape(
                    _("Enter the account number of 4 to 9 digits, like %(example)s"),
                    pattern="[0-9]{4,9}",
                    library="luhn",
                    zeros=9,
                    example="1234 5674",
                ),
                is_secret=True,
                identifies=True,
                example="1234 5674",
            ),
        ),
    ),
]


def test_a_country_is_added_by_its_rows_alone(client_of, ida, monkeypatch):
    assert {bank_schema("ZZ"), tax_schema("ZZ")} == {None}
    for table, row in ZEDLAND:
        monkeypatch.setitem(table, "ZZ", row)
    # What starting the portal does.
    for schemas, as_written in (
        (BANK_SCHEMAS, bank_schema_as_written),
        (TAX_SCHEMAS, tax_schema_as_written),
    ):
        monkeypatch.setitem(schemas, "ZZ", as_written("ZZ"))

    for holds, schema in product(
        OF_EVERY_COUNTRY, (bank_schema("ZZ"), tax_schema("ZZ"))
    ):
        holds(schema)
    account = {"account_number": "1234-5674"}
    cleaned = validate(bank_schema("ZZ"), BENEFICIARY | account)
    assert countries.account_number(bank_schema("ZZ"), cleaned) == "ZZ:012345674"
    wrong = BENEFICIARY | {"account_number": "1234 5675"}
    assert set(errors_of(bank_schema("ZZ"), wrong)) == {"account_number"}
    assert tax_schema("ZZ").field("postcode").checker("z123") == "Z1-23"
    assert ("ZZ", "Zedland") in countries.bank_countries()
    assert currencies.local_currency("ZZ") == "EUR"
    # The pages ask for it, too.
    web = client_of(ida)
    needs = web.get(reverse("profiles:needs"), {"bank": "ZZ", "tax": "ZZ"})
    assert "1234 5674" in needs.content.decode()
    assert "Z1-23" in needs.content.decode()
    begun = {"name": "Zed", "country": "ZZ"}
    asked = web.post(reverse("profiles:new_bank"), begun, follow=True)
    assert 'name="account_number"' in asked.content.decode()


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
    ask_an_iban = {
        code for code, schema in BANK_SCHEMAS.items() if schema.field("iban")
    }

    assert ask_an_iban == official - set(territories.split()) - {"BR", "GB"}


def test_what_one_answer_asks_for_is_hidden_until_it_is_given():
    sheet = (Path(settings.BASE_DIR) / "static/css/portal.css").read_text()
    answers = {
        field.only_if[1]
        for schema in SCHEMAS
        for field in schema.fields
        if field.only_if
    }

    for answer in answers:
        assert re.search(rf'\.asked\[data-when[^{{,]*"{answer}"', sheet), answer


def test_banks_of_all_other_countries_are_asked_for_bic_and_account():
    world = {code for code, schema in BANK_SCHEMAS.items() if _is_world(schema)}
    own = {"AU", "BR", "CA", "GB", "IN", "JP", "US"}
    # Their banks have numbers of another country; or no payment reaches them.
    elsewhere = "AS AX BL CC CX GF GG GP GU IM JE MF MP MQ NC NF NU PF PM PN PR RE SJ"
    nowhere = "AQ BV CU GS HM IO IR KP SY"

    assert len(world) > 100
    assert set(COUNTRY_NAMES) - set(BANK_SCHEMAS) == {
        *elsewhere.split(), "TF", "TK", "UM", "VI", "WF", "YT", *nowhere.split()
    }  # fmt: skip
    assert {
        code
        for code, schema in BANK_SCHEMAS.items()
        if not schema.field("iban") and code not in world
    } == own


def _is_world(schema) -> bool:
    return schema.field("intermediary_bic") is not None


def test_a_schema_that_asks_something_else_is_a_new_version():
    """Each stored version says by which schema it was checked; an old one stays."""
    kept = json.loads(VERSIONS.read_text())

    for part, schemas in (
        ("bank", [*BANK_SCHEMAS.values(), *EARLIER_BANK_SCHEMAS.values()]),
        ("tax", [*TAX_SCHEMAS.values(), *EARLIER_TAX_SCHEMAS.values()]),
    ):
        shapes = defaultdict(list)
        for schema in schemas:
            shapes[shape(schema)].append(f"{schema.country}{schema.version}")
        assert {one: " ".join(sorted(all_)) for one, all_ in shapes.items()} == kept[
            part
        ], f"Raise the version, keep the old schema, then write {VERSIONS.name} anew."


def shape(schema) -> str:
    """What a schema asks and keeps, without its words."""
    asked = [
        (field.key, field.is_required, field.is_secret, field.identifies)
        + (field.only_if, [answer for answer, _ in field.choices], field.default)
        for field in schema.fields
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:8]


def test_what_was_sent_is_read_by_the_schema_it_was_checked_with():
    before = countries.schema_of("BR", "bank", version=1)
    today = countries.schema_of("BR", "bank", version=2)

    assert (before.version, today.version) == (1, 2)
    assert before.field("iban")
    assert not today.field("iban")
    assert today is bank_schema("BR")
    assert countries.schema_of("BR", "bank", version=77) is today
    assert "iban" in countries.field_keys("BR", "bank", version=1)
    assert "iban" not in countries.field_keys("BR", "bank")
    assert countries.field_label("BR", "bank", "iban") == "IBAN"


def test_the_countries_with_tax_numbers_of_their_own_and_their_forms():
    forms = {code: schema.tax_form for code, schema in TAX_SCHEMAS.items()}

    assert set(OWN_TAX_SCHEMAS) == set("US SE DE GB JP IN BR AU CA NL".split())
    assert {code for code, form in forms.items() if form != "local"} == {"US"}
    assert set(forms.values()) <= set(TAX_FORMS)
    assert set(forms) == set(COUNTRY_NAMES) - UNINHABITED


def test_unknown_countries_have_no_schema():
    assert bank_schema("ZZ") is None
    assert tax_schema("ZZ") is None
    assert countries.field_keys("ZZ", "tax") == ("form", "document")


def test_countries_are_listed_by_name_in_the_readers_language():
    with translation.override("en"):
        listed = countries.bank_countries()

    assert ("SE", "Sweden") in listed
    assert [name for _, name in listed] == sorted(name for _, name in listed)
    assert ("AX", "Åland Islands") in countries.tax_countries()


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


# --- What goes wrong in each country -----------------------------------------------------


def test_a_swedish_clearing_number_of_five_digits_keeps_its_fifth():
    account = {"account_kind": "account", "account_number": "0000003"}
    schema = bank_schema("SE")

    long = validate(schema, BENEFICIARY | account | {"clearing_number": "83279"})
    short = validate(schema, BENEFICIARY | account | {"clearing_number": "8327"})

    assert countries.account_number(schema, long) == "SE:83279:0000003"
    assert countries.account_number(schema, short) == "SE:8327:0000003"
    errors = errors_of(schema, BENEFICIARY | account | {"clearing_number": "54911"})
    assert set(errors) == {"clearing_number"}


def test_zeros_at_the_beginning_stay_and_full_width_digits_are_digits():
    japan, britain = bank_schema("JP"), bank_schema("GB")
    typed = {
        "bank_code": "\uff10\uff10\uff10\uff11",
        "branch_code": "\uff10\uff10\uff10",
        "account_type": "ordinary",
        "account_number": "\uff11\uff12\uff13\uff14",
        "account_holder_kana": "カ）ノルドヴィック　ジャパン",
    }

    japanese = validate(japan, BENEFICIARY | typed)
    british = validate(
        britain, BENEFICIARY | {"sort_code": "04-00-04", "account_number": "0779911"}
    )

    assert countries.account_number(japan, japanese) == "JP:0001:000:0001234"
    assert japanese["account_holder_kana"] == "ｶ)ﾉﾙﾄﾞｳﾞｲﾂｸ ｼﾞﾔﾊﾟﾝ"
    assert countries.account_number(britain, british) == "GB:040004:00779911"


@pytest.mark.parametrize("name", ["のるどゔぃっく", "ノルドヴィック", "ﾉﾙﾄﾞｳﾞｲﾂｸ"])
def test_katakana_are_written_as_banks_have_them(name):
    assert countries.validators.katakana(name) == "ﾉﾙﾄﾞｳﾞｲﾂｸ"


@pytest.mark.parametrize("name", ["Nordvik é", "能登", "ノ\u202eル", "", "ノ" * 121])
def test_what_is_no_katakana_is_refused(name):
    with pytest.raises(ValidationError):
        countries.validators.katakana(name)


def test_a_cnpj_has_digits_or_letters():
    schema = tax_schema("BR")
    raw = COMPANY | {"tax_regime": "real", "postcode": "80010-000"}

    for typed, stored in (
        ("11.222.333/0001-81", "11222333000181"),
        ("12.abc.345/01de-35", "12ABC34501DE35"),
    ):
        cleaned = validate(schema, raw | {"cnpj": typed})
        assert cleaned["cnpj"] == stored
        assert schema.field("cnpj").shown(stored) == typed.upper()
    assert set(errors_of(schema, raw | {"cnpj": "12.ABC.345/01DE-36"})) == {"cnpj"}


def test_an_iban_may_be_pasted_with_spaces_that_do_not_break():
    pasted = "\u00a0NL39\u00a0RABO\u202f0300\u00a00652\u00a064"

    cleaned = validate(bank_schema("NL"), BENEFICIARY | {"iban": pasted})

    assert cleaned["iban"] == "NL39RABO0300065264"


def test_quebec_has_a_second_number():
    schema = tax_schema("CA")
    raw = COMPANY | {"business_number": "00000 4978 RT 0001", "postcode": "g1r4p5"}
    qst = {"qst": "1234567890 tq0001"}

    assert "qst" not in validate(schema, raw | {"province": "ON"} | qst)
    assert set(errors_of(schema, raw | {"province": "QC"})) == {"qst"}
    cleaned = validate(schema, raw | {"province": "QC"} | qst)
    assert cleaned["qst"] == "1234567890TQ0001"
    assert cleaned["postcode"] == "G1R 4P5"
    lacking = missing_fields(schema, cleaned | {"qst": ""})
    assert [field.key for field in lacking] == ["qst"]


def test_an_american_company_that_counts_as_its_owner_abroad_sends_no_w9():
    """Line 3a of Form W-9 is asked with Form W-9 only (experience.md §7.3)."""
    raw = COMPANY | {"ein": "12-3456789", "postcode": "23510", "state": "VA"}

    assert set(errors_of(tax_schema("US", form="w9"), raw)) == {
        "federal_classification"
    }
    kept = validate(
        tax_schema("US", form="w8ben_e"), raw | {"federal_classification": "sole"}
    )
    assert kept["ein"] == "123456789"
    assert "federal_classification" not in kept
    # What was sent while the owner was a field is still read.
    assert countries.schema_of("US", "tax", version=2).field("owner")


def test_a_swedish_company_may_have_its_bank_in_the_netherlands():
    bank = validate(bank_schema("NL"), BENEFICIARY | {"iban": "NL39 RABO 0300 0652 64"})
    tax = validate(
        tax_schema("SE"), COMPANY | {"org_number": "559999-0669", "postcode": "41114"}
    )

    assert (bank["postcode"], tax["postcode"]) == ("411 14", "41114")


def test_a_company_where_letters_have_no_postcode_leaves_it_out():
    dubai = {key: value for key, value in BENEFICIARY.items() if key != "postcode"}

    assert validate(
        bank_schema("AE"), dubai | {"iban": BANK_COUNTRIES["AE"].iban}
    ).keys() == dubai.keys() | {"iban"}
    assert set(errors_of(bank_schema("DE"), dubai | {"iban": ""})) == {
        "iban",
        "postcode",
    }


def test_one_account_abroad_is_one_however_its_bank_is_written():
    schema = bank_schema("NZ")
    raw = BENEFICIARY | {"account_number": "12-3456-0123456-00"}

    numbers = {
        countries.account_number(schema, validate(schema, raw | {"bic": bic}))
        for bic in ("DEMONZ22", "demo nz 22 xxx")
    }

    assert numbers == {"NZ:DEMONZ22:123456012345600"}


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
                "iban", "account_number", "bankgiro", "org_number", "vat", "abn", "pan",
                "tax_number", "company_number", "utr", "ein", "cnpj", "gstin", "qst",
                "business_number", "corporate_number", "invoice_number",
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
    assert currencies.takes_only_local("BR")
    assert not currencies.takes_only_local("JP")
    assert currencies.default_currencies("SE") == ("SEK", "EUR", "USD")
    assert currencies.default_currencies("DE") == ("EUR", "USD")


def test_another_currency_than_the_banks_own_says_what_follows():
    assert currencies.mismatch("SEK", local="SEK") == ""
    assert currencies.mismatch("", local="SEK") == ""
    sentence = currencies.mismatch("EUR", local="SEK")
    assert "converts EUR at its own rate" in sentence
    assert "keep accounts in SEK" in sentence
