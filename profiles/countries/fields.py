"""What a field and a schema are, and the fields that several countries share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.text import clean_line, normalize_email
from profiles import validators


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """One field a person fills in: what it is called, where to find it, how to check."""

    key: str
    label: Promise
    hint: Promise | str = ""
    checker: Callable[[str], str]  # takes what was typed, gives what is stored
    is_required: bool = True
    is_secret: bool = False  # shown masked; never filled in again in a form
    identifies: bool = False  # part of the number that tells two accounts apart
    only_if: tuple[str, str] | None = None  # asked when that choice has that value
    forms: tuple[str, ...] = ()  # asked where one of these tax forms applies; or any
    choices: tuple[tuple[str, Promise], ...] = ()
    default: str = ""
    section: str = "account"
    max_length: int = 80  # as typed, separators included
    inputmode: str = "text"
    autocomplete: str = "off"
    example: str = ""
    formatter: Callable[[str], str] = str

    def is_asked(self, answers: Mapping[str, str]) -> bool:
        """Say whether the other answers make this field necessary to ask."""
        return self.only_if is None or answers.get(self.only_if[0]) == self.only_if[1]

    def shown(self, value: str) -> str:
        """Write a stored value as people read it."""
        return str(dict(self.choices).get(value) or self.formatter(value))

    def masked(self, value: str) -> str:
        """Write a stored value for those without the right to read it whole (R59)."""
        return validators.mask(value) if self.is_secret else self.shown(value)


@dataclass(frozen=True, kw_only=True)
class CountrySchema:
    """The fields of one country's bank or tax profile, in the order they are asked."""

    country: str
    fields: tuple[FieldSpec, ...]
    version: int = 1
    tax_form: str = ""

    def field(self, key: str) -> FieldSpec | None:
        return next((field for field in self.fields if field.key == key), None)

    def section(self, name: str) -> tuple[FieldSpec, ...]:
        return tuple(field for field in self.fields if field.section == name)


def line(max_length: int) -> Callable[[str], str]:
    return partial(clean_line, max_length=max_length)


# Where letters come without a postcode.
WITHOUT_POSTCODES = frozenset(
    "AE AG AO AW BF BI BJ BO BQ BS BW BZ CD CF CG CI CK CM CW DJ DM ER FJ GA GD GH GM "
    "GQ GY HK JM KI KM KN LC LY ML MO MR MW NR NU PA QA RW SB SC SL SO SR SS ST SX TD "
    "TG TK TL TO TT TV TZ UG VU WS YE ZW".split()
)

SECTIONS = {
    "account": _("Bank account"),
    "beneficiary": _("Beneficiary"),
    "company": _("Company"),
    "address": _("Address"),
    "setup": _("Payment and registration"),
    "numbers": _("Tax and register numbers"),
    "status": _("Tax status"),
}

HOLDER = FieldSpec(
    key="account_holder",
    label=_("Account holder, exactly as the bank has it"),
    hint=_("Copy the company's name from a bank statement, letter by letter."),
    checker=line(120),
    max_length=120,
    autocomplete="organization",
    example="Nordvik Konsult AB",
)
BANK_NAME = FieldSpec(
    key="bank_name",
    label=_("Name of the bank"),
    hint=_("It stands at the top of a bank statement."),
    checker=line(120),
    is_required=False,
    max_length=120,
)
STREET = FieldSpec(
    key="street",
    label=_("Street address"),
    hint=_("Street and number of the company. A P.O. box cannot be approved."),
    checker=validators.street_address,
    section="beneficiary",
    max_length=120,
    autocomplete="street-address",
    example="Exempelgatan 1",
)
POSTCODE = FieldSpec(
    key="postcode",
    label=_("Postcode"),
    checker=validators.postcode,
    section="beneficiary",
    max_length=12,
    autocomplete="postal-code",
    example="411 14",
)
CITY = FieldSpec(
    key="city",
    label=_("City"),
    checker=line(80),
    section="beneficiary",
    autocomplete="address-level2",
    example="Göteborg",
)
BENEFICIARY_FIELDS = (
    STREET,
    POSTCODE,
    CITY,
    FieldSpec(
        key="contact_name",
        label=_("Contact person"),
        hint=_("Somebody in your company whom the bank can ask about a payment."),
        checker=line(120),
        section="beneficiary",
        max_length=120,
        autocomplete="name",
        example="Ida Berg",
    ),
    FieldSpec(
        key="contact_email",
        label=_("Contact person's e-mail address"),
        checker=normalize_email,
        section="beneficiary",
        max_length=254,
        inputmode="email",
        autocomplete="email",
        example="ida.berg@nordvik.example",
    ),
    FieldSpec(
        key="contact_phone",
        label=_("Contact person's phone number"),
        hint=_("With the country code, like +46 8 123 456 78."),
        checker=validators.phone_number,
        section="beneficiary",
        max_length=40,
        inputmode="tel",
        autocomplete="tel",
        example="+46 8 123 456 78",
    ),
)
