"""A line of a bank letter, read into a country's fields: parsers, nothing is guessed.

Only what the field's own check accepts is taken; everything else is left for the person
to type. Nothing is kept here.
"""

import re
import unicodedata
from collections.abc import Iterator

from django.core.exceptions import ValidationError
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

from profiles.countries.fields import CountrySchema, FieldSpec

MOST_PASTED = 2000
# What letters call a field, in the languages they come in; the longest word first.
WORDS = {
    "account_holder": "account holder|account name|beneficiary name|beneficiary|"
    "kontoinnehavare|kontohavare|mottagare|kontoinhaber|titular|tenaamstelling",
    "account_number": "account number|account no|account nr|account|acct|a/c|"
    "kontonummer|kontonr|konto|conta corrente|conta|kontonummer",
    "agency": "agência|agencia|agency|ag",
    "bank_code": "bank code|código do banco|bankkod",
    "bank_name": "name of the bank|bank name|banco|bank",
    "bankgiro": "bankgironummer|bankgiro|bg",
    "bic": "bic/swift|swift/bic|swift code|swift-kod|swift|bic",
    "branch_code": "branch code|branch",
    "bsb": "bsb number|bsb code|bsb",
    "clearing_number": "clearingnummer|clearingnr|clearing number|clearing",
    "ifsc": "ifsc code|ifsc",
    "institution_number": "institution number|institution no|institution|inst",
    "routing_number": "routing number|routing|aba number|aba|rtn",
    "sort_code": "sort code|sortcode|sort-code",
    "transit_number": "transit number|transit no|transit",
}
# Several numbers written as one, by country.
JOINED = {
    "CA": (
        r"\b(?P<transit_number>\d{5})[- ](?P<institution_number>\d{3})\b",
        r"\b0(?P<institution_number>\d{3})(?P<transit_number>\d{5})\b",
    ),
    "SE": (
        r"\b(?P<clearing_number>8\d{3}-\d|[1-9]\d{3})\s*[,/-]\s*(?P<account_number>"
        + r"\d[\d -]{0,12})\b",
    ),
}
_START_OF_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\s?\d{2}(?=[\s-]?[A-Z0-9])")
_LABEL = re.compile(
    r"(?<!\w)(?:"
    + "|".join(f"(?P<{key}>{words})" for key, words in WORDS.items())
    + r"|(?P<iban>iban)|(?P<other>address|adress|telefon|phone|date|datum|currency|valuta|"
    r"org\.?\s?nr|vat))(?:\s+is)?(?:\s*[:#=.]+\s*|\s+)",
    re.IGNORECASE,
)


def read_pasted(schema: CountrySchema, text: str) -> dict[str, str]:
    """Return the answers that a pasted text holds, as people write them.

    A text that holds none gives nothing. An IBAN of another country is left as it
    stands, so that its field says of which country it is.
    """
    text = unicodedata.normalize("NFKC", text[:MOST_PASTED])
    text = "".join(" " if _is_space(sign) else sign for sign in text)
    fields = {field.key: field for field in schema.fields}
    found: dict[str, str] = {}
    iban = find_iban(text)
    if iban:
        _take_iban(fields, found, iban)
        text = text.replace(iban.written, " ")
    for key, value in _labeled(text):
        if key == "bank_name" and not re.search(r"[^\W\d]", value):
            key = "bank_code"
        _take(fields, found, key, value)
    for pattern in JOINED.get(schema.country, ()):
        for match in re.finditer(pattern, text):
            for key, value in match.groupdict().items():
                _take(fields, found, key, value)
        text = re.sub(pattern, " ", text)
    if "bic" in fields and "bic" not in found:
        for word in re.findall(
            r"(?<!\w)[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?!\w)", text
        ):
            _take(fields, found, "bic", word)
    if not iban:
        _take_in_order(schema, found, text)
    return _with_kind(fields, found)


class FoundIBAN(str):
    """An IBAN, and how it was written."""

    written: str


def find_iban(text: str) -> FoundIBAN | None:
    """Return the first IBAN with right check digits in a text."""
    upper = text.upper()
    if len(upper) != len(text):
        return None
    for start in _START_OF_IBAN.finditer(upper):
        number, at = "", start.start()
        while at < len(upper) and len(number) < 34:
            sign = upper[at]
            if sign.isascii() and sign.isalnum():
                number += sign
            elif sign not in " -.\u2011":
                break
            at += 1
            try:
                found = FoundIBAN(IBAN(number))
            except SchwiftyException:
                continue
            found.written = text[start.start() : at]
            return found
    return None


def _is_space(sign: str) -> bool:
    return sign != "\n" and (sign.isspace() or unicodedata.category(sign) == "Zs")


def _take(
    fields: dict[str, FieldSpec], found: dict[str, str], key: str, value: str
) -> None:
    """Keep a value that the field accepts, unless there is one already."""
    value = value.strip(" \t,;.|")
    if key not in fields or key in found or not value:
        return
    if len(value) > fields[key].max_length:
        return
    try:
        stored = fields[key].checker(value)
    except ValidationError:
        return
    found[key] = fields[key].formatter(stored)


def _take_iban(
    fields: dict[str, FieldSpec], found: dict[str, str], iban: FoundIBAN
) -> None:
    if "iban" in fields:
        found["iban"] = fields["iban"].formatter(str(iban))
        return
    parsed = IBAN(iban)
    for key, value in (
        ("sort_code", parsed.branch_code),
        ("account_number", parsed.account_code),
    ):
        if "sort_code" in fields and parsed.country_code == "GB":
            _take(fields, found, key, value)


def _labeled(text: str) -> Iterator[tuple[str, str]]:
    """Give what stands behind each word that names a field, up to the next one."""
    for line in text.splitlines():
        labels = list(_LABEL.finditer(line))
        ends = [*(label.start() for label in labels), len(line)][1:]
        for label, end in zip(labels, ends, strict=False):
            value = line[label.end() : end]
            yield label.lastgroup, value
            # Behind a comma something else may follow.
            yield label.lastgroup, re.split("[,;|]", value)[0]


def _take_in_order(schema: CountrySchema, found: dict[str, str], text: str) -> None:
    """Take numbers without a word beside them, in the order the fields are asked.

    In one line: as many groups of digits for a field as it accepts.
    """
    wanted = [
        field
        for field in schema.fields
        if field.identifies and field.key not in found and field.only_if is None
    ]
    for line in text.splitlines():
        groups = [one for one in re.split(r"[\s,;:/|]+", line) if re.search(r"\d", one)]
        for field in wanted:
            _take_groups(field, found, groups)


def _take_groups(field: FieldSpec, found: dict[str, str], groups: list[str]) -> None:
    for size in range(min(len(groups), 6), 0, -1):
        for at in range(len(groups) - size + 1):
            _take(
                {field.key: field}, found, field.key, " ".join(groups[at : at + size])
            )
            if field.key in found:
                del groups[at : at + size]
                return


def _with_kind(fields: dict[str, FieldSpec], found: dict[str, str]) -> dict[str, str]:
    """Answer the question that decides which of them are asked, and keep only those."""
    for field in fields.values():
        if field.default and field.choices:
            kinds = [
                answer
                for answer, _label in field.choices
                if any(fields[key].only_if == (field.key, answer) for key in found)
            ]
            if kinds:
                found[field.key] = kinds[0]
    return {key: value for key, value in found.items() if fields[key].is_asked(found)}
