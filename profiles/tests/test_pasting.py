"""What a pasted line of a bank letter fills in, and that it fills in nothing wrong."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.tests.tries import tries
from profiles.countries import bank_schema
from profiles.countries.pasting import read_pasted

LETTERS = [
    (
        "SE",
        "Kontoinnehavare: Nordvik IT AB, "
        + "IBAN: SE35\u00a05000\u00a00000\u00a00549\u00a01000\u00a00003, BIC: ESSESESS",
        {
            "account_holder": "Nordvik IT AB",
            "account_kind": "iban",
            "iban": "SE35 5000 0000 0549 1000 0003",
            "bic": "ESSESESS",
        },
    ),
    (
        "SE",
        "Clearingnr 8327-9 Konto 000 000 3",
        {
            "account_kind": "account",
            "clearing_number": "83279",
            "account_number": "0000003",
        },
    ),
    (
        "SE",
        "5491-0000003",
        {
            "account_kind": "account",
            "clearing_number": "5491",
            "account_number": "0000003",
        },
    ),
    ("SE", "Bankgiro: 999-0003", {"account_kind": "bankgiro", "bankgiro": "999-0003"}),
    (
        "DE",
        "Hanseatic GmbH\nDE89370400440532013000 COBADEFFXXX Commerzbank",
        {"iban": "DE89 3704 0044 0532 0130 00", "bic": "COBADEFFXXX"},
    ),
    (
        "GB",
        "Sort code 20-00-00, Account number 5577 9911",
        {"sort_code": "20-00-00", "account_number": "55779911"},
    ),
    (
        "GB",
        "GB33BUKB20201555555555",
        {"sort_code": "20-20-15", "account_number": "55555555"},
    ),
    (
        "US",
        "110000000 0001 2345 6789",
        {"routing_number": "110000000", "account_number": "000123456789"},
    ),
    (
        "US",
        "Account: 000123456789 / ABA: 110000000",
        {"routing_number": "110000000", "account_number": "000123456789"},
    ),
    (
        "JP",
        "１１００ ０００ ０００１２３４",
        {"bank_code": "1100", "branch_code": "000", "account_number": "0001234"},
    ),
    (
        "IN",
        "IFSC: DEMO0001234, A/C 000123456789",
        {"ifsc": "DEMO0001234", "account_number": "000123456789"},
    ),
    (
        "BR",
        "Banco 999 / Agência 0001 / Conta 0012345-6",
        {"bank_code": "999", "agency": "0001", "account_number": "0012345-6"},
    ),
    (
        "AU",
        "BSB 082-082 Acct 012345678",
        {"bsb": "082-082", "account_number": "012345678"},
    ),
    (
        "CA",
        "00006-003 1234567",
        {
            "transit_number": "00006",
            "institution_number": "003",
            "account_number": "1234567",
        },
    ),
    (
        "CA",
        "000300006, account 1234567",
        {
            "transit_number": "00006",
            "institution_number": "003",
            "account_number": "1234567",
        },
    ),
    (
        "NZ",
        "SWIFT: DEMONZ22 Account number: 12-3456-0123456-00",
        {"bic": "DEMONZ22", "account_number": "123456012345600"},
    ),
    # Of another country: its field says so.
    ("NL", "DE89370400440532013000", {"iban": "DE89 3704 0044 0532 0130 00"}),
    ("SE", "Dear Sir or Madam, we thank you for your letter of May.", {}),
    ("DE", "DE89370400440532013001", {}),
    ("US", "", {}),
]


@pytest.mark.parametrize(("country", "letter", "answers"), LETTERS)
def test_a_line_of_a_bank_letter_fills_in_what_it_holds(country, letter, answers):
    assert read_pasted(bank_schema(country), letter) == answers


@settings(max_examples=tries(80), deadline=None)
@given(
    st.sampled_from("SE GB US JP IN BR AU CA NL NZ".split()),
    st.text(max_size=80)
    | st.text("0123456789 SEDEGBIBAN-:/,\n", max_size=80)
    | st.sampled_from([letter for _country, letter, _answers in LETTERS]),
)
def test_whatever_is_pasted_only_what_its_field_accepts_is_filled_in(country, text):
    schema = bank_schema(country)

    for key, value in read_pasted(schema, text).items():
        field = schema.field(key)
        if key != "iban" and not field.choices:
            try:
                field.checker(value)
            except ValidationError:
                pytest.fail(f"{key} does not accept {value}")
