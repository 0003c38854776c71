"""What somebody stopped stays stopped, whichever way it is sent again (T1)."""

import re
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts.models import OutgoingEmail
from accounts.tests.shared_rows import shared
from profiles.checking import checks
from profiles.models import BankChangeStop
from profiles.services import (
    approvals,
    approve_version,
    archive_profile,
    check_stopped_change,
    create_bank_profile,
    release_change,
    return_version,
    revise_bank_profile,
    set_default_bank_profile,
    stop_change,
    withdraw_change,
)
from profiles.tests.factories import (
    BANK_DETAILS,
    BankProfileFactory,
    DefaultBankProfileFactory,
    as_if_sent,
)
from profiles.tests.service_modules import replace_everywhere

OTHER = BANK_DETAILS | {"iban": "SE4550000000058398257466"}
THIRD = BANK_DETAILS | {"iban": "SE7280000810340009783242"}
CONTACT = BANK_DETAILS["contact_email"]
EVIDENCE = "Called Maria on the number we have had since 2024; she wants it."
RETURNED = [{"field": "iban", "code": "OTHER", "note": "Please send another account."}]


def words(response) -> str:
    text = re.sub(r"</?bdi>", "", response.content.decode())
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@shared
def profile(nordvik, ida):
    return BankProfileFactory(partner_account=nordvik, name="Main", created_by=ida)


@shared
def stopped(profile, ida, greta):
    """A change that Greta said was not them."""
    revise_bank_profile(profile, country="SE", details=OTHER, by=ida)
    return stop_change(profile.versions.get(number=2), by=greta)


def sent_again(profile, way, *, ida, oscar):
    """The stopped account once more, by one of the ways there are."""
    change = profile.versions.get(number=2)
    if way == "returned":
        return_version(change, returned=RETURNED, by=oscar)
    else:
        withdraw_change(change, by=ida)
    if way == "archived":
        archive_profile(profile, by=ida)
    if way in ("withdrawn", "returned"):
        revise_bank_profile(profile, country="SE", details=OTHER, by=ida)
    else:
        details = OTHER | {"account_holder": "Nordvik Two AB"}
        company = profile.partner_account
        profile = create_bank_profile(
            company, name="New", country="SE", details=details, by=ida
        )
    return profile.versions.order_by("-number").first()


@pytest.mark.parametrize("way", ["withdrawn", "returned", "archived", "another"])
def test_a_stopped_account_is_born_stopped_whichever_way_it_is_sent_again(
    stopped, profile, ida, oscar, lucia, greta, way
):
    OutgoingEmail.objects.all().delete()
    again = sent_again(profile, way, ida=ida, oscar=oscar)

    assert again.is_stopped
    assert again.is_change
    assert again.stops.get().follows == stopped.stops.get()
    for operator in (oscar, lucia):
        with pytest.raises(ValidationError) as refused:
            approve_version(again, by=operator)
        assert refused.value.code == "stopped"
    mails = OutgoingEmail.objects.filter(dedupe_key__contains=f"{again.pk}:again:")
    assert {greta.email, CONTACT} <= {mail.to_address for mail in mails}
    assert "somebody at the company had stopped before" in " ".join(
        mails[0].body_text.split()
    )
    to_check = OutgoingEmail.objects.filter(name="bank_change_to_check")
    assert {oscar, lucia} <= {mail.to_user for mail in to_check}


@pytest.mark.parametrize("way", ["withdrawn", "another"])
def test_without_the_rule_it_would_wait_for_approval_again(
    stopped, profile, ida, oscar, monkeypatch, way
):
    # The control.
    replace_everywhere(monkeypatch, "standing_stop", lambda version: None)

    assert sent_again(profile, way, ida=ida, oscar=oscar).is_pending


