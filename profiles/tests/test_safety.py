"""Nobody redirects a payment alone: not a partner elsewhere, not one operator."""

import base64
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, OutgoingEmail
from accounts.tests.factories import (
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from profiles.models import BankProfileVersion
from profiles.services import (
    WhyTwo,
    approve_version,
    create_bank_profile,
    return_version,
    revise_bank_profile,
    signature_of,
    why_two_operators,
)
from profiles.tests.changing import change
from profiles.tests.factories import (
    BANK_DETAILS,
    BankProfileFactory,
    BankVersionFactory,
    DefaultBankProfileFactory,
    as_if_sent,
)

OTHER = BANK_DETAILS | {"iban": "SE4550000000058398257466"}
# Long enough ago for its cooling-off to be over.
LONG_AGO = timezone.now() - timedelta(days=4)
RETURNED = [{"field": "iban", "code": "OTHER", "note": "Please send another account."}]


def words(response) -> str:
    """What a person reads: the page's text, in one line."""
    text = re.sub(r"</?bdi>", "", response.content.decode())
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@shared
def maria(nordvik):
    maria = UserFactory(full_name="Maria Petersson", email="maria@partner.example")
    RoleAssignmentFactory(user=maria, partner_account=nordvik)
    return maria


@shared
def profile(nordvik, maria):
    return BankProfileFactory(partner_account=nordvik, created_by=maria)


def test_returning_the_account_in_force_does_not_make_the_next_one_a_first_one(
    profile, maria, oscar, lucia
):
    # domain.md §10.7
    return_version(profile.versions.get(), returned=RETURNED, by=oscar)
    revise_bank_profile(profile, country="SE", details=OTHER, by=maria, at=LONG_AGO)
    newest = profile.versions.get(number=2)

    approve_version(newest, by=oscar)

    newest.refresh_from_db()
    assert newest.is_pending
    approve_version(newest, by=lucia)
    newest.refresh_from_db()
    assert newest.is_approved


def test_another_holder_of_the_same_account_takes_two_operators(profile, maria, oscar):
    revise_bank_profile(
        profile,
        country="SE",
        details=BANK_DETAILS | {"account_holder": "Mule Ltd"},
        by=maria,
    )
    newest = profile.versions.get(number=2)

    approve_version(newest, by=oscar)

    newest.refresh_from_db()
    assert newest.is_pending


def test_the_database_refuses_a_lone_change_too(profile, maria, oscar):
    revise_bank_profile(profile, country="SE", details=OTHER, by=maria, at=LONG_AGO)
    BankProfileVersion.objects.filter(number=1).update(status="replaced")

    with pytest.raises(IntegrityError, match="two operators"), transaction.atomic():
        BankProfileVersion.objects.filter(number=2).update(
            status="approved",
            approved_at=profile.created_at,
            decided_at=profile.created_at,
            decided_by=oscar,
        )


def test_an_incentives_admin_of_one_location_cannot_change_what_pays_another(
    client_of, ida, profile, malmo
):
    DefaultBankProfileFactory(location=malmo, bank_profile=profile)
    client = client_of(ida)

    for name in ("change_bank", "archive_bank"):
        path = reverse(f"profiles:{name}", kwargs={"pk": profile.pk})
        assert client.get(path).status_code == 403
        assert client.post(path, OTHER).status_code == 403
    view = reverse("profiles:bank", kwargs={"pk": profile.pk})
    assert client.get(view).status_code == 200
    assert profile.versions.count() == 1


def test_who_reaches_every_location_that_uses_it_may_change_it(
    client_of, ida, profile, goteborg
):
    DefaultBankProfileFactory(location=goteborg, bank_profile=profile)

    response = change(client_of(ida), profile, OTHER)

    assert response.status_code == 302
    assert profile.versions.count() == 2


@pytest.mark.parametrize(
    "name",
    [
        "SE45 5000 0000 0583 9825 7466",
        "Main 12345678",
        "acct 1234-5678-90",
        "5000.0000.0583",
        "Nordvik 20262027",
        "Nordvik 2026-2027-1234",
        "Nordvik 2026 2027",
        "Nordvik 1234-5678",
    ],
)
def test_an_account_number_is_no_name(nordvik, maria, name):
    # R59
    with pytest.raises(ValidationError) as error:
        create_bank_profile(
            nordvik, name=name, country="SE", details=BANK_DETAILS, by=maria
        )

    assert "Leave the account number out of the name" in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "Nordvik 2026-2027",
        "Nordvik 2026\N{EN DASH}2027, SEK",
        "1999/2000",
        "Nordvik 1234567",
        "Account 3 of 2026, office 411",
    ],
)
def test_years_and_short_numbers_are_names(nordvik, maria, name):
    profile = create_bank_profile(
        nordvik, name=name, country="SE", details=BANK_DETAILS, by=maria
    )

    assert profile.name == name


