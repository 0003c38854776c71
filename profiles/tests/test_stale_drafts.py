"""A change that was begun on what is there no more is not sent as it was begun (T1)."""

import re

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.tests.shared_rows import shared
from profiles import bank_drafting, drafting
from profiles.bank_drafting import begin_bank_change, fill_bank_step, send_bank_draft
from profiles.drafting import begin_tax_draft, send_tax_draft
from profiles.models import BankProfileDraft, TaxProfileDraft
from profiles.services import (
    archive_profile,
    return_version,
    revise_bank_profile,
    revise_tax_profile,
    withdraw_change,
)
from profiles.tests.changing import AGREED
from profiles.tests.factories import (
    BANK_DETAILS,
    TAX_DETAILS,
    BankProfileFactory,
    TaxDocumentFactory,
    TaxProfileFactory,
)

OTHER = BANK_DETAILS | {"iban": "SE4550000000058398257466"}
THIRD = BANK_DETAILS | {"iban": "SE7280000810340009783242"}
RETURNED = [{"field": "iban", "code": "OTHER", "note": "Please send another account."}]


def words(response) -> str:
    text = re.sub(r"</?bdi>", "", response.content.decode())
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@shared
def profile(nordvik, ida):
    return BankProfileFactory(partner_account=nordvik, name="Main", created_by=ida)


@shared
def draft(profile, ida):
    """Ida's change of the street, begun on an account that was withdrawn since."""
    revise_bank_profile(profile, country="SE", details=OTHER, by=ida)
    draft = begin_bank_change(profile, country="SE", by=ida)
    typed = OTHER | {"street": "Nygatan 2"}
    draft = fill_bank_step(draft, step="beneficiary", details=typed, by=ida)
    withdraw_change(profile.versions.get(number=2), by=ida)
    return draft


def page_of(name, profile) -> str:
    return reverse(f"profiles:{name}", kwargs={"pk": profile.pk})


def test_a_stale_change_is_not_sent_and_says_what_changed(
    client_of, profile, draft, ida, monkeypatch
):
    client, check = client_of(ida), page_of("check_bank_change", profile)

    page = client.get(check)
    assert page.status_code == 200
    text = words(page)
    assert "The profile has changed since you began" in text
    assert "Version 1 is in force, and no newer one waits." in text
    # What it was begun on and what is there now: the ends of the numbers.
    assert re.search(r"IBAN •+ 7466 •+ 0003", text)
    assert "Send for validation" not in text
    sent = client.post(check, {"country": "SE", **AGREED})
    assert sent.status_code == 422
    assert "Look at what changed, then begin anew" in words(sent)
    assert profile.versions.count() == 2
    # The control: without the rule the account that was withdrawn is sent again.
    monkeypatch.setattr(bank_drafting, "refuse_changed", lambda draft: None)
    send_bank_draft(draft, by=ida)
    assert profile.versions.get(number=3).details["iban"] == OTHER["iban"]


def test_begun_anew_what_was_typed_stays_on_the_account_that_is_there_now(
    client_of, profile, draft, ida
):
    client = client_of(ida)
    assert "Begin anew with what you typed" in words(
        client.get(page_of("change_bank", profile))
    )

    client.post(page_of("change_bank", profile), {"country": "SE"})

    draft.refresh_from_db()
    assert draft.details["iban"] == BANK_DETAILS["iban"]
    assert draft.details["street"] == "Nygatan 2"
    page = words(client.get(page_of("check_bank_change", profile)))
    assert "The profile has changed" not in page
    client.post(page_of("check_bank_change", profile), AGREED)
    sent = profile.versions.get(number=3)
    assert (sent.details["iban"], sent.details["street"]) == (
        BANK_DETAILS["iban"],
        "Nygatan 2",
    )
    assert not sent.is_change


def test_another_account_that_was_typed_stays_beside_what_a_colleague_sent(
    profile, ida
):
    draft = begin_bank_change(profile, country="SE", by=ida)
    fill_bank_step(draft, step="account", details=THIRD, by=ida)
    theirs = OTHER | {"city": "Göteborg", "account_holder": "Nordvik Two AB"}
    revise_bank_profile(profile, country="SE", details=theirs, by=profile.created_by)

    again = begin_bank_change(profile, country="SE", by=ida)

    assert again.details["iban"] == THIRD["iban"]
    assert again.details["city"] == "Göteborg"
    assert again.details["account_holder"] == "Nordvik Two AB"
    assert bank_drafting.next_step(again) == "check"


