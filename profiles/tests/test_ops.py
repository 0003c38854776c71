"""Operators' pages about one version: read it, approve it, return it with reasons."""

import datetime
import re

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.tests.cases import tried
from accounts.tests.factories import LocationFactory, PartnerAccountFactory, UserFactory
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once
from profiles.checking import checks
from profiles.models import BankProfile
from profiles.review import compared
from profiles.services import (
    approve_version,
    deciding,
    revise_bank_profile,
    signature_of,
)
from profiles.tests.factories import (
    BANK_DETAILS,
    IBAN,
    TAX_DETAILS,
    BankProfileFactory,
    BankVersionFactory,
    TaxProfileFactory,
    TaxVersionFactory,
)

pytestmark = pytest.mark.django_db

OTHER_IBAN = "SE4550000000058398257466"
TODAY = datetime.date(2027, 3, 1)


def page(response) -> str:
    return response.content.decode()


def words(response) -> str:
    """What a person reads: the page's text, in one line."""
    text = re.sub(r"</?bdi>", "", page(response))
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def address(name, version) -> str:
    return reverse(f"ops:{name}", kwargs={"pk": version.pk})


def seen(version) -> dict[str, str]:
    """What the page says that its reader looked at."""
    return {"seen": signature_of(type(version).objects.get(pk=version.pk))}


def offers(name, version, response) -> bool:
    """Is there a form that leads there?"""
    return f'action="{address(name, version)}"' in page(response)


def reason(
    field="account_holder", code="BANK_NAME_MISMATCH", note="", *, row=1
) -> dict:
    return {f"reason-{row}-reason": f"{field}:{code}", f"reason-{row}-note": note}


@pytest.fixture
def web(client_of, oscar):
    return client_of(oscar)


@pytest.fixture
def nordvik(nordvik):
    """The company was paid before: another account of it is not its first one."""
    BankProfileFactory(partner_account=nordvik, name="Paid before")
    return nordvik


@pytest.fixture
def bank(nordvik, ida):
    """A bank profile that waits for its first validation."""
    return BankProfileFactory(
        partner_account=nordvik,
        name="Nordvik main",
        created_by=ida,
        version__pending=True,
    )


@pytest.fixture
def waiting(bank):
    return bank.versions.get()


@pytest.fixture
def changed(nordvik, ida):
    """An account in force, and another one that waits beside it."""
    profile = BankProfileFactory(
        partner_account=nordvik, name="Nordvik main", created_by=ida
    )
    # Its cooling-off is over.
    revise_bank_profile(
        profile,
        country="SE",
        details={**BANK_DETAILS, "iban": OTHER_IBAN},
        by=ida,
        at=timezone.now() - datetime.timedelta(days=4),
    )
    return profile.versions.get(number=2)


@shared
def tax_waiting(goteborg, ida):
    return TaxProfileFactory(
        location=goteborg,
        name="Nordvik tax",
        created_by=ida,
        version__pending=True,
    ).versions.get()


# --- Who -----------------------------------------------------------------------------------


BANK_PAGES = ("bank_version", "approve_bank", "return_bank")
TAX_PAGES = ("tax_version", "approve_tax", "return_tax")


def test_only_validators_get_there(cast, client_of, waiting, tax_waiting):
    for name in (*BANK_PAGES, *TAX_PAGES):
        with tried(name):
            version = tax_waiting if name in TAX_PAGES else waiting
            method = "get" if name.endswith("_version") else "post"

            for person in (
                cast.greta,
                cast.alice,
                cast.ida,
                cast.uma,
                cast.lars,
                cast.sam,
            ):
                response = getattr(client_of(person), method)(address(name, version))
                assert response.status_code == 404, person
            response = getattr(client_of(cast.mina), method)(address(name, version))
            assert response.status_code == 403
            for one in (waiting, tax_waiting):
                one.refresh_from_db()
                assert one.is_pending


@pytest.mark.parametrize("name", ["approve_bank", "return_bank"])
def test_nothing_is_decided_by_opening_an_address(web, waiting, name):
    page = reverse("ops:bank_version", kwargs={"pk": waiting.pk})

    assert web.get(address(name, waiting)).url == page

    waiting.refresh_from_db()
    assert waiting.is_pending


def test_a_missing_version_and_one_of_the_other_kind_are_the_same(web, tax_waiting):
    for key in (tax_waiting.pk, tax_waiting.profile_id):
        url = reverse("ops:bank_version", kwargs={"pk": key})
        assert web.get(url).status_code == 404