def test_a_role_ends_with_the_membership(client_of, ida, profile):
    # T5
    ida.memberships.update(ended_at=profile.created_at)

    assert client_of(ida).get(reverse("profiles:list")).status_code == 403


def test_a_further_account_takes_two_operators_before_any_location_is_paid_there(
    profile, nordvik, maria, oscar, lucia
):
    # security.md T1: the default changes nothing of an account in force, and redirects
    further = create_bank_profile(
        nordvik, name="Mule", country="SE", details=OTHER, by=maria
    )
    newest = further.versions.get()
    assert profile.versions.get().is_approved
    assert why_two_operators(newest) == WhyTwo.FURTHER_ACCOUNT

    signed = approve_version(newest, by=oscar)

    assert signed.is_pending
    with pytest.raises(ValidationError, match="needs a second operator"):
        approve_version(newest, by=oscar)
    assert approve_version(newest, by=lucia).is_approved


@pytest.mark.parametrize(
    ("already", "is_enough"),
    [
        ("paid there", True),
        ("put away", False),
        ("in another name", False),
        ("at another company", False),
    ],
)
def test_one_operator_is_enough_where_the_company_is_paid_already(
    nordvik, maria, oscar, already, is_enough
):
    details = {"version__details": BANK_DETAILS | {"account_holder": "Mule Ltd"}}
    facts = {
        "put away": {"archived_at": timezone.now(), "archived_by": maria},
        "in another name": details,
        "at another company": {"partner_account": PartnerAccountFactory()},
    }
    BankProfileFactory(
        **{"partner_account": nordvik, "created_by": maria} | facts.get(already, {})
    )
    again = create_bank_profile(
        nordvik, name="Again", country="SE", details=BANK_DETAILS, by=maria
    )

    assert approve_version(again.versions.get(), by=oscar).is_approved == is_enough


# --- Two operators --------------------------------------------------------------------


@shared
def first_account(nordvik, maria):
    """The first bank account of a company, which waits."""
    profile = create_bank_profile(
        nordvik, name="First", country="SE", details=BANK_DETAILS, by=maria
    )
    return profile.versions.get()


@pytest.fixture
def aino():
    """An operator who gives second approvals and does nothing else."""
    aino = UserFactory(full_name="Aino Approver", operator=True)
    aino.groups.set(Group.objects.filter(name="Approver"))
    return aino


def test_a_first_account_takes_a_second_operator_with_the_right(
    first_account, oscar, aino
):
    # domain.md §10.7
    with pytest.raises(ValidationError, match="group Validator decide"):
        approve_version(first_account, by=aino)
    signed = approve_version(first_account, by=oscar)
    assert signed.is_pending
    assert signed.seconded_digest == signature_of(signed)

    with pytest.raises(ValidationError) as refused:
        approve_version(first_account, by=oscar)
    assert refused.value.code == "second_operator"
    another_validator = UserFactory(operator=True)
    another_validator.groups.set(Group.objects.filter(name="Validator"))
    with pytest.raises(ValidationError, match="group Approver decide"):
        approve_version(first_account, by=another_validator)

    assert approve_version(first_account, by=aino).is_approved


def test_who_gives_second_approvals_is_told_and_no_number_is(
    first_account, oscar, lucia, aino
):
    approve_version(first_account, by=oscar)

    mails = OutgoingEmail.objects.filter(name="second_approval")
    assert {mail.to_user for mail in mails} == {lucia, aino}
    for mail in mails:
        assert reverse("ops:bank_version", args=[first_account.pk]) in mail.body_text
        for told in (mail.subject, mail.body_text, mail.body_html):
            assert first_account.last4 not in told
            assert "Nordvik IT AB" in " ".join(told.split())


