"""The forms of profiles: what they ask, what they give back, what they refuse."""

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone, translation

from accounts.tests.factories import LocationFactory
from accounts.tests.shared_rows import shared
from profiles import countries
from profiles.forms import (
    CompleteTaxProfileForm,
    CountryForm,
    DefaultBankProfileForm,
    DetailsForm,
    NewBankProfileForm,
    ReasonForm,
    TaxCountryForm,
    TaxLocationForm,
    add_errors,
    held_of,
)
from profiles.models import BankProfileDraft
from profiles.tests.factories import (
    BANK_DETAILS,
    IBAN,
    TAX_DETAILS,
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

pytestmark = pytest.mark.django_db

SE_BANK = countries.bank_schema("SE")
SE_TAX = countries.tax_schema("SE")
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def bank_form(company, **changes):
    return DetailsForm({**BANK_DETAILS, **changes}, schema=SE_BANK)


def begun_form(company, **changes):
    data = {"name": "Nordvik SEK", "country": "SE", **changes}
    return NewBankProfileForm(data, company=company)


def tax_form(*, required=()):
    return DetailsForm(TAX_DETAILS, schema=SE_TAX, required=required)


def keys(form) -> list[str]:
    return [asked.spec.key for section in form.sections() for asked in section.fields]


def value_shown(form, key) -> str:
    return form[key].value() or ""


def test_what_was_just_begun_starts_with_the_usual_answer():
    # Then only that answer's fields are shown.
    begun = BankProfileDraft(country="SE", details={})

    form = DetailsForm(schema=SE_BANK, held=held_of(begun, begun.details))

    assert value_shown(form, "account_kind") == "iban"
    assert 'autocapitalize="none"' in str(form["contact_email"])


# --- The first step ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "country", ["", "XX", "se", "KP", "S E", "\u202eSE", "x" * 500]
)
def test_a_country_is_chosen_from_the_list(country):
    form = CountryForm({"country": country})

    assert form.errors == {"country": ["Choose a country from the list."]}


def test_countries_are_in_the_order_of_the_readers_language():
    for language, first_name in (("en", "Åland Islands"), ("sv", None)):
        with translation.override(language):
            names = [
                str(name) for _code, name in CountryForm().fields["country"].choices
            ]
        assert names[1:] == sorted(names[1:])
        assert first_name is None or first_name in names or len(names) > 30


def test_taxes_are_asked_for_every_country(ida, nordvik, goteborg):
    assert TaxCountryForm({"country": "SE"}).is_valid()
    assert TaxCountryForm({"country": "FR"}).is_valid()
    assert not TaxCountryForm({"country": "ZZ"}).is_valid()


def test_only_locations_one_may_change_are_offered(ida, nordvik, goteborg, malmo):
    form = TaxLocationForm(user=ida, company=nordvik)

    assert list(form.fields["location"].queryset) == [goteborg]
    # Where there is one, there is nothing to choose.
    assert form.initial["location"] == goteborg


@pytest.mark.parametrize("place", ["malmo", "closed", "foreign", "nowhere", "none"])
def test_no_other_location_can_be_chosen(ida, nordvik, goteborg, malmo, place):
    places = {
        "malmo": malmo.pk,
        "closed": LocationFactory(partner_account=nordvik, closed_at=timezone.now()).pk,
        "foreign": LocationFactory().pk,
        "nowhere": 0,
        "none": "",
    }

    form = TaxLocationForm(
        {"location": places[place], "country": "SE"}, user=ida, company=nordvik
    )

    assert list(form.errors) == ["location"]


# --- What the country asks ---------------------------------------------------------------------


def test_a_form_asks_what_its_country_asks_and_nothing_else(nordvik, goteborg):
    # R48
    for country in "US SE DE GB JP IN BR AU CA NL NO NZ AE".split():
        bank, tax = countries.bank_schema(country), countries.tax_schema(country)

        form = DetailsForm(schema=bank)
        tax_form = DetailsForm(schema=tax)

        assert list(form.fields) == [field.key for field in bank.fields]
        assert keys(form) == [field.key for field in bank.fields]
        assert set(keys(tax_form)) == {field.key for field in tax.fields}