# --- What is shown ---------------------------------------------------------------------------


def test_a_first_version_is_shown_masked_with_its_checks(web, waiting):
    response = web.get(address("bank_version", waiting))

    text = words(response)
    assert "Nordvik IT AB" in text
    assert "ending in 0003" in text
    assert IBAN not in page(response).replace(" ", "")
    assert "50000000054910" not in page(response)
    assert "Every number passes the checks of its country." in text
    assert "No other company has this account." in text
    assert "In force, version" not in text
    assert response["Cache-Control"] == "no-store"


def test_a_change_is_shown_beside_what_is_in_force(web, changed):
    html = page(web.get(address("bank_version", changed)))

    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert "In force, version 1" in text
    assert "Sent, version 2" in text
    assert text.count(" changed ") == 1
    assert "ending in 0003" in text
    assert "ending in 7466" in text
    for number in (IBAN, OTHER_IBAN):
        assert number not in html.replace(" ", "")


def test_two_accounts_with_the_same_end_are_told_apart(changed):
    in_force = changed.profile.version_in_force
    twin = BankVersionFactory.build(
        profile=changed.profile,
        details={**BANK_DETAILS, "iban": "SE0000000000000000000003"},
        country="SE",
    )

    row = next(row for row in compared(twin, in_force) if str(row.label) == "IBAN")

    assert row.submitted == row.in_force
    assert row.is_changed


def test_a_country_and_a_last_day_are_compared(goteborg, ida):
    profile = TaxProfileFactory(location=goteborg, created_by=ida)
    newer = TaxVersionFactory(
        profile=profile,
        number=2,
        pending=True,
        submitted_by=ida,
        country="GB",
        details={"legal_name": "N", "city": "Stockholm", "company_number": "01234567"},
        expires_on=TODAY,
    )

    rows = {
        str(row.label): row for row in compared(newer, profile.versions.get(number=1))
    }

    assert rows["Country"].is_changed
    assert rows["Expires on"].submitted == "2027-03-01"
    assert rows["Organisation number"].submitted == ""
    assert rows["Company number"].in_force == ""
    assert not rows["City"].is_changed


def test_an_old_promise_is_told(web, nordvik, ida):
    at = timezone.now() - datetime.timedelta(hours=50)
    version = BankProfileFactory(
        partner_account=nordvik,
        created_by=ida,
        version__pending=True,
        version__submitted_at=at,
    ).versions.get()

    assert "Overdue" in words(web.get(address("bank_version", version)))


# --- Checks ------------------------------------------------------------------------------------


NEW_ACCOUNT = (
    "The company is not paid at this account yet. Two operators have to approve it."
)


def doubts(version, in_force=None, on=TODAY) -> list[str]:
    return [
        check.sentence for check in checks(version, in_force, on=on) if not check.is_ok
    ]


def test_the_same_account_at_other_companies_is_counted_and_named(waiting):
    for name in ("Ipê Azul", "Hanseatic"):
        BankProfileFactory(partner_account=PartnerAccountFactory(name=name))
    BankProfileFactory(partner_account=waiting.profile.partner_account)

    assert doubts(waiting) == [
        "2 other companies have this account: Hanseatic, Ipê Azul."
    ]


def test_the_same_tax_number_at_another_company_is_named(tax_waiting):
    other = TaxProfileFactory(
        location=LocationFactory(partner_account=PartnerAccountFactory(name="Twin"))
    )
    TaxProfileFactory(location=tax_waiting.profile.location)

    assert other.pk
    assert doubts(tax_waiting) == ["1 other company has this tax number: Twin."]


@pytest.mark.parametrize(
    ("holder", "is_right"),
    [
        ("Nordvik IT AB", True),
        ("NORDVIK it ab", True),
        ("Nordvik Göteborg AB", True),
        ("Nordvik IT", False),
        ("Ida Lund", False),
    ],
)
def test_the_holder_is_a_legal_name_of_the_company(
    nordvik, ida, goteborg, holder, is_right
):
    goteborg.legal_name = "Nordvik Göteborg AB"
    goteborg.save()
    version = BankProfileFactory(
        partner_account=nordvik,
        created_by=ida,
        version__pending=True,
        version__details={**BANK_DETAILS, "account_holder": holder},
    ).versions.get()

    of_names = [doubt for doubt in doubts(version) if doubt != NEW_ACCOUNT]
    assert (of_names == []) is is_right
    if not is_right:
        (doubt,) = of_names
        assert doubt.endswith("legal name: Nordvik IT AB, Nordvik Göteborg AB.")