@pytest.mark.parametrize("what", ["details", "replaced", "reviewer"])
def test_the_first_approval_lapses_with_what_it_was_given_for(
    first_account, oscar, lucia, aino, what
):
    profile = first_account.profile
    approve_version(first_account, by=oscar)
    if what == "details":
        first_account.details = BANK_DETAILS | {"street": "Nygatan 2"}
        as_if_sent(profile.versions.all(), details=first_account.__dict__["details"])
    elif what == "replaced":
        in_force = BankVersionFactory(profile=profile, number=2)
        assert in_force.is_approved
    else:
        oscar.groups.clear()
    version = BankProfileVersion.objects.get(pk=first_account.pk)

    with pytest.raises(ValidationError, match="group Validator decide"):
        approve_version(version, by=aino)
    signed = approve_version(version, by=lucia)

    # What Lucia gave is the first approval now: Aino's is the second.
    assert signed.is_pending
    assert signed.seconded_by == lucia
    event = AuditEvent.objects.order_by("pk").last()
    assert (event.after["step"], event.after["lapsed"]) == (1, oscar.pk)
    assert approve_version(version, by=aino).is_approved


def test_a_new_key_leaves_the_first_approval_as_it_is(
    first_account, oscar, aino, settings
):
    approve_version(first_account, by=oscar)
    new_key = base64.urlsafe_b64encode(b"k" * 32).decode()
    settings.FIELD_ENCRYPTION_KEYS = f"new:{new_key},{settings.FIELD_ENCRYPTION_KEYS}"
    version = BankProfileVersion.objects.get(pk=first_account.pk)
    version.details = dict(version.details)
    version.save(update_fields=["details"])

    assert approve_version(version, by=aino).is_approved


def test_what_a_partner_sends_anew_is_signed_anew(first_account, oscar, maria, aino):
    approve_version(first_account, by=oscar)

    revise_bank_profile(first_account.profile, country="SE", details=OTHER, by=maria)

    newest = first_account.profile.versions.get(number=2)
    assert newest.seconded_by is None
    assert AuditEvent.objects.order_by("pk").last().after["lapsed"] == oscar.pk
    with pytest.raises(ValidationError, match="group Validator decide"):
        approve_version(newest, by=aino)


def test_an_account_signed_as_the_first_one_keeps_needing_two(
    first_account, nordvik, oscar, lucia
):
    approve_version(first_account, by=oscar)
    BankProfileFactory(partner_account=nordvik)

    with pytest.raises(ValidationError, match="needs a second operator"):
        approve_version(first_account, by=oscar)
    assert approve_version(first_account, by=lucia).is_approved


def test_what_was_not_looked_at_is_not_approved(first_account, oscar):
    with pytest.raises(ValidationError) as refused:
        approve_version(first_account, seen="0" * 64, by=oscar)

    assert refused.value.code == "changed"


def test_the_second_operator_may_return_what_was_signed(first_account, oscar, aino):
    with pytest.raises(ValidationError, match="group Validator decide"):
        return_version(first_account, returned=RETURNED, by=aino)
    approve_version(first_account, by=oscar)

    assert return_version(first_account, returned=RETURNED, by=aino).is_returned


def test_the_page_shows_what_both_sign(client_of, profile, maria, oscar, aino):
    revise_bank_profile(
        profile,
        country="SE",
        details=OTHER | {"account_holder": "Nordvik Two AB"},
        by=maria,
    )
    newest = profile.versions.get(number=2)
    approve_version(newest, by=oscar)
    address = reverse("ops:bank_version", args=[newest.pk])

    for person, is_asked in ((oscar, False), (aino, True)):
        text = words(client_of(person).get(reverse("ops:second_approvals")))
        assert "Nordvik Two AB Sweden · ending in 7466" in text
        assert "as the bank has it: Nordvik IT AB Nordvik Two AB" in text
        assert "ending in 0003" in text
        assert "Oscar Sand" in text
        assert ("Review" in text) is is_asked
        text = words(client_of(person).get(address))
        assert ("Give the second approval" in text) is is_asked

    client = client_of(aino)
    seen = re.search(
        r'name="seen" value="(\w{64})"', client.get(address).content.decode()
    )
    url = reverse("ops:approve_bank", args=[newest.pk])
    assert client.post(url, {"seen": "0" * 64}).status_code == 422
    client.post(url, {"seen": seen[1]})
    newest.refresh_from_db()
    assert (newest.seconded_by, newest.decided_by) == (oscar, aino)
    text = words(client.get(reverse("ops:second_approvals")))
    assert "Nothing waits for a second operator." in text
