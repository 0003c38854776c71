"""The form of numbers: what is accepted however it is typed, and what is refused."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from profiles import validators
from profiles.countries import bank_schema, tax_schema
from profiles.countries.postcodes import POSTCODES
from profiles.validators import MASK, compact, mask, visible_end

SEPARATOR = st.sampled_from(
    ["", " ", "\u00a0", "\u2009", "\u3000", "\t", "-", "\u2011", "\u2013", "\uff0d",
     ".", "/", "\u2212"]
)  # fmt: skip


def bank(country: str, key: str):
    return bank_schema(country).field(key).checker


def tax(country: str, key: str):
    return tax_schema(country).field(key).checker


# check, as typed, as stored
ACCEPTED = [
    (validators.iban, "SE35 5000 0000 0549 1000 0003", "SE3550000000054910000003"),
    (validators.iban, "se35-5000-0000-0549-1000-0003", "SE3550000000054910000003"),
    (
        validators.iban,
        "\u00a0IBAN SE35\u00a05000\u20090000\u30000549 1000 0003",
        "SE3550000000054910000003",
    ),
    (
        validators.iban,
        "ＤＥ８９３７０４００４４０５３２０１３０００",
        "DE89370400440532013000",
    ),
    (validators.iban, "BE68 5390 0754 7034", "BE68539007547034"),
    (validators.bic, "deut de ff", "DEUTDEFF"),
    (validators.bic, "NDEASESSXXX", "NDEASESSXXX"),
    (bank("US", "routing_number"), "1100-0000-0", "110000000"),
    (bank("US", "account_number"), "000123456789", "000123456789"),
    (bank("US", "account_number"), "0000", "0000"),
    (bank("GB", "sort_code"), "20-00-00", "200000"),
    (bank("GB", "sort_code"), "０４ ００ ０４", "040004"),
    (bank("GB", "account_number"), "55779911", "55779911"),
    (bank("GB", "account_number"), "5577991", "05577991"),
    (bank("GB", "account_number"), "557799", "00557799"),
    (bank("SE", "clearing_number"), "5491", "5491"),
    (bank("SE", "clearing_number"), "8327-9", "83279"),
    (bank("SE", "account_number"), "0000003", "0000003"),
    (bank("SE", "bankgiro"), "999-0003", "9990003"),
    (tax("SE", "org_number"), "559999-0669", "5599990669"),
    (tax("SE", "org_number"), "16559999-0669", "5599990669"),
    (tax("SE", "vat"), "SE 559999-0669 01", "SE559999066901"),
    (tax("SE", "vat"), "559999066901", "SE559999066901"),
    (tax("DE", "vat"), "de 996 907 439", "DE996907439"),
    (tax("DE", "tax_number"), "181/815/08155", "18181508155"),
    (tax("DE", "tax_number"), "0181508155", "0181508155"),
    (tax("GB", "vat"), "GB 999 9999 73", "GB999999973"),
    (tax("GB", "vat"), "XI 999 9999 73", "XI999999973"),
    (tax("GB", "utr"), "19558 39661", "1955839661"),
    (tax("GB", "company_number"), "zz 999999", "ZZ999999"),
    (tax("GB", "company_number"), "1234567", "01234567"),
    (tax("US", "ein"), "12-3456789", "123456789"),
    (tax("US", "ein"), "123456789", "123456789"),
    (POSTCODES["SE"], "411 14", "41114"),
    (POSTCODES["DE"], "01067", "01067"),
    (POSTCODES["GB"], "ls14ap", "LS1 4AP"),
    (POSTCODES["US"], "23510", "23510"),
    (POSTCODES["US"], "23510 1234", "23510-1234"),
    (tax("US", "state"), "va", "VA"),
    (validators.postcode, " 1011 ab ", "1011 AB"),
    (bank("JP", "bank_code"), "１１００", "1100"),
    (bank("JP", "account_number"), "1234", "0001234"),
    (bank("IN", "ifsc"), "demo 000 1234", "DEMO0001234"),
    (bank("IN", "account_number"), "000-123456789", "000123456789"),
    (bank("BR", "agency"), "0001-x", "0001X"),
    (bank("BR", "account_number"), "0012345-6", "00123456"),
    (bank("AU", "bsb"), "082-082", "082082"),
    (bank("CA", "transit_number"), "00006", "00006"),
    (tax("JP", "invoice_number"), "9999999990743", "T9999999990743"),
    (tax("JP", "invoice_number"), "Ｔ9999999990743", "T9999999990743"),
    (tax("IN", "gstin"), "27zzzcz9999z1zj", "27ZZZCZ9999Z1ZJ"),
    (tax("CA", "business_number"), "00000 4978", "000004978"),
    (tax("NL", "vat"), "nl 0000.58683.b01", "NL000058683B01"),
    (POSTCODES["NL"], "1011ab", "1011 AB"),
    (POSTCODES["JP"], "5300001", "530-0001"),
    (POSTCODES["CA"], "g1r 4p5", "G1R 4P5"),
    (validators.account_abroad, "gb-12/34", "GB1234"),
    (validators.phone_number, "0046 (0)8-123 456 78", "+46812345678"),
    (validators.phone_number, "+1 (757) 555-0123", "+17575550123"),
    (validators.street_address, " Box Hill Road\u00a05 ", "Box Hill Road 5"),
]

REFUSED = [
    (validators.iban, "SE35 5000 0000 0549 1000 0004"),
    (validators.iban, "SE35 5000 0000 0549 1000 000"),
    (validators.iban, "XX35 5000 0000 0549 1000 0003"),
    (validators.iban, "SE35\u202e5000 0000 0549 1000 0003"),
    (validators.iban, "SE3\u00bd 5000 0000 0549 1000 0003"),
    (validators.iban, "SE35 5000 0000 0549 1000 000\u0663"),
    (validators.iban, "ſE35 5000 0000 0549 1000 0003"),
    (validators.iban, "SE35 5000 0000 0549 1000 0003\n"),
    (validators.iban, ""),
    (validators.bic, "NDEASE"),
    (validators.bic, "DEUTXXFF"),
    (validators.bic, "D3UTDEFF"),
    (bank("US", "routing_number"), "110000001"),
    (bank("US", "routing_number"), "01100000"),
    (bank("US", "account_number"), "123"),
    (bank("US", "account_number"), "123456789012345678"),
    (bank("US", "account_number"), "12345A"),
    (bank("GB", "sort_code"), "20-01-0"),
    (bank("GB", "account_number"), "55779"),
    (bank("GB", "account_number"), "557799112"),
    (bank("SE", "clearing_number"), "54911"),
    (bank("SE", "clearing_number"), "0549"),
    (bank("SE", "account_number"), "12345678901"),
    (bank("SE", "bankgiro"), "999-0004"),
    (bank("SE", "bankgiro"), "18"),
    (tax("SE", "org_number"), "559999-0668"),
    (tax("SE", "org_number"), "5599990669 01"),
    (tax("SE", "vat"), "SE559999066902"),
    (tax("DE", "vat"), "DE996907438"),
    (tax("DE", "tax_number"), "136695978"),
    (tax("GB", "vat"), "GB 999 9999 74"),
    (tax("GB", "utr"), "2955839661"),
    (tax("GB", "company_number"), "ABCDEFGH"),
    (tax("US", "ein"), "07-1144442"),
    (POSTCODES["DE"], "1067"),
    (POSTCODES["GB"], "LS1"),
    (POSTCODES["US"], "2351"),
    (tax("US", "state"), "ZZ"),
    (validators.postcode, "!"),
    (bank("JP", "bank_code"), "110"),
    (bank("JP", "account_number"), "12345678"),
    (bank("IN", "ifsc"), "DEMO1001234"),
    (bank("BR", "account_number"), "123-Y"),
    (bank("AU", "account_number"), "1234567890"),
    (bank("CA", "institution_number"), "0003"),
    (tax("JP", "corporate_number"), "9999999990744"),
    (tax("IN", "pan"), "ZZZXZ9999Z"),
    (tax("BR", "cnpj"), "11222333000182"),
    (tax("AU", "abn"), "71999999496"),
    (tax("CA", "business_number"), "000004978RC0001"),
    (tax("CA", "qst"), "1234567890RT0001"),
    (tax("NL", "register_number"), "7654321"),
    (validators.de_register_number, "Nowhere HRB 1"),
    (validators.phone_number, "08 123 456 78"),
    (validators.phone_number, "+46 8 12a"),
]


@pytest.mark.parametrize(("check", "typed", "stored"), ACCEPTED)
def test_a_number_is_accepted_however_it_is_typed(check, typed, stored):
    assert check(typed) == stored
    assert check(stored) == stored


@pytest.mark.parametrize(("check", "typed"), REFUSED)
def test_a_wrong_number_is_refused_with_a_sentence_that_does_not_repeat_it(
    check, typed
):
    with pytest.raises(ValidationError) as refusal:
        check(typed)

    (sentence,) = refusal.value.messages
    assert sentence[0].isupper()
    assert "%(" not in sentence
    assert len(typed) < 6 or typed not in sentence


WITHOUT_WORDS = [
    (check, stored)
    for check, _, stored in ACCEPTED
    if check not in (validators.postcode, validators.street_address)
]


@given(st.sampled_from(WITHOUT_WORDS), st.lists(SEPARATOR, min_size=60, max_size=60))
def test_separators_never_change_what_is_stored(accepted, separators):
    check, stored = accepted

    spaced = "".join(a + b for a, b in zip(stored, separators, strict=False))
    assert check(spaced) == stored


@given(st.text(max_size=30))
def test_a_compact_number_is_compact_already(typed):
    try:
        stored = compact(typed)
    except ValidationError:
        return

    assert compact(stored) == stored
    assert stored == "" or (stored.isascii() and stored.isalnum())


@given(st.text(alphabet="0123456789 -/.\u00a0", max_size=30))
def test_no_digit_is_ever_lost_or_invented(typed):
    assert compact(typed) == "".join(filter(str.isdigit, typed))


def test_an_iban_must_be_of_the_country_of_the_bank():
    assert validators.iban("DE89370400440532013000", country="DE")

    with pytest.raises(ValidationError) as refusal:
        validators.iban(
            "DE89370400440532013000", country="NL", example="NL91 ABNA 0417 1643 00"
        )
    assert refusal.value.code == "country"
    assert "NL91 ABNA 0417 1643 00" in refusal.value.messages[0]


def test_a_bic_must_be_of_the_country_of_the_bank_or_its_territories():
    assert validators.bic("DEUTDEFF", country="DE") == "DEUTDEFF"
    assert validators.bic("BNPAGPGX", country="FR") == "BNPAGPGX"

    with pytest.raises(ValidationError) as refusal:
        validators.bic("DEUTDEFF", country="FR")
    assert refusal.value.code == "country"


def test_an_invisible_character_is_called_by_its_name():
    for check in (validators.iban, validators.phone_number):
        with pytest.raises(ValidationError) as refusal:
            check("SE35\u202e5000")
        assert refusal.value.code == "invisible"


def test_wrong_check_digits_say_that_copying_helps():
    with pytest.raises(ValidationError) as refusal:
        validators.iban("DE89370400440532013001")

    assert refusal.value.code == "checksum"
    assert "Copy the IBAN again from your bank." in refusal.value.messages[0]


@pytest.mark.parametrize(
    "address",
    [
        "P.O. Box 12",
        "PO Box 12",
        "p o box 7",
        "POBox 12",
        "Post Office Box 12",
        "P.O.B. 12",
        "Box 123",
        "Box nr 123",
        "c/o Nordvik, box 123",
        "Postbox 12",
        "Postfach 12 34",
        "Pf. 1234",
        "Postboks 12",
        "Postbus 12",
        "Ｐ.Ｏ. Ｂｏｘ 12",
    ],
)
def test_a_post_office_box_is_not_an_address(address):
    with pytest.raises(ValidationError) as refusal:
        validators.street_address(address)

    assert refusal.value.messages == [
        "The address cannot be a P.O. box. Enter the street address."
    ]


@pytest.mark.parametrize(
    "address",
    [
        "Boxholmsgatan 3",
        "Box Hill Road 5",
        "Postgatan 12",
        "Poststraße 7",
        "Postboxgatan 4",
        "Letterbox Lane 5",
        "Pfarrgasse 12",
        "The Toolbox, Unit 5",
    ],
)
def test_a_street_that_only_sounds_like_a_box_is_an_address(address):
    assert validators.street_address(address) == address


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("SE3550000000054910000003", "•••• •••• •••• •••• •••• 0003"),
        ("SE35 5000 0000 0549 1000 0003", "•••• •••• •••• •••• •••• 0003"),
        ("DE89370400440532013000", "•• •••• •••• •••• •••• 3000"),
        ("55779911", "•••• 9911"),
        ("9990003", "••• ••03"),
        ("1234", "••34"),
        ("123", "•••"),
        ("1", "•"),
        ("", ""),
    ],
)
def test_a_mask_leaves_the_last_four_and_of_short_numbers_two(number, masked):
    assert mask(number) == masked


@given(st.text(alphabet="ABC0123456789 -", max_size=40))
def test_a_mask_never_shows_more_than_the_last_four(number):
    shown = mask(number).replace(MASK, "").replace(" ", "")
    length = sum(map(str.isalnum, number))

    assert shown == visible_end(number)
    assert "".join(filter(str.isalnum, number)).endswith(shown)
    assert len(shown) <= 4
    assert len(shown) <= 2 or length >= 8
    assert len(mask(number).replace(" ", "")) == length