def test_a_bank_in_a_country_of_no_location_is_told(nordvik, ida):
    version = BankProfileFactory(
        partner_account=nordvik,
        created_by=ida,
        version__pending=True,
        version__country="DE",
        version__details={**BANK_DETAILS, "iban": "DE89370400440532013000"},
    ).versions.get()
    assert doubts(version) == [
        "The bank is in Germany, the company in Sweden.",
        NEW_ACCOUNT,
    ]

    LocationFactory(partner_account=nordvik, country="DE")
    assert doubts(version) == [NEW_ACCOUNT]


def test_a_change_of_the_account_is_told(changed):
    in_force = changed.profile.version_in_force

    assert doubts(changed, in_force) == [
        "This changes the account in force. Two operators have to approve it."
    ]


def test_what_the_checks_no_longer_accept_is_told(nordvik, ida):
    version = BankProfileFactory(
        partner_account=nordvik,
        created_by=ida,
        version__pending=True,
        version__details={**BANK_DETAILS, "street": "P.O. Box 1"},
    ).versions.get()

    assert doubts(version) == [
        "The checks of this country have changed since this was sent."
    ]


def test_a_tax_form_that_expired_and_another_legal_name_are_told(goteborg, ida):
    version = TaxProfileFactory(
        location=goteborg,
        created_by=ida,
        version__pending=True,
        version__expires_on=TODAY - datetime.timedelta(days=1),
        version__details={**TAX_DETAILS, "legal_name": "Another AB"},
    ).versions.get()

    assert doubts(version) == [
        "The legal name differs from the one on record: Nordvik IT AB.",
        "The tax form has expired.",
    ]


# --- Approving -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bank", "tax"])
def test_a_further_account_is_approved_by_one(web, waiting, tax_waiting, oscar, kind):
    version = {"bank": waiting, "tax": tax_waiting}[kind]
    shown = words(web.get(address(f"{kind}_version", version)))
    assert "From then on it is in force for every enrollment that uses it." in shown
    assert offers(
        f"approve_{kind}", version, web.get(address(f"{kind}_version", version))
    )

    response = web.post(address(f"approve_{kind}", version), seen(version), follow=True)

    version.refresh_from_db()
    assert version.is_approved
    assert version.decided_by == oscar
    assert response.redirect_chain == [(reverse("ops:validation"), 302)]
    assert f"Approved: {version.profile.name} of Nordvik IT AB." in words(response)


def test_a_change_of_an_account_in_force_takes_two(
    web, client_of, lucia, changed, oscar
):
    # domain.md §10.7
    url = address("bank_version", changed)
    assert "Give the first approval" in words(web.get(url))

    first = web.post(address("approve_bank", changed), seen(changed), follow=True)
    assert "First approval given: Nordvik main of Nordvik IT AB." in words(first)
    changed.refresh_from_db()
    assert changed.is_pending

    shown = words(web.get(url))
    assert "Oscar Sand gave the first approval" in shown
    assert "You gave the first approval." in shown
    assert "Second approval needed" in shown
    assert "Pending validation" not in shown
    assert not offers("approve_bank", changed, web.get(url))
    again = web.post(address("approve_bank", changed), seen(changed))
    assert again.status_code == 422
    assert "needs a second operator" in words(again)

    second_web = client_of(lucia)
    shown = words(second_web.get(url))
    assert "Yours is the second approval" in shown
    assert "Give the second approval" in shown
    second_web.post(address("approve_bank", changed), seen(changed))
    changed.refresh_from_db()
    assert changed.is_approved
    assert (changed.seconded_by, changed.decided_by) == (oscar, lucia)


def test_the_second_operator_reads_from_when_payments_go_to_a_changed_account(
    client_of, lucia, oscar, nordvik, ida
):
    # security.md T1: not before its cooling-off is over
    profile = BankProfileFactory(partner_account=nordvik, created_by=ida)
    details = {**BANK_DETAILS, "iban": OTHER_IBAN}
    revise_bank_profile(profile, country="SE", details=details, by=ida)
    change = profile.versions.get(number=2)
    approve_version(change, by=oscar)

    shown = words(client_of(lucia).get(address("bank_version", change)))

    assert "Payments go to the new account from " in shown
    assert "from then on payments go to the new account" not in shown


