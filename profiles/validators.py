"""The form of bank and tax numbers: pure functions that normalize a value or refuse it.

Each check takes what was typed and gives the stored form: ASCII, upper case, without
separators, leading zeros kept. Check digits are stdnum's and schwifty's work.
"""

import re
import unicodedata
from collections.abc import Callable

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from schwifty import BIC, IBAN
from schwifty.exceptions import InvalidChecksumDigits, SchwiftyException
from stdnum import luhn
from stdnum.au import abn as au_business_number
from stdnum.br import cnpj as br_cnpj
from stdnum.ca import bn as ca_business_number
from stdnum.de import handelsregisternummer as de_register
from stdnum.de import stnr as de_tax_number
from stdnum.de import vat as de_vat
from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError as NumberError
from stdnum.gb import utr as gb_utr
from stdnum.gb import vat as gb_vat
from stdnum.in_ import gstin as in_gstin
from stdnum.in_ import pan as in_pan
from stdnum.jp import cn as jp_corporate_number
from stdnum.nl import btw as nl_btw
from stdnum.nl import postcode as nl_postcode
from stdnum.se import orgnr as se_org_number
from stdnum.se import postnummer as se_postcode
from stdnum.se import vat as se_vat
from stdnum.us import ein as us_ein
from stdnum.us import rtn as us_routing
from stdnum.util import get_cc_module

from accounts.text import clean_line, refuse_hidden_characters

MASK = "•"
SEPARATORS = frozenset("./,·\u2044\u2212")

# Banks of these countries also have BICs of the territories they serve.
BIC_COUNTRIES = {
    "FI": {"FI", "AX"},
    "FR": {"FR", "BL", "GF", "GP", "MF", "MQ", "NC", "PF", "PM", "RE", "WF", "YT"},
    "GB": {"GB", "GG", "IM", "JE"},
}

PO_BOX = re.compile(
    r"""
    \b (?: p\.?\s*o\.?\s* | post(?:\s*office)?\s* | postal\s+ ) box (?![a-zåäöü])
  | \b box \s* (?:no\.?|nr\.?|number|\#)? \s* \d
  | \b p\.?\s?o\.?\s?b\.? \s* \d
  | \b post(?:fach|boks|bus|låda) (?![a-zåäöü])
  | \b pf\.? \s* \d
    """,
    re.IGNORECASE | re.VERBOSE,
)

# Half-width katakana by the full-width ones, marks apart, as banks of Japan write
# names: no small letters, a hyphen for a long vowel, a full stop between words.
KANA = {
    unicodedata.normalize("NFKC", chr(code)): chr(code)
    for code in range(0xFF66, 0xFF9E)
} | {"\u3099": "\uff9e", "\u309a": "\uff9f", "\u309b": "\uff9e", "\u309c": "\uff9f"}
LARGE_KANA = str.maketrans("ァィゥェォッャュョヮ", "アイウエオツヤユヨワ")
HOLDER_IN_KANA = re.compile("[\uff66-\uff9f0-9A-Z ().,/-]+")

# The states, the capital's district and the territories with ZIP codes.
US_STATE = re.compile(
    "A[KLRSZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEINOPST]|N[CDEHJMVY]"
    "|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AIT]|W[AIVY]"
)


# --- Normal form and mask ------------------------------------------------------------


def compact(value: str) -> str:
    """Return letters A-Z and digits in upper case, without anything between them."""
    text = _without_separators(value)
    text = text.upper() if text.isascii() else text
    if not re.fullmatch("[A-Z0-9]*", text):
        raise ValidationError(
            _("Use only the letters A to Z and the digits 0 to 9."), code="characters"
        )
    return text


def mask(value: str) -> str:
    """Show at most the last four characters; of short values at most the last two."""
    text = "".join(character for character in value if character.isalnum())
    shown = visible_end(value)
    masked = MASK * (len(text) - len(shown)) + shown
    first = len(masked) % 4
    groups = [masked[:first]] if first else []
    groups += [masked[at : at + 4] for at in range(first, len(masked), 4)]
    return " ".join(groups)


