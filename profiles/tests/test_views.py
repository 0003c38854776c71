"""Partners' pages about bank profiles, tax profiles and defaults, as browsers use them."""

import datetime
import re

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.companies import in_company
from accounts.models import AuditEvent
from accounts.roles import Role
from accounts.tests.cases import tried
from accounts.tests.factories import (
    LocationFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from profiles import bank_drafting, countries
from profiles.models import (
    BankProfile,
    BankProfileDraft,
    DefaultBankProfile,
)
from profiles.services import approve_version, return_version
from profiles.signals import profile_archived
from profiles.tests.changing import STEPS, change
from profiles.tests.factories import (
    BANK_DETAILS,
    IBAN,
    TAX_DETAILS,
    BankProfileFactory,
    BankVersionFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
    TaxVersionFactory,
)

pytestmark = pytest.mark.django_db

OTHER_IBAN = "SE4550000000058398257466"
RETURNED = [
    {"field": "account_holder", "code": "BANK_NAME_MISMATCH", "note": ""},
    {
        "field": "street",
        "code": "OTHER",
        "note": "Give the visiting address <b>now</b>.",
    },
    {"field": "document", "code": "DOC_UNREADABLE", "note": ""},
]
BANK = {"name": "Nordvik SEK", **BANK_DETAILS}
SWEDEN = {"country": "SE"}
AGREED = {"is_own_bank": "on", "is_authorized": "on"}


def words(response) -> str:
    """What a person reads: the page's text, in one line."""
    text = re.sub(
        r"<(script|style|title)\b.*?</\1>", " ", page(response), flags=re.DOTALL
    )
    text = re.sub(r"</?bdi>", "", text)
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def page(response) -> str:
    return response.content.decode()


def address(name, profile=None, **query) -> str:
    key = {} if profile is None else {"pk": profile.pk}
    base = reverse(f"profiles:{name}", kwargs=key)
    return (
        f"{base}?" + "&".join(f"{k}={v}" for k, v in query.items()) if query else base
    )


@pytest.fixture
def web(client_of, ida):
    return client_of(ida)


@shared
def bank(nordvik, ida):
    """An approved bank profile of the company, that Ida sent."""
    return BankProfileFactory(
        partner_account=nordvik, name="Nordvik main", created_by=ida
    )


@shared
def tax(goteborg, ida):
    """Göteborg's approved tax profile."""
    return TaxProfileFactory(location=goteborg, name="Nordvik tax", created_by=ida)


# --- Who ----------------------------------------------------------------------------------


LISTS = ("list", "tax_list", "defaults", "new_bank", "new_tax")
PAGES = ("bank", "change_bank", "archive_bank")
TAX_PAGES = ("tax", "change_tax", "archive_tax")


@pytest.mark.parametrize("name", LISTS)
def test_an_incentives_user_sees_nothing_of_profiles(client_of, uma, bank, tax, name):
    # R12
    response = client_of(uma).get(address(name))

    assert response.status_code == 403
    assert "Nordvik main" not in page(response)
    assert "0003" not in words(response)


def test_who_may_not_know_is_told_there_is_no_such_page(
    client_of, uma, lars, sam, oscar, bank, tax
):
    # R12, R16
    clients = [client_of(person) for person in (uma, lars, sam, oscar)]
    for name in (*PAGES, *TAX_PAGES):
        for method in ("get", "post"):
            with tried(name, method):
                row = tax if name in TAX_PAGES else bank

                for client in clients:
                    response = getattr(client, method)(address(name, row))
                    assert response.status_code == 404
                assert BankProfile.objects.get().versions.count() == 1
                assert BankProfile.objects.get().archived_at is None


@pytest.mark.parametrize("name", [*PAGES, *TAX_PAGES])
def test_who_appoints_may_know_and_no_more(client_of, greta, alice, bank, tax, name):
    # C3
    row = tax if name in TAX_PAGES else bank

    for person in (greta, alice):
        response = client_of(person).get(address(name, row))
        assert response.status_code == 403
        assert "Storgatan" not in page(response)


@pytest.mark.parametrize("name", TAX_PAGES)
def test_another_locations_tax_profile_is_out_of_reach(web, malmo, name):
    # R8
    elsewhere = TaxProfileFactory(location=malmo)

    assert web.get(address(name, elsewhere)).status_code == 404


def test_lists_hold_the_current_companys_rows_only(web, ida, bank, tax, malmo):
    BankProfileFactory(name="Foreign bank")
    TaxProfileFactory(name="Foreign tax")
    TaxProfileFactory(name="Malmö tax", location=malmo)
    second = RoleAssignmentFactory(user=ida, partner_account=PartnerAccountFactory())
    BankProfileFactory(name="Second bank", partner_account=second.partner_account)
    company = bank.partner_account

    banks = words(web.get(in_company(company, address("list"))))
    taxes = words(web.get(in_company(company, address("tax_list"))))

    assert "Nordvik main" in banks
    assert "Foreign bank" not in banks
    assert "Second bank" not in banks
    assert "Nordvik tax" in taxes
    assert "Foreign tax" not in taxes
    assert "Malmö tax" not in taxes


def test_signed_out_nobody_sees_anything(client, bank):
    response = client.get(address("bank", bank))

    assert response.status_code == 302
    assert reverse("account_login") in response["Location"]


def test_pages_with_details_are_not_kept_by_browsers_or_proxies(web, bank):
    for name in ("bank", "change_bank"):
        response = web.get(address(name, bank))
        assert response["Cache-Control"] == "no-store"


# --- Lists --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label"),
    [("list", "Add bank profile"), ("tax_list", "Add tax profile")],
)
def test_an_empty_list_says_what_would_fill_it(web, name, label):
    response = web.get(address(name))

    assert response.status_code == 200
    assert "<table" not in page(response)
    assert words(response).count(label) == 1