def test_begun_in_another_country_it_goes_on_there(profile, ida):
    draft = begin_bank_change(profile, country="US", by=ida)
    revise_bank_profile(profile, country="SE", details=OTHER, by=ida)

    assert bank_drafting.country_to_go_on_in(draft) == "US"
    again = begin_bank_change(profile, country="US", by=ida)

    assert again.country == "US"
    assert "iban" not in again.details


def test_what_was_returned_since_is_typed_anew(client_of, profile, ida, oscar):
    revise_bank_profile(profile, country="SE", details=OTHER, by=ida)
    draft = begin_bank_change(profile, country="SE", by=ida)
    assert bank_drafting.next_step(draft) == "check"
    return_version(profile.versions.get(number=2), returned=RETURNED, by=oscar)

    page = words(client_of(ida).get(page_of("check_bank_change", profile)))
    assert "returned the version that you began with" in page
    with pytest.raises(ValidationError) as refused:
        send_bank_draft(draft, by=ida)
    assert refused.value.code == "changed_since"
    again = begin_bank_change(profile, country="SE", by=ida)
    assert "iban" not in again.details
    assert bank_drafting.next_step(again) == "account"


def test_a_change_from_before_is_begun_anew_whole(profile, ida):
    """Nobody knows what it was begun on."""
    draft = begin_bank_change(profile, country="SE", by=ida)
    fill_bank_step(draft, step="account", details=OTHER, by=ida)
    BankProfileDraft.objects.update(based_on=None)

    again = begin_bank_change(profile, country="SE", by=ida)

    assert dict(again.details) == BANK_DETAILS


# --- Tax profiles -------------------------------------------------------------------------


def test_a_stale_change_of_a_tax_profile_is_begun_anew_with_what_was_typed(
    client_of, goteborg, ida, monkeypatch
):
    tax = TaxProfileFactory(location=goteborg, created_by=ida)
    old = TaxDocumentFactory(version=tax.versions.get())
    draft = begin_tax_draft(goteborg, country="SE", profile=tax, by=ida)
    draft.details = dict(draft.details) | {"street": "Nygatan 2"}
    draft.setup = {"payer": "other", "registered": "no"}
    draft.done = ["company", "setup", "status", "documents"]
    draft.save()
    theirs = TAX_DETAILS | {"org_number": "5560360793"}
    revise_tax_profile(tax, country="SE", details=theirs, by=ida)
    newer = TaxDocumentFactory(version=tax.versions.get(number=2), size=77)
    check = reverse("profiles:tax_check", kwargs={"pk": draft.pk})
    client = client_of(ida)

    text = words(client.get(check))
    assert "The profile has changed since you began" in text
    assert "Send for validation" not in text
    assert client.post(check, AGREED).status_code == 422
    client.post(page_of("change_tax", tax))

    draft.refresh_from_db()
    assert draft.details["org_number"] == theirs["org_number"]
    assert draft.details["street"] == "Nygatan 2"
    assert draft.setup["registered"] == "no"
    assert draft.done == []
    (copied,) = draft.documents.all()
    assert copied.size == newer.size
    assert old.version.documents.get() == old
    # The control.
    draft.based_on, draft.done = (
        old.version,
        ["company", "setup", "status", "documents"],
    )
    draft.save()
    with pytest.raises(ValidationError) as refused:
        send_tax_draft(draft, by=ida)
    assert refused.value.code == "changed_since"
    monkeypatch.setattr(drafting, "refuse_changed", lambda draft: None)
    send_tax_draft(draft, by=ida)


# --- Of what was put away ------------------------------------------------------------------


def test_what_was_put_away_does_not_nag_and_its_draft_can_be_thrown_away(
    client_of, profile, goteborg, ida
):
    tax = TaxProfileFactory(location=goteborg, created_by=ida)
    begin_bank_change(profile, country="SE", by=ida)
    begin_tax_draft(goteborg, country="SE", profile=tax, by=ida)
    client = client_of(ida)
    assert "Continue the change of your bank profile" in words(
        client.get(reverse("home"))
    )
    for one in (profile, tax):
        archive_profile(one, by=ida)

    home = words(client.get(reverse("home")))
    assert "Continue the change of your bank profile" not in home
    assert "Continue your tax profile" not in home
    assert "Go on with" not in words(client.get(reverse("profiles:tax_list")))
    for one, model in ((profile, BankProfileDraft), (tax, TaxProfileDraft)):
        one.refresh_from_db()
        page = client.get(one.get_absolute_url())
        assert "You had begun a change of it" in words(page)
        client.post(page.context["discard_url"])
        assert not model.objects.exists()
        assert "You had begun" not in words(client.get(one.get_absolute_url()))