def visible_end(value: str) -> str:
    """Return the part of a number that a mask may leave readable (R59)."""
    text = "".join(character for character in value if character.isalnum())
    if len(text) >= 8:
        return text[-4:]
    return text[-2:] if len(text) >= 4 else ""


def in_groups(value: str, *, size: int, separator: str = " ") -> str:
    """Write a number in groups of one size, as people read it."""
    return separator.join(value[at : at + size] for at in range(0, len(value), size))


def bankgiro_in_groups(value: str) -> str:
    return f"{value[:-4]}-{value[-4:]}"


def ein_in_groups(value: str) -> str:
    return us_ein.format(value)


# --- Banks ---------------------------------------------------------------------------


def iban(
    value: str,
    *,
    country: str | None = None,
    example: str = "DE89 3704 0044 0532 0130 00",
) -> str:
    """Check length, structure and check digits, and that the bank is in `country`."""
    number = compact(value).removeprefix("IBAN")
    if country and re.match("[A-Z]{2}[0-9]{2}", number) and number[:2] != country:
        raise ValidationError(
            _(
                "This IBAN is of another country (%(actual)s). Enter an IBAN that "
                "starts with %(country)s, like %(example)s, or choose another country "
                "of the bank."
            ),
            code="country",
            params={"actual": number[:2], "country": country, "example": example},
        )
    try:
        return str(IBAN(number))
    except InvalidChecksumDigits:
        raise ValidationError(
            _(
                "The check digits are wrong. Copy the IBAN again from your bank. "
                "It looks like %(example)s"
            ),
            code="checksum",
            params={"example": example},
        ) from None
    except SchwiftyException:
        raise ValidationError(
            _("Enter a valid IBAN, like %(example)s"),
            code="invalid",
            params={"example": example},
        ) from None


def bic(value: str, *, country: str | None = None) -> str:
    """Check a BIC of 8 or 11 characters, and that its bank is in `country`."""
    number = compact(value)
    try:
        found = BIC(number, enforce_swift_compliance=True)
    except SchwiftyException:
        raise ValidationError(
            _("Enter a BIC of 8 or 11 characters, like %(example)s"),
            code="invalid",
            params={"example": "DEUTDEFF"},
        ) from None
    if country and found.country_code not in BIC_COUNTRIES.get(country, {country}):
        raise ValidationError(
            _(
                "This BIC is of a bank in another country (%(actual)s). Enter the BIC "
                "of the bank that keeps this account, in %(country)s."
            ),
            code="country",
            params={"actual": found.country_code, "country": country},
        )
    return str(found)


def bank_of_account(value: str, *, country: str) -> str:
    """Check a BIC that is part of an account's number: the head office has no XXX."""
    number = bic(value, country=country)
    return number[:8] if number.endswith("XXX") else number


def us_routing_number(value: str) -> str:
    """Check the nine digits of a US bank and their check digit."""
    return _checked(
        us_routing.validate,
        compact(value),
        _("Enter the nine digits of the routing number, like %(example)s"),
        example="110000000",
    )


def us_account_number(value: str) -> str:
    return _digits(
        value, 4, 17, _("Enter the account number of 4 to 17 digits, like %(example)s")
    )


def gb_sort_code(value: str) -> str:
    return _digits(
        value,
        6,
        6,
        _("Enter the six digits of the sort code, like %(example)s"),
        example="20-00-00",
    )


def gb_account_number(value: str) -> str:
    """Check six to eight digits; shorter ones get the zeros that Bacs puts before."""
    number = _digits(
        value,
        6,
        8,
        _("Enter the account number of 6 to 8 digits, like %(example)s"),
        example="55779911",
    )
    return number.zfill(8)


def se_clearing_number(value: str) -> str:
    """Check four digits, or the five of a Swedbank number that begins with 8."""
    number = compact(value)
    if not re.fullmatch("[1-9][0-9]{3}|8[0-9]{4}", number):
        raise ValidationError(
            _(
                "Enter the four digits of the clearing number, like %(example)s, "
                "or five when it begins with 8."
            ),
            code="invalid",
            params={"example": "5491"},
        )
    return number


def se_account_number(value: str) -> str:
    return _digits(
        value,
        1,
        10,
        _("Enter the account number without the clearing number, like %(example)s"),
        example="0000003",
    )


