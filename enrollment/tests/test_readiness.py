"""Readiness of locations: three of four, what is missing by name, and where it is mended."""

import datetime
import html
import re

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.holders import held_in
from accounts.models import Location, RoleAssignment, User
from accounts.tests.factories import LocationFactory
from enrollment.places import place_rows, places_not_ready
from enrollment.tests.factories import EnrollmentFactory, ProgramTermsFactory
from profiles.tests.factories import (
    BANK_DETAILS,
    BankProfileDraftFactory,
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileDraftFactory,
    TaxProfileFactory,
    as_if_sent,
)

pytestmark = pytest.mark.django_db


def text_of(response) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def readiness_of(location, *, user):
    places = Location.objects.with_coverage(location.partner_account)
    (row,) = place_rows(places.filter(pk=location.pk), user=user, at=timezone.now())
    return row.readiness


def missing(location, *, user) -> dict[str, str]:
    """The sentence of everything that is missing, by the way that mends it."""
    return {
        str(item.way): str(item.sentence)
        for item in readiness_of(location, user=user).missing
    }


def test_before_anything_is_begun_the_missing_things_are_named(goteborg, nordvik, ida):
    assert missing(goteborg, user=ida) == {
        "Add a bank profile": "A bank profile is missing.",
        "Add a tax profile": "A tax profile is missing.",
    }
    bank = BankProfileFactory(partner_account=nordvik)
    assert missing(goteborg, user=ida)["Set a default"] == (
        "No bank profile is its default yet."
    )
    default = DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    assert readiness_of(goteborg, user=ida).ready == 3

    tax = TaxProfileFactory(location=goteborg)
    assert readiness_of(goteborg, user=ida).ready == 4
    assert missing(goteborg, user=ida) == {}

    # What would be refused later is said now.
    default.currency = "EUR"
    default.save()
    as_if_sent(bank.versions, takes_only_local=True)
    yesterday = timezone.localdate() - datetime.timedelta(days=1)
    as_if_sent(tax.versions, expires_on=yesterday)
    assert missing(goteborg, user=ida) == {
        "Choose a currency": "This program or the bank does not accept the currency.",
        "Renew the tax profile": "The tax profile has expired.",
    }


def test_what_is_begun_speaks_before_what_would_come_next(
    accepted, goteborg, ida, client_of
):
    """What Submit asks is asked there, and the way leads to its page."""
    DefaultBankProfileFactory(location=goteborg)

    (item,) = readiness_of(goteborg, user=ida).missing

    assert item.url == f"{reverse('enrollment:profiles', args=[accepted.pk])}#tax"
    page = text_of(client_of(ida).get(item.url))
    assert ": 3 of 4 ready" in page


def test_the_way_leads_to_what_mends_it(goteborg, ida, client_of):
    page = client_of(ida).get(goteborg.get_absolute_url())

    ways = re.findall(r'<li>[^<]* <a href="([^"]+)">', page.content.decode())
    assert len(ways) == 2
    for way in ways:
        response = client_of(ida).get(way.replace("&amp;", "&"), follow=True)
        assert response.status_code == 200
    assert "2 of 4" not in text_of(page).partition("Bank and tax")[2]
    assert "1 of 4 ready" in text_of(page)


def test_who_sees_no_profiles_reads_of_the_role_alone(goteborg, greta, uma, ida):
    # C3, C5
    for person in (greta, uma):
        assert not readiness_of(goteborg, user=person).is_whole
        assert missing(goteborg, user=person) == {}


def test_home_names_the_locations_that_are_not_ready(
    client_of, ida, goteborg, malmo, nordvik, django_assert_num_queries
):
    text = text_of(client_of(ida).get(reverse("home")))

    assert "1 of 4 ready" in text.partition("Readiness")[2]
    assert "Malmö" not in text
    # As many as there are, in the same number of questions; the control is the list.
    RoleAssignment.objects.filter(user=ida).update(location=None)
    for number in range(3):
        LocationFactory(partner_account=nordvik, name=f"Place {number}")
    held = held_in(ida, nordvik)
    with django_assert_num_queries(2):
        found = places_not_ready(held, at=timezone.now(), most=3)
    assert [place.name for place, _ready in found] == ["Göteborg", "Malmö", "Place 0"]


def test_home_says_names_as_they_are_and_what_is_missing_in_each_language(
    client_of, ida, goteborg, terms, accepted
):
    Location.objects.update(name="Å & <b>Ö</b>")
    EnrollmentFactory(
        location=goteborg, terms=ProgramTermsFactory(), status="action_required"
    )

    for language, words in (("en", "tax : missing"), ("sv", "skatt : saknas")):
        User.objects.update(language=language)
        client = client_of(User.objects.get(pk=ida.pk))
        home = client.get(reverse("home")).content.decode()
        assert home.count("Å &amp; &lt;b&gt;Ö&lt;/b&gt; ·") == 2
        assert "<b>" not in home
        page = client.get(reverse("enrollment:profiles", args=[accepted.pk]))
        assert words in text_of(page)


def test_home_says_what_one_has_begun_and_nothing_of_it(
    client_of, ida, maria, goteborg, nordvik
):
    draft = BankProfileDraftFactory(
        partner_account=nordvik, name="Giro", done=["account"], created_by=ida
    )
    TaxProfileDraftFactory(location=goteborg, name="Väst", created_by=ida)
    BankProfileDraftFactory(partner_account=nordvik, name="Hers", created_by=maria)

    page = client_of(ida).get(reverse("home"))

    text = text_of(page)
    assert "Continue your bank profile Giro · step 3 of 4, Beneficiary" in text
    assert "Continue your tax profile Väst · Göteborg · step 4 of 5, Documents" in text
    assert "Hers" not in text
    for key in ("iban", "contact_name", "contact_email", "street"):
        assert BANK_DETAILS[key] not in page.content.decode()
    draft.delete()
    assert "Giro" not in text_of(client_of(ida).get(reverse("home")))


def test_before_submit_the_partner_reads_what_the_reviewer_will(
    accepted, default_bank, tax_profile, ida, uma, client_of
):
    page = text_of(client_of(ida).get(accepted.get_absolute_url()))

    ahead = page.partition("What the reviewer will see")[2].partition("Submit by")[0]
    assert "The account holder is the company's legal name." in html.unescape(ahead)
    assert "This program pays to banks in Sweden." in ahead
    assert "Every detail that this program asks for is there." in ahead
    assert "other company" not in ahead
    assert "What the reviewer will see" not in text_of(
        client_of(uma).get(accepted.get_absolute_url())
    )
