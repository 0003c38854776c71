"""The switcher of locations: one address, one location, on every list (P16)."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Location
from accounts.roles import Role
from accounts.services import assign_role
from accounts.tests.factories import LocationFactory, RoleAssignmentFactory
from accounts.tests.shared_rows import shared
from enrollment.tests.factories import (
    EnrollmentFactory,
    InvitationFactory,
    ProgramTermsFactory,
)
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

pytestmark = pytest.mark.django_db

PAGES = (
    "home",
    "enrollment:overview",
    "profiles:list",
    "profiles:tax_list",
    "profiles:defaults",
    "accounts:people",
    "accounts:gaps",
    "activity:list",
)


def main_of(response) -> str:
    """The words of a page, without what stands around it and what is typed there."""
    page = response.content.decode()
    page = re.search(r"<main.*</main>", page, re.DOTALL)[0]
    page = re.sub(r"<form(?:(?!<table).)*?</form>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


@shared
def olga(nordvik, goteborg, malmo):
    """Sees everything there is: Global admin and Incentives admin everywhere."""
    olga = RoleAssignmentFactory(
        role=Role.GLOBAL_ADMIN, partner_account=nordvik, user__full_name="Olga Alt"
    ).user
    assign_role(olga, role=Role.INCENTIVES_ADMIN, account=nordvik, by=olga)
    terms = ProgramTermsFactory()
    for place in (goteborg, malmo):
        assign_role(
            RoleAssignmentFactory(
                partner_account=nordvik,
                location=place,
                role=Role.INCENTIVES_USER,
                user__full_name=f"Pia of {place.name}",
            ).user,
            role=Role.INCENTIVES_ADMIN,
            account=nordvik,
            location=place,
            by=olga,
        )
        enrollment = EnrollmentFactory(location=place, terms=terms)
        InvitationFactory(enrollment=enrollment, user=olga)
        bank = BankProfileFactory(partner_account=nordvik, name=f"Bank {place.name}")
        DefaultBankProfileFactory(location=place, bank_profile=bank)
        TaxProfileFactory(location=place, name=f"Tax {place.name}")
    return olga


def test_a_page_is_narrowed_to_the_location_its_address_names(
    client_of, olga, goteborg, malmo
):
    client = client_of(olga)
    for name in PAGES:
        page = reverse(name)
        assert "Malmö" in main_of(client.get(page)), name

        shown = client.get(page, {"loc": goteborg.partner_id})

        text = main_of(shown)
        assert "Only Göteborg (6120102)." in text, name
        assert "Malmö" not in text, name
        assert "Göteborg" in text.replace("Only Göteborg", ""), name
        for way in ("enrollment:overview", "accounts:people", "activity:list"):
            assert f'href="{reverse(way)}?loc=6120102"' in shown.content.decode(), name


def test_a_location_the_reader_may_not_know_is_as_if_it_were_not_there(
    client_of, nordvik, ida, malmo
):
    own = LocationFactory(partner_account=nordvik, name="Lund")
    RoleAssignmentFactory(user=ida, partner_account=nordvik, location=own)
    foreign = LocationFactory(name="Ort Kanariefågel")
    client, page = client_of(ida), reverse("enrollment:overview")

    missing = main_of(client.get(page, {"loc": "9999999"}))

    assert "None of your locations is called “9999999”" in missing
    for hidden in (malmo, foreign):
        shown = main_of(client.get(page, {"loc": hidden.partner_id}))
        assert shown.replace(hidden.partner_id, "9999999") == missing


def test_who_works_at_one_location_has_nothing_to_choose(client_of, ida, malmo):
    page = client_of(ida).get(reverse("enrollment:overview")).content.decode()

    assert "All locations" not in page


def test_filters_and_tabs_keep_the_location(client_of, olga):
    client = client_of(olga)
    kept = '<input type="hidden" name="loc" value="6120102">'
    for name in ("enrollment:overview", "accounts:people", "activity:list"):
        page = client.get(reverse(name), {"loc": "6120102"}).content.decode()
        assert kept in page, name
    page = client.get(reverse("profiles:list"), {"loc": "6120102"}).content.decode()
    assert f'href="{reverse("profiles:tax_list")}?loc=6120102"' in page


def test_of_many_locations_the_others_are_found_by_name_or_number(
    client_of, nordvik, olga
):
    for number in range(9):
        LocationFactory(partner_account=nordvik, name=f"Branch {number}")
    client, page = client_of(olga), reverse("enrollment:overview")
    shown = client.get(page).content.decode()
    assert 'name="loc"' in shown
    assert '?loc=6120103"' not in shown

    for asked in ("malmö", "Malmö ", "6120103"):
        assert "Only Malmö" in main_of(client.get(page, {"loc": asked}))


def test_a_closed_location_is_not_offered_and_its_history_is_found(
    client_of, olga, malmo
):
    Location.objects.filter(pk=malmo.pk).update(closed_at=timezone.now())
    client, page = client_of(olga), reverse("activity:list")

    assert "?loc=6120103" not in client.get(page).content.decode()
    text = main_of(client.get(page, {"loc": "6120103"}))
    assert "Only Malmö" in text
    assert "Pia of Malmö" in text