def se_bankgiro(value: str) -> str:
    """Check seven or eight digits and their check digit."""
    number = compact(value)
    message = _("Enter a valid Bankgiro number of 7 or 8 digits, like %(example)s")
    _digits(number, 7, 8, message, example="999-0003")
    return _checked(luhn.validate, number, message, example="999-0003")


def account_abroad(value: str) -> str:
    """Check letters and digits as many as any bank of the world has."""
    number = compact(value)
    if not 4 <= len(number) <= 34:
        raise ValidationError(
            _("Enter the account number of 4 to 34 letters and digits."),
            code="invalid",
        )
    return number


def jp_bank_code(value: str) -> str:
    return _digits(
        value,
        4,
        4,
        _("Enter the four digits of the bank code, like %(example)s"),
        example="1100",
    )


def jp_branch_code(value: str) -> str:
    return _digits(
        value,
        3,
        3,
        _("Enter the three digits of the branch code, like %(example)s"),
        example="000",
    )


def jp_account_number(value: str) -> str:
    """Check four to seven digits; shorter ones get the zeros that banks put before."""
    number = _digits(
        value,
        4,
        7,
        _("Enter the account number of 4 to 7 digits, like %(example)s"),
        example="0001234",
    )
    return number.zfill(7)


def katakana(value: str) -> str:
    """Return a name in half-width katakana, digits and A-Z, as banks of Japan have it."""
    text = clean_line(unicodedata.normalize("NFKC", value), max_length=120).upper()
    # Hiragana stand in the same order, so many places before.
    text = "".join(
        chr(ord(sign) + 0x60) if "ぁ" <= sign <= "ゖ" else sign for sign in text
    )
    text = text.translate(LARGE_KANA).replace("ー", "-").replace("・", ".")
    text = "".join(KANA.get(sign, sign) for sign in unicodedata.normalize("NFD", text))
    if not HOLDER_IN_KANA.fullmatch(text):
        raise ValidationError(
            _("Write the name in katakana as the bank has it, like %(example)s"),
            code="invalid",
            params={"example": "ﾉﾙﾄﾞｳﾞｲｸ"},
        )
    return text


def in_ifsc(value: str) -> str:
    """Check the eleven characters of a branch: four letters, a zero, six more."""
    code = compact(value)
    if not re.fullmatch("[A-Z]{4}0[A-Z0-9]{6}", code):
        raise ValidationError(
            _("Enter the eleven characters of the IFSC, like %(example)s"),
            code="invalid",
            params={"example": "DEMO0001234"},
        )
    return code


def in_account_number(value: str) -> str:
    return _digits(
        value, 9, 18, _("Enter the account number of 9 to 18 digits, like %(example)s")
    )


def br_bank_code(value: str) -> str:
    return _digits(
        value,
        3,
        3,
        _("Enter the three digits of the bank code, like %(example)s"),
        example="001",
    )


def br_agency(value: str) -> str:
    """Check the four digits of a branch; some banks add a check digit, or X."""
    number = compact(value)
    if not re.fullmatch("[0-9]{4}[0-9X]?", number):
        raise ValidationError(
            _("Enter the four digits of the agency, like %(example)s"),
            code="invalid",
            params={"example": "0001"},
        )
    return number


def br_account_number(value: str) -> str:
    """Check the account and, after it, its check digit, or X."""
    number = compact(value)
    if not re.fullmatch("[0-9]{1,12}[0-9X]", number):
        raise ValidationError(
            _("Enter the account number with its check digit, like %(example)s"),
            code="invalid",
            params={"example": "0012345-6"},
        )
    return number


def with_check_digit(value: str, *, at: int = -1) -> str:
    """Write what stands at the end, from a place on, behind a dash."""
    parts = (value[:at], value[at:])
    return "-".join(part for part in parts if part)


def au_bsb(value: str) -> str:
    return _digits(
        value,
        6,
        6,
        _("Enter the six digits of the BSB, like %(example)s"),
        example="082-082",
    )


def au_account_number(value: str) -> str:
    return _digits(
        value,
        4,
        9,
        _("Enter the account number of 4 to 9 digits, like %(example)s"),
        example="012345678",
    )