def test_an_empty_form_names_every_field_that_is_needed(nordvik):
    form = DetailsForm({}, schema=SE_BANK)

    assert set(begun_form(nordvik, name="", country="").errors) == {"name", "country"}
    assert set(form.errors) == {
        "account_holder",
        "iban",
        "street",
        "postcode",
        "city",
        "contact_name",
        "contact_email",
        "contact_phone",
    }
    assert form.errors["iban"] == ["Enter IBAN"]


@pytest.mark.parametrize(
    "typed",
    [
        IBAN.lower(),
        "SE35 5000 0000 0549 1000 0003",
        "SE35-5000-0000-0549-1000-0003",
        "SE35\u00a05000\u00a00000\u00a00549\u00a01000\u00a00003",
        IBAN.translate(FULL_WIDTH),
        f"  IBAN {IBAN}\t",
    ],
    ids=["lower", "spaces", "dashes", "nbsp", "full width", "around"],
)
def test_a_number_may_be_typed_as_people_type_it(nordvik, typed):
    assert bank_form(nordvik, iban=typed).is_valid()


HOSTILE = {
    "control": "Nordvik\x07 AB",
    "null": "Nordvik\x00AB",
    "bidi override": "Nordvik \u202eBA",
    "bidi isolate": "Nordvik \u2067AB\u2069",
    "zero width": "Nord\u200bvik AB",
    "line break": "Nordvik\nAB",
    "noncharacter": "Nordvik \ufffe",
    "private use": "Nordvik \ue000",
    "blank letter": "\u3164",
    "stacked marks": "A" + "\u0301" * 9,
    "too long": "N" * 121,
    "only spaces": " \u00a0\u2003 ",
}


@pytest.mark.parametrize("key", ["name", "account_holder", "city", "contact_name"])
@pytest.mark.parametrize("typed", HOSTILE.values(), ids=HOSTILE.keys())
def test_words_that_cannot_be_read_are_refused_at_their_field(nordvik, key, typed):
    make = begun_form if key == "name" else bank_form
    form = make(nordvik, **{key: typed})

    assert list(form.errors) == [key]
    assert all(form.errors[key])


@pytest.mark.parametrize(
    ("key", "typed"),
    [
        ("iban", "SE3550000000054910000004"),
        ("iban", "DE89370400440532013000"),
        ("iban", "SE35\u202e5000"),
        ("iban", "9" * 5000),
        ("iban", "' OR 1=1 --"),
        ("bic", "DEUTDEFF"),
        ("street", "P.O. Box 12"),
        ("contact_email", "nobody"),
        ("contact_email", "a@раураl.com"),
        ("contact_phone", "12"),
        ("postcode", "{{ 7 }}"),
        ("account_kind", "cash"),
    ],
)
def test_a_wrong_answer_is_refused_at_its_field(nordvik, key, typed):
    form = bank_form(nordvik, **{key: typed})

    assert list(form.errors) == [key]


def test_everything_typed_is_shown_again(nordvik):
    """Nothing typed is lost, wrong or right (docs/adr)."""
    typed = {"iban": "SE35 5000 0000 0549 1000 0004", "city": "Göteborg "}

    form = bank_form(nordvik, **typed)

    assert not form.is_valid()
    assert {key: value_shown(form, key) for key in typed} == typed


def test_several_values_for_one_field_are_one(nordvik, rf):
    data = rf.post("/", {"name": ["a", "Nordvik"], "country": "SE"}).POST

    form = NewBankProfileForm(data, company=nordvik)

    assert form.is_valid()
    assert form.cleaned_data["name"] == "Nordvik"


@pytest.mark.parametrize("name", ["Nordvik SEK", "nordvik sek", " NORDVIK\u00a0SEK "])
def test_a_taken_name_is_told_beside_the_other_errors(nordvik, name):
    # R47
    BankProfileFactory(partner_account=nordvik, name="Nordvik SEK")

    form = begun_form(nordvik, name=name, country="")

    assert set(form.errors) == {"name", "country"}
    assert form.errors["name"] == [
        "Your company has a bank profile with this name. Choose another."
    ]


