"""Whole stories in Chromium: gunicorn, worker, PostgreSQL, Redis and a mail server.

Nothing is faked: the mail is sent by the worker and received over SMTP, and its own
button is followed.
"""

import os
import re
import time
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from axe_playwright_python.sync_playwright import Axe
from celery import Celery
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.utils import timezone
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect

from accounts import outbox
from accounts.models import MailStatus, OutgoingEmail, RoleAssignment
from accounts.tests.canaries import WATCH, everything_in_tables
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.mail_server import MailServer
from accounts.tests.markup import faults_of
from accounts.tests.second_factors import code_of
from enrollment.models import Campaign, Enrollment, EnrollmentEvent
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    ProgramTermsFactory,
)
from incentives_portal.tests.running import running_portal
from incentives_portal.tests.wizards import (
    answers,
    confirms,
    fills_in_a_tax_profile,
    goes_on,
)
from profiles.models import BankProfileVersion
from profiles.services import approve_version
from profiles.tests.country_answers import SWEDEN
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ON_ITS_WAY = (MailStatus.QUEUED, MailStatus.SENDING)
# What axe has looked at in this file.
SEEN: set[tuple[str, ...]] = set()
AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    # What is well needs no report of where it is.
    "resultTypes": ["violations"],
    "iframes": False,
}


@pytest.fixture(scope="module")
def mail_server():
    with MailServer() as server:
        yield server