def test_released_by_two_the_account_is_sent_as_any_other(
    stopped, profile, ida, oscar, lucia
):
    again = sent_again(profile, "withdrawn", ida=ida, oscar=oscar)
    check_stopped_change(again, evidence=EVIDENCE, by=oscar)
    release_change(again, by=lucia)

    again.refresh_from_db()
    assert again.is_pending
    withdraw_change(again, by=ida)
    revise_bank_profile(profile, country="SE", details=OTHER, by=ida)
    assert profile.versions.get(number=4).is_pending
    # Stopped once more, it is stopped once more.
    stop_change(profile.versions.get(number=4), by=ida)
    withdraw_change(profile.versions.get(number=4), by=ida)
    revise_bank_profile(profile, country="SE", details=OTHER, by=ida)
    assert profile.versions.get(number=5).is_stopped


def test_another_account_and_the_one_in_force_are_not_held_up_by_it(
    stopped, profile, nordvik, ida
):
    withdraw_change(stopped, by=ida)

    revise_bank_profile(profile, country="SE", details=THIRD, by=ida)
    assert profile.versions.get(number=3).is_pending
    withdraw_change(profile.versions.get(number=3), by=ida)
    # Another holder of the account in force was stopped; its street may still change.
    mule = BANK_DETAILS | {"account_holder": "Mule Ltd"}
    revise_bank_profile(profile, country="SE", details=mule, by=ida)
    holder = profile.versions.get(number=4)
    withdraw_change(stop_change(holder, by=ida), by=ida)
    moved = BANK_DETAILS | {"street": "Nygatan 2"}
    revise_bank_profile(profile, country="SE", details=moved, by=ida)
    assert profile.versions.get(number=5).is_pending
    assert not profile.versions.get(number=5).is_change


def test_what_waits_elsewhere_with_the_same_account_is_not_approved_then(
    profile, nordvik, ida, oscar, lucia, greta, client_of, monkeypatch
):
    company = nordvik
    further = create_bank_profile(
        company, name="New", country="SE", details=OTHER, by=ida
    ).versions.get()
    other = BankProfileFactory(partner_account=company, created_by=ida)
    for one in (profile, other):
        revise_bank_profile(one, country="SE", details=OTHER, by=ida)

    stop_change(profile.versions.get(number=2), by=greta)

    # The other change stops with it; the further account is approved by nobody.
    assert other.versions.get(number=2).is_stopped
    address = reverse("ops:bank_version", kwargs={"pk": further.pk})
    page = words(client_of(oscar).get(address))
    assert (
        "Look twice: Stopped: Greta Voss said of this account that it was not" in page
    )
    assert "Give the first approval" not in page
    with pytest.raises(ValidationError) as refused:
        approve_version(further, by=oscar)
    assert refused.value.code == "stopped"
    first = checks(further, None, on=timezone.localdate())[0]
    assert not first.is_ok
    # The control.
    monkeypatch.setattr(approvals, "_stop_of", lambda version: None)
    assert approve_version(further, by=oscar).seconded_by == oscar


def test_histories_tell_of_stops_releases_and_withdrawals(
    stopped, profile, ida, oscar, lucia, greta, client_of
):
    again = sent_again(profile, "withdrawn", ida=ida, oscar=oscar)
    check_stopped_change(again, evidence=EVIDENCE, by=oscar)
    address = reverse("ops:bank_version", kwargs={"pk": again.pk})

    page = words(client_of(lucia).get(address))
    assert "Stopped when it was sent: Greta Voss said of this account" in page
    release_change(again, by=lucia)

    operators = words(client_of(lucia).get(address))
    partners = words(client_of(ida).get(profile.get_absolute_url()))
    for number, told in (
        (2, "stopped, it was not them"),
        (2, "withdrawn"),
        (3, "stopped, as the account was stopped before"),
        (3, "checked with the company"),
        (3, "released"),
    ):
        assert f"Version {number}: {told}" in operators
        assert f"{told.capitalize()}, " in partners
    assert EVIDENCE in operators
    assert EVIDENCE not in partners


