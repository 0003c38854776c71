"""Every way through the second step of an enrollment, in Chromium (experience.md §4.5).

One row is one variant, walked in the reader's own words to what comes of it. Each is
walked once in a run of everything, with language and size by turns; LONG=1 walks all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from django.utils import translation
from django.utils.translation import gettext as _
from playwright.sync_api import expect

from enrollment.models import Enrollment
from enrollment.services import invite_locations
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    ProgramTermsFactory,
)
from incentives_portal.tests.test_country_journeys import on_a_phone
from incentives_portal.tests.test_journeys import (
    bell,
    button_of,
    mail,
    mail_server,
    mail_to,
    maria,
    portal,
    running,
)
from incentives_portal.tests.wizards import answers, confirms
from profiles.services import return_version
from profiles.tests.factories import (
    BANK_DETAILS,
    TAX_DETAILS,
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

__all__ = ["bell", "mail", "mail_server", "maria", "on_a_phone", "portal", "running"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SIZES = {
    "phone": {"viewport": {"width": 390, "height": 844}},
    "desktop": {
        "viewport": {"width": 1280, "height": 800},
        "is_mobile": False,
        "has_touch": False,
    },
}


class Case(SimpleNamespace):
    """Ida at Göteborg, her browser, and what she is invited to."""

    def has(self, *, bank=True, tax=True, is_default=True, currency="SEK", **terms):
        """Prepare the terms, and the profiles there are; each with its version's facts."""
        self.terms = ProgramTermsFactory(program=self.program, **terms)
        if tax:
            self.tax = TaxProfileFactory(
                location=self.goteborg,
                name="Nordvik SE",
                created_by=self.maria,
                **(tax if isinstance(tax, dict) else {}),
            )
        if bank:
            self.bank = BankProfileFactory(
                partner_account=self.nordvik,
                name="Nordvik SEK main",
                created_by=self.maria,
                **(bank if isinstance(bank, dict) else {}),
            )
        if bank and is_default:
            DefaultBankProfileFactory(
                location=self.goteborg, bank_profile=self.bank, currency=currency
            )

    def accepts(self) -> None:
        invite_locations(self.terms, by=None)
        self.person.goes_to(self.portal.url + self.enrollment.get_absolute_url())
        self.person.presses(_("Accept and continue"))

    def continues(self) -> None:
        self.person.presses(_("Continue"))
        self.person.sees(_("Payment and Tax profile"))

    def goes_back(self) -> None:
        self.person.sees(_("Everything is in place. Go back to check it and submit."))
        self.person.presses(_("Go back to the enrollment"))

    def chooses_currency(self) -> None:
        page = self.person.page
        page.locator("main [name=currency]:visible").select_option("SEK")
        with page.expect_navigation():
            page.locator("main button:visible", has_text=_("Use this currency")).click()
        self.person.looks()

    def submits(self) -> None:
        """Submit; the page, the row of the Overview and the mail say so."""
        self.person.presses(_("Submit enrollment"))
        self.person.sees(_("Submitted – now it is the program owner's turn"))
        assert self.enrollment.is_validating
        self.finds_in_overview(_("Validating enrollment"))
        subject = _("Submitted: %(program)s, %(location)s") % {
            "program": self.program.name,
            "location": self.goteborg.name,
        }
        mail_to(self.mail, self.ida, subject)

    def finds_in_overview(self, words: str) -> None:
        self.person.goes_to(f"{self.portal.url}/incentives/")
        row = self.person.page.locator("main tbody tr", has_text=self.goteborg.name)
        expect(row).to_contain_text(words)

    @property
    def enrollment(self) -> Enrollment:
        return Enrollment.objects.get()


def everything_is_there(case: Case) -> None:
    case.has()
    case.accepts()
    case.person.sees(_("Everything is ready. Check it and submit."))
    case.submits()


def a_profile_is_being_validated(case: Case) -> None:
    """From the mail's own button, signed in already."""
    case.has(bank={"version__pending": True})
    invite_locations(case.terms, by=None)
    invitation = mail_to(
        case.mail, case.ida, _("Partner Incentive Enrollment Invitation")
    )
    case.person.goes_to(button_of(invitation, _("Get Started")))
    assert urlsplit(case.person.page.url).path == case.enrollment.get_absolute_url()
    case.person.presses(_("Accept and continue"))
    case.person.sees(
        _("You can submit now. Your bank profile is already being validated.")
    )
    case.submits()


def there_is_no_default(case: Case) -> None:
    case.has(is_default=False)
    case.accepts()
    case.person.sees(_("Choose the account for this enrollment."))
    case.continues()
    case.person.page.get_by_role("radio").first.check()
    case.person.presses(_("Use this profile"))
    case.chooses_currency()
    case.submits()


def a_detail_is_missing(case: Case) -> None:
    details = {key: value for key, value in TAX_DETAILS.items() if key != "vat"}
    case.has(tax={"version__details": details}, required_tax_details=["vat"])
    case.accepts()
    case.person.sees(_("VAT number"))
    case.continues()
    case.person.presses(_("Add what is missing"))
    answers(case.person, {"vat": "SE559999066901"})
    case.goes_back()
    case.submits()


def the_currency_is_not_paid(case: Case) -> None:
    case.has(currency="NOK")
    case.accepts()
    case.continues()
    case.chooses_currency()
    case.submits()