def test_the_list_shows_status_end_of_the_number_and_a_new_version(web, bank, ida):
    BankVersionFactory(profile=bank, number=2, pending=True, submitted_by=ida)

    text = words(web.get(address("list")))

    assert "Sweden" in text
    assert "ending in 0003" in text
    assert "Approved New version pending" in text
    assert IBAN[4:12] not in text.replace(" ", "")


def test_the_tax_list_shows_what_has_expired(web, goteborg):
    day = timezone.localdate()
    TaxProfileFactory(
        location=goteborg, version__expires_on=day - datetime.timedelta(days=1)
    )
    assert "Expired" in words(web.get(address("tax_list")))

    with time_machine.travel(timezone.now() - datetime.timedelta(days=1), tick=False):
        assert "Expired" not in words(web.get(address("tax_list")))


@pytest.mark.parametrize("name", ["list", "tax_list", "defaults"])
def test_lists_ask_the_database_as_often_for_many_rows(
    web, name, nordvik, goteborg, ida
):
    def add(count):
        for _number in range(count):
            place = LocationFactory(partner_account=nordvik)
            RoleAssignmentFactory(user=ida, partner_account=nordvik, location=place)
            bank = BankProfileFactory(partner_account=nordvik, created_by=ida)
            BankVersionFactory(profile=bank, number=2, pending=True, submitted_by=ida)
            TaxProfileFactory(location=place, created_by=ida)
            DefaultBankProfileFactory(location=place, bank_profile=bank)

    add(2)
    few = count_queries(web, name)
    add(6)

    assert count_queries(web, name) == few


def count_queries(web, name) -> int:
    return queries_of(web, reverse(f"profiles:{name}"))


def test_a_long_list_has_pages(web, nordvik, monkeypatch):
    monkeypatch.setattr("profiles.views.lists.ROWS", 2)
    for name in ("A", "B", "C"):
        BankProfileFactory(partner_account=nordvik, name=f"Konto {name}")

    first, second = (words(web.get(address("list", page=n))) for n in (1, 2))

    assert ("Konto A" in first, "Konto C" in first) == (True, False)
    assert ("Konto A" in second, "Konto C" in second) == (False, True)
    assert web.get(address("list", page="x")).status_code == 200


# --- What is needed --------------------------------------------------------------------------


def test_what_is_needed_is_told_of_the_companys_country_or_another(web):
    own = words(web.get(address("needs")))
    other = words(web.get(address("needs", bank="BR", tax="CA")))
    wrong = words(web.get(address("needs", bank="XX", tax="ZZ")))

    for needed in ("Clearing number", "Where the money should go: Bankgiro number"):
        assert needed in own
        assert needed in wrong
    for needed in (
        "Bank profile, bank in Brazil",
        "Banks there take BRL only.",
        "Account with check digit",
        "Tax profile, company registered in Canada",
        "Province or territory: Québec",
    ):
        assert needed in other
    listed = page(web.get(address("list")))
    assert address("needs") in listed


# --- A new bank profile --------------------------------------------------------------------------


def fill(web, *steps, **changes):
    """Go through steps of a new bank profile; answer the last response."""
    answers = {**BANK, "country": "SE", **AGREED, **changes}
    return [web.post(address(step), answers) for step in steps][-1]