@pytest.fixture(scope="module")
def running(django_db_setup, mail_server, tmp_path_factory):
    """One running portal for all stories; what they left is emptied between them."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    number = int(re.sub(r"\D", "", worker) or 0)
    with running_portal(
        mail_port=mail_server.port,
        folder=tmp_path_factory.mktemp("portal"),
        redis_database=8 + number % 8,
    ) as portal:
        yield portal


@pytest.fixture(scope="module")
def bell(running):
    """What this process wakes the portal's worker with."""
    app = Celery("journeys", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.broker_url = running.environment["REDIS_URL"]
    yield app
    app.close()


@pytest.fixture
def portal(transactional_db, running, mail_server, bell, settings, monkeypatch):
    mail_server.reset()
    settings.PUBLIC_BASE_URL = running.url
    monkeypatch.setattr(outbox, "current_app", bell)
    yield running
    # No mail of this story reaches the next.
    wait_until(lambda: not OutgoingEmail.objects.filter(status__in=ON_ITS_WAY).exists())
    # What the portal itself wrote, past this process.
    WATCH.look("the tables", everything_in_tables(), thoroughly=False)


@pytest.fixture
def mail(portal, mail_server):
    return mail_server


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 40
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


class Visitor:
    """Somebody at a browser; every page they come to is looked at by axe."""

    def __init__(self, page: Page, *, checks: bool = True, looking: tuple = ()):
        self.page = page
        self.checks = checks
        # What of a browser changes how a page looks.
        self.looking = looking
        self.troubles: list[str] = []
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on(
            "console",
            lambda said: (
                self.troubles.append(said.text)
                # A page that says no is no trouble.
                if said.type == "error" and "status of 40" not in said.text
                else None
            ),
        )

    def goes_to(self, url: str) -> None:
        self.page.goto(url)
        self.looks()

    def presses(self, name: str, *, inside: str = "main") -> None:
        """Press a button or follow a link by its words, and look at what comes."""
        control = (
            self.page.locator(inside)
            .get_by_role("button", name=name)
            .or_(self.page.locator(inside).get_by_role("link", name=name))
        )
        with self.page.expect_navigation():
            control.first.click()
        self.looks()

    def signs_in(self, person) -> None:
        # The running portal knows no fast hashes.
        person.password = make_password(PASSWORD, hasher="scrypt")
        person.save(update_fields=["password"])
        self.page.locator("[name=login]").fill(person.email)
        self.page.locator("[name=password]").fill(PASSWORD)
        with self.page.expect_navigation():
            self.page.locator("main form button").first.click()
        self.looks()

    def signs_out(self) -> None:
        self.page.context.clear_cookies()

    def sees(self, words: str) -> None:
        expect(self.page.locator("main")).to_contain_text(words)

    def does_not_see(self, words: str) -> None:
        expect(self.page.locator("main")).not_to_contain_text(words)

    def looks(self) -> None:
        """No violation axe knows of, nothing refused by the policy, no overflow."""
        content = self.page.content()
        assert faults_of(content) == [], self.page.url
        if self.checks and self._is_new(content):
            found = Axe().run(self.page, options=AXE).response["violations"]
            assert not found, (
                self.page.url,
                [(one["id"], [node["html"] for node in one["nodes"]]) for one in found],
            )
        assert self.troubles == [], (self.page.url, self.troubles)

    def _is_new(self, content: str) -> bool:
        """Whether nobody saw this page before, but for its numbers and tokens."""
        text = re.sub(r'(csrfmiddlewaretoken" value=)"\w+"', r"\1", content)
        seen = (re.sub(r"[\da-f-]{36}|\d+", "#", text), *self.looking)
        is_new = seen not in SEEN
        SEEN.add(seen)
        return is_new


@pytest.fixture
def visitor(chromium):
    contexts = []

    def arrive(
        *, language="en-US", checks=True, reduced_motion="reduce", **options
    ) -> Visitor:
        # Drawing how one page becomes the next takes a quarter of Chromium's time.
        context = chromium.new_context(
            locale=language, reduced_motion=reduced_motion, **options
        )
        context.set_default_timeout(15_000)
        contexts.append(context)
        looking = tuple(f"{name}: {value}" for name, value in sorted(options.items()))
        return Visitor(context.new_page(), checks=checks, looking=looking)

    yield arrive
    for context in contexts:
        context.close()


@pytest.fixture
def maria(nordvik):
    return UserFactory(full_name="Maria Petersson", email="maria@partner.example")


@pytest.fixture
def terms(program, nordvik):
    AgreementFactory(partner_account=nordvik)
    return ProgramTermsFactory(program=program)


@pytest.fixture
def tax_profile(goteborg, maria):
    return TaxProfileFactory(
        location=goteborg, name="Nordvik SE", created_by=maria, version__pending=True
    )


@pytest.fixture
def default_bank(goteborg, nordvik, maria):
    bank = BankProfileFactory(
        partner_account=nordvik,
        name="Nordvik SEK main",
        created_by=maria,
        version__pending=True,
    )
    return DefaultBankProfileFactory(location=goteborg, bank_profile=bank)


def button_of(message, words: str) -> str:
    """The address behind the button of a mail, read from its HTML part."""
    html = message.get_body(("html",)).get_content()
    address = re.search(rf'<a[^>]*href="([^"]+)"[^>]*>\s*{words}\s*</a>', html)
    assert address, html
    return address.group(1)


def mail_to(mail, person, subject: str):
    """The one mail to a person with a subject, as soon as it has arrived."""
    end = time.monotonic() + 40
    while time.monotonic() < end:
        found = [
            one
            for one in list(mail.messages)
            if person.email in one["To"] and one["Subject"].strip() == subject
        ]
        if found:
            assert len(found) == 1
            return found[0]
        time.sleep(0.1)
    raise AssertionError([(one["To"], one["Subject"]) for one in mail.messages])


def validates(
    visitor, portal, operator, name: str, *, parts: tuple = ("bank", "tax")
) -> None:
    """An operator approves bank and tax of what waits in the queue under a name."""
    visitor.goes_to(f"{portal.url}/ops/validation/")
    visitor.signs_in(operator)
    visitor.sees(name)
    with visitor.page.expect_navigation():
        visitor.page.locator("main").get_by_role("link", name=name).first.click()
    visitor.looks()
    for _part in parts:
        with visitor.page.expect_navigation():
            visitor.page.locator("main form[action$='/confirm/'] button").first.click()
        visitor.looks()


def a_second_operator_approves() -> None:
    """The company's first bank account takes two operators (domain.md §10.7)."""
    lucia = UserFactory(full_name="Lucía Prado", operator=True)
    lucia.groups.add(Group.objects.get(name="Approver"))
    approve_version(BankProfileVersion.objects.pending().get(), by=lucia)


def test_from_the_invitation_mail_to_the_validated_enrollment(
    portal, mail, visitor, terms, ida, oscar, default_bank, tax_profile, program
):
    portal.manage("invite", program.code)
    invitation = mail_to(mail, ida, "Partner Incentive Enrollment Invitation")
    assert invitation["From"].startswith("Microsoft Partner Center <")
    partner = visitor(reduced_motion="no-preference")

    partner.goes_to(button_of(invitation, "Get Started"))
    partner.signs_in(ida)
    enrollment = Enrollment.objects.get()
    assert urlsplit(partner.page.url).path == enrollment.get_absolute_url()
    partner.goes_to(portal.url)
    partner.sees("You are invited to enroll Göteborg")
    partner.presses("Enroll")
    partner.goes_to(portal.url)
    partner.does_not_see("You are invited")
    partner.goes_to(f"{portal.url}/incentives/")
    partner.sees("Invited")
    partner.presses("Enroll")
    partner.presses("Accept and continue")
    partner.sees("Nordvik SEK main")
    partner.presses("Submit enrollment")
    partner.sees("Submitted – now it is the program owner's turn")
    partner.sees(enrollment.reference)
    mail_to(mail, ida, f"Submitted: {program.name}, Göteborg")

    operator = visitor()
    validates(operator, portal, oscar, program.name)
    a_second_operator_approves()

    enrollment.refresh_from_db()
    assert enrollment.is_enrolled
    partner.goes_to(portal.url + enrollment.get_absolute_url())
    partner.sees("Göteborg is enrolled")
    mail_to(mail, ida, f"Göteborg is enrolled in {program.name}")
    keeps_its_heading_up_to_date(operator, portal, terms)


def keeps_its_heading_up_to_date(operator, portal, terms) -> None:
    """A page that looks again by itself does not leave an old status in its heading."""
    now = timezone.now()
    campaign = Campaign.objects.create(
        terms=terms, status="running", confirmed_at=now, starts_at=now, began_at=now
    )
    operator.goes_to(portal.url + campaign.get_absolute_url())
    heading = operator.page.locator(".page-head .chip")
    expect(heading).to_have_text("Being sent")
    Campaign.objects.update(status="paused")
    expect(heading).to_have_text("Paused", timeout=15_000)
    operator.sees("No mail leaves until somebody goes on.")


def test_with_something_missing_it_continues_to_what_is_missing(
    portal, mail, visitor, terms, ida, oscar, program
):
    call_command("invite", program.code)
    invitation = mail_to(mail, ida, "Partner Incentive Enrollment Invitation")
    partner = visitor()
    partner.goes_to(button_of(invitation, "Get Started"))
    partner.signs_in(ida)
    partner.presses("Accept and continue")
    partner.sees("You need a bank profile and a tax profile.")
    partner.presses("Continue")
    partner.sees("Payment and Tax profile")
    enrollment = Enrollment.objects.get()
    assert enrollment.is_action_required

    partner.presses("Add a bank profile")
    adds_a_swedish_bank_profile(partner)
    partner.sees("Payment and Tax profile")
    partner.page.get_by_role("radio").first.check()
    partner.presses("Use this profile")
    partner.page.locator("[name=currency]").select_option("SEK")
    partner.presses("Use this currency")
    partner.presses("Add a tax profile")
    fills_in_a_tax_profile(
        partner,
        "SE",
        {"name": "Nordvik SE", **SWEDEN.in_tax},
        {"payer": "other", "registered": "no"},
        {"org_number": "559999-0669"},
    )
    partner.sees("Everything is in place.")
    partner.presses("Go back to the enrollment")
    partner.presses("Submit enrollment")
    partner.sees("Submitted")

    # axe has seen these pages in the journey before.
    validates(visitor(checks=False), portal, oscar, program.name)
    a_second_operator_approves()
    enrollment.refresh_from_db()
    assert enrollment.is_enrolled
    assert [
        event.code for event in EnrollmentEvent.objects.order_by("pk")
    ] == EVENTS_OF_THE_LONG_WAY


EVENTS_OF_THE_LONG_WAY = [
    "invited",
    "accepted",
    "details_asked",
    "profiles_chosen",
    "profiles_chosen",
    "submitted",
    "tax_confirmed",
    "bank_confirmed",
    "enrolled",
]


def test_the_same_without_javascript_on_a_small_screen(
    portal, mail, visitor, terms, ida, oscar, default_bank, tax_profile, program
):
    call_command("invite", program.code)
    invitation = mail_to(mail, ida, "Partner Incentive Enrollment Invitation")
    # axe itself is a script: these pages were looked at by the other journeys.
    partner = visitor(
        checks=False,
        java_script_enabled=False,
        viewport={"width": 320, "height": 640},
    )

    partner.goes_to(button_of(invitation, "Get Started"))
    partner.signs_in(ida)
    partner.presses("Accept and continue")
    partner.presses("Submit enrollment")
    partner.sees("Submitted")
    operator = visitor(checks=False, java_script_enabled=False)
    validates(operator, portal, oscar, program.name)
    a_second_operator_approves()

    assert Enrollment.objects.get().is_enrolled


LISTED = "#keys div:not([hidden]) > dt > kbd"
# Whether the focus is where a key leads to.
IS_THERE = """key => [...document.querySelectorAll(`[data-key~="${key}"]`)].some(
  (one) => one.contains(document.activeElement))"""


def rewritten(careful: str, careless: str) -> Callable:
    """Answer with a script in which something is written otherwise."""

    def answer(route) -> None:
        response = route.fetch()
        assert careful in response.text()
        script = response.text().replace(careful, careless)
        route.fulfill(response=response, body=script)

    return answer


def test_single_keys_lead_everywhere_and_decide_nothing(
    portal, visitor, terms, oscar, goteborg, default_bank, tax_profile
):
    bank = default_bank.bank_profile
    EnrollmentFactory(
        location=goteborg,
        terms=terms,
        submitted=True,
        payout__bank_profile=bank,
        payout__tax_profile=tax_profile,
        payout__currency="SEK",
    )
    reviewer = visitor()
    page, press = reviewer.page, reviewer.page.keyboard.press
    reviewer.goes_to(f"{portal.url}/ops/validation/")
    reviewer.signs_in(oscar)
    sent = []
    page.on("request", lambda one: sent.append(one.url) if one.method == "POST" else 0)

    def leads_where_it_says() -> None:
        where = page.url
        press("?")
        expect(page.locator("#keys summary")).to_be_focused()
        keys = page.locator(LISTED).all_inner_texts()
        reviewer.looks()
        assert keys == [*"ARQECN", *(["Esc"] if "/bank/" in where else []), "?"]
        for key in "arqecn":
            press(key)
            assert page.evaluate(IS_THERE, key), (where, key)
            press("Escape")
        assert (page.url, sent) == (where, [])

    def writes_in_peace() -> None:
        note = page.locator("[name=reason-1-note]")
        note.fill("")
        page.keyboard.type("arqecnjk?")
        expect(note).to_have_value("arqecnjk?", timeout=1000)
        press("Escape")
        expect(note).not_to_be_focused(timeout=1000)

    def leaves_the_browser_its_keys() -> None:
        for key in ("Control+r", "Meta+r", "Alt+r"):
            page.locator("h1").press(key)
            assert not page.evaluate(IS_THERE, "r")

    # The queue.
    press("?")
    assert page.locator(LISTED).all_inner_texts() == ["J", "K", "Enter", "Esc", "?"]
    press("j")
    expect(page.locator("[data-row-link]").first).to_be_focused()
    with page.expect_navigation():
        press("Enter")
    # An enrollment, and the bank version it waits with.
    assert "/enrollments/" in page.url
    leads_where_it_says()
    version = f"{portal.url}/ops/validation/bank/{bank.versions.get().pk}/"
    reviewer.goes_to(version)
    leads_where_it_says()
    writes_in_peace()
    leaves_the_browser_its_keys()
    # Who is used to other keys turns them off, and finds them so again.
    page.locator("#keys").evaluate("one => one.open = true")
    page.get_by_role("button", name="Turn the keys off").click()
    page.reload()
    press("r")
    assert not page.evaluate(IS_THERE, "r")
    page.evaluate("localStorage.clear()")

    assert bank.versions.get().is_pending

    # Keys that hear everything, or act, are seen.
    for check, careful, careless in (
        (writes_in_peace, "if (field ||", "if ("),
        (leaves_the_browser_its_keys, "if (event.ctrlKey ||", "if ("),
        (leads_where_it_says, "(goal || target).focus()", "(goal || target).click()"),
    ):
        page.unroute_all()
        page.route("**/js/keys*.js", rewritten(careful, careless))
        page.goto(version)
        with pytest.raises((AssertionError, PlaywrightError)):
            check()


def test_a_colleague_without_the_role_is_told_who_can_and_an_admin_appoints_them(
    portal, mail, visitor, terms, goteborg, greta, lars, program
):
    # R3, R7, R15; rule 74
    call_command("invite", program.code)
    mail_to(mail, greta, "1 location has no Incentives admin")
    colleague = visitor()
    colleague.goes_to(f"{portal.url}/incentives/")
    colleague.signs_in(lars)
    colleague.sees("Greta Voss")

    admin = visitor()
    admin.goes_to(
        f"{portal.url}/people/assign/?person={lars.pk}&location={goteborg.pk}"
    )
    admin.signs_in(greta)
    admin.presses("Preview")
    admin.sees("Lars Ek")
    admin.presses("Assign")

    assert RoleAssignment.objects.live().filter(user=lars, location=goteborg).exists()
    colleague.goes_to(f"{portal.url}/incentives/")
    colleague.sees("Invited")


def adds_a_swedish_bank_profile(partner) -> None:
    answers(partner, {"name": "Nordvik SEK main", "country": "SE"})
    # A line of the bank's letter, read into the fields.
    partner.page.locator("summary", has_text="Paste instead of typing").click()
    partner.page.locator("[name=pasted]").fill(
        "Kontoinnehavare: Nordvik IT AB, IBAN se35 5000 0000 0549 1000 0003"
    )
    partner.presses("Fill in the fields")
    partner.sees("Filled in from what you pasted")
    goes_on(partner)
    answers(partner, SWEDEN.beneficiary)
    partner.sees("Bank found from the IBAN")
    confirms(partner)


# --- Signing in with more than a password -----------------------------------------------


def carries_passkeys(visitor) -> Callable[[bool], None]:
    """Give the browser a device that keeps passkeys and knows its owner.

    Returns what lets its owner look at the device, or away from it.
    """
    devices = visitor.page.context.new_cdp_session(visitor.page)
    devices.send("WebAuthn.enable")
    device = devices.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )

    def look(at_it: bool) -> None:
        devices.send(
            "WebAuthn.setAutomaticPresenceSimulation",
            {"authenticatorId": device["authenticatorId"], "enabled": at_it},
        )

    return look