def ca_institution_number(value: str) -> str:
    return _digits(
        value,
        3,
        3,
        _("Enter the three digits of the institution number, like %(example)s"),
        example="003",
    )


def ca_transit_number(value: str) -> str:
    return _digits(
        value,
        5,
        5,
        _("Enter the five digits of the transit number, like %(example)s"),
        example="00006",
    )


def ca_account_number(value: str) -> str:
    return _digits(
        value,
        7,
        12,
        _("Enter the account number of 7 to 12 digits, like %(example)s"),
        example="1234567",
    )


# --- Taxes and registers -------------------------------------------------------------


def se_organization_number(value: str) -> str:
    """Check ten digits; a century before them is dropped."""
    number = compact(value)
    if len(number) == 12 and number[:2] in {"16", "19", "20"}:
        number = number[2:]
    return _checked(
        se_org_number.validate,
        number,
        _("Enter the ten digits of the organisation number, like %(example)s"),
        example="559999-0669",
    )


def se_vat_number(value: str) -> str:
    return "SE" + _checked(
        se_vat.validate,
        compact(value),
        _("Enter SE, the organisation number and 01, like %(example)s"),
        example="SE559999066901",
    )


def de_vat_number(value: str) -> str:
    return "DE" + _checked(
        de_vat.validate,
        compact(value),
        _("Enter DE and nine digits, like %(example)s"),
        example="DE996907439",
    )


def de_steuernummer(value: str) -> str:
    return _checked(
        de_tax_number.validate,
        compact(value),
        _("Enter the Steuernummer of 10, 11 or 13 digits, like %(example)s"),
        example="181/815/08155",
    )


def gb_vat_number(value: str) -> str:
    number = compact(value)
    prefix = "XI" if number.startswith("XI") else "GB"
    return prefix + _checked(
        gb_vat.validate,
        number,
        _("Enter GB and nine digits, like %(example)s"),
        example="GB 999 9999 73",
    )


def gb_unique_taxpayer_reference(value: str) -> str:
    return _checked(
        gb_utr.validate,
        compact(value),
        _("Enter the ten digits of the Unique Taxpayer Reference, like %(example)s"),
        example="1955839661",
    )


def gb_company_number(value: str) -> str:
    """Check the eight characters of Companies House; a leading zero may be left out."""
    number = compact(value)
    if re.fullmatch("[0-9]{6,7}", number):
        number = number.zfill(8)
    if not re.fullmatch(
        "[0-9]{8}|[A-Z]{2}[0-9]{6}|[A-Z]{2}[0-9]{5}R|R[0-9]{7}", number
    ):
        raise ValidationError(
            _("Enter the eight characters of the company number, like %(example)s"),
            code="invalid",
            params={"example": "01234567"},
        )
    return number


def us_employer_number(value: str) -> str:
    return _checked(
        us_ein.validate,
        compact(value),
        _("Enter the nine digits of the EIN, like %(example)s"),
        example="12-3456789",
    )


def jp_corporate_number_of(value: str) -> str:
    return _checked(
        jp_corporate_number.validate,
        compact(value),
        _("Enter the thirteen digits of the corporate number, like %(example)s"),
        example="9999999990743",
    )


def jp_invoice_number(value: str) -> str:
    """Check T and the corporate number, or the number that people without one have."""
    number = compact(value)
    if not number.startswith("T"):
        number = f"T{number}"
    return "T" + _checked(
        jp_corporate_number.validate,
        number[1:],
        _("Enter T and thirteen digits, like %(example)s"),
        example="T9999999990743",
    )


def in_permanent_account_number(value: str) -> str:
    return _checked(
        in_pan.validate,
        compact(value),
        _("Enter the ten characters of the PAN, like %(example)s"),
        example="ZZZCZ9999Z",
    )


def in_gst_number(value: str) -> str:
    return _checked(
        in_gstin.validate,
        compact(value),
        _("Enter the fifteen characters of the GSTIN, like %(example)s"),
        example="27ZZZCZ9999Z1ZJ",
    )


