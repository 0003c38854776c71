"""The form of bank and tax numbers: pure functions that normalize a value or refuse it.

Each check takes what was typed and gives the stored form: ASCII, upper case, without
separators, leading zeros kept. Check digits are stdnum's and schwifty's work.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from schwifty import BIC, IBAN
from schwifty.exceptions import InvalidChecksumDigits, SchwiftyException
from stdnum.de import handelsregisternummer as de_register
from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError as NumberError
from stdnum.us import ein as us_ein
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


@dataclass(frozen=True)
class Shape:
    """What a number of one country looks like: data that checks it when called.

    `library` is a module of stdnum, `pattern` what the number is without separators:
    of its groups, if it has any, is kept what they hold, with `separator` between them.
    One of `prefixes` belongs before it, the first where none is typed; digits alone
    get zeros before them up to `zeros` places.
    """

    message: Promise
    example: str
    library: str = ""
    pattern: str = ""
    prefixes: tuple[str, ...] = ()
    separator: str = ""
    zeros: int = 0

    def __call__(self, value: str) -> str:
        """Return the stored form; raises ValidationError with the message."""
        number = compact(value)
        prefix = next(filter(number.startswith, self.prefixes), "")
        number = number.removeprefix(prefix)
        if self.prefixes and number.startswith(self.prefixes):
            raise self._refusal()
        if self.pattern:
            found = re.fullmatch(self.pattern, number)
            if found is None:
                raise self._refusal()
            kept = filter(None, found.groups())
            number = self.separator.join(kept) if found.groups() else number
        if number.isdigit():
            number = number.zfill(self.zeros)
        if self.library:
            try:
                number = import_module(f"stdnum.{self.library}").validate(number)
            except NumberError:
                raise self._refusal() from None
        return (prefix or next(iter(self.prefixes), "")) + number

    def _refusal(self) -> ValidationError:
        return ValidationError(
            self.message, code="invalid", params={"example": self.example}
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


def account_abroad(value: str) -> str:
    """Check letters and digits as many as any bank of the world has."""
    number = compact(value)
    if not 4 <= len(number) <= 34:
        raise ValidationError(
            _("Enter the account number of 4 to 34 letters and digits."),
            code="invalid",
        )
    return number


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


def with_check_digit(value: str, *, at: int = -1) -> str:
    """Write what stands at the end, from a place on, behind a dash."""
    parts = (value[:at], value[at:])
    return "-".join(part for part in parts if part)


# --- Taxes and registers -------------------------------------------------------------


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


def _checked(
    validate: Callable[[str], str], number: str, message: str, *, example: str
) -> str:
    try:
        return validate(number)
    except NumberError:
        raise ValidationError(
            message, code="invalid", params={"example": example}
        ) from None
