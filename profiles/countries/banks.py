"""Which fields a bank account has in each country, now and before."""

from dataclasses import replace

from profiles.bank_countries import BANK_COUNTRIES
from profiles.countries.fields import (
    BENEFICIARY_FIELDS,
    HOLDER,
    WITHOUT_POSTCODES,
    CountrySchema,
    FieldSpec,
)
from profiles.countries.own_banks import (
    OWN_BANK_FIELDS,
    iban_fields,
    world_fields,
)

# A schema whose questions change gets the next version here, and what it was before
# goes to EARLIER_BANK_SCHEMAS: what was sent then is still read by it.
VERSIONS = {"BR": 2}


def _account_fields(country: str) -> tuple[FieldSpec, ...]:
    if country in OWN_BANK_FIELDS:
        return OWN_BANK_FIELDS[country]
    if BANK_COUNTRIES[country].iban:
        return iban_fields(country)
    return world_fields(country)


def _beneficiary_fields(country: str) -> tuple[FieldSpec, ...]:
    has_postcodes = country not in WITHOUT_POSTCODES
    return tuple(
        replace(field, is_required=field.is_required and has_postcodes)
        if field.key == "postcode"
        else field
        for field in BENEFICIARY_FIELDS
    )


def _schema(country: str, account: tuple[FieldSpec, ...], version: int):
    fields = (HOLDER, *account, *_beneficiary_fields(country))
    return CountrySchema(country=country, fields=fields, version=version)


def bank_schema_as_written(country: str) -> CountrySchema:
    """Return what the tables say of a country with a row in BANK_COUNTRIES."""
    return _schema(country, _account_fields(country), VERSIONS.get(country, 1))


BANK_SCHEMAS = {country: bank_schema_as_written(country) for country in BANK_COUNTRIES}

EARLIER_BANK_SCHEMAS = {("BR", 1): _schema("BR", iban_fields("BR"), 1)}