def br_company_number(value: str) -> str:
    """Check a CNPJ; letters are possible since July 2026."""
    return _checked(
        br_cnpj.validate,
        compact(value),
        _("Enter the fourteen characters of the CNPJ, like %(example)s"),
        example="12.ABC.345/01DE-35",
    )


def au_business_number_of(value: str) -> str:
    return _checked(
        au_business_number.validate,
        compact(value),
        _("Enter the eleven digits of the ABN, like %(example)s"),
        example="71 999 999 495",
    )


def ca_business_number_of(value: str) -> str:
    """Check nine digits, or fifteen characters with the account for GST and HST."""
    number = compact(value)
    message = _("Enter the nine digits of the business number, like %(example)s")
    if not re.fullmatch("[0-9]{9}(?:RT[0-9]{4})?", number):
        raise ValidationError(
            message, code="invalid", params={"example": "000004978 RT0001"}
        )
    return _checked(
        ca_business_number.validate, number, message, example="000004978 RT0001"
    )


def ca_quebec_number(value: str) -> str:
    """Check ten digits, TQ and four digits: the registration for QST."""
    number = compact(value)
    if not re.fullmatch("[0-9]{10}TQ[0-9]{4}", number):
        raise ValidationError(
            _("Enter ten digits, TQ and four digits, like %(example)s"),
            code="invalid",
            params={"example": "1234567890 TQ0001"},
        )
    return number


def nl_vat_number(value: str) -> str:
    return "NL" + _checked(
        nl_btw.validate,
        compact(value),
        _("Enter NL, nine digits, B and two digits, like %(example)s"),
        example="NL000058683B01",
    )


def nl_register_number(value: str) -> str:
    return _digits(
        value,
        8,
        8,
        _("Enter the eight digits of the KvK number, like %(example)s"),
        example="12345678",
    )


def de_register_number(value: str) -> str:
    """Check court and number of the Handelsregister; the court may be left out."""
    text = clean_line(unicodedata.normalize("NFKC", value), max_length=80)
    found = re.fullmatch("(HR[AB])[ ]?([0-9]{1,6})", text.upper())
    if found:
        return " ".join(found.groups())
    return _checked(
        de_register.validate,
        text,
        _("Enter the court and the number, like %(example)s"),
        example="Hamburg HRB 12345",
    )


def vat_number(value: str, *, country: str) -> str:
    """Check what is charged as value added tax in a country, where stdnum knows how.

    In the European Union with its two letters, which belong to the number.
    """
    number = compact(value)
    invalid = _("Enter the VAT number as it stands on your invoices.")
    code = country.lower()
    if code in eu_vat.MEMBER_STATES:
        letters = "EL" if country == "GR" else country
        return letters + _checked(
            get_cc_module(code, "vat").validate,
            number.removeprefix(letters),
            invalid,
            example="",
        )
    module = get_cc_module(code, "vat")
    if module is not None:
        return _checked(module.validate, number, invalid, example="")
    return registration_number(number)


def registration_number(value: str) -> str:
    """Check letters and digits of a register we have no checks of."""
    number = compact(value)
    if not 4 <= len(number) <= 20:
        raise ValidationError(
            _("Enter the number of 4 to 20 letters and digits."), code="invalid"
        )
    return number


# --- Addresses and contacts ----------------------------------------------------------


def street_address(value: str) -> str:
    """Refuse a P.O. box: nobody can be visited there, and no reviewer may accept it."""
    text = clean_line(value, max_length=120)
    if PO_BOX.search(unicodedata.normalize("NFKC", text)):
        raise ValidationError(
            _("The address cannot be a P.O. box. Enter the street address."),
            code="po_box",
        )
    return text


def postcode(value: str) -> str:
    text = clean_line(unicodedata.normalize("NFKC", value), max_length=12).upper()
    if not re.fullmatch("[A-Z0-9](?:[ -]?[A-Z0-9]){2,9}", text):
        raise ValidationError(
            _("Enter the postcode, like %(example)s"),
            code="invalid",
            params={"example": "411 14"},
        )
    return text


def se_postal_code(value: str) -> str:
    return _checked(
        se_postcode.validate,
        compact(value),
        _("Enter the five digits of the postcode, like %(example)s"),
        example="411 14",
    )