def test_a_bank_profile_is_made_in_four_steps_and_sent_for_validation(
    web, nordvik, ida
):
    # R48, R49
    first = web.get(address("new_bank"))
    assert "Step 1 of 4" in words(first)
    assert '<option value="SE" selected>' in page(first)
    assert "IBAN" not in words(first)

    response = fill(web, "new_bank")
    assert response["Location"] == address("bank_account")
    assert "Step 2 of 4" in words(web.get(address("bank_account")))
    filled = fill(web, "bank_account", account_holder="Nordvik AB")
    assert filled["Location"] == address("bank_beneficiary")
    assert "Step 3 of 4" in words(web.get(address("bank_beneficiary")))
    assert fill(web, "bank_beneficiary")["Location"] == address("check_bank")
    assert not BankProfile.objects.exists()

    # Everything once more: the number masked, the bank that the IBAN tells.
    check = web.get(address("check_bank"))
    assert "Step 4 of 4" in words(check)
    assert IBAN not in page(check).replace(" ", "")
    assert "0003" in words(check)
    assert "Bank found from the IBAN" in words(check)
    assert "The account is at " in words(check)
    assert "The account holder differs from the legal name" in words(check)
    refused = web.post(address("check_bank"), {})
    assert refused.status_code == 422
    assert "Confirm the bank, or change the number above." in words(refused)

    response = fill(web, "check_bank")
    profile = BankProfile.objects.get()
    assert response["Location"] == address("bank", profile)
    assert (profile.partner_account, profile.created_by) == (nordvik, ida)
    version = profile.versions.get()
    assert version.is_pending
    assert version.details["bic"] == countries.bank_of(version.details).bic
    assert version.schema_version == countries.bank_schema("SE").version
    shown = words(web.get(response["Location"]))
    assert "Nordvik SEK is sent for validation." in shown
    assert not BankProfileDraft.objects.exists()
    # Sent twice, or gone back to, it is one profile.
    for step in ("bank_account", "bank_beneficiary", "check_bank"):
        assert fill(web, step)["Location"] == address("new_bank")
        assert web.get(address(step))["Location"] == address("new_bank")
    assert BankProfile.objects.count() == 1


@pytest.mark.parametrize("country", ["XX", "se", "SE%0A", "A" * 300])
def test_an_unknown_country_is_told(web, country):
    response = fill(web, "new_bank", country=country)

    assert response.status_code == 422
    assert "Choose a country from the list." in words(response)
    assert web.get(address("new_bank", country=country)).status_code == 200


def test_another_country_asks_its_own_fields_and_keeps_the_beneficiary(web):
    fill(web, "new_bank", "bank_account", "bank_beneficiary")

    fill(web, "new_bank", country="US")

    american = page(web.get(address("bank_account")))
    assert 'name="routing_number"' in american
    assert 'name="iban"' not in american
    assert 'value="Nordvik IT AB"' in american
    assert web.get(address("check_bank"))["Location"] == address("bank_account")
    assert 'value="Storgatan 1"' in page(web.get(address("bank_beneficiary")))
    # A page of before, in another window, changes nothing.
    assert fill(web, "bank_account")["Location"] == address("bank_account")
    assert "iban" not in BankProfileDraft.objects.get().details


def test_what_is_begun_is_there_on_another_day_for_who_began_it(
    web, client_of, nordvik, goteborg
):
    fill(web, "new_bank", "bank_account", iban=OTHER_IBAN)

    for listed in ("list", "new_bank"):
        assert "Go on with it" in words(web.get(address(listed)))
    assert f'href="{address("bank_beneficiary")}"' in page(web.get(address("new_bank")))
    # Its number stays here: it is shown masked, and kept when nothing else is typed.
    account = page(web.get(address("bank_account")))
    assert OTHER_IBAN not in account.replace(" ", "").replace("\u00a0", "")
    assert "Leave it empty to keep it." in account
    assert fill(web, "bank_account", iban="").status_code == 302
    assert BankProfileDraft.objects.get().details["iban"] == OTHER_IBAN
    colleague = RoleAssignmentFactory(
        role=Role.INCENTIVES_ADMIN, partner_account=nordvik
    ).user
    other = client_of(colleague)
    assert "Nordvik SEK" not in words(other.get(address("new_bank")))
    assert other.get(address("bank_account")).status_code == 302

    web.post(address("discard_bank"))
    assert not BankProfileDraft.objects.exists()


def test_a_pasted_line_fills_in_the_fields_and_saves_nothing(web, caplog):
    fill(web, "new_bank")
    line = f"Kontoinnehavare: Åsas IT, IBAN {IBAN}"

    filled = fill(web, "bank_account", pasted=line, fill="1", iban="", bic="x")

    assert filled.status_code == 200
    assert 'value="SE35 5000 0000 0549 1000 0003"' in page(filled)
    assert 'value="Åsas IT"' in page(filled)
    assert "Filled in from what you pasted:" in words(filled)
    assert not BankProfileDraft.objects.get().details
    assert line not in page(filled)
    assert IBAN not in caplog.text
    nothing = fill(web, "bank_account", pasted="Dear Sir", fill="1", iban="typed")
    assert nothing.status_code == 422
    assert "No number of a bank in Sweden is in it." in words(nothing)
    assert 'value="typed"' in page(nothing)
    # Enter in a field presses the first button: with nothing pasted it goes on.
    on = fill(web, "bank_account", pasted=" ", fill="1")
    assert on["Location"] == address("bank_beneficiary")