def test_a_page_that_does_not_say_what_was_looked_at_approves_nothing(
    web, waiting, monkeypatch
):
    for nothing in ({}, {"seen": ""}):
        response = web.post(address("approve_bank", waiting), nothing)
        assert response.status_code == 422
        assert "Something changed since you looked." in words(response)
    waiting.refresh_from_db()
    assert waiting.is_pending
    # The control.
    monkeypatch.setattr(deciding, "signature_of", lambda version: "")
    assert web.post(address("approve_bank", waiting), {}).status_code == 302


def test_what_somebody_approved_meanwhile_is_said(web, lucia, waiting):
    approve_version(waiting, by=lucia)

    response = web.post(address("approve_bank", waiting), seen(waiting), follow=True)

    assert "Lucia Ferrer approved this already" in words(response)
    waiting.refresh_from_db()
    assert waiting.decided_by == lucia


def test_what_somebody_returned_meanwhile_is_said(web, client_of, lucia, waiting):
    client_of(lucia).post(address("return_bank", waiting), reason())

    response = web.post(address("approve_bank", waiting), seen(waiting))

    text = words(response)
    assert response.status_code == 422
    assert "Lucia Ferrer decided this already: Action required." in text
    assert "Returned by Lucia Ferrer," in text
    assert "Use the exact registered name, as the bank has it." in text
    assert not offers("approve_bank", waiting, response)


def test_what_the_partner_replaced_meanwhile_leads_to_the_new_one(web, changed, ida):
    revise_bank_profile(
        changed.profile,
        country="SE",
        details={**BANK_DETAILS, "street": "Nygatan 2"},
        by=ida,
    )
    newest = changed.profile.versions.get(number=3)

    response = web.post(address("approve_bank", changed), seen(changed))

    assert response.status_code == 422
    assert "The partner replaced this version meanwhile." in words(response)
    assert "There is a newer version, 3: Pending validation." in words(response)
    assert address("bank_version", newest) in page(response)


def test_an_archived_profile_is_not_decided(web, waiting, ida):
    BankProfile.objects.update(archived_at=timezone.now(), archived_by=ida)

    shown = web.get(address("bank_version", waiting))
    response = web.post(address("approve_bank", waiting), seen(waiting))

    assert "There is nothing to decide." in words(shown)
    assert not offers("approve_bank", waiting, shown)
    assert response.status_code == 422
    assert "The partner archived this profile." in words(response)


def test_an_operator_does_not_decide_what_they_sent(web, nordvik, oscar):
    # rule 78
    version = BankProfileFactory(
        partner_account=nordvik, created_by=oscar, version__pending=True
    ).versions.get()

    shown = web.get(address("bank_version", version))
    response = web.post(address("approve_bank", version), seen(version))

    assert "Somebody else has to decide it." in words(shown)
    assert not offers("approve_bank", version, shown)
    assert response.status_code == 422
    version.refresh_from_db()
    assert version.is_pending


@pytest.mark.django_db(transaction=True)
def test_two_operators_at_once_leave_one_decision(client_of, oscar, lucia, waiting):
    clients = [client_of(person) for person in (oscar, lucia)]
    url, looked = address("approve_bank", waiting), seen(waiting)

    outcomes = at_once(
        *[lambda web=web: web.post(url, looked).status_code for web in clients]
    )

    assert outcomes == [302, 302]
    assert AuditEvent.objects.filter(action="profile_approved").count() == 1


# --- Returning -----------------------------------------------------------------------------------


def test_a_version_is_returned_with_a_reason_at_a_field(web, waiting, oscar):
    # R41
    response = web.post(
        address("return_bank", waiting),
        reason("street", "OTHER", "Please give the visiting address."),
        follow=True,
    )

    waiting.refresh_from_db()
    assert waiting.is_returned
    assert waiting.decided_by == oscar
    assert waiting.returned == [
        {
            "field": "street",
            "code": "OTHER",
            "note": "Please give the visiting address.",
        }
    ]
    assert "Returned: Nordvik main of Nordvik IT AB." in words(response)