def de_postal_code(value: str) -> str:
    return _digits(
        value,
        5,
        5,
        _("Enter the five digits of the postcode, like %(example)s"),
        example="20095",
    )


def gb_postal_code(value: str) -> str:
    number = compact(value)
    if not re.fullmatch("[A-Z]{1,2}[0-9][A-Z0-9]?[0-9][A-Z]{2}", number):
        raise ValidationError(
            _("Enter the whole postcode, like %(example)s"),
            code="invalid",
            params={"example": "LS1 4AP"},
        )
    return f"{number[:-3]} {number[-3:]}"


def nl_postal_code(value: str) -> str:
    return _checked(
        nl_postcode.validate,
        compact(value),
        _("Enter the whole postcode, like %(example)s"),
        example="1011 AB",
    )


def jp_postal_code(value: str) -> str:
    number = _digits(
        value,
        7,
        7,
        _("Enter the seven digits of the postcode, like %(example)s"),
        example="530-0001",
    )
    return f"{number[:3]}-{number[3:]}"


def in_postal_code(value: str) -> str:
    return _digits(
        value,
        6,
        6,
        _("Enter the six digits of the PIN code, like %(example)s"),
        example="411001",
    )


def br_postal_code(value: str) -> str:
    number = _digits(
        value,
        8,
        8,
        _("Enter the eight digits of the CEP, like %(example)s"),
        example="80010-000",
    )
    return f"{number[:5]}-{number[5:]}"


def au_postal_code(value: str) -> str:
    return _digits(
        value,
        4,
        4,
        _("Enter the four digits of the postcode, like %(example)s"),
        example="4000",
    )


def ca_postal_code(value: str) -> str:
    number = compact(value)
    if not re.fullmatch("(?:[A-Z][0-9]){3}", number):
        raise ValidationError(
            _("Enter the whole postcode, like %(example)s"),
            code="invalid",
            params={"example": "G1R 4P5"},
        )
    return f"{number[:3]} {number[3:]}"


def us_zip_code(value: str) -> str:
    number = compact(value)
    if not re.fullmatch("[0-9]{5}(?:[0-9]{4})?", number):
        raise ValidationError(
            _("Enter the ZIP code of five or nine digits, like %(example)s"),
            code="invalid",
            params={"example": "23510"},
        )
    return "-".join(filter(None, (number[:5], number[5:])))


def us_state(value: str) -> str:
    state = compact(value)
    if not US_STATE.fullmatch(state):
        raise ValidationError(
            _("Enter the two letters of the state, like %(example)s"),
            code="invalid",
            params={"example": "VA"},
        )
    return state


def phone_number(value: str) -> str:
    """Return + and digits; 00 means +, and a zero in brackets is not dialed."""
    text = _without_separators(value).replace("(0)", "")
    text = text.replace("(", "").replace(")", "")
    text = re.sub("^00", "+", text)
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", text):
        raise ValidationError(
            _("Enter the phone number with its country code, like %(example)s"),
            code="invalid",
            params={"example": "+46 8 123 456 78"},
        )
    return text


# --- How the checks are made ------------------------------------------------------------


def _without_separators(value: str) -> str:
    """Fold full-width forms to ASCII and drop what people write between groups."""
    kept = []
    for character in value:
        category = unicodedata.category(character)
        if character == "\t" or category == "Zs":
            continue
        if unicodedata.decomposition(character).startswith(("<wide>", "<narrow>")):
            character = unicodedata.normalize("NFKC", character)
            category = unicodedata.category(character)
        if category != "Pd" and character not in SEPARATORS:
            kept.append(character)
    text = "".join(kept)
    refuse_hidden_characters(text)
    return text


def _digits(
    value: str, least: int, most: int, message: str, *, example: str = "000123456789"
) -> str:
    number = compact(value)
    if not re.fullmatch(f"[0-9]{{{least},{most}}}", number):
        raise ValidationError(message, code="invalid", params={"example": example})
    return number


def _checked(
    validate: Callable[[str], str], number: str, message: str, *, example: str
) -> str:
    try:
        return validate(number)
    except NumberError:
        raise ValidationError(
            message, code="invalid", params={"example": example}
        ) from None