def test_a_pasted_line_fills_in_the_fields_of_a_change(web, bank):
    answers = {**BANK_DETAILS, "iban": "", "pasted": OTHER_IBAN, "fill": "1"}

    filled = change(web, bank, answers)

    assert filled.status_code == 200
    assert 'value="SE45 5000 0000 0583 9825 7466"' in page(filled)
    assert bank.versions.count() == 1
    wrong = change(web, bank, answers | {"pasted": "Dear Sir"})
    assert wrong.status_code == 422
    assert "There is a problem" in words(wrong)
    assert change(web, bank, BANK_DETAILS | {"iban": OTHER_IBAN}).status_code == 302
    assert bank.versions.count() == 2


def test_a_draft_nobody_goes_on_with_is_thrown_away(web):
    fill(web, "new_bank", "bank_account")
    days = datetime.timedelta(days=1)

    for age, is_there in ((89, True), (91, False)):
        at = timezone.now() + age * days
        bank_drafting.discard_forgotten_bank_drafts(at=at)
        assert BankProfileDraft.objects.exists() == is_there


def test_after_an_error_everything_typed_is_there_again(web):
    fill(web, "new_bank")
    typed = {"iban": "SE35 5000 0000 0549 1000 0004", "account_holder": "Åsas IT"}

    response = fill(web, "bank_account", **typed)

    assert response.status_code == 422
    assert not BankProfileDraft.objects.get().details
    text = page(response)
    assert "<title>Error: " in text
    assert 'value="SE35 5000 0000 0549 1000 0004"' in text
    assert 'value="Åsas IT"' in text
    assert 'href="#id_iban"' in text
    assert "Copy the IBAN again from your bank." in words(response)
    assert response["Cache-Control"] == "no-store"


def test_what_is_typed_is_shown_as_text(web):
    # T11
    canary = "<img src=x onerror=alert(1)>"
    fill(web, "new_bank")

    for step in ("new_bank", "bank_account", "bank_beneficiary"):
        answers = dict.fromkeys(BANK, canary) | {"pasted": canary, "country": "SE"}
        response = web.post(address(step), answers | {"name": canary * 9})

        assert response.status_code == 422
        assert canary not in page(response)
        assert "&lt;img src=x" in page(response)


def test_an_empty_form_is_an_error_not_a_fresh_page(web, bank):
    fill(web, "new_bank")
    for name in ("new_bank", "bank_account", "bank_beneficiary", "defaults"):
        response = web.post(address(name), {"country": "SE"})

        assert response.status_code in (200, 422)
        assert "There is a problem" in words(response)


def test_a_name_that_was_taken_meanwhile_is_told(web, nordvik):
    # T18, R47
    fill(web, "new_bank", "bank_account", "bank_beneficiary")
    BankProfileFactory(partner_account=nordvik, name="nordvik sek")

    response = fill(web, "check_bank")

    assert response.status_code == 422
    assert "Your company has a bank profile with this name." in words(response)


def test_a_form_without_its_token_changes_nothing(client_of, ida, bank):
    # T10
    strict = client_of(ida, enforce_csrf_checks=True)

    for name in ("new_bank", "change_bank", "archive_bank"):
        row = None if name == "new_bank" else bank
        assert strict.post(address(name, row), BANK).status_code == 403
    assert BankProfile.objects.get().versions.count() == 1
    assert not BankProfileDraft.objects.exists()


ELSEWHERE = (
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "///evil.example",
    "javascript:alert(1)",
    "evil.example",
    "/%0d%0aSet-Cookie:x=1",
    "\u202e/evil",
    "",
)


def test_the_way_back_is_a_page_of_the_portal(web, bank):
    """No open redirect: neither after the step, nor in a link."""
    for target in ELSEWHERE:
        with transaction.atomic():
            _leads_to_the_portal_only(web, bank, target)
            transaction.set_rollback(True)


def _leads_to_the_portal_only(web, bank, target: str) -> None:
    response = web.post(f"{address('new_bank')}?next={target}", {**BANK, **SWEDEN})
    assert response["Location"].startswith("/profiles/bank/new/account/")

    response = web.get(reverse("profiles:new_bank"), {"next": target})
    assert 'href="https://evil' not in page(response)
    assert 'href="//evil' not in page(response)
    response = change(
        web, bank, {**BANK_DETAILS, "iban": OTHER_IBAN}, query=f"?next={target}"
    )
    assert response.status_code == 302
    assert response["Location"].startswith("/")
    assert not response["Location"].startswith(("//", "/\\"))
    assert "\r" not in response["Location"]


