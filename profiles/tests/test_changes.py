"""A change of an account in force: told at once, stopped by anybody, usable late (T1)."""

import re
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts import outbox
from accounts.models import AuditAction, AuditEvent, OutgoingEmail
from accounts.tests.factories import UserFactory
from accounts.tests.shared_rows import shared
from profiles import services, tasks
from profiles.models import BankProfileVersion
from profiles.services import (
    approve_version,
    bring_changes_into_force,
    check_stopped_change,
    create_bank_profile,
    release_change,
    return_version,
    revise_bank_profile,
    stop_change,
    withdraw_change,
)
from profiles.tests.factories import (
    BANK_DETAILS,
    BankProfileFactory,
    BankVersionFactory,
)

OTHER = BANK_DETAILS | {"iban": "SE4550000000058398257466"}
CONTACT = BANK_DETAILS["contact_email"]
EVIDENCE = "Called Maria on the number we have had since 2024; she wants it."
RETURNED = [{"field": "iban", "code": "OTHER", "note": "Please send another account."}]
ASKED = timezone.now() - timedelta(days=30)
DUE = ASKED + timedelta(hours=72)
SECOND = timedelta(seconds=1)


def words(response) -> str:
    """What a person reads: the page's text, in one line."""
    text = re.sub(r"</?bdi>", "", response.content.decode())
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@shared
def profile(nordvik, ida):
    return BankProfileFactory(
        partner_account=nordvik, name="Nordvik main", created_by=ida
    )


@shared
def change(profile, ida):
    """A change of the account in force, asked for a month ago."""
    revise_bank_profile(profile, country="SE", details=OTHER, by=ida, at=ASKED)
    return profile.versions.get(number=2)


@shared
def approved(change, oscar, lucia):
    """The same, approved by two within a day."""
    for operator in (oscar, lucia):
        approve_version(change, by=operator, at=ASKED + timedelta(hours=20))
    change.refresh_from_db()
    return change


def status(version) -> str:
    return BankProfileVersion.objects.get(pk=version.pk).status


def mails(step: str, version) -> list[OutgoingEmail]:
    return list(
        OutgoingEmail.objects.filter(
            name__startswith="bank_change", dedupe_key__contains=f"{version.pk}:{step}:"
        )
    )


def readers(step: str, version) -> set[str]:
    return {mail.to_address for mail in mails(step, version)}


def everybody(*admins) -> set[str]:
    return {CONTACT, *(admin.email for admin in admins)}


def stop_path(profile) -> str:
    return reverse("profiles:stop_change", kwargs={"pk": profile.pk})


def contact_link(version) -> str:
    """The link as the contact's mail holds it when it leaves."""
    mail = OutgoingEmail.objects.get(name="bank_change_contact")
    assert "/profiles/stop/" not in mail.body_text + mail.body_html
    sent = outbox.as_message(mail).body
    return re.search(r"(/profiles/stop/[\w-]{43}/)", sent)[1]


# --- Told at once --------------------------------------------------------------------


def test_every_admin_and_the_previous_contact_are_told_at_once(
    greta, alice, ida, uma, change, profile
):
    assert readers("asked", change) == everybody(greta, alice, ida)
    for mail in mails("asked", change):
        text = " ".join(mail.body_text.split())
        assert mail.subject == "Bank details were changed for Nordvik IT AB"
        assert "an account in Sweden that ends in 03" in text
        assert "an account in Sweden that ends in 66" in text
        everything = mail.subject + mail.body_text + mail.body_html
        for number in ("0003", "7466", OTHER["iban"], BANK_DETAILS["iban"]):
            assert number not in everything
        if mail.to_user:
            assert stop_path(profile) in mail.body_text


def test_each_reads_it_in_their_own_language(alice, profile, ida):
    alice.language = "sv"
    alice.save()

    revise_bank_profile(profile, country="SE", details=OTHER, by=ida)

    mail = OutgoingEmail.objects.get(name="bank_change", to_user=alice)
    assert "ett konto i Sverige" in " ".join(mail.body_text.split())


def test_an_admin_who_is_the_contact_too_is_told_once(nordvik, ida):
    profile = BankProfileFactory(
        partner_account=nordvik,
        version__details=BANK_DETAILS | {"contact_email": ida.email.upper()},
    )
    revise_bank_profile(profile, country="SE", details=OTHER, by=ida)

    mails = OutgoingEmail.objects.filter(name__startswith="bank_change")
    assert [mail.to_address for mail in mails] == [ida.email]


def test_neither_a_first_account_nor_another_address_is_a_change(nordvik, ida, profile):
    first = create_bank_profile(
        nordvik, name="Another", country="SE", details=OTHER, by=ida
    )
    moved = BANK_DETAILS | {"street": "Nygatan 2"}
    revise_bank_profile(profile, country="SE", details=moved, by=ida)

    for version in (first.versions.get(), profile.versions.get(number=2)):
        assert version.usable_from is None
    assert not OutgoingEmail.objects.filter(name__startswith="bank_change").exists()


# --- Usable after 72 hours -------------------------------------------------------------


