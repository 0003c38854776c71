"""Bank and tax profiles of six countries, on a phone, in both languages, in Chromium.

And what becomes of them: changed and frozen, expired and renewed.
"""

import pytest
from django.conf import settings
from django.utils import timezone, translation

from incentives_portal.tests.test_journeys import (
    Visitor,
    bell,
    button_of,
    mail,
    mail_server,
    mail_to,
    maria,
    portal,
    running,
)
from incentives_portal.tests.wizards import (
    adds_documents,
    answers,
    confirms,
    fills_in_a_bank_profile,
    fills_in_a_tax_profile,
    goes_on,
)
from profiles import countries
from profiles.models import BankProfile, TaxProfile
from profiles.tests.country_answers import COUNTRIES
from profiles.tests.factories import (
    BankProfileFactory,
    TaxDocumentFactory,
    TaxProfileFactory,
)

__all__ = ["bell", "mail", "mail_server", "maria", "portal", "running"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PHONE = {"width": 390, "height": 844}
SMALL_PHONE = {"width": 320, "height": 640}
LOCALES = {"en": "en-US", "sv": "sv-SE"}
# These countries' companies have the smallest phone, or one without scripts.
ON_A_SMALL_PHONE = ("DE", "sv"), ("BR", "en")
WITHOUT_SCRIPTS = ("JP", "sv"), ("GB", "en")


# One on each of them; the others go the same way with other answers.
AT_LEAST = ("BR", "en"), ("JP", "sv")
JOURNEYS = [
    pytest.param(
        row,
        language,
        id=f"{row.country}-{language}",
        marks=[] if (row.country, language) in AT_LEAST else [pytest.mark.long],
    )
    for row in COUNTRIES
    for language in LOCALES
]


class OnAPhone(Visitor):
    """A visitor whose every page has to fit, in their language; axe saw the pages."""

    language = "en"

    def looks(self) -> None:
        super().looks()
        language, width = self.page.evaluate(
            "[document.documentElement.lang, document.documentElement.scrollWidth]"
        )
        assert language == self.language, self.page.url
        assert width <= self.page.viewport_size["width"], self.page.url

    def reads(self, *words: str) -> None:
        """See that all of it stands on the page."""
        text = " ".join(self.page.locator("main").text_content().split())
        for one in words:
            assert str(one) in text, (one, text)


@pytest.fixture
def on_a_phone(chromium, portal, client_of):
    """Somebody signed in, at a phone."""
    contexts = []

    def arrive(person, language="en", viewport=PHONE, **options) -> OnAPhone:
        person.language = language
        person.save(update_fields=["language"])
        context = chromium.new_context(
            locale=LOCALES[language],
            viewport=viewport,
            reduced_motion="reduce",
            **{"is_mobile": True, "has_touch": True} | options,
        )
        context.set_default_timeout(15_000)
        contexts.append(context)
        cookie = client_of(person).cookies[settings.SESSION_COOKIE_NAME]
        context.add_cookies(
            [{"name": cookie.key, "value": cookie.value, "url": portal.url}]
        )
        visitor = OnAPhone(context.new_page(), checks=False)
        visitor.language = language
        return visitor

    yield arrive
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("row", "language"), JOURNEYS)
def test_a_company_sends_its_bank_and_its_tax_profile(
    on_a_phone, portal, ida, row, language
):
    case = (row.country, language)
    person = on_a_phone(
        ida,
        language,
        SMALL_PHONE if case in ON_A_SMALL_PHONE else PHONE,
        java_script_enabled=case not in WITHOUT_SCRIPTS,
    )

    person.goes_to(f"{portal.url}/profiles/bank/new/")
    fills_in_a_bank_profile(
        person, "Main account", row.country, row.bank, row.beneficiary
    )
    bank = BankProfile.objects.get().versions.get()
    assert bank.is_pending
    schema = countries.bank_schema(row.country)
    assert bank.details.items() >= stored(schema, row.bank | row.beneficiary).items()
    with translation.override(language):
        person.reads(
            countries.country_name(row.country),
            *(schema.field(key).label for key in row.bank),
        )

    person.goes_to(f"{portal.url}/profiles/tax/new/")
    fills_in_a_tax_profile(
        person,
        row.country,
        {"name": "Company", **row.in_tax},
        row.setup,
        row.tax | row.status,
        documents=[(kind, timezone.localdate()) for kind in row.documents],
    )
    tax = TaxProfile.objects.get().versions.get()
    assert tax.is_pending
    assert tax.form == row.form
    schema = countries.tax_schema(row.country)
    assert tax.details == stored(schema, row.in_tax | row.tax)
    assert tax.setup == row.setup | row.status
    assert [one.kind for one in tax.documents.all()] == [*row.documents]
    with translation.override(language):
        person.reads(*(schema.field(key).label for key in row.in_tax | row.tax))


def stored(schema, typed: dict[str, str]) -> dict[str, str]:
    """What becomes of what was typed."""
    return countries.validate(schema, typed)


def test_a_changed_account_is_frozen_by_a_colleague_whom_the_mail_asked(
    on_a_phone, portal, mail, nordvik, ida, greta
):
    profile = BankProfileFactory(partner_account=nordvik, name="Main", created_by=ida)
    person, colleague = on_a_phone(ida), on_a_phone(greta)

    person.goes_to(f"{portal.url}{profile.get_absolute_url()}")
    person.presses("Change")
    goes_on(person)
    answers(person, {"iban": "SE45 5000 0000 0583 9825 7466"})
    confirms(person)
    told = mail_to(mail, greta, "Bank details were changed for Nordvik IT AB")
    colleague.goes_to(button_of(told, "This was not us"))
    colleague.presses("This was not us: stop the change")
    colleague.sees("The change is stopped.")

    assert profile.versions.get(number=2).is_stopped
    assert profile.version_in_force.number == 1
    person.goes_to(f"{portal.url}{profile.get_absolute_url()}")
    person.sees("Greta Voss stopped this change")
    person.does_not_see("This was not us")


def test_a_tax_form_that_expired_is_renewed(on_a_phone, portal, goteborg, ida):
    today = timezone.localdate()
    signed = today.replace(year=today.year - 4, month=6, day=1)
    profile = TaxProfileFactory(
        location=goteborg,
        name="Company",
        created_by=ida,
        version__form="w8ben_e",
        version__setup={
            "payer": "us",
            "entity_type": "corporation",
            "fatca_status": "active_nffe",
            "treaty": "no",
        },
        version__expires_on=today.replace(year=today.year - 1, month=12, day=31),
    )
    TaxDocumentFactory(
        version=profile.versions.get(), kind="form_w8ben_e", dated_on=signed
    )
    person = on_a_phone(ida, "sv")

    person.goes_to(f"{portal.url}{profile.get_absolute_url()}")
    person.sees("Har upphört")
    person.presses("Förnya")
    person.sees("Registreringar som använder den går vidare så snart")
    # Everything but the form itself is kept.
    goes_on(person)
    for _page in ("company", "setup", "status"):
        goes_on(person)
    person.sees("Återstår att lägga till")
    adds_documents(person, [("form_w8ben_e", today)])
    confirms(person)

    newest = profile.versions.get(number=2)
    assert newest.is_pending
    assert newest.expires_on == today.replace(year=today.year + 3, month=12, day=31)
    assert newest.details == profile.versions.get(number=1).details
    person.does_not_see("Förnya")
    person.does_not_see("gäller tills")