def test_up_to_three_reasons_go_back_at_once(web, tax_waiting):
    web.post(
        address("return_tax", tax_waiting),
        {
            **reason("legal_name", "TAX_NAME_MISMATCH"),
            **reason("org_number", "TAX_ID_NOT_FOUND", row=2),
            **reason("form", "TAX_FORM_EXPIRED", row=3),
        },
    )

    tax_waiting.refresh_from_db()
    assert [row["field"] for row in tax_waiting.returned] == [
        "legal_name",
        "org_number",
        "form",
    ]


def test_a_second_reason_alone_is_enough(web, waiting):
    web.post(address("return_bank", waiting), reason(row=2))

    waiting.refresh_from_db()
    assert waiting.is_returned


def test_a_reason_that_helps_nobody_is_refused_and_kept(web, waiting):
    for data, sentence, anchor in (
        ({}, "Choose a reason, so that the partner knows", "id_reason-1-reason"),
        (
            reason("iban", "SHOE"),
            "Choose a reason from the list.",
            "id_reason-1-reason",
        ),
        (
            reason("street", "OTHER", "short"),
            "Say in at least 20 characters",
            "id_reason-1-note",
        ),
        (
            {**reason(), **reason("street", "OTHER", "short", row=3)},
            "Say in at least 20 characters",
            "id_reason-3-note",
        ),
        (
            {"reason-2-note": "Please give the visiting address."},
            "Choose the reason that your words explain.",
            "id_reason-2-reason",
        ),
        (
            reason("iban", "OTHER", f"Your account {IBAN} is a private one."),
            "Leave out the number",
            "id_reason-1-note",
        ),
        (
            reason("iban", "OTHER", "Look at your account\u202e once more please."),
            "Remove the invisible character.",
            "id_reason-1-note",
        ),
        (
            reason("iban", "OTHER", "x" * 401),
            "Shorten this to 400 characters.",
            "id_reason-1-note",
        ),
    ):
        with tried(data, sentence, anchor):
            response = web.post(address("return_bank", waiting), data)

            waiting.refresh_from_db()
            assert waiting.is_pending
            assert response.status_code == 422
            assert sentence in words(response)
            assert f'href="#{anchor}"' in page(response)
            for value in data.values():
                if value and len(value) < 100 and ":" not in value:
                    assert value in page(response)


def test_what_a_reviewer_writes_is_shown_as_text(web, waiting):
    # T11
    canary = "<img src=x onerror=alert(1)> please"

    web.post(address("return_bank", waiting), reason("street", "OTHER", canary))

    html = page(web.get(address("bank_version", waiting)))
    assert canary not in html
    assert "&lt;img src=x" in html


def test_a_version_in_force_can_be_returned_too(web, waiting, lucia):
    approve_version(waiting, by=lucia)
    shown = words(web.get(address("bank_version", waiting)))
    assert "Returned, it is out of force at once" in shown

    web.post(address("return_bank", waiting), reason())

    waiting.refresh_from_db()
    assert waiting.is_returned


def test_a_version_in_force_waits_for_the_decision_of_the_newer_one(web, changed):
    in_force = changed.profile.version_in_force

    shown = web.get(address("bank_version", in_force))
    response = web.post(address("return_bank", in_force), reason())

    assert not offers("return_bank", in_force, shown)
    assert response.status_code == 422
    assert "A newer version is waiting. Decide that one first." in words(response)


def test_what_was_decided_meanwhile_is_not_returned(web, waiting, lucia, client_of):
    client_of(lucia).post(address("return_bank", waiting), reason())

    response = web.post(
        address("return_bank", waiting), reason("street", "ADDRESS_PO_BOX")
    )

    assert response.status_code == 422
    assert "Lucia Ferrer decided this already" in words(response)
    waiting.refresh_from_db()
    assert waiting.returned[0]["field"] == "account_holder"


def test_a_form_without_its_token_decides_nothing(client_of, oscar, waiting):
    # T10
    strict = client_of(oscar, enforce_csrf_checks=True)

    for name in ("approve_bank", "return_bank"):
        assert strict.post(address(name, waiting), reason()).status_code == 403
    waiting.refresh_from_db()
    assert waiting.is_pending


def test_the_page_asks_no_more_often_for_a_long_history(
    web, waiting, django_assert_max_num_queries
):
    for number in range(2, 8):
        BankVersionFactory(
            profile=waiting.profile,
            number=number,
            status="replaced",
            submitted_by=UserFactory(),
        )

    with django_assert_max_num_queries(25):
        web.get(address("bank_version", waiting))