def lets_time_pass(span: timedelta) -> None:
    """Let every session have begun, been used and proved so much earlier."""
    for key in Session.objects.values_list("session_key", flat=True):
        session = SessionStore(key)
        for name in ("signed_in_at", "seen_at"):
            session[name] = session.get(name, 0) - span.total_seconds()
        for record in session.get(AUTHENTICATION_METHODS_SESSION_KEY, []):
            record["at"] -= span.total_seconds()
        session.save()


def codes_shown(visitor) -> list[str]:
    return visitor.page.locator("#codes").inner_text().split()


def test_a_passkey_is_added_and_signs_in_alone(portal, mail, visitor, ida):
    # Browsers take passkeys at names only.
    here = portal.url.replace("127.0.0.1", "localhost")
    person = visitor()
    looks = carries_passkeys(person)
    person.goes_to(f"{here}/account/")
    person.signs_in(ida)
    person.sees("None yet. A passkey takes 20 seconds.")
    person.presses("Add a passkey")
    person.page.locator("[name=name]").fill("Ida's phone")

    person.presses("Add a passkey")
    assert len(codes_shown(person)) == 10
    with person.page.expect_download() as download:
        person.page.get_by_role("link", name="Download as a file").click()
    file = download.value.path().read_text()
    assert all(code in file for code in codes_shown(person))
    person.presses("I have kept them: go on")
    person.sees("Ida's phone")
    mail_to(mail, ida, "A passkey was added to Partner Incentives")

    person.signs_out()
    person.goes_to(f"{here}/accounts/login/?next=/profiles/")
    person.presses("Sign in with a passkey")
    assert urlsplit(person.page.url).path == "/profiles/"
    person.goes_to(f"{here}/account/")
    person.sees("last used")

    # The browser offers it where the address is typed, too.
    person.signs_out()
    person.goes_to(f"{here}/accounts/login/?next=/account/")
    with person.page.expect_navigation():
        person.page.locator("[name=login]").focus()
    person.sees("Ida's phone")

    # And it is the second step after the password.
    person.signs_out()
    looks(False)
    person.goes_to(f"{here}/accounts/login/?next=/account/")
    person.signs_in(ida)
    person.sees("Second step")
    looks(True)
    person.presses("Use a passkey")
    person.sees("Ida's phone")

    # A while later it proves who is there, before what matters.
    lets_time_pass(timedelta(minutes=11))
    person.goes_to(f"{here}/profiles/bank/new/")
    person.sees("Is it still you?")
    person.presses("Use a passkey")
    assert urlsplit(person.page.url).path == "/profiles/bank/new/"

    # Removed, it opens nothing, and the password is enough again.
    person.goes_to(f"{here}/account/")
    person.presses("Remove Ida's phone")
    person.presses("Remove the passkey")
    person.sees("None yet. A passkey takes 20 seconds.")
    mail_to(mail, ida, "A passkey was removed from Partner Incentives")
    person.signs_out()
    person.goes_to(f"{here}/accounts/login/?next=/account/")
    person.presses("Sign in with a passkey")
    expect(person.page.locator("body")).to_contain_text("That did not match.")
    looks(False)
    person.signs_in(ida)
    assert urlsplit(person.page.url).path == "/account/"