def test_a_change_is_in_force_exactly_when_its_cooling_off_is_over(approved, profile):
    assert approved.is_cooling
    assert profile.version_in_force.number == 1

    for early in (ASKED + timedelta(hours=21), DUE - SECOND):
        assert bring_changes_into_force(at=early) == 0
        assert not services.bring_into_force(approved, at=early)
    assert status(approved) == "cooling"
    assert bring_changes_into_force(at=DUE) == 1
    assert bring_changes_into_force(at=DUE) == 0

    now, before = profile.versions.order_by("-number")
    assert (now.status, now.approved_at) == ("approved", DUE)
    assert before.status == "replaced"
    (event,) = AuditEvent.objects.filter(action=AuditAction.PROFILE_IN_FORCE)
    assert (event.actor, event.object_id) == (None, str(approved.pk))


def test_a_clock_that_was_away_catches_up(approved, greta, ida):
    tasks.bring_changes_into_force()
    tasks.bring_changes_into_force()

    assert status(approved) == "approved"
    assert readers("in_force", approved) == everybody(greta, ida)
    assert len(mails("in_force", approved)) == 3


def test_approved_later_than_that_it_is_in_force_at_once(change, oscar, lucia):
    approve_version(change, by=oscar)

    assert approve_version(change, by=lucia).is_approved


def test_how_long_is_a_setting(profile, ida, settings):
    settings.BANK_CHANGE_COOLING_OFF_HOURS = 5

    revise_bank_profile(profile, country="SE", details=OTHER, by=ida, at=ASKED)

    version = profile.versions.get(number=2)
    assert version.usable_from == ASKED + timedelta(hours=5)


def test_no_moment_passed_in_is_earlier_than_the_databases_clock(
    profile, ida, oscar, lucia
):
    # The control of both: without the service's rule the table still refuses.
    revise_bank_profile(profile, country="SE", details=OTHER, by=ida)
    change = profile.versions.get(number=2)
    tomorrow = timezone.now() + timedelta(days=4)
    approve_version(change, by=oscar)

    with pytest.raises(Exception, match="before its cooling-off is over"):
        approve_version(change, by=lucia, at=tomorrow)


def test_what_was_archived_meanwhile_stays_out_of_force(approved, profile, ida):
    services.archive_profile(profile, by=ida)

    assert bring_changes_into_force(at=DUE) == 0
    assert not services.bring_into_force(approved, at=DUE)


def test_until_then_pages_say_from_when(client_of, ida, oscar, approved, profile):
    page = words(client_of(ida).get(profile.get_absolute_url()))
    assert "Approved, in force from" in page
    assert "New version approved" in page
    address = reverse("ops:bank_version", kwargs={"pk": approved.pk})
    page = words(client_of(oscar).get(address))
    assert "so it is in force from" in page
    assert "Give the" not in page


# --- "This was not us" -----------------------------------------------------------------


@pytest.mark.parametrize("fixture", ["change", "approved"])
def test_any_admin_stops_a_change_that_nothing_brings_into_force_then(
    request, fixture, client_of, alice, ida, oscar, lucia, profile
):
    version = request.getfixturevalue(fixture)
    client = client_of(alice)

    page = words(client.get(stop_path(profile)))
    assert "Sweden, ending in 66" in page
    assert "7466" not in page
    assert status(version) != "stopped"
    client.post(stop_path(profile))

    assert status(version) == "stopped"
    assert "The change is stopped." in words(client.get(stop_path(profile)))
    for operator in (oscar, lucia):
        with pytest.raises(ValidationError) as refused:
            approve_version(version, by=operator)
        assert refused.value.code == "stopped"
    assert bring_changes_into_force(at=timezone.now()) == 0
    assert readers("stopped", version) == everybody(alice, ida)
    told = OutgoingEmail.objects.filter(name="bank_change_to_check")
    assert {mail.to_user for mail in told} == {oscar, lucia}
    stop_change(version, by=ida)
    assert version.stops.count() == 1


def test_a_stopped_change_is_not_replaced_by_another(change, profile, ida):
    stop_change(change, by=ida)
    third = BANK_DETAILS | {"iban": "SE7280000810340009783242"}

    with pytest.raises(ValidationError) as refused:
        revise_bank_profile(profile, country="SE", details=third, by=ida)

    assert refused.value.code == "stopped"
    withdraw_change(change, by=ida)
    revise_bank_profile(profile, country="SE", details=third, by=ida)


def test_the_contact_without_an_account_stops_it_by_the_link_once(
    client, change, oscar, lucia
):
    link = contact_link(change)

    assert client.post(link).status_code == 405
    response = client.get(link)
    assert response["Referrer-Policy"] == "no-referrer"
    page = words(client.get(response.url))
    assert "payments to Nordvik IT AB go to another bank account" in page
    assert "Ida Lund" not in page
    assert status(change) == "pending"
    client.post(response.url)
    assert status(change) == "stopped"
    (event,) = AuditEvent.objects.filter(action=AuditAction.PROFILE_STOPPED)
    assert event.after["by"] == "previous contact"

    check_stopped_change(change, evidence=EVIDENCE, by=oscar)
    release_change(change, by=lucia)
    again = client.post(response.url)
    assert again.status_code == 422
    assert "This link was used." in words(again)
    assert status(change) == "pending"


