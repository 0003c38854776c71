"""Which tax and register numbers a company has in each country."""

from collections.abc import Callable
from dataclasses import replace

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from stdnum.se import orgnr

from profiles import validators
from profiles.countries.fields import (
    CITY,
    POSTCODE,
    STREET,
    CountrySchema,
    FieldSpec,
    line,
)

TAX_FORMS = {"w9": _("Form W-9"), "local": _("Local registration")}

LEGAL_NAME = FieldSpec(
    key="legal_name",
    label=_("Legal name"),
    hint=_("As it stands in the company register."),
    checker=line(120),
    section="company",
    max_length=120,
    autocomplete="organization",
    example="Nordvik Konsult AB",
)


def _address(
    postcode: Callable[[str], str], example: str, *more: FieldSpec
) -> tuple[FieldSpec, ...]:
    return (
        replace(STREET, section="address"),
        replace(POSTCODE, section="address", checker=postcode, example=example),
        replace(CITY, section="address", example=""),
        *more,
    )


def _number(key: str, label: Promise, **options) -> FieldSpec:
    return FieldSpec(
        key=key,
        label=label,
        section="company",
        is_secret=True,
        max_length=24,
        **options,
    )


TAX_SCHEMAS = {
    "SE": CountrySchema(
        country="SE",
        tax_form="local",
        fields=(
            LEGAL_NAME,
            _number(
                "org_number",
                _("Organisation number"),
                hint=_("Ten digits on the registration certificate of Bolagsverket."),
                checker=validators.se_organization_number,
                identifies=True,
                inputmode="numeric",
                example="559999-0669",
                formatter=orgnr.format,
            ),
            _number(
                "vat",
                _("VAT number"),
                hint=_("SE, the organisation number and 01; it stands on invoices."),
                checker=validators.se_vat_number,
                is_required=False,
                example="SE559999066901",
            ),
            *_address(validators.se_postal_code, "411 14"),
        ),
    ),
    "DE": CountrySchema(
        country="DE",
        tax_form="local",
        fields=(
            LEGAL_NAME,
            _number(
                "tax_number",
                _("Tax number (Steuernummer)"),
                hint=_("On letters of your Finanzamt, top left."),
                checker=validators.de_steuernummer,
                identifies=True,
                inputmode="numeric",
                example="181/815/08155",
            ),
            _number(
                "vat",
                _("VAT number"),
                hint=_("USt-IdNr.: DE and nine digits; it stands on invoices."),
                checker=validators.de_vat_number,
                is_required=False,
                example="DE996907439",
            ),
            *_address(validators.de_postal_code, "20095"),
        ),
    ),
    "GB": CountrySchema(
        country="GB",
        tax_form="local",
        fields=(
            LEGAL_NAME,
            _number(
                "company_number",
                _("Company number"),
                hint=_("Eight characters at Companies House."),
                checker=validators.gb_company_number,
                identifies=True,
                example="01234567",
            ),
            _number(
                "vat",
                _("VAT number"),
                hint=_("Only if the company is registered for VAT."),
                checker=validators.gb_vat_number,
                is_required=False,
                example="GB 999 9999 73",
            ),
            _number(
                "utr",
                _("Unique Taxpayer Reference"),
                hint=_("Ten digits on letters of HMRC about corporation tax."),
                checker=validators.gb_unique_taxpayer_reference,
                is_required=False,
                inputmode="numeric",
                example="1955839661",
            ),
            *_address(validators.gb_postal_code, "LS1 4AP"),
        ),
    ),
    "US": CountrySchema(
        country="US",
        tax_form="w9",
        fields=(
            LEGAL_NAME,
            FieldSpec(
                key="federal_classification",
                label=_("Federal tax classification"),
                hint=_("Line 3a of Form W-9."),
                checker=str,
                section="company",
                choices=(
                    ("c_corporation", _("C corporation")),
                    ("s_corporation", _("S corporation")),
                    ("partnership", _("Partnership")),
                    ("llc_c", _("LLC taxed as a C corporation")),
                    ("llc_s", _("LLC taxed as an S corporation")),
                    ("llc_p", _("LLC taxed as a partnership")),
                    ("sole", _("Sole proprietor or single-member LLC")),
                    ("trust", _("Trust or estate")),
                ),
            ),
            _number(
                "ein",
                _("Employer Identification Number (EIN)"),
                hint=_("Nine digits on the letter CP 575 or 147C of the IRS."),
                checker=validators.us_employer_number,
                identifies=True,
                inputmode="numeric",
                example="12-3456789",
                formatter=validators.ein_in_groups,
            ),
            *_address(
                validators.us_zip_code,
                "23510",
                FieldSpec(
                    key="state",
                    label=_("State"),
                    hint=_("Two letters, like VA."),
                    checker=validators.us_state,
                    section="address",
                    max_length=8,
                    autocomplete="address-level1",
                    example="VA",
                ),
            ),
        ),
    ),
}