def test_the_way_back_leads_where_the_person_came_from(web):
    here = address("new_bank", next="/enroll/1234/profiles/")
    answers = {**BANK, **SWEDEN, **AGREED}

    for _step in range(4):
        assert "next=%2Fenroll%2F1234%2Fprofiles%2F" in here or "new_bank" not in here
        here = web.post(here, answers)["Location"]

    assert here == "/enroll/1234/profiles/"


# --- One bank profile ----------------------------------------------------------------------------


def test_a_profile_shows_its_details_masked(web, bank):
    # R59
    response = web.get(address("bank", bank))

    text = words(response)
    assert "Nordvik IT AB" in text
    assert "Maria Petersson" in text
    assert "ending in 0003" in text
    assert IBAN not in page(response).replace(" ", "")
    assert "50000000054910" not in page(response)


def test_a_profile_shows_who_sent_it_and_when(web, bank, ida):
    text = words(web.get(address("bank", bank)))

    assert "Sent by Ida Lund," in text
    assert "Decided by the program owner," in text
    assert bank.versions.get().decided_by.full_name not in text


def test_a_returned_profile_shows_each_reason_at_its_field(web, nordvik, ida):
    # R41
    bank = BankProfileFactory(
        partner_account=nordvik,
        created_by=ida,
        version__was_returned=True,
        version__returned=RETURNED,
    )

    response = web.get(address("bank", bank))

    text, html = words(response), page(response)
    assert "Use the exact registered name, as the bank has it." in text
    assert "Example: Nordvik" in text
    assert "Give the visiting address &lt;b&gt;now&lt;/b&gt;." in html
    assert "The document cannot be read." in text
    begin = address("change_bank", bank)
    assert f'href="{begin}#id_account_holder"' in html
    assert f'href="{begin}#id_street"' in html
    form = page(web.get(begin))
    for field in ("account_holder", "street", "document"):
        assert f'id="id_{field}"' in form
    # The first step with a reason; it stands at its field there too.
    assert web.post(begin, SWEDEN)["Location"] == address("change_bank_account", bank)
    step = words(web.get(address("change_bank_account", bank)))
    assert "Use the exact registered name, as the bank has it." in step


def test_two_current_versions_are_told_apart(web, bank, ida):
    # R44
    BankVersionFactory(
        profile=bank,
        number=2,
        pending=True,
        submitted_by=ida,
        details={**BANK_DETAILS, "street": "Nygatan 2"},
    )

    text = words(web.get(address("bank", bank)))

    assert "Approved New version pending" in text
    assert text.index("Waiting for validation") < text.index("Nygatan 2")
    assert text.index("In force") < text.index("Storgatan 1")
    assert "The version in force stays until this one is approved." in text


def test_a_profile_with_a_long_history_asks_no_more_often(web, bank, ida):
    few = queries_of(web, address("bank", bank))
    for number in range(2, 8):
        BankVersionFactory(
            profile=bank, number=number, status="replaced", submitted_by=UserFactory()
        )

    assert queries_of(web, address("bank", bank)) == few


def queries_of(web, url) -> int:
    web.get(url)
    with CaptureQueriesContext(connection) as queries:
        assert web.get(url).status_code == 200
    return len(queries)


# --- A change ------------------------------------------------------------------------------------


def test_a_change_starts_from_what_was_sent_without_its_number(web, bank):
    # R59
    change(web, bank, {}, steps=["change_bank"])
    html = page(web.get(address("change_bank_account", bank)))

    assert 'value="Nordvik IT AB"' in html
    assert re.search(r'<input[^>]*name="iban"[^>]*>', html)
    assert not re.search(r'<input[^>]*name="iban"[^>]*value=', html)
    assert "0003" in html
    assert "50000000054910" not in html.replace("\u00a0", "")


def test_a_change_waits_beside_the_version_in_force(web, bank, ida):
    # R44
    response = change(web, bank, {**BANK_DETAILS, "iban": OTHER_IBAN})

    assert response["Location"] == address("bank", bank)
    assert bank.versions.get(number=1).is_approved
    assert bank.versions.get(number=2).is_pending
    assert bank.versions.get(number=2).submitted_by == ida


def test_what_is_in_force_is_not_sent_again(web, bank):
    response = change(web, bank, BANK_DETAILS)

    assert response.status_code == 422
    assert "There is nothing to send." in words(response)
    assert bank.versions.count() == 1


def test_sent_twice_a_change_is_one_version(web, bank):
    for _click in range(2):
        change(web, bank, {**BANK_DETAILS, "iban": OTHER_IBAN})

    assert bank.versions.count() == 2


def test_a_change_says_what_happens_to_what_is_in_force(web, bank):
    text = words(web.get(address("change_bank", bank)))

    assert "The approved version stays in force until the new one is approved." in text


