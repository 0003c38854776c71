"""Why a reviewer returns a profile: each reason says what is wrong and what to do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from profiles.countries import field_keys, field_label

# The one that closing a location gives, too.
LOCATION_CLOSED = "LOCATION_CLOSED"
ACCOUNT_NUMBERS = ("iban", "account_number", "bankgiro")
TAX_NUMBERS = ("org_number", "company_number", "tax_number", "ein", "utr", "vat")


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One entry of the catalogue; one meaning per code, in every language."""

    code: str
    parts: tuple[str, ...]  # "bank", "tax" or both
    field_keys: tuple[str, ...] = ()  # what it can be about; empty: anything
    title: Promise
    text: Promise
    remedy: Promise
    example: Promise | str = ""
    needs_note: bool = False  # the reviewer writes what to do

    def fits(self, field_key: str) -> bool:
        """Say whether the reason can be about a field."""
        return not self.field_keys or field_key in self.field_keys


REASONS = (
    Reason(
        code="BANK_NAME_MISMATCH",
        parts=("bank",),
        field_keys=("account_holder",),
        title=_("The account holder's name does not match"),
        text=_("The name does not match the legal entity."),
        remedy=_("Use the exact registered name, as the bank has it."),
        example="Nordvik Konsult AB",
    ),
    Reason(
        code="IBAN_CHECK_FAILED",
        parts=("bank",),
        field_keys=("iban",),
        title=_("The IBAN is not right"),
        text=_("The check digits are wrong."),
        remedy=_("Copy the IBAN again from your bank."),
        example="SE35 5000 0000 0549 1000 0003",
    ),
    Reason(
        code="BANK_COUNTRY_NOT_ALLOWED",
        parts=("bank",),
        field_keys=("country",),
        title=_("The bank is in a country we cannot pay to"),
        text=_("This program cannot pay to banks in this country."),
        remedy=_("Give an account of your company in another country."),
    ),
    Reason(
        code="CURRENCY_NOT_ACCEPTED",
        parts=("bank",),
        field_keys=("currency",),
        title=_("The bank does not take the currency"),
        text=_("The bank does not accept this currency on this account."),
        remedy=_("Choose a currency that your bank accepts on this account."),
        example="EUR",
    ),
    Reason(
        code="PERSONAL_ACCOUNT",
        parts=("bank",),
        field_keys=(*ACCOUNT_NUMBERS, "account_holder"),
        title=_("The account looks private"),
        text=_("This looks like a private account. A company account is needed."),
        remedy=_("Give the number of an account that your company holds."),
    ),
    Reason(
        code="DUPLICATE_ACCOUNT",
        parts=("bank",),
        field_keys=ACCOUNT_NUMBERS,
        title=_("Another company uses the account"),
        text=_("This account is used by another company."),
        remedy=_("Contact us."),
    ),
    Reason(
        code="ADDRESS_PO_BOX",
        parts=("bank", "tax"),
        field_keys=("street",),
        title=_("The address is a P.O. box"),
        text=_("A P.O. box cannot be approved, whatever document is sent."),
        remedy=_("Enter the street address."),
        example="Exempelgatan 1",
    ),
    Reason(
        code="TAX_ID_NOT_FOUND",
        parts=("tax",),
        field_keys=TAX_NUMBERS,
        title=_("The number is not registered"),
        text=_("The authority has no active registration for this number."),
        remedy=_(
            "Compare the number with the registration certificate and enter it again."
        ),
        example="559999-0669",
    ),
    Reason(
        code="TAX_NAME_MISMATCH",
        parts=("tax",),
        field_keys=("legal_name",),
        title=_("The legal name differs from the register"),
        text=_("The name on the tax form differs from the register."),
        remedy=_("Enter the name exactly as the company register has it."),
        example="Nordvik Konsult AB",
    ),
    Reason(
        code="TAX_FORM_WRONG_TYPE",
        parts=("tax",),
        field_keys=("form",),
        title=_("Another tax form is needed"),
        text=_("This is not the form that your company's country needs."),
        remedy=_("Choose the country in which the company is registered."),
    ),
    Reason(
        code="TAX_FORM_EXPIRED",
        parts=("tax",),
        field_keys=("form",),
        title=_("The tax form has expired"),
        text=_("The form has expired."),
        remedy=_("Sign a new one."),
    ),
    Reason(
        code="DOC_UNREADABLE",
        parts=("bank", "tax"),
        field_keys=("document",),
        title=_("The document cannot be read"),
        text=_("A page of the document cannot be read."),
        remedy=_("Take a new photo in daylight, all corners visible."),
    ),
    Reason(
        code="DOC_MISSING_PAGE",
        parts=("bank", "tax"),
        field_keys=("document",),
        title=_("A page is missing"),
        text=_("A page of the document is missing."),
        remedy=_("Send the whole document, every page of it."),
    ),
    Reason(
        code="DOC_TOO_OLD",
        parts=("bank", "tax"),
        field_keys=("document",),
        title=_("The document is too old"),
        text=_("The document is older than we may accept."),
        remedy=_("Ask the authority or the bank for a new one."),
    ),
    Reason(
        code=LOCATION_CLOSED,
        parts=("bank",),
        field_keys=("country",),
        title=_("The location was closed"),
        text=_("The only location that this account was for has been closed."),
        remedy=_("Send it again when another location is to be paid there."),
    ),
    Reason(
        code="OTHER",
        parts=("bank", "tax"),
        title=_("Something else"),
        text=_("The reviewer explains what is needed."),
        remedy=_("Do what the reviewer's note says."),
        needs_note=True,
    ),
)
BY_CODE = {reason.code: reason for reason in REASONS}


def reasons_for(part: str) -> tuple[Reason, ...]:
    """Return the reasons a bank or a tax profile can be returned for."""
    return tuple(reason for reason in REASONS if part in reason.parts)


@dataclass(frozen=True, kw_only=True)
class ExplainedReason:
    """A reason as given: about which field, with the reviewer's own words."""

    reason: Reason
    field: str
    label: Promise | str
    note: str


def explained(
    returned: Iterable[Mapping[str, str]], *, country: str
) -> list[ExplainedReason]:
    """Put the catalogue's words and the field's label to a version's stored reasons."""
    return [
        ExplainedReason(
            reason=BY_CODE.get(row["code"], BY_CODE["OTHER"]),
            field=row["field"],
            label=_label(country, row["field"]),
            note=row.get("note", ""),
        )
        for row in returned
    ]


def _label(country: str, key: str) -> Promise | str:
    part = "bank" if key in field_keys(country, "bank") else "tax"
    return field_label(country, part, key)
