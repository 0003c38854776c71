"""Which fields a bank account has in each country: the IBAN ones, and the others."""

from dataclasses import replace
from functools import partial

from django.utils.translation import gettext_lazy as _

from profiles import validators
from profiles.bank_countries import BANK_COUNTRIES
from profiles.countries.fields import (
    BANK_NAME,
    BENEFICIARY_FIELDS,
    HOLDER,
    CountrySchema,
    FieldSpec,
)


def _iban_fields(country: str) -> tuple[FieldSpec, FieldSpec]:
    example = BANK_COUNTRIES[country].iban
    return (
        FieldSpec(
            key="iban",
            label=_("IBAN"),
            hint=_("It stands on a bank statement and in your internet bank."),
            checker=partial(validators.iban, country=country, example=example),
            is_secret=True,
            identifies=True,
            max_length=60,
            example=example,
            formatter=partial(validators.in_groups, size=4),
        ),
        FieldSpec(
            key="bic",
            label=_("BIC"),
            hint=_("Also called SWIFT code; beside the IBAN. You may leave it out."),
            checker=partial(validators.bic, country=country),
            is_required=False,
            max_length=20,
            example="DEUTDEFF",
        ),
    )


SE_BANK = (
    FieldSpec(
        key="account_kind",
        label=_("Where the money should go"),
        hint=_("Choose the number you have at hand."),
        checker=str,
        choices=(
            ("iban", _("IBAN")),
            ("account", _("Clearing number and account number")),
            ("bankgiro", _("Bankgiro number")),
        ),
        default="iban",
    ),
    *(replace(field, only_if=("account_kind", "iban")) for field in _iban_fields("SE")),
    FieldSpec(
        key="clearing_number",
        label=_("Clearing number"),
        hint=_("The four digits before the account number; five at Swedbank."),
        checker=validators.se_clearing_number,
        only_if=("account_kind", "account"),
        identifies=True,
        max_length=10,
        inputmode="numeric",
        example="5491",
    ),
    FieldSpec(
        key="account_number",
        label=_("Account number"),
        hint=_("Without the clearing number. Keep zeros at the beginning."),
        checker=validators.se_account_number,
        only_if=("account_kind", "account"),
        is_secret=True,
        identifies=True,
        max_length=24,
        inputmode="numeric",
        example="0000003",
    ),
    FieldSpec(
        key="bankgiro",
        label=_("Bankgiro number"),
        hint=_("Seven or eight digits; it stands on your invoices."),
        checker=validators.se_bankgiro,
        only_if=("account_kind", "bankgiro"),
        is_secret=True,
        identifies=True,
        max_length=16,
        inputmode="numeric",
        example="999-0003",
        formatter=validators.bankgiro_in_groups,
    ),
)

GB_BANK = (
    FieldSpec(
        key="sort_code",
        label=_("Sort code"),
        hint=_("Six digits on a bank statement or card, like 20-00-00."),
        checker=validators.gb_sort_code,
        identifies=True,
        max_length=16,
        inputmode="numeric",
        example="20-00-00",
        formatter=partial(validators.in_groups, size=2, separator="-"),
    ),
    FieldSpec(
        key="account_number",
        label=_("Account number"),
        hint=_("Six to eight digits, beside the sort code."),
        checker=validators.gb_account_number,
        is_secret=True,
        identifies=True,
        max_length=16,
        inputmode="numeric",
        example="55779911",
    ),
    BANK_NAME,
)

US_BANK = (
    FieldSpec(
        key="routing_number",
        label=_("Routing number"),
        hint=_("Nine digits at the bottom left of a check; also called ABA number."),
        checker=validators.us_routing_number,
        identifies=True,
        max_length=16,
        inputmode="numeric",
        example="110000000",
    ),
    FieldSpec(
        key="account_number",
        label=_("Account number"),
        hint=_("Beside the routing number on a check. Keep zeros at the beginning."),
        checker=validators.us_account_number,
        is_secret=True,
        identifies=True,
        max_length=32,
        inputmode="numeric",
        example="000123456789",
    ),
    FieldSpec(
        key="account_type",
        label=_("Account type"),
        checker=str,
        choices=(("checking", _("Checking")), ("savings", _("Savings"))),
    ),
    BANK_NAME,
)

BANK_FIELDS = {"GB": GB_BANK, "SE": SE_BANK, "US": US_BANK}

BANK_SCHEMAS = {
    country: CountrySchema(
        country=country,
        fields=(
            HOLDER,
            *(BANK_FIELDS.get(country) or _iban_fields(country)),
            *BENEFICIARY_FIELDS,
        ),
    )
    for country in BANK_COUNTRIES
}