def test_a_change_of_what_waits_says_that_it_is_replaced(web, nordvik, ida):
    bank = BankProfileFactory(
        partner_account=nordvik, created_by=ida, version__pending=True
    )

    text = words(web.get(address("change_bank", bank)))

    assert "The version that Ida Lund sent on" in text
    assert "What you send now replaces it" in text


def test_the_country_of_the_bank_can_be_changed(web, bank):
    british = {
        **BANK_DETAILS,
        "sort_code": "20-00-00",
        "account_number": "55779911",
        "bank_name": "Test Bank",
    }
    assert '<option value="SE" selected>' in page(web.get(address("change_bank", bank)))
    change(web, bank, {}, country="GB", steps=["change_bank"])
    second_step = page(web.get(address("change_bank_account", bank)))
    assert 'name="sort_code"' in second_step
    assert 'name="iban"' not in second_step
    assert IBAN[-4:] not in second_step

    change(web, bank, british, country="GB")

    assert bank.versions.get(number=2).country == "GB"


def test_a_change_is_a_draft_of_its_own_and_says_what_it_does(
    web, client_of, bank, ida, nordvik
):
    """What is right already is not asked again; nobody else sees it (R44)."""
    assert web.get(address("change_bank_account", bank)).status_code == 302
    change(web, bank, {}, steps=["change_bank"])
    two = ["change_bank_account"]
    filled = change(web, bank, BANK_DETAILS | {"iban": OTHER_IBAN}, steps=two)
    assert filled["Location"] == address("check_bank_change", bank)

    check = words(web.get(address("check_bank_change", bank)))
    assert "The approved version stays in force until the new one is approved." in check
    assert "This changes the account in force. Two operators have to" in check
    assert bank.versions.count() == 1
    colleague = RoleAssignmentFactory(partner_account=nordvik).user
    elsewhere = client_of(colleague).get(address("check_bank_change", bank))
    assert elsewhere["Location"] == address("change_bank", bank)
    web.post(address("discard_bank_change", bank))
    assert not BankProfileDraft.objects.exists()


def test_an_archived_profile_is_not_changed(web, bank, ida):
    archived = {"archived_at": timezone.now(), "archived_by": ida}
    BankProfile.objects.filter(pk=bank.pk).update(**archived)

    response = web.post(address("change_bank", bank), SWEDEN, follow=True)

    assert "is archived and cannot be changed" in words(response)
    assert address("change_bank", bank) not in page(response)
    assert bank.versions.count() == 1


def test_archived_while_the_form_was_open_says_so(web, bank, ida):
    change(web, bank, BANK_DETAILS | {"iban": OTHER_IBAN}, steps=STEPS[:3])
    BankProfile.objects.filter(pk=bank.pk).update(
        archived_at=timezone.now(), archived_by=ida
    )

    response = web.post(address("check_bank_change", bank), AGREED)

    assert response.status_code == 422
    assert "This profile is archived." in words(response)
    assert BankProfileDraft.objects.get().details["iban"] == OTHER_IBAN


def test_who_looks_after_one_location_does_not_change_what_pays_another(
    web, bank, malmo
):
    """Seen, explained, not changed: the change would redirect Malmö's payments."""
    DefaultBankProfileFactory(location=malmo, bank_profile=bank)

    response = web.get(address("bank", bank))

    assert response.status_code == 200
    assert address("change_bank", bank) not in page(response)
    assert address("archive_bank", bank) not in page(response)
    assert "Whoever looks after all of them can change it." in words(response)
    assert web.get(address("change_bank", bank)).status_code == 403


# --- Archiving -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bank", "tax"])
def test_archiving_is_asked_first(web, bank, tax, kind):
    # R53
    row = {"bank": bank, "tax": tax}[kind]

    response = web.get(address(f"archive_{kind}", row))
    row.refresh_from_db()
    assert "Archiving cannot be taken back" in words(response)
    assert row.archived_at is None

    response = web.post(address(f"archive_{kind}", row), follow=True)
    row.refresh_from_db()
    assert row.is_archived
    assert f"{row.name} is archived." in words(response)
    assert "It is archived already." in words(web.get(address(f"archive_{kind}", row)))


def test_a_default_is_not_archived_and_the_page_says_why(web, bank, goteborg):
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)

    response = web.post(address("archive_bank", bank))

    bank.refresh_from_db()
    assert response.status_code == 422
    assert "This is the default bank profile of 1 location." in words(response)
    assert bank.archived_at is None


def test_whoever_uses_a_profile_can_refuse_its_archiving(web, bank):
    def refuse(sender, **kwargs):
        raise ValidationError("Three enrollments use it.")

    profile_archived.connect(refuse)
    try:
        response = web.post(address("archive_bank", bank))
    finally:
        profile_archived.disconnect(refuse)

    bank.refresh_from_db()
    assert response.status_code == 422
    assert "Three enrollments use it." in words(response)
    assert bank.archived_at is None