def test_no_other_link_and_no_link_at_all_stops_anything(client, change):
    path = reverse("profiles:stop_by_link")

    assert client.get(f"/profiles/stop/{'x' * 43}/").status_code == 404
    assert "Open the link in the mail first." in words(client.post(path))
    assert status(change) == "pending"


def test_what_is_in_force_or_over_is_not_stopped(client_of, approved, profile, greta):
    bring_changes_into_force(at=DUE)

    late = client_of(greta).post(stop_path(profile))

    assert late.status_code == 422
    assert "in force already" in words(late)
    with pytest.raises(ValidationError) as refused:
        stop_change(profile.versions.get(number=1), by=greta)
    assert refused.value.code == "over"


def test_two_operators_release_what_was_checked(
    client_of, approved, profile, ida, oscar, lucia
):
    stop_change(approved, by=ida)
    address = reverse("ops:bank_version", kwargs={"pk": approved.pk})
    check = reverse("ops:check_change", kwargs={"pk": approved.pk})
    release = reverse("ops:release_change", kwargs={"pk": approved.pk})
    first, second = client_of(oscar), client_of(lucia)

    listed = words(first.get(reverse("ops:stopped_changes")))
    assert "Nordvik main, version 2" in listed
    assert second.post(release).status_code == 422
    for bad in ("", "Called.", f"They said {OTHER['iban']} is right, they said so"):
        assert first.post(check, {"evidence": bad}).status_code == 422
    assert first.post(check, {"evidence": EVIDENCE}).status_code == 302
    assert "You checked this change." in words(first.get(address))
    assert first.post(release).status_code == 422
    assert second.post(check, {"evidence": EVIDENCE}).status_code == 422
    assert status(approved) == "stopped"

    assert second.post(release).status_code == 302

    assert status(approved) == "cooling"
    assert CONTACT in readers("released", approved)
    steps = AuditEvent.objects.filter(action=AuditAction.PROFILE_RELEASED)
    assert [(one.actor, one.after["step"]) for one in steps.order_by("pk")] == [
        (oscar, 1),
        (lucia, 2),
    ]
    assert bring_changes_into_force(at=DUE) == 1


def test_nobody_of_the_partner_and_no_sender_releases(profile, oscar, ida):
    change = BankVersionFactory(
        profile=profile,
        number=2,
        pending=True,
        details=OTHER,
        submitted_by=oscar,
        submitted_at=ASKED,
        usable_from=DUE,
    )
    stop_change(change, by=ida)

    for person, code in ((oscar, "four_eyes"), (ida, "not_operator")):
        with pytest.raises(ValidationError) as refused:
            check_stopped_change(change, evidence=EVIDENCE, by=person)
        assert refused.value.code == code
        with pytest.raises(ValidationError) as refused:
            release_change(change, by=person)
        assert refused.value.code == code
    plain = UserFactory(operator=True)
    with pytest.raises(ValidationError) as refused:
        check_stopped_change(change, evidence=EVIDENCE, by=plain)
    assert refused.value.code == "not_deciding"


def test_what_is_not_stopped_is_not_released(change, oscar, lucia):
    for step in (
        lambda: check_stopped_change(change, evidence=EVIDENCE, by=oscar),
        lambda: release_change(change, by=lucia),
    ):
        with pytest.raises(ValidationError) as refused:
            step()
        assert refused.value.code == "not_stopped"


def test_a_stopped_change_can_be_returned(change, ida, oscar):
    stop_change(change, by=ida)

    assert return_version(change, returned=RETURNED, by=oscar).is_returned


# --- Withdrawing -----------------------------------------------------------------------


def test_a_change_is_withdrawn_and_the_account_in_force_stays(
    client_of, ida, greta, approved, profile
):
    stop_change(approved, by=greta)
    client = client_of(ida)
    page = words(client.get(profile.get_absolute_url()))
    assert "Greta Voss stopped this change" in page
    assert "Withdraw the new version" in page

    client.post(reverse("profiles:withdraw_bank", kwargs={"pk": profile.pk}))

    assert status(approved) == "replaced"
    assert profile.versions.get(number=1).is_approved
    assert readers("withdrawn", approved) == everybody(ida, greta)
    withdraw_change(approved, by=ida)
    assert len(mails("withdrawn", approved)) == 3
    # Asked for once more, it is a change once more: it was never in force.
    revise_bank_profile(profile, country="SE", details=OTHER, by=ida)
    assert profile.versions.get(number=3).usable_from is not None


def test_there_has_to_be_a_version_that_stays(nordvik, ida, profile):
    alone = create_bank_profile(
        nordvik, name="Alone", country="SE", details=OTHER, by=ida
    )
    for version in (alone.versions.get(), profile.versions.get()):
        with pytest.raises(ValidationError) as refused:
            withdraw_change(version, by=ida)
        assert refused.value.code == "not_beside"
