"""The fields of banks in countries where accounts are not told by their IBAN alone."""

from dataclasses import replace
from functools import partial

from django.utils.translation import gettext_lazy as _

from profiles import validators
from profiles.bank_countries import BANK_COUNTRIES
from profiles.countries.fields import BANK_NAME, FieldSpec
from profiles.validators import Shape


def iban_fields(country: str) -> tuple[FieldSpec, ...]:
    """Return what is asked where an IBAN says everything."""
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
    *(replace(field, only_if=("account_kind", "iban")) for field in iban_fields("SE")),
    FieldSpec(
        key="clearing_number",
        label=_("Clearing number"),
        hint=_("The four digits before the account number; five at Swedbank."),
        checker=Shape(
            _(
                "Enter the four digits of the clearing number, like %(example)s, or five when it begins with 8."
            ),
            pattern="[1-9][0-9]{3}|8[0-9]{4}",
            example="5491",
        ),
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
        checker=Shape(
            _("Enter the account number without the clearing number, like %(example)s"),
            pattern="[0-9]{1,10}",
            example="0000003",
        ),
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
        checker=Shape(
            _("Enter a valid Bankgiro number of 7 or 8 digits, like %(example)s"),
            library="luhn",
            pattern="[0-9]{7,8}",
            example="999-0003",
        ),
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
        checker=Shape(
            _("Enter the six digits of the sort code, like %(example)s"),
            pattern="[0-9]{6}",
            example="20-00-00",
        ),
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
        checker=Shape(
            _("Enter the account number of 6 to 8 digits, like %(example)s"),
            pattern="[0-9]{6,8}",
            zeros=8,
            example="55779911",
        ),
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
        checker=Shape(
            _("Enter the nine digits of the routing number, like %(example)s"),
            library="us.rtn",
            example="110000000",
        ),
        identifies=True,
        max_length=16,
        inputmode="numeric",
        example="110000000",
    ),
    FieldSpec(
        key="account_number",
        label=_("Account number"),
        hint=_("Beside the routing number on a check. Keep zeros at the beginning."),
        checker=Shape(
            _("Enter the account number of 4 to 17 digits, like %(example)s"),
            pattern="[0-9]{4,17}",
            example="000123456789",
        ),
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

JP_BANK = (
    FieldSpec(
        key="bank_code",
        label=_("Bank code"),
        hint=_("Four digits on the passbook or in your internet bank."),
        checker=Shape(
            _("Enter the four digits of the bank code, like %(example)s"),
            pattern="[0-9]{4}",
            example="1100",
        ),
        identifies=True,
        max_length=12,
        inputmode="numeric",
        example="1100",
    ),
    FieldSpec(
        key="branch_code",
        label=_("Branch code"),
        hint=_("Three digits beside the name of the branch. Keep zeros."),
        checker=Shape(
            _("Enter the three digits of the branch code, like %(example)s"),
            pattern="[0-9]{3}",
            example="000",
        ),
        identifies=True,
        max_length=12,
        inputmode="numeric",
        example="000",
    ),
    FieldSpec(
        key="account_type",
        label=_("Account type"),
        checker=str,
        choices=(
            ("ordinary", _("Ordinary (futsū)")),
            ("current", _("Current (tōza)")),
        ),
    ),
    FieldSpec(
        key="account_number",
        label=_("Account number"),
        hint=_("Seven digits. Keep zeros at the beginning."),
        checker=Shape(
            _("Enter the account number of 4 to 7 digits, like %(example)s"),
            pattern="[0-9]{4,7}",
            zeros=7,
            example="0001234",
        ),
        is_secret=True,
        identifies=True,
        max_length=16,
        inputmode="numeric",
        example="0001234",
    ),
    FieldSpec(
        key="account_holder_kana",
        label=_("Account holder in katakana"),
        hint=_("As it stands on the passbook; payments without it come back."),
        checker=validators.katakana,
        max_length=120,
        example="ﾉﾙﾄﾞｳﾞｲｸ",
    ),
    BANK_NAME,
)

IN_BANK = (
    FieldSpec(
        key="ifsc",
        label=_("IFSC"),
        hint=_("Eleven characters of the branch, on a check or in your internet bank."),
        checker=Shape(
            _("Enter the eleven characters of the IFSC, like %(example)s"),
            pattern="[A-Z]{4}0[A-Z0-9]{6}",
            example="DEMO0001234",
        ),
        identifies=True,
        max_length=20,
        example="DEMO0001234",
    ),
    FieldSpec(
        key="account_number",
        label=_("Account number"),
        hint=_("9 to 18 digits. Keep zeros at the beginning."),
        checker=Shape(
            _("Enter the account number of 9 to 18 digits, like %(example)s"),
            pattern="[0-9]{9,18}",
            example="000123456789",
        ),
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
        choices=(("current", _("Current account")), ("savings", _("Savings"))),
    ),
    BANK_NAME,
)

BR_BANK = (
    FieldSpec(
        key="bank_code",
        label=_("Bank code"),
        hint=_("Three digits of the bank, before its name."),
        checker=Shape(
            _("Enter the three digits of the bank code, like %(example)s"),
            pattern="[0-9]{3}",
            example="001",
        ),
        identifies=True,
        max_length=12,
        inputmode="numeric",
        example="999",
    ),
    FieldSpec(
        key="agency",
        label=_("Agency"),
        hint=_("Four digits of the branch, with its check digit if it has one."),
        checker=Shape(
            _("Enter the four digits of the agency, like %(example)s"),
            pattern="[0-9]{4}[0-9X]?",
            example="0001",
        ),
        identifies=True,
        max_length=12,
        example="0001",
        formatter=partial(validators.with_check_digit, at=4),
    ),
    FieldSpec(
        key="account_number",
        label=_("Account with check digit"),
        hint=_("The digit, or X, behind the dash belongs to it. Keep zeros."),
        checker=Shape(
            _("Enter the account number with its check digit, like %(example)s"),
            pattern="[0-9]{1,12}[0-9X]",
            example="0012345-6",
        ),
        is_secret=True,
        identifies=True,
        max_length=20,
        example="0012345-6",
        formatter=validators.with_check_digit,
    ),
    FieldSpec(
        key="account_type",
        label=_("Account type"),
        checker=str,
        choices=(
            ("corrente", _("Current (conta corrente)")),
            ("pagamento", _("Payment (conta de pagamento)")),
            ("poupanca", _("Savings (conta poupança)")),
        ),
    ),
    BANK_NAME,
)

AU_BANK = (
    FieldSpec(
        key="bsb",
        label=_("BSB"),
        hint=_("Six digits of bank and branch, on a bank statement."),
        checker=Shape(
            _("Enter the six digits of the BSB, like %(example)s"),
            pattern="[0-9]{6}",
            example="082-082",
        ),
        identifies=True,
        max_length=16,
        inputmode="numeric",
        example="082-082",
        formatter=partial(validators.in_groups, size=3, separator="-"),
    ),
    FieldSpec(
        key="account_number",
        label=_("Account number"),
        hint=_("Up to nine digits, beside the BSB. Keep zeros at the beginning."),
        checker=Shape(
            _("Enter the account number of 4 to 9 digits, like %(example)s"),
            pattern="[0-9]{4,9}",
            example="012345678",
        ),
        is_secret=True,
        identifies=True,
        max_length=20,
        inputmode="numeric",
        example="012345678",
    ),
    BANK_NAME,
)

CA_BANK = (
    FieldSpec(
        key="institution_number",
        label=_("Institution number"),
        hint=_("Three digits of the bank, on a check or direct deposit form."),
        checker=Shape(
            _("Enter the three digits of the institution number, like %(example)s"),
            pattern="[0-9]{3}",
            example="003",
        ),
        identifies=True,
        max_length=12,
        inputmode="numeric",
        example="003",
    ),
    FieldSpec(
        key="transit_number",
        label=_("Transit number"),
        hint=_("Five digits of the branch, before the institution number."),
        checker=Shape(
            _("Enter the five digits of the transit number, like %(example)s"),
            pattern="[0-9]{5}",
            example="00006",
        ),
        identifies=True,
        max_length=12,
        inputmode="numeric",
        example="00006",
    ),
    FieldSpec(
        key="account_number",
        label=_("Account number"),
        hint=_("7 to 12 digits. Keep zeros at the beginning."),
        checker=Shape(
            _("Enter the account number of 7 to 12 digits, like %(example)s"),
            pattern="[0-9]{7,12}",
            example="1234567",
        ),
        is_secret=True,
        identifies=True,
        max_length=24,
        inputmode="numeric",
        example="1234567",
    ),
    BANK_NAME,
)


def world_fields(country: str) -> tuple[FieldSpec, ...]:
    """Return what is asked wherever we know nothing more: BIC and account."""
    return (
        FieldSpec(
            key="bic",
            label=_("BIC"),
            hint=_("Also called SWIFT code: 8 or 11 characters of the bank."),
            checker=partial(validators.bank_of_account, country=country),
            identifies=True,
            max_length=20,
            example=f"DEMO{country}22",
        ),
        FieldSpec(
            key="account_number",
            label=_("Account number"),
            hint=_("As the bank tells it for payments from abroad. Keep zeros."),
            checker=validators.account_abroad,
            is_secret=True,
            identifies=True,
            max_length=60,
            example="000123456789",
        ),
        FieldSpec(
            key="intermediary_bic",
            label=_("BIC of an intermediary bank"),
            hint=_("Only if your bank says that payments need one."),
            checker=validators.bic,
            is_required=False,
            max_length=20,
            example="DEUTDEFF",
        ),
        BANK_NAME,
    )


OWN_BANK_FIELDS = {
    "AU": AU_BANK,
    "BR": BR_BANK,
    "CA": CA_BANK,
    "GB": GB_BANK,
    "IN": IN_BANK,
    "JP": JP_BANK,
    "SE": SE_BANK,
    "US": US_BANK,
}
