"""Two tabs of one browser, signed in once, each in its own company: in Chromium."""

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from accounts.companies import in_company
from accounts.roles import Role
from accounts.tests.factories import (
    LocationFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def other(transactional_db):
    company = PartnerAccountFactory(partner_id="5099001", name="Canary Wharf Ltd")
    LocationFactory(partner_account=company, name="Canary Pier")
    return company


@pytest.fixture
def ines(nordvik, goteborg, other):
    person = UserFactory(full_name="Ines Duarte", email="ines@partner.example")
    for company in (nordvik, other):
        RoleAssignmentFactory(
            user=person, partner_account=company, role=Role.GLOBAL_ADMIN
        )
    return person


@pytest.fixture
def browser_of(chromium, client_of, live_server):
    """A browser in which somebody is signed in."""
    contexts = []

    def signed_in(person):
        context = chromium.new_context(reduced_motion="reduce")
        cookie = client_of(person).cookies[settings.SESSION_COOKIE_NAME]
        context.add_cookies(
            [{"name": cookie.key, "value": cookie.value, "url": live_server.url}]
        )
        contexts.append(context)
        return context

    yield signed_in
    for context in contexts:
        context.close()


def fill_in(tab, *, partner_id: str, name: str) -> None:
    tab.locator("[name=partner_id]").fill(partner_id)
    tab.locator("[name=name]").fill(name)
    tab.locator("[name=street]").fill("Kungsgatan 2")
    tab.locator("[name=city]").fill("Umeå")


def test_two_tabs_are_two_companies(browser_of, live_server, ines, nordvik, other):
    browser = browser_of(ines)
    add = reverse("enrollment:add_location")
    first, second = browser.new_page(), browser.new_page()
    first.goto(live_server.url + in_company(nordvik, add))
    fill_in(first, partner_id="6120199", name="Umeå")

    # Meanwhile the other tab changes company by the switcher, and is used last.
    second.goto(live_server.url + in_company(nordvik, reverse("home")))
    second.locator(".bar__company summary").click()
    second.locator(".bar__company a", has_text="Canary Wharf Ltd").click()
    expect(second.locator(".bar__company summary")).to_contain_text("Canary Wharf Ltd")
    second.locator("nav a", has_text="Locations").first.click()
    second.locator("main a", has_text="Add a location").click()
    fill_in(second, partner_id="6120198", name="Dock")
    second.get_by_role("button", name="Add the location").click()
    expect(second.locator("main")).to_contain_text("Dock was added.")

    first.get_by_role("button", name="Add the location").click()
    expect(first.locator("main")).to_contain_text("Umeå was added.")
    expect(first.locator(".bar__company summary")).to_contain_text(nordvik.name)

    assert set(nordvik.locations.values_list("name", flat=True)) == {"Göteborg", "Umeå"}
    assert set(other.locations.values_list("name", flat=True)) == {
        "Canary Pier",
        "Dock",
    }
    for tab, company in ((first, nordvik), (second, other)):
        tab.reload()
        assert tab.url.startswith(live_server.url + f"/c/{company.partner_id}/")
        foreign = other if company == nordvik else nordvik
        expect(tab.locator("main")).not_to_contain_text(foreign.name)


def test_a_language_chosen_in_a_tab_keeps_its_company(
    browser_of, live_server, ines, nordvik, other
):
    browser = browser_of(ines)
    tab, last = browser.new_page(), browser.new_page()
    people = in_company(other, reverse("accounts:people"))
    tab.goto(live_server.url + people)
    last.goto(live_server.url + in_company(nordvik, reverse("home")))

    tab.get_by_role("button", name="Svenska").first.click()

    expect(tab.locator("h1")).to_have_text("Personer")
    assert tab.url == live_server.url + people
