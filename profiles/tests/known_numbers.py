"""The account and tax numbers and documents that tests and the demo use, in one place.

They stand in examples of forms, in the demo, and in what tests type; a test that uses
another one adds it to NUMBERS. Nobody but their own pages may show them
(accounts/tests/canaries.py).
"""

import json
from collections.abc import Iterator

from django.conf import settings

from profiles import countries
from profiles.countries.own_banks import OWN_BANK_FIELDS
from profiles.countries.taxes import OWN_TAX_SCHEMAS
from profiles.tests.country_answers import COUNTRIES

# Words inside every document that tests make.
DOCUMENT = "Kanariefagel-87263415"
NUMBERS = (
    "SE35 5000 0000 0549 1000 0003",
    "SE45 5000 0000 0583 9825 7466",
    "SE72 8000 0810 3400 0978 3242",
    "559999-0669",
    "556036-0793",
)


def known_numbers() -> list[str]:
    """Return all of them, as people write them."""
    return sorted({DOCUMENT, *NUMBERS, *_examples(), *_of_the_demo(), *_of_journeys()})


def _examples() -> Iterator[str]:
    own = [field for fields in OWN_BANK_FIELDS.values() for field in fields]
    taxes = [field for schema in OWN_TAX_SCHEMAS.values() for field in schema.fields]
    for field in (*own, *taxes):
        if field.is_secret and field.example:
            yield field.example


def _of_the_demo() -> Iterator[str]:
    for name, schema_of in (
        ("bank_profiles", countries.bank_schema),
        ("tax_profiles", countries.tax_schema),
    ):
        path = settings.BASE_DIR / "demo" / f"{name}.json"
        for profile in json.loads(path.read_text(encoding="utf-8")):
            for version in profile["versions"]:
                yield from _secrets(schema_of(version["country"]), version["details"])


def _of_journeys() -> Iterator[str]:
    for row in COUNTRIES:
        yield from _secrets(countries.bank_schema(row.country), row.bank)
        yield from _secrets(countries.tax_schema(row.country), row.tax)


def _secrets(schema, details) -> Iterator[str]:
    for field in schema.fields:
        if field.is_secret and details.get(field.key):
            yield field.formatter(field.checker(details[field.key]))