def test_only_the_numbers_of_the_chosen_kind_are_needed(nordvik):
    form = bank_form(nordvik, account_kind="bankgiro", iban="", bankgiro="999-0003")

    assert form.is_valid()


def test_a_field_asked_for_one_answer_says_for_which(nordvik):
    form = DetailsForm(schema=SE_BANK)

    asked = {
        one.spec.key: one.asked_when
        for section in form.sections()
        for one in section.fields
    }

    assert asked["iban"] == "iban"
    assert asked["bankgiro"] == "bankgiro"
    assert asked["street"] == ""


def test_numbers_are_not_remembered_by_the_browser(nordvik):
    form = DetailsForm(schema=SE_BANK)

    assert form["iban"].field.widget.attrs["autocomplete"] == "off"


def test_what_a_program_needs_is_not_optional():
    # R55
    form = tax_form(required=["vat"])

    assert form["vat"].field.required
    assert list(form.errors) == ["vat"]


# --- A change ------------------------------------------------------------------------------------


def test_a_change_starts_from_what_was_sent_without_its_numbers():
    # R59
    held = BankProfileFactory().version_in_force

    form = DetailsForm(schema=SE_BANK, held=held)
    shown = {key: value_shown(form, key) for key in keys(form)}

    assert shown["account_holder"] == "Nordvik IT AB"
    assert shown["account_kind"] == "iban"
    assert shown["iban"] == ""
    assert IBAN not in str(form.sections())
    assert IBAN not in form.as_p()


def test_a_change_to_another_country_starts_empty():
    held = BankProfileFactory().version_in_force

    form = DetailsForm(schema=countries.bank_schema("GB"), held=held)

    assert not any(value_shown(form, key) for key in keys(form))


def test_a_number_that_was_returned_is_typed_anew():
    reason = [{"field": "iban", "code": "IBAN_CHECK_FAILED", "note": ""}]
    held = BankProfileFactory(
        version__was_returned=True, version__returned=reason
    ).candidate

    form = DetailsForm({**BANK_DETAILS, "iban": ""}, schema=SE_BANK, held=held)

    assert form.errors == {"iban": ["Enter IBAN"]}


def test_a_number_that_was_not_returned_is_kept_when_left_empty():
    held = BankProfileFactory(version__was_returned=True).candidate

    form = DetailsForm({**BANK_DETAILS, "iban": ""}, schema=SE_BANK, held=held)

    assert form.is_valid()
    assert form.details["iban"] == IBAN


def test_reasons_stand_at_their_fields():
    # R41
    held = BankProfileFactory(version__was_returned=True).candidate

    form = DetailsForm(schema=SE_BANK, held=held)
    reasons = {
        asked.spec.key: [one.reason.code for one in asked.reasons]
        for section in form.sections()
        for asked in section.fields
        if asked.reasons
    }

    assert reasons == {"account_holder": ["BANK_NAME_MISMATCH"]}


def test_completing_asks_the_missing_detail_only():
    # R55
    held = TaxProfileFactory().version_in_force
    vat = [SE_TAX.field("vat")]
    options = {"schema": SE_TAX, "specs": vat, "required": ["vat"], "held": held}

    assert set(CompleteTaxProfileForm(**options).fields) == {"vat"}
    assert list(CompleteTaxProfileForm({}, **options).errors) == ["vat"]
    assert CompleteTaxProfileForm({"vat": "SE559999066901"}, **options).is_valid()
    assert TAX_DETAILS["org_number"] not in CompleteTaxProfileForm(**options).as_p()


# --- Defaults ------------------------------------------------------------------------------------


@shared
def bank(nordvik):
    return BankProfileFactory(partner_account=nordvik, name="Nordvik SEK")


def default_form(ida, nordvik, **data):
    return DefaultBankProfileForm(data or None, user=ida, company=nordvik)


def offered(form) -> list:
    return [key for key, _label in form.fields["locations"].choices]


