"""Which tax and register numbers a company has in each country."""

from dataclasses import replace
from functools import partial

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from stdnum.au import abn
from stdnum.br import cnpj
from stdnum.se import orgnr

from profiles import validators
from profiles.countries.fields import (
    CITY,
    POSTCODE,
    STREET,
    WITHOUT_POSTCODES,
    CountrySchema,
    FieldSpec,
    line,
)
from profiles.countries.postcodes import POSTCODES
from profiles.country_names import COUNTRY_NAMES
from profiles.validators import Shape

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


def address_fields(country: str, *more: FieldSpec) -> tuple[FieldSpec, ...]:
    """Return where a company of a country is, its postcode as POSTCODES has it."""
    shape = POSTCODES.get(country)
    if shape is None:
        is_required = country not in WITHOUT_POSTCODES
        postcode = replace(POSTCODE, is_required=is_required, example="")
    else:
        postcode = replace(POSTCODE, checker=shape, example=shape.example)
    return (
        replace(STREET, section="address"),
        replace(postcode, section="address"),
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


def _question(key: str, label: Promise, *, checker=str, **options) -> FieldSpec:
    return FieldSpec(
        key=key, label=label, section="company", checker=checker, **options
    )


def _yes_or_no(key: str, label: Promise, **options) -> FieldSpec:
    answers = (("yes", _("Yes")), ("no", _("No")))
    return _question(key, label, choices=answers, **options)


# The states, the capital's district and the territories with ZIP codes.
US_STATES = (
    "A[KLRSZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEINOPST]|N[CDEHJMVY]"
    "|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AIT]|W[AIVY]"
)

PROVINCES = (
    ("AB", _("Alberta")),
    ("BC", _("British Columbia")),
    ("MB", _("Manitoba")),
    ("NB", _("New Brunswick")),
    ("NL", _("Newfoundland and Labrador")),
    ("NT", _("Northwest Territories")),
    ("NS", _("Nova Scotia")),
    ("NU", _("Nunavut")),
    ("ON", _("Ontario")),
    ("PE", _("Prince Edward Island")),
    ("QC", _("Québec")),
    ("SK", _("Saskatchewan")),
    ("YT", _("Yukon")),
)


OWN_TAX_SCHEMAS = {
    "SE": CountrySchema(
        country="SE",
        tax_form="local",
        fields=(
            LEGAL_NAME,
            _number(
                "org_number",
                _("Organisation number"),
                hint=_("Ten digits on the registration certificate of Bolagsverket."),
                checker=Shape(
                    _(
                        "Enter the ten digits of the organisation number, like %(example)s"
                    ),
                    library="se.orgnr",
                    pattern="(?:16|19|20)?([0-9]{10})",
                    example="559999-0669",
                ),
                identifies=True,
                inputmode="numeric",
                example="559999-0669",
                formatter=orgnr.format,
            ),
            _number(
                "vat",
                _("VAT number"),
                hint=_("SE, the organisation number and 01; it stands on invoices."),
                checker=Shape(
                    _("Enter SE, the organisation number and 01, like %(example)s"),
                    library="se.vat",
                    prefixes=("SE",),
                    example="SE559999066901",
                ),
                is_required=False,
                example="SE559999066901",
            ),
            _yes_or_no(
                "f_tax",
                _("Approved for F-tax"),
                hint=_(
                    "Swedish companies are; the Tax Agency's register extract says so."
                ),
                is_required=False,
            ),
            *address_fields("SE"),
        ),
        version=2,
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
                checker=Shape(
                    _(
                        "Enter the Steuernummer of 10, 11 or 13 digits, like %(example)s"
                    ),
                    library="de.stnr",
                    example="181/815/08155",
                ),
                identifies=True,
                inputmode="numeric",
                example="181/815/08155",
            ),
            _number(
                "vat",
                _("VAT number"),
                hint=_("USt-IdNr.: DE and nine digits; it stands on invoices."),
                checker=Shape(
                    _("Enter DE and nine digits, like %(example)s"),
                    library="de.vat",
                    prefixes=("DE",),
                    example="DE996907439",
                ),
                is_required=False,
                example="DE996907439",
            ),
            FieldSpec(
                key="register_number",
                label=_("Commercial register (Handelsregister)"),
                hint=_("Court and number, as they stand on letters of the company."),
                checker=validators.de_register_number,
                section="company",
                is_required=False,
                example="Hamburg HRB 12345",
            ),
            *address_fields("DE"),
        ),
        version=2,
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
                checker=Shape(
                    _(
                        "Enter the eight characters of the company number, like %(example)s"
                    ),
                    pattern="[0-9]{6,8}|[A-Z]{2}[0-9]{6}|[A-Z]{2}[0-9]{5}R|R[0-9]{7}",
                    zeros=8,
                    example="01234567",
                ),
                identifies=True,
                example="01234567",
            ),
            _number(
                "vat",
                _("VAT number"),
                hint=_("Only if the company is registered for VAT."),
                checker=Shape(
                    _("Enter GB and nine digits, like %(example)s"),
                    library="gb.vat",
                    prefixes=("GB", "XI"),
                    example="GB 999 9999 73",
                ),
                is_required=False,
                example="GB 999 9999 73",
            ),
            _number(
                "utr",
                _("Unique Taxpayer Reference"),
                hint=_("Ten digits on letters of HMRC about corporation tax."),
                checker=Shape(
                    _(
                        "Enter the ten digits of the Unique Taxpayer Reference, like %(example)s"
                    ),
                    library="gb.utr",
                    example="1955839661",
                ),
                is_required=False,
                inputmode="numeric",
                example="1955839661",
            ),
            *address_fields("GB"),
        ),
    ),
    "US": CountrySchema(
        country="US",
        tax_form="w9",
        version=3,
        fields=(
            LEGAL_NAME,
            FieldSpec(
                key="federal_classification",
                label=_("Federal tax classification"),
                hint=_("Line 3a of Form W-9."),
                checker=str,
                section="company",
                # Who counts as an owner abroad signs another form, which asks its own.
                forms=("w9",),
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
                checker=Shape(
                    _("Enter the nine digits of the EIN, like %(example)s"),
                    library="us.ein",
                    example="12-3456789",
                ),
                identifies=True,
                inputmode="numeric",
                example="12-3456789",
                formatter=validators.ein_in_groups,
            ),
            *address_fields(
                "US",
                FieldSpec(
                    key="state",
                    label=_("State"),
                    hint=_("Two letters, like VA."),
                    checker=Shape(
                        _("Enter the two letters of the state, like %(example)s"),
                        pattern=US_STATES,
                        example="VA",
                    ),
                    section="address",
                    max_length=8,
                    autocomplete="address-level1",
                    example="VA",
                ),
            ),
        ),
    ),
    "JP": CountrySchema(
        country="JP",
        tax_form="local",
        fields=(
            LEGAL_NAME,
            _number(
                "corporate_number",
                _("Corporate number"),
                hint=_("Thirteen digits from the National Tax Agency (hōjin bangō)."),
                checker=Shape(
                    _(
                        "Enter the thirteen digits of the corporate number, like %(example)s"
                    ),
                    library="jp.cn",
                    example="9999999990743",
                ),
                identifies=True,
                inputmode="numeric",
                example="9999999990743",
            ),
            _number(
                "invoice_number",
                _("Qualified invoice number"),
                hint=_("T and thirteen digits; only if the company is registered."),
                checker=Shape(
                    _("Enter T and thirteen digits, like %(example)s"),
                    library="jp.cn",
                    prefixes=("T",),
                    example="T9999999990743",
                ),
                is_required=False,
                example="T9999999990743",
            ),
            *address_fields("JP"),
        ),
    ),
    "IN": CountrySchema(
        country="IN",
        tax_form="local",
        fields=(
            LEGAL_NAME,
            _number(
                "pan",
                _("PAN"),
                hint=_("Ten characters on the PAN card of the company."),
                checker=Shape(
                    _("Enter the ten characters of the PAN, like %(example)s"),
                    library="in_.pan",
                    example="ZZZCZ9999Z",
                ),
                identifies=True,
                example="ZZZCZ9999Z",
            ),
            _number(
                "gstin",
                _("GSTIN"),
                hint=_(
                    "Fifteen characters; only if the company is registered for GST."
                ),
                checker=Shape(
                    _("Enter the fifteen characters of the GSTIN, like %(example)s"),
                    library="in_.gstin",
                    example="27ZZZCZ9999Z1ZJ",
                ),
                is_required=False,
                example="27ZZZCZ9999Z1ZJ",
            ),
            *address_fields("IN"),
        ),
    ),
    "BR": CountrySchema(
        country="BR",
        tax_form="local",
        fields=(
            LEGAL_NAME,
            _number(
                "cnpj",
                _("CNPJ"),
                hint=_("Fourteen characters; letters are possible since July 2026."),
                checker=Shape(
                    _("Enter the fourteen characters of the CNPJ, like %(example)s"),
                    library="br.cnpj",
                    example="12.ABC.345/01DE-35",
                ),
                identifies=True,
                example="12.ABC.345/01DE-35",
                formatter=cnpj.format,
            ),
            _number(
                "municipal_registration",
                _("Municipal registration"),
                hint=_("Inscrição municipal; needed for service invoices (NFS-e)."),
                checker=validators.registration_number,
                is_required=False,
                example="1234567",
            ),
            _question(
                "tax_regime",
                _("Tax regime"),
                choices=(
                    ("simples", _("Simples Nacional")),
                    ("presumido", _("Presumed profit (lucro presumido)")),
                    ("real", _("Actual profit (lucro real)")),
                ),
            ),
            *address_fields("BR"),
        ),
    ),
    "AU": CountrySchema(
        country="AU",
        tax_form="local",
        fields=(
            LEGAL_NAME,
            _number(
                "abn",
                _("ABN"),
                hint=_("Eleven digits in the Australian Business Register."),
                checker=Shape(
                    _("Enter the eleven digits of the ABN, like %(example)s"),
                    library="au.abn",
                    example="71 999 999 495",
                ),
                identifies=True,
                inputmode="numeric",
                example="71 999 999 495",
                formatter=abn.format,
            ),
            _yes_or_no("gst_registered", _("Registered for GST")),
            _yes_or_no(
                "created_invoices",
                _("Agreement on recipient-created tax invoices"),
                hint=_("With it, the program owner writes the tax invoice for you."),
            ),
            *address_fields("AU"),
        ),
    ),
    "CA": CountrySchema(
        country="CA",
        tax_form="local",
        fields=(
            LEGAL_NAME,
            _number(
                "business_number",
                _("Business number"),
                hint=_(
                    "Nine digits; with RT and four digits if registered for GST/HST."
                ),
                checker=Shape(
                    _("Enter the nine digits of the business number, like %(example)s"),
                    library="ca.bn",
                    pattern="[0-9]{9}(?:RT[0-9]{4})?",
                    example="000004978 RT0001",
                ),
                identifies=True,
                example="000004978 RT0001",
                formatter=partial(validators.in_groups, size=9),
            ),
            _question("province", _("Province or territory"), choices=PROVINCES),
            _number(
                "qst",
                _("QST number"),
                hint=_("Only in Québec: ten digits, TQ and four digits."),
                checker=Shape(
                    _("Enter ten digits, TQ and four digits, like %(example)s"),
                    pattern="[0-9]{10}TQ[0-9]{4}",
                    example="1234567890 TQ0001",
                ),
                only_if=("province", "QC"),
                example="1234567890 TQ0001",
                formatter=partial(validators.in_groups, size=10),
            ),
            *address_fields("CA"),
        ),
    ),
    "NL": CountrySchema(
        country="NL",
        tax_form="local",
        fields=(
            LEGAL_NAME,
            _number(
                "register_number",
                _("KvK number"),
                hint=_("Eight digits in the register of the Kamer van Koophandel."),
                checker=Shape(
                    _("Enter the eight digits of the KvK number, like %(example)s"),
                    pattern="[0-9]{8}",
                    example="12345678",
                ),
                identifies=True,
                inputmode="numeric",
                example="12345678",
            ),
            _number(
                "vat",
                _("VAT number"),
                hint=_("Btw-id: NL, nine digits, B and two digits."),
                checker=Shape(
                    _("Enter NL, nine digits, B and two digits, like %(example)s"),
                    library="nl.btw",
                    prefixes=("NL",),
                    example="NL000058683B01",
                ),
                is_required=False,
                example="NL000058683B01",
            ),
            *address_fields("NL"),
        ),
    ),
}