# --- Tax profiles --------------------------------------------------------------------------------


def test_each_step_leads_back_to_its_own_list(web, goteborg):
    for name, listed in (("new_bank", "list"), ("new_tax", "tax_list")):
        for query in ({}, {"country": "SE"}):
            back = f'class="back" href="{address(listed)}"'
            assert back in page(web.get(address(name, **query)))


def test_the_locations_country_is_proposed(web, nordvik, ida):
    place = LocationFactory(partner_account=nordvik, country="GB")
    RoleAssignmentFactory(user=ida, partner_account=nordvik, location=place)

    html = page(web.get(address("new_tax", location=place.pk)))

    assert '<option value="GB" selected>' in html
    assert f'<option value="{place.pk}" selected>' in html


def test_a_tax_number_is_shown_masked(web, goteborg, ida):
    # R59
    held = {**TAX_DETAILS, "org_number": "5560360793", "vat": "SE556036079301"}
    tax = TaxProfileFactory(location=goteborg, created_by=ida, version__details=held)

    shown = page(web.get(address("tax", tax)))
    form = page(web.get(address("change_tax", tax)))

    assert "ending in 0793" in shown
    for number in ("5560360793", "556036-0793", "556036079301"):
        assert number not in shown.replace(" ", "")
        assert number not in form.replace(" ", "")


def test_an_expired_tax_profile_is_renewed(web, goteborg, ida):
    # R54
    tax = TaxProfileFactory(
        location=goteborg,
        created_by=ida,
        version__expires_on=timezone.localdate() - datetime.timedelta(days=1),
    )
    shown = words(web.get(address("tax", tax)))
    assert "Expired" in shown
    assert "Renew" in shown


def test_a_program_that_needs_more_asks_for_the_extra_detail_only(web, tax):
    # R55
    url = address("change_tax", tax, need="vat", next="/enroll/1/profiles/")
    form = page(web.get(url))
    assert 'name="vat"' in form
    assert 'name="org_number"' not in form
    assert 'name="street"' not in form

    wrong = web.post(url, {"vat": ""})
    assert wrong.status_code == 422
    assert "Enter VAT number" in words(wrong)

    response = web.post(url, {"vat": "se 559999066901"})
    assert response["Location"] == "/enroll/1/profiles/"
    newest = tax.versions.get(number=2)
    assert newest.details["vat"] == "SE559999066901"
    assert newest.details["org_number"] == TAX_DETAILS["org_number"]


@pytest.mark.parametrize("need", ["", "shoe", "org_number", "vat,", ",,"])
def test_what_is_there_or_unknown_is_not_asked_as_extra(web, tax, need):
    response = web.get(reverse("profiles:change_tax", args=[tax.pk]), {"need": need})

    assert response.status_code == 200
    assert ("Begin" in words(response)) is (need != "vat,")


def test_a_returned_tax_profile_is_mended_whole(web, goteborg, ida):
    tax = TaxProfileFactory(
        location=goteborg, created_by=ida, version__was_returned=True
    )

    form = page(web.get(address("change_tax", tax, need="vat")))

    assert 'name="vat"' not in form
    assert "Enter the name exactly as the company register has it." in form


def test_a_tax_profile_shows_two_versions(web, tax, ida):
    TaxVersionFactory(profile=tax, number=2, pending=True, submitted_by=ida)

    assert "Approved New version pending" in words(web.get(address("tax", tax)))


# --- Defaults ------------------------------------------------------------------------------------


def choice(bank, *places, currency="SEK"):
    return {
        "bank_profile": bank.pk,
        "currency": currency,
        "locations": [place.pk for place in places],
    }


def test_a_default_is_set_and_the_location_no_longer_offered(web, bank, goteborg):
    # R51
    offered = f'name="locations" value="{goteborg.pk}"'
    assert offered in page(web.get(address("defaults")))

    response = web.post(address("defaults"), choice(bank, goteborg), follow=True)

    text = words(response)
    assert "Nordvik main in SEK is the default of Göteborg." in text
    assert offered not in page(response)
    assert DefaultBankProfile.objects.get().bank_profile == bank


