"""The form of numbers: what is accepted however it is typed, and what is refused."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from profiles import validators
from profiles.validators import MASK, compact, mask, visible_end

SEPARATOR = st.sampled_from(
    ["", " ", "\u00a0", "\u2009", "\u3000", "\t", "-", "\u2011", "\u2013", "\uff0d",
     ".", "/", "\u2212"]
)  # fmt: skip

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
    (validators.us_routing_number, "1100-0000-0", "110000000"),
    (validators.us_account_number, "000123456789", "000123456789"),
    (validators.us_account_number, "0000", "0000"),
    (validators.gb_sort_code, "20-00-00", "200000"),
    (validators.gb_sort_code, "０４ ００ ０４", "040004"),
    (validators.gb_account_number, "55779911", "55779911"),
    (validators.gb_account_number, "5577991", "05577991"),
    (validators.gb_account_number, "557799", "00557799"),
    (validators.se_clearing_number, "5491", "5491"),
    (validators.se_clearing_number, "8327-9", "83279"),
    (validators.se_account_number, "0000003", "0000003"),
    (validators.se_bankgiro, "999-0003", "9990003"),
    (validators.se_organization_number, "559999-0669", "5599990669"),
    (validators.se_organization_number, "16559999-0669", "5599990669"),
    (validators.se_vat_number, "SE 559999-0669 01", "SE559999066901"),
    (validators.se_vat_number, "559999066901", "SE559999066901"),
    (validators.de_vat_number, "de 996 907 439", "DE996907439"),
    (validators.de_steuernummer, "181/815/08155", "18181508155"),
    (validators.de_steuernummer, "0181508155", "0181508155"),
    (validators.gb_vat_number, "GB 999 9999 73", "GB999999973"),
    (validators.gb_vat_number, "XI 999 9999 73", "XI999999973"),
    (validators.gb_unique_taxpayer_reference, "19558 39661", "1955839661"),
    (validators.gb_company_number, "zz 999999", "ZZ999999"),
    (validators.gb_company_number, "1234567", "01234567"),
    (validators.us_employer_number, "12-3456789", "123456789"),
    (validators.us_employer_number, "123456789", "123456789"),
    (validators.se_postal_code, "411 14", "41114"),
    (validators.de_postal_code, "01067", "01067"),
    (validators.gb_postal_code, "ls14ap", "LS1 4AP"),
    (validators.us_zip_code, "23510", "23510"),
    (validators.us_zip_code, "23510 1234", "23510-1234"),
    (validators.us_state, "va", "VA"),
    (validators.postcode, " 1011 ab ", "1011 AB"),
    (validators.jp_bank_code, "１１００", "1100"),
    (validators.jp_account_number, "1234", "0001234"),
    (validators.in_ifsc, "demo 000 1234", "DEMO0001234"),
    (validators.in_account_number, "000-123456789", "000123456789"),
    (validators.br_agency, "0001-x", "0001X"),
    (validators.br_account_number, "0012345-6", "00123456"),
    (validators.au_bsb, "082-082", "082082"),
    (validators.ca_transit_number, "00006", "00006"),
    (validators.jp_invoice_number, "9999999990743", "T9999999990743"),
    (validators.jp_invoice_number, "Ｔ9999999990743", "T9999999990743"),
    (validators.in_gst_number, "27zzzcz9999z1zj", "27ZZZCZ9999Z1ZJ"),
    (validators.ca_business_number_of, "00000 4978", "000004978"),
    (validators.nl_vat_number, "nl 0000.58683.b01", "NL000058683B01"),
    (validators.nl_postal_code, "1011ab", "1011 AB"),
    (validators.jp_postal_code, "5300001", "530-0001"),
    (validators.ca_postal_code, "g1r 4p5", "G1R 4P5"),
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
    (validators.us_routing_number, "110000001"),
    (validators.us_routing_number, "01100000"),
    (validators.us_account_number, "123"),
    (validators.us_account_number, "123456789012345678"),
    (validators.us_account_number, "12345A"),
    (validators.gb_sort_code, "20-01-0"),
    (validators.gb_account_number, "55779"),
    (validators.gb_account_number, "557799112"),
    (validators.se_clearing_number, "54911"),
    (validators.se_clearing_number, "0549"),
    (validators.se_account_number, "12345678901"),
    (validators.se_bankgiro, "999-0004"),
    (validators.se_bankgiro, "18"),
    (validators.se_organization_number, "559999-0668"),
    (validators.se_organization_number, "5599990669 01"),
    (validators.se_vat_number, "SE559999066902"),
    (validators.de_vat_number, "DE996907438"),
    (validators.de_steuernummer, "136695978"),
    (validators.gb_vat_number, "GB 999 9999 74"),
    (validators.gb_unique_taxpayer_reference, "2955839661"),
    (validators.gb_company_number, "ABCDEFGH"),
    (validators.us_employer_number, "07-1144442"),
    (validators.de_postal_code, "1067"),
    (validators.gb_postal_code, "LS1"),
    (validators.us_zip_code, "2351"),
    (validators.us_state, "ZZ"),
    (validators.postcode, "!"),
    (validators.jp_bank_code, "110"),
    (validators.jp_account_number, "12345678"),
    (validators.in_ifsc, "DEMO1001234"),
    (validators.br_account_number, "123-Y"),
    (validators.au_account_number, "1234567890"),
    (validators.ca_institution_number, "0003"),
    (validators.jp_corporate_number_of, "9999999990744"),
    (validators.in_permanent_account_number, "ZZZXZ9999Z"),
    (validators.br_company_number, "11222333000182"),
    (validators.au_business_number_of, "71999999496"),
    (validators.ca_business_number_of, "000004978RC0001"),
    (validators.ca_quebec_number, "1234567890RT0001"),
    (validators.nl_register_number, "7654321"),
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