def test_locations_without_a_default_are_offered(ida, nordvik, goteborg, malmo, bank):
    # R51
    assert offered(default_form(ida, nordvik)) == [goteborg.pk]

    default = DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    assert offered(default_form(ida, nordvik)) == []

    default.delete()
    assert offered(default_form(ida, nordvik)) == [goteborg.pk]


def test_bank_profiles_of_the_company_in_use_are_offered(ida, nordvik, bank):
    BankProfileFactory()
    BankProfileFactory(
        partner_account=nordvik, archived_at=timezone.now(), archived_by=ida
    )

    form = default_form(ida, nordvik)

    assert list(form.fields["bank_profile"].queryset) == [bank]


@pytest.mark.parametrize("missing", ["bank_profile", "currency", "locations"])
def test_each_missing_part_is_named(ida, nordvik, goteborg, bank, missing):
    # R50
    data = {"bank_profile": bank.pk, "currency": "SEK", "locations": [goteborg.pk]}
    del data[missing]

    form = default_form(ida, nordvik, **data)

    assert list(form.errors) == [missing]


def test_nothing_of_another_company_or_location_can_be_chosen(
    ida, nordvik, goteborg, malmo, bank
):
    form = default_form(
        ida,
        nordvik,
        bank_profile=BankProfileFactory().pk,
        currency="DOGE",
        locations=[malmo.pk],
    )

    assert set(form.errors) == {"bank_profile", "currency", "locations"}


@pytest.mark.parametrize("junk", ["", "x", "\x00", "1" * 400, "None"])
def test_junk_for_a_choice_is_refused(ida, nordvik, goteborg, bank, junk):
    form = default_form(
        ida, nordvik, bank_profile=junk, currency=junk, locations=[junk]
    )

    assert set(form.errors) == {"bank_profile", "currency", "locations"}


def test_the_banks_own_currency_stands_first(ida, nordvik, bank):
    groups = default_form(ida, nordvik).fields["currency"].choices

    usual = [code for code, _name in groups[1][1]]
    others = [code for code, _name in groups[2][1]]
    assert set(usual) == {"SEK", "EUR", "USD"}
    assert "JPY" in others
    assert not set(usual) & set(others)


# --- Reasons -------------------------------------------------------------------------------------


@shared
def version(bank):
    return bank.version_in_force


def test_reasons_are_offered_at_the_fields_they_are_about(version):
    groups = ReasonForm(version=version).fields["reason"].choices[1:]
    offered = {code for _label, options in groups for code, _title in options}

    assert "account_holder:BANK_NAME_MISMATCH" in offered
    assert "iban:BANK_NAME_MISMATCH" not in offered
    assert "street:OTHER" in offered
    assert not any(code.endswith("TAX_ID_NOT_FOUND") for code in offered)


def test_a_reason_is_given_as_the_service_takes_it(version):
    form = ReasonForm(
        {"reason": "street:OTHER", "note": " Give the visiting address. "},
        version=version,
    )

    assert form.is_valid()
    assert form.returned == {
        "field": "street",
        "code": "OTHER",
        "note": "Give the visiting address.",
    }


def test_an_empty_row_is_no_reason(version):
    form = ReasonForm({"reason": "", "note": " "}, version=version)

    assert form.is_valid()
    assert form.returned == {}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"reason": "", "note": "Give the visiting address."}, "reason"),
        ({"reason": "iban:BANK_NAME_MISMATCH"}, "reason"),
        ({"reason": "\x00"}, "reason"),
        ({"reason": "street:OTHER", "note": "x" * 401}, "note"),
        ({"reason": "street:OTHER", "note": "a\u202eb"}, "note"),
    ],
)
def test_a_wrong_row_is_told(version, data, field):
    form = ReasonForm(data, version=version)

    assert list(form.errors) == [field]


# --- Errors of services -----------------------------------------------------------------------------


def test_a_services_errors_go_to_their_fields_and_the_others_above(nordvik):
    form = bank_form(nordvik)
    assert form.is_valid()

    add_errors(form, ValidationError({"iban": "Wrong.", "country": "Unknown."}))
    add_errors(form, ValidationError("Too late."))

    assert form.errors["iban"] == ["Wrong."]
    assert set(form.non_field_errors()) == {"Unknown.", "Too late."}