def test_without_a_passkey_at_hand_the_page_says_what_to_do(portal, visitor, ida):
    here = portal.url.replace("127.0.0.1", "localhost")
    person = visitor()
    carries_passkeys(person)
    person.goes_to(f"{here}/accounts/login/")

    person.page.get_by_role("button", name="Sign in with a passkey").click()

    person.sees("No passkey was used. Try again, or use the other way.")
    person.looks()
    # At a bare number there is no passkey to offer.
    person.goes_to(f"{portal.url}/accounts/login/")
    person.does_not_see("passkey")


def test_an_app_and_a_recovery_code_sign_in_without_javascript(
    portal, mail, visitor, ida
):
    person = visitor(
        checks=False,
        java_script_enabled=False,
        viewport={"width": 320, "height": 640},
    )
    person.goes_to(f"{portal.url}/account/")
    person.signs_in(ida)
    person.presses("Add an authenticator app")
    secret = person.page.locator("main ol .num").inner_text().replace(" ", "")
    person.page.locator("[name=code]").fill(code_of(secret))
    person.presses("Add the app")
    code = codes_shown(person)[0]
    mail_to(mail, ida, "An authenticator app was added to Partner Incentives")

    person.signs_out()
    person.goes_to(f"{portal.url}/accounts/login/?next=/profiles/")
    person.signs_in(ida)
    person.sees("Second step")
    # The code that added the app opens nothing more; this is the next one.
    person.page.locator("[name=code]").fill(code_of(secret, steps=1))
    person.presses("Sign in")
    assert urlsplit(person.page.url).path == "/profiles/"

    person.signs_out()
    person.goes_to(f"{portal.url}/accounts/login/?next=/account/")
    person.signs_in(ida)
    person.page.locator("[name=code]").fill(code)
    person.presses("Sign in")
    person.sees("9 of 10 recovery codes are left.")
    mail_to(mail, ida, "A recovery code was used for Partner Incentives")


def test_the_pages_of_ones_account_are_for_everybody(portal, visitor, ida):
    person = visitor(viewport={"width": 320, "height": 640}, color_scheme="dark")
    person.goes_to(f"{portal.url}/accounts/app/add/")
    person.signs_in(ida)

    for path in ("/account/", "/accounts/passkeys/add/", "/account/second-factor/"):
        person.goes_to(portal.url + path)
        width = person.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320, path
