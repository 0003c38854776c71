"""Which bank and tax fields each country asks: the questions to the data beside it.

A country's bank needs a row in bank_countries.py; where IBAN or BIC and account do not
say everything, also fields in own_banks.py. A country's own tax numbers need a schema in
taxes.py, its postcodes a row in postcodes.py. What a number looks like is a Shape: a
library's rules, a pattern, or both. Nothing else changes.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from schwifty import IBAN

from profiles import validators
from profiles.countries.banks import BANK_SCHEMAS, EARLIER_BANK_SCHEMAS
from profiles.countries.fields import CountrySchema, FieldSpec
from profiles.countries.tax_forms import DOCUMENTS
from profiles.countries.taxes import EARLIER_TAX_SCHEMAS, TAX_SCHEMAS
from profiles.country_names import COUNTRY_NAMES

# What a reviewer's reason can be about besides a field.
WHOLE_PROFILE = {
    "bank": {
        "country": _("Country of the bank"),
        "currency": _("Currency"),
        "document": _("Document"),
    },
    "tax": {"form": _("Tax form"), "document": _("Document")},
}


def bank_schema(country: str) -> CountrySchema | None:
    """Return the fields of a bank in a country, or None where we cannot pay to."""
    return BANK_SCHEMAS.get(country)


def tax_schema(country: str, *, form: str = "") -> CountrySchema | None:
    """Return the fields of a company registered in a country, or None.

    With the tax form that applies, without fields that only another form asks.
    """
    schema = TAX_SCHEMAS.get(country)
    if schema is None or not form:
        return schema
    asked = (field for field in schema.fields if not field.forms or form in field.forms)
    return replace(schema, fields=tuple(asked))


def schema_of(country: str, part: str, *, version: int) -> CountrySchema | None:
    """Return the fields that a version of a schema asked: what was sent is read by it.

    Part is "bank" or "tax". A version nobody kept is read by the one of today.
    """
    today, earlier = {
        "bank": (BANK_SCHEMAS, EARLIER_BANK_SCHEMAS),
        "tax": (TAX_SCHEMAS, EARLIER_TAX_SCHEMAS),
    }[part]
    return earlier.get((country, version)) or today.get(country)


def bank_countries() -> list[tuple[str, str]]:
    """List (code, name) of countries with banks we pay to, by name in this language."""
    return _by_name(BANK_SCHEMAS)


def tax_countries() -> list[tuple[str, str]]:
    """List (code, name) of countries whose tax details we know, by name."""
    return _by_name(TAX_SCHEMAS)


def all_countries() -> list[tuple[str, str]]:
    """List (code, name) of every country, by name: a company may be anywhere."""
    return list(_every_country(get_language()))


@lru_cache(maxsize=8)
def _every_country(language: str | None) -> list[tuple[str, str]]:
    return _by_name(COUNTRY_NAMES)


def country_name(country: str) -> str:
    """Return what a country is called in this language."""
    return str(COUNTRY_NAMES.get(country, country))


def validate(
    schema: CountrySchema,
    raw: Mapping[str, str],
    *,
    required: Collection[str] = (),
) -> dict[str, str]:
    """Return the stored form of everything filled in; nothing else is kept.

    `required` names fields that this time may not stay empty, such as the VAT number
    for a program that asks it (R55). Raises ValidationError with a message per field.
    """
    cleaned, errors = {}, {}
    for field in schema.fields:
        if not field.is_asked(cleaned):
            continue
        value = str(raw.get(field.key) or "").strip() or field.default
        try:
            if value:
                cleaned[field.key] = _checked(field, value)
            elif field.is_required or field.key in required:
                raise _missing(field)
        except ValidationError as error:
            errors[field.key] = error
    if errors:
        raise ValidationError(errors)
    return cleaned


def missing_fields(
    schema: CountrySchema,
    details: Mapping[str, str],
    *,
    required: Collection[str] = (),
) -> list[FieldSpec]:
    """List what stored details still lack, for instance after a program asks more."""
    return [
        field
        for field in schema.fields
        if field.is_asked(details)
        and (field.is_required or field.key in required)
        and not details.get(field.key)
    ]


def account_number(schema: CountrySchema, details: Mapping[str, str]) -> str:
    """Return what makes two bank profiles the same account; its end is the number."""
    return _identity(schema, details)


def tax_number(schema: CountrySchema, details: Mapping[str, str]) -> str:
    """Return what makes two tax profiles the same company; its end is the number."""
    return _identity(schema, details)


def last4(number: str) -> str:
    """Return what may be shown of an account_number() or tax_number() (R59)."""
    return validators.visible_end(number.rpartition(":")[2])


def bank_name(schema: CountrySchema, details: Mapping[str, str]) -> str:
    """Return the bank's name: as typed, or as the IBAN's bank code tells it."""
    if "iban" in details:
        return (IBAN(details["iban"]).bank_name or "")[:120]
    return details.get("bank_name", "")


@dataclass(frozen=True)
class FoundBank:
    """The bank that an IBAN belongs to."""

    name: str
    bic: str


def bank_of(details: Mapping[str, str]) -> FoundBank | None:
    """Return the bank that schwifty's registry finds from an IBAN, to be confirmed."""
    if not details.get("iban"):
        return None
    iban = IBAN(details["iban"])
    if not iban.bank_name:
        return None
    return FoundBank(iban.bank_name[:120], str(iban.bic or ""))


def field_keys(country: str, part: str, *, version: int = 0) -> tuple[str, ...]:
    """Name everything a reviewer's reason can be tied to; part is "bank" or "tax".

    Without a version: of the schema of today.
    """
    schema = schema_of(country, part, version=version)
    fields = schema.fields if schema else ()
    return (*(field.key for field in fields), *WHOLE_PROFILE[part])


def field_label(country: str, part: str, key: str) -> Promise | str:
    """Return the label of one of field_keys(), of whichever version of the schema."""
    earlier = {"bank": EARLIER_BANK_SCHEMAS, "tax": EARLIER_TAX_SCHEMAS}[part]
    versions = [
        schema for (code, _version), schema in earlier.items() if code == country
    ]
    today = schema_of(country, part, version=0)
    labels = {
        field.key: field.label
        for schema in (*versions, *([today] if today else []))
        for field in schema.fields
    }
    papers = {kind.key: kind.label for kind in DOCUMENTS.values()}
    return (papers | labels | WHOLE_PROFILE[part]).get(key, key)


def _identity(schema: CountrySchema, details: Mapping[str, str]) -> str:
    numbers = [
        details[field.key]
        for field in schema.fields
        if field.identifies and field.key in details
    ]
    return ":".join([schema.country, *numbers])


def _checked(field: FieldSpec, value: str) -> str:
    if field.choices and value not in dict(field.choices):
        raise _missing(field)
    if len(value) > field.max_length:
        raise ValidationError(
            _("Shorten this to %(max)d characters. It has %(length)d."),
            code="max_length",
            params={"max": field.max_length, "length": len(value)},
        )
    return field.checker(value)


def _missing(field: FieldSpec) -> ValidationError:
    sentence = _("Choose one: %(field)s") if field.choices else _("Enter %(field)s")
    return ValidationError(sentence, code="required", params={"field": field.label})


def _by_name(countries: Iterable[str]) -> list[tuple[str, str]]:
    return sorted(
        ((code, country_name(code)) for code in countries), key=lambda row: row[1]
    )