def test_a_stopped_account_without_one_in_force_beside_it_is_replaced(
    stopped, profile, goteborg, ida, oscar, client_of
):
    again = sent_again(profile, "another", ida=ida, oscar=oscar)
    new = again.profile
    as_if_sent(new.versions, submitted_at=timezone.now() - timedelta(days=9))

    with pytest.raises(ValidationError, match="Somebody stopped the account of New"):
        set_default_bank_profile([goteborg], bank_profile=new, currency="SEK", by=ida)
    page = words(client_of(ida).get(new.get_absolute_url()))
    assert "You can send another account in its place." in page
    page = client_of(ida).get(reverse("profiles:stop_change", kwargs={"pk": new.pk}))
    assert "Sweden, ending in 66" in words(page)
    # Sent as it is, it stays stopped; another account takes its place.
    revise_bank_profile(new, country="SE", details=dict(again.details), by=ida)
    assert new.versions.count() == 1
    revise_bank_profile(new, country="SE", details=THIRD, by=ida)
    assert new.versions.get(number=2).is_pending
    assert BankChangeStop.objects.open().filter(version=again).exists()


# --- A profile that somebody counts on already -----------------------------------------


def test_another_account_in_a_profile_that_is_counted_on_waits_as_a_change(
    profile, nordvik, goteborg, ida, oscar, lucia, greta, client_of, monkeypatch
):
    """A default on a harmless profile that waits, which is then revised (T1)."""
    harmless = create_bank_profile(
        nordvik, name="Harmless", country="SE", details=BANK_DETAILS, by=ida
    )
    DefaultBankProfileFactory(location=goteborg, bank_profile=harmless)
    OutgoingEmail.objects.all().delete()

    revise_bank_profile(harmless, country="SE", details=OTHER, by=ida)

    version = harmless.versions.get(number=2)
    assert version.usable_from > timezone.now() + timedelta(hours=71)
    mails = OutgoingEmail.objects.filter(name__startswith="bank_change")
    assert {greta.email, CONTACT} <= {mail.to_address for mail in mails}
    assert "Until then the account in force stays" not in mails[0].body_text
    for operator in (oscar, lucia):
        approve_version(version, by=operator)
    version.refresh_from_db()
    assert version.is_cooling
    page = words(client_of(ida).get(harmless.get_absolute_url()))
    assert "Nothing is paid there until then." in page
    assert "This was not us" in page
    # The control: without the rule two approvals bring it into force at once.
    replace_everywhere(monkeypatch, "_waits_as_one", lambda *_facts: False)
    second = create_bank_profile(
        nordvik, name="Second", country="SE", details=BANK_DETAILS, by=ida
    )
    second.defaults.model.objects.update(bank_profile=second)
    revise_bank_profile(second, country="SE", details=THIRD, by=ida)
    for operator in (oscar, lucia):
        approve_version(second.versions.get(number=2), by=operator)
    assert second.versions.get(number=2).is_approved


def test_a_first_account_that_is_a_further_one_by_now_is_told_when_it_is_approved(
    nordvik, ida, oscar, lucia, greta
):
    first, second = (
        create_bank_profile(nordvik, name=name, country="SE", details=details, by=ida)
        for name, details in (("First", BANK_DETAILS), ("Second", OTHER))
    )
    mails = OutgoingEmail.objects.filter(subject__contains="account was added")
    for profile, told in ((first, set()), (second, {ida, greta})):
        for operator in (oscar, lucia):
            approve_version(profile.versions.get(), by=operator)
        assert {mail.to_user for mail in mails.all()} == told
    text = " ".join(mails.get(to_user=greta).body_text.split())
    assert "an account in Sweden that ends in 66" in text
    assert "Two people of the program owner have approved it." in text
    # Told when it was sent, it is not told again.
    third = create_bank_profile(
        nordvik, name="Third", country="SE", details=THIRD, by=ida
    )
    count = mails.count()
    for operator in (oscar, lucia):
        approve_version(third.versions.get(), by=operator)
    assert mails.count() == count