def test_a_location_with_a_default_is_moved_here(web, bank, nordvik, goteborg):
    # experience.md P13
    present = BankProfileFactory(partner_account=nordvik, name="Old one")
    DefaultBankProfileFactory(location=goteborg, bank_profile=present, currency="SEK")
    path = reverse("profiles:defaults")
    assert "now Old one in SEK" in words(web.get(path))
    typed = {"bank_profile": bank.pk, "currency": "SEK"}

    assert web.post(path, typed).status_code == 422
    assert web.post(path, typed | {"locations": goteborg.pk}).status_code == 422
    # Not from another one than was looked at.
    typed |= {"moving": goteborg.pk}
    for seen in ("", f"{goteborg.pk}:{bank.pk}"):
        refused = web.post(path, typed | {"seen": seen})
        assert refused.status_code == 422
        assert "has another default since you looked: Old one." in words(refused)
        assert DefaultBankProfile.objects.get().bank_profile == present
    web.post(path, typed | {"seen": refused.context["form"].shown})

    assert DefaultBankProfile.objects.get().bank_profile == bank
    told = AuditEvent.objects.filter(action__startswith="default_")
    assert list(told.order_by("pk").values_list("action", flat=True)) == [
        "default_removed",
        "default_set",
    ]


def test_a_removed_default_offers_the_location_again(web, bank, goteborg):
    # R51
    default = DefaultBankProfileFactory(location=goteborg, bank_profile=bank)

    response = web.post(address("remove_default", default), follow=True)

    assert "Göteborg has no default bank profile now." in words(response)
    assert f'name="locations" value="{goteborg.pk}"' in page(response)
    assert web.post(address("remove_default", default)).status_code == 404


@pytest.mark.parametrize("missing", ["bank_profile", "currency", "locations"])
def test_the_server_refuses_what_is_missing(web, bank, goteborg, missing):
    # R50
    data = choice(bank, goteborg)
    del data[missing]

    response = web.post(address("defaults"), data)

    assert response.status_code == 422
    assert "There is a problem" in words(response)
    assert "<button disabled" not in page(response)
    assert not DefaultBankProfile.objects.exists()


def test_a_default_that_was_set_meanwhile_is_named(web, bank, goteborg):
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank, currency="EUR")

    response = web.post(address("defaults"), choice(bank, goteborg))

    assert response.status_code == 422
    assert "Göteborg: a default is set already. Remove it first." in words(response)
    assert DefaultBankProfile.objects.get().currency == "EUR"


def test_an_account_that_pays_elsewhere_can_become_a_default(
    web, bank, goteborg, malmo
):
    # R46: using an account is not changing it.
    DefaultBankProfileFactory(location=malmo, bank_profile=bank)

    web.post(address("defaults"), choice(bank, goteborg))

    assert bank.defaults.filter(location=goteborg).exists()


def test_only_ones_own_locations_are_listed_and_removed(web, bank, malmo):
    # R8
    default = DefaultBankProfileFactory(location=malmo, bank_profile=bank)

    assert "Malmö" not in words(web.get(address("defaults")))
    assert web.post(address("remove_default", default)).status_code == 404
    assert DefaultBankProfile.objects.exists()


def test_removing_is_no_link(web, bank, goteborg):
    default = DefaultBankProfileFactory(location=goteborg, bank_profile=bank)

    looked = web.get(address("remove_default", default))

    assert looked.url == address("defaults")
    assert DefaultBankProfile.objects.exists()


def test_without_a_bank_profile_the_page_says_what_to_add_first(web, goteborg):
    response = web.get(address("defaults"))

    assert "Add one first; then it can become a default." in words(response)
    assert address("new_bank") in page(response)
    assert "<button disabled" not in page(response)


# --- Swedish, and helpers -----------------------------------------------------------------------


def test_pages_speak_the_readers_language(client_of, ida, bank):
    # R70
    ida.language = "sv"
    ida.save()

    html = page(client_of(ida).get(address("bank", bank)))

    assert '<html lang="sv"' in html
    assert "Godkänd" in html


def test_a_whole_company_admin_sees_every_location(client_of, nordvik, goteborg, malmo):
    person = RoleAssignmentFactory(
        role=Role.INCENTIVES_ADMIN, partner_account=nordvik
    ).user
    for place in (goteborg, malmo):
        TaxProfileFactory(location=place, name=f"Tax {place.name}")

    text = words(client_of(person).get(address("tax_list")))

    assert "Tax Göteborg" in text
    assert "Tax Malmö" in text


def test_from_a_new_profile_to_its_approval_and_back(client_of, web, oscar, lucia, ida):
    """The whole life: sent, returned, mended, approved."""
    fill(web, "new_bank", "bank_account", "bank_beneficiary", "check_bank")
    bank = BankProfile.objects.get()
    return_version(bank.versions.get(), returned=RETURNED[:1], by=oscar)
    assert "Action required" in words(web.get(address("list")))

    change(web, bank, {**BANK_DETAILS, "account_holder": "Nordvik AB"})
    for operator in (oscar, lucia):
        assert "Pending validation" in words(web.get(address("list")))
        approve_version(bank.versions.get(number=2), by=operator)

    assert "Approved" in words(web.get(address("list")))
    assert bank.versions.get(number=1).status == "replaced"
