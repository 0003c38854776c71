"""What the portal checks: reviewers and partners read the same, but of other companies."""

import datetime
import re

import pytest
from django.urls import reverse
from django.utils import timezone

from profiles import bank_drafting, drafting
from profiles.checking import checks, foreseen
from profiles.services.approvals import needs_second_operator
from profiles.tests.factories import (
    BANK_DETAILS,
    IBAN,
    BankProfileDraftFactory,
    BankProfileFactory,
    BankVersionFactory,
    TaxDocumentFactory,
    TaxProfileDraftFactory,
)

pytestmark = pytest.mark.django_db


def words(response) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def said(found) -> set[str]:
    return {str(check.sentence) for check in found}


@pytest.mark.parametrize(
    ("country", "details", "doubt"),
    [
        ("SE", {}, "The company is not paid at this account yet."),
        ("SE", {"account_holder": "Somebody AB"}, "differs from the legal name"),
        ("NL", {"iban": "NL39RABO0300065264"}, "The bank is in Netherlands"),
    ],
)
def test_a_partner_reads_before_what_a_reviewer_reads_after(
    nordvik, ida, country, details, doubt
):
    """With the account at another company: only the reviewer hears of that."""
    BankProfileFactory(
        partner_account=nordvik,
        version__details=BANK_DETAILS | {"iban": "SE4550000000058398257466"},
    )
    BankProfileFactory()
    today = timezone.localdate()
    draft = BankProfileDraftFactory(
        partner_account=nordvik,
        country=country,
        details=BANK_DETAILS | {"postcode": "411 14"} | details,
        created_by=ida,
    )

    before = foreseen(
        bank_drafting.foreseen_bank_version(draft, by=ida), None, on=today, by=ida
    )
    version = bank_drafting.send_bank_draft(draft, by=ida).versions.get()
    after = checks(version, None, on=today)

    (elsewhere,) = said(after) - said(before)
    assert said(before) < said(after)
    assert "other company" in elsewhere
    assert any(doubt in check.sentence for check in before if not check.is_ok)
    assert all(check.remedy for check in before if not check.is_ok)


@pytest.mark.parametrize(
    ("details", "sentence"),
    [
        ({"city": "Lund"}, "The account is the one in force."),
        ({"account_holder": "Somebody AB"}, "held in another name"),
        ({"iban": "SE4550000000058398257466"}, "This changes the account in force."),
    ],
)
def test_what_a_change_does_to_the_account_is_said_as_it_is_decided(
    nordvik, details, sentence
):
    # domain.md §10.7: another account, and another holder, take two operators and time.
    bank = BankProfileFactory(partner_account=nordvik, version__details=BANK_DETAILS)
    changed = BankVersionFactory(
        profile=bank, number=2, pending=True, details=BANK_DETAILS | details
    )

    found = checks(changed, bank.version_in_force, on=timezone.localdate())

    (check,) = (check for check in found if sentence in check.sentence)
    assert check.is_ok is not needs_second_operator(changed)
    assert ("72 hours after it is sent" in check.remedy) is not check.is_ok


def test_the_page_tells_nothing_of_another_company_with_the_account(
    client_of, ida, nordvik
):
    draft = BankProfileDraftFactory(partner_account=nordvik, created_by=ida)
    page = reverse("profiles:check_bank")
    alone = words(client_of(ida).get(page))
    assert "What the reviewer will see" in alone

    other = BankProfileFactory(version__details=BANK_DETAILS)

    assert words(client_of(ida).get(page)) == alone
    # The control: it is the same account, and a reviewer is told.
    version = bank_drafting.send_bank_draft(draft, by=ida).versions.get()
    assert other.versions.get().blind_index == version.blind_index
    assert any(
        other.partner_account.name in check.sentence
        for check in checks(version, None, on=timezone.localdate())
    )
    assert IBAN not in alone


def test_a_document_that_is_missing_or_old_is_said_before_it_is_sent(
    client_of, ida, goteborg
):
    today = timezone.localdate()
    draft = TaxProfileDraftFactory(
        location=goteborg,
        setup={"payer": "us"},
        done=["company", "setup", "status", "documents"],
        created_by=ida,
    )
    old = TaxDocumentFactory(
        version=None, draft=draft, dated_on=today - datetime.timedelta(days=400)
    )

    page = words(client_of(ida).get(reverse("profiles:tax_check", args=[draft.pk])))

    assert "This document is missing: Signed Form W-8BEN-E." in page
    assert "Registration certificate: too old, 400 days." in page
    version = drafting.foreseen_tax_version(draft, documents=[old], by=ida)
    assert version.partner_account == goteborg.partner_account
    assert said(foreseen(version, None, documents=[old], on=today, by=ida)) >= {
        "The legal name is the one we have on record."
    }
