"""What holds for every country's fields, whatever is typed into them.

A few answers of each country in every run; more with TRIES=500.
"""

import string

import pytest
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from hypothesis import given, settings
from hypothesis import strategies as st
from schwifty import BIC, IBAN
from stdnum import luhn
from stdnum.au import abn
from stdnum.br import cnpj
from stdnum.ca import bn
from stdnum.de import handelsregisternummer, stnr
from stdnum.gb import utr
from stdnum.in_ import gstin, pan
from stdnum.jp import cn
from stdnum.nl import postcode
from stdnum.se import orgnr, postnummer
from stdnum.us import ein, rtn
from stdnum.util import get_cc_module

from accounts.tests.tries import tries
from profiles import countries
from profiles.countries.banks import BANK_SCHEMAS
from profiles.countries.fields import BENEFICIARY_FIELDS
from profiles.countries.own_banks import OWN_BANK_FIELDS
from profiles.countries.taxes import OWN_TAX_SCHEMAS, TAX_SCHEMAS

EXAMPLES = tries(5)
OWN = [*(BANK_SCHEMAS[code] for code in OWN_BANK_FIELDS), *OWN_TAX_SCHEMAS.values()]
OTHERS = [
    schema
    for schema in (*BANK_SCHEMAS.values(), *TAX_SCHEMAS.values())
    if schema not in OWN
]
few = settings(max_examples=EXAMPLES, deadline=None)


def _vat_is_valid(country: str, value: str) -> bool:
    module = get_cc_module(country.lower(), "vat")
    return module is None or module.is_valid(value) or value.startswith("XI")


# What a library of its own says of a field's value, of any country, or of one only.
LIBRARIES = {
    "iban": lambda country, value: IBAN(value).is_valid and value[:2] == country,
    "bic": lambda country, value: BIC(value).is_valid,
    "intermediary_bic": lambda country, value: BIC(value).is_valid,
    "bankgiro": lambda country, value: luhn.is_valid(value),
    "routing_number": lambda country, value: rtn.is_valid(value),
    "org_number": lambda country, value: orgnr.is_valid(value),
    "vat": _vat_is_valid,
    "tax_number": lambda country, value: stnr.is_valid(value),
    "utr": lambda country, value: utr.is_valid(value),
    "ein": lambda country, value: ein.is_valid(value),
    "corporate_number": lambda country, value: cn.is_valid(value),
    "invoice_number": lambda country, value: cn.is_valid(value[1:]),
    "pan": lambda country, value: pan.is_valid(value),
    "gstin": lambda country, value: gstin.is_valid(value),
    "cnpj": lambda country, value: cnpj.is_valid(value),
    "abn": lambda country, value: abn.is_valid(value),
    "business_number": lambda country, value: bn.is_valid(value),
    "contact_email": lambda country, value: validate_email(value) is None,
}
OF_ONE_COUNTRY = {
    ("DE", "company", "register_number"): lambda value: (
        value.startswith("HR") or handelsregisternummer.is_valid(value)
    ),
    ("SE", "address", "postcode"): lambda value: postnummer.is_valid(value),
    ("NL", "address", "postcode"): lambda value: postcode.is_valid(value),
}
ALIKE = (string.digits, string.ascii_uppercase, string.ascii_lowercase)


def accepted(field, typed: str) -> str | None:
    """What is stored of what was typed; nothing of what is refused."""
    try:
        return field.checker(typed)
    except ValidationError as error:
        # Its sentence can be said.
        str(error.messages)
        return None


@st.composite
def numbers_of(draw, field):
    """A number like a field's example, with check digits that may be right again."""
    typed = field.example or "12345678"
    if field.key == "iban":
        return _iban_like(typed.replace(" ", ""), draw(st.integers(0, 999_999)))
    signs = [at for at, sign in enumerate(typed) if sign.isalnum()]
    for at in draw(st.lists(st.sampled_from(signs), min_size=1, max_size=3)):
        typed = _with(typed, at, draw(st.sampled_from(_alike(typed[at]))))
    # Another sign at one place makes many a number whole again.
    mended = (
        _with(typed, at, sign) for at in reversed(signs) for sign in _alike(typed[at])
    )
    return next((one for one in (typed, *mended) if _is_accepted(field, one)), typed)