# What was asked before; what was sent then is still read by it.
_ADDED_SINCE = {"SE": {"f_tax"}, "DE": {"register_number"}}
_AMERICAN = OWN_TAX_SCHEMAS["US"]
# Where the owner is taxed decides on the form: since then it is asked before all fields.
_OWNER = _question(
    "owner",
    _("Where the owner is taxed"),
    checker=str,
    only_if=("federal_classification", "sole"),
    choices=(
        ("owner_us", _("In the United States")),
        ("owner_abroad", _("In another country")),
    ),
)
EARLIER_TAX_SCHEMAS = {
    (country, 1): replace(
        OWN_TAX_SCHEMAS[country],
        version=1,
        fields=tuple(
            field for field in OWN_TAX_SCHEMAS[country].fields if field.key not in added
        ),
    )
    for country, added in _ADDED_SINCE.items()
} | {
    ("US", 1): replace(_AMERICAN, version=1),
    ("US", 2): replace(
        _AMERICAN,
        version=2,
        fields=(*_AMERICAN.fields[:2], _OWNER, *_AMERICAN.fields[2:]),
    ),
}


def _world_schema(country: str) -> CountrySchema:
    """Return what is asked wherever we know nothing more."""
    return CountrySchema(
        country=country,
        tax_form="local",
        fields=(
            LEGAL_NAME,
            _number(
                "registration_number",
                _("Company registration number"),
                hint=_("As the company register or the tax authority has it."),
                checker=validators.registration_number,
                identifies=True,
            ),
            _number(
                "vat",
                _("VAT number"),
                hint=_("Only if the company is registered for VAT, GST or the like."),
                checker=partial(validators.vat_number, country=country),
                is_required=False,
            ),
            *address_fields(country),
        ),
    )


# Where no company is registered.
UNINHABITED = frozenset("AQ BV GS HM IO TF UM".split())


def tax_schema_as_written(country: str) -> CountrySchema:
    """Return what the tables say of a country with a name."""
    return OWN_TAX_SCHEMAS.get(country) or _world_schema(country)


TAX_SCHEMAS = {
    country: tax_schema_as_written(country)
    for country in sorted(COUNTRY_NAMES.keys() - UNINHABITED)
}