def there_is_nothing_yet(case: Case) -> None:
    """The forms themselves are walked by the journeys of countries."""
    case.has(bank=False, tax=False)
    case.accepts()
    case.person.sees(
        _(
            "You need a bank profile and a tax profile. It takes about 10 minutes; "
            "have the bank's letter and your tax registration at hand."
        )
    )
    case.continues()
    case.person.sees(_("Add a bank profile"))
    case.person.sees(_("Add a tax profile"))
    assert case.enrollment.is_action_required
    case.finds_in_overview(_("Action required"))
    case.person.goes_to(case.portal.url)
    case.person.sees(case.program.name)


def a_profile_was_returned(case: Case) -> None:
    """From the mail that says why, to the one field."""
    details = BANK_DETAILS | {"account_holder": "Nordvik Consulting"}
    case.has(bank={"version__pending": True, "version__details": details})
    EnrollmentFactory(
        location=case.goteborg,
        terms=case.terms,
        submitted=True,
        payout__bank_profile=case.bank,
        payout__tax_profile=case.tax,
        payout__currency="SEK",
    )
    reason = {"field": "account_holder", "code": "BANK_NAME_MISMATCH", "note": ""}
    return_version(case.bank.versions.get(), returned=[reason], by=case.oscar)
    told = mail_to(
        case.mail,
        case.ida,
        _("Action needed: bank profile, %(location)s")
        % {"location": case.goteborg.name},
    )
    case.person.goes_to(button_of(told, _("Fix it")))
    case.person.presses(_("Fix it"))
    assert case.person.page.url.endswith("#id_account_holder")
    case.person.presses(_("Fix it"))
    assert case.person.page.locator("#id_iban").input_value() == ""
    answers(case.person, {"account_holder": "Nordvik IT AB"})
    confirms(case.person)
    newest = case.bank.versions.get(number=2)
    assert newest.is_pending
    assert newest.details["iban"] == details["iban"]
    if case.enrollment.is_action_required:
        case.person.goes_to(case.portal.url + case.enrollment.get_absolute_url())
        case.person.presses(_("Submit enrollment"))
    assert case.enrollment.is_validating
    case.finds_in_overview(_("Validating enrollment"))


def two_ways_of_earning_are_paid_apart(case: Case) -> None:
    case.has(earning_types=[("rebate", 60), ("co_op", 40)])
    other = BankProfileFactory(
        partner_account=case.nordvik, name="Nordvik co-op", created_by=case.maria
    )
    case.accepts()
    page = case.person.page
    with page.expect_navigation():
        page.locator("main a", has_text=_("Choose another bank profile")).last.click()
    case.person.looks()
    page.locator(f"main [name=bank_profile][value='{other.pk}']").check()
    page.locator("main [name=same_for_all]").set_checked(False, force=True)
    case.person.presses(_("Use this profile"))
    case.person.sees("Nordvik co-op")
    case.continues()
    case.chooses_currency()
    case.submits()
    chosen = case.enrollment.payout_assignments.values_list(
        "earning_type__kind", "bank_profile__name"
    )
    assert dict(chosen) == {"rebate": "Nordvik SEK main", "co_op": "Nordvik co-op"}


def no_bank_of_the_country_is_paid(case: Case) -> None:
    case.has(bank_countries_refused=["SE"])
    case.accepts()
    case.person.sees(_("Choose a bank profile in another country, or add one."))
    buttons = case.person.page.locator("main")
    expect(buttons.get_by_role("button", name=_("Submit enrollment"))).to_have_count(0)
    expect(buttons.get_by_role("button", name=_("Continue"))).to_have_count(0)
    case.person.presses(_("Add a new bank profile"))
    assert urlsplit(case.person.page.url).path == "/profiles/bank/new/"
    assert case.enrollment.is_invited
    case.finds_in_overview(_("Invited"))


@dataclass(frozen=True)
class Variant:
    letter: str
    walk: Callable[[Case], None]
    # Walked in every run; the others are more of the same.
    always: tuple[str, str] | None


VARIANTS = (
    Variant("A", everything_is_there, ("en", "desktop")),
    Variant("B", a_profile_is_being_validated, ("sv", "phone")),
    Variant("C", there_is_no_default, ("en", "phone")),
    Variant("D", a_detail_is_missing, ("sv", "desktop")),
    Variant("E", the_currency_is_not_paid, ("en", "desktop")),
    # test_journeys walks it with its forms.
    Variant("F", there_is_nothing_yet, None),
    Variant("G", a_profile_was_returned, ("sv", "phone")),
    Variant("H", two_ways_of_earning_are_paid_apart, ("sv", "desktop")),
    Variant("I", no_bank_of_the_country_is_paid, ("en", "phone")),
)
JOURNEYS = [
    pytest.param(
        variant,
        language,
        size,
        id=f"{variant.letter}-{language}-{size}",
        marks=[] if variant.always == (language, size) else [pytest.mark.long],
    )
    for variant in VARIANTS
    for language in ("en", "sv")
    for size in SIZES
]


@pytest.mark.parametrize(("variant", "language", "size"), JOURNEYS)
def test_each_way_ends_where_it_says(
    variant,
    language,
    size,
    portal,
    mail,
    on_a_phone,
    nordvik,
    goteborg,
    program,
    ida,
    maria,
    oscar,
):
    AgreementFactory(partner_account=nordvik)
    case = Case(
        person=on_a_phone(ida, language, **SIZES[size]),
        portal=portal,
        mail=mail,
        nordvik=nordvik,
        goteborg=goteborg,
        program=program,
        ida=ida,
        maria=maria,
        oscar=oscar,
    )

    with translation.override(language):
        variant.walk(case)