def _is_accepted(field, typed: str) -> bool:
    return accepted(field, typed) is not None


def _iban_like(example: str, end: int) -> str:
    """An IBAN that ends otherwise, with the check digits that belong to it."""
    typed = f"{example[:-6]}{end:06}"
    digits = "".join(str(int(sign, 36)) for sign in f"{typed[4:]}{typed[:2]}00")
    return f"{typed[:2]}{98 - int(digits) % 97:02}{typed[4:]}"


def _with(typed: str, at: int, sign: str) -> str:
    return typed[:at] + sign + typed[at + 1 :]


def _alike(sign: str) -> str:
    return next((kind for kind in ALIKE if sign in kind), sign)


def holds(schema, field, typed: str) -> None:
    """Whatever is accepted is written and read back the same, and its library agrees."""
    stored = accepted(field, typed)
    if stored is None:
        return
    assert field.checker(stored) == stored
    assert field.checker(field.formatter(stored)) == stored
    if field.key in LIBRARIES:
        assert LIBRARIES[field.key](schema.country, stored)
    its_own = OF_ONE_COUNTRY.get((schema.country, field.section, field.key))
    assert its_own is None or its_own(stored)


def typed_fields(schema):
    """The fields that are a country's own, and typed."""
    return [
        field
        for field in schema.fields
        if not field.choices and field not in BENEFICIARY_FIELDS
    ]


@pytest.mark.parametrize("schema", OWN, ids=lambda one: f"{one.country}{one.tax_form}")
@few
@given(st.data())
def test_a_country_reads_back_what_it_accepts_as_its_libraries_do(schema, data):
    for field in typed_fields(schema):
        holds(schema, field, data.draw(numbers_of(field), label=field.key))


@settings(max_examples=10 * EXAMPLES, deadline=None)
@given(st.data())
def test_so_does_every_other_country(data):
    schema = OTHERS[data.draw(st.integers(0, len(OTHERS) - 1), label="country")]
    for field in typed_fields(schema):
        if field.is_secret or field.identifies:
            holds(schema, field, data.draw(numbers_of(field), label=field.key))


@settings(max_examples=4 * EXAMPLES, deadline=None)
@given(st.data())
def test_so_do_the_fields_that_all_countries_share(data):
    for field in BENEFICIARY_FIELDS:
        holds(BANK_SCHEMAS["SE"], field, data.draw(numbers_of(field), label=field.key))


ANYTHING = (
    st.text(max_size=40)
    | st.text("0123456789 -/.ABCSEDEGBX\u00a0\u202e\u0663\u00bd\uff11ﬁ", max_size=40)
    | st.text(st.characters(categories=["Nd", "No", "Nl", "Cf", "Zs"]), max_size=20)
)


@settings(max_examples=4 * EXAMPLES, deadline=None)
@given(st.lists(ANYTHING, min_size=1, max_size=4), st.integers(0, 19))
def test_no_text_whatsoever_makes_a_country_stumble(texts, some):
    for at, schema in enumerate((*OWN, *OTHERS[some::20])):
        # What is chosen may be anything; what is typed then is asked for.
        typed = {
            field.key: field.choices[at % len(field.choices)][0]
            if field.choices
            else texts[(at + place) % len(texts)]
            for place, field in enumerate(schema.fields)
        }
        cleaned, refused = typed, {}
        try:
            cleaned = countries.validate(schema, typed)
        except ValidationError as error:
            refused = error.message_dict
        else:
            assert countries.validate(schema, cleaned) == cleaned
        assert {*refused, *cleaned} <= set(typed)


def test_libraries_are_asked_of_every_number_they_know():
    numbers = {
        field.key
        for schema in (*OWN, *OTHERS)
        for field in schema.fields
        if field.is_secret
    }
    # Own checks, where no library has any.
    own = {
        "account_number", "company_number", "municipal_registration", "qst",
        "register_number", "registration_number",
    }  # fmt: skip

    assert numbers - set(LIBRARIES) == own
