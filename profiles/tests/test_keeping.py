"""Who mends one field of a profile types one field."""

from django.urls import reverse

from accounts.tests.shared_rows import shared
from profiles.tests.changing import change
from profiles.tests.factories import (
    BANK_DETAILS,
    BankProfileFactory,
    BankVersionFactory,
)

HELD = "SE4550000000058398257466"


@shared
def profile(nordvik, ida):
    """A bank profile whose account holder was returned."""
    profile = BankProfileFactory(partner_account=nordvik, created_by=ida, version=False)
    BankVersionFactory(
        profile=profile,
        submitted_by=ida,
        was_returned=True,
        details=BANK_DETAILS | {"iban": HELD},
    )
    return profile


def test_the_change_form_shows_no_more_of_the_number_than_its_end(
    client_of, ida, profile
):
    # R59
    client = client_of(ida)
    change(client, profile, {}, steps=["change_bank"])
    account = reverse("profiles:change_bank_account", kwargs={"pk": profile.pk})
    page = client.get(account).content.decode()

    assert "Leave it empty to keep it." in page
    assert HELD not in page.replace(" ", "")
    assert "7466" in page


def test_a_number_left_empty_is_kept(client_of, ida, profile):
    answers = BANK_DETAILS | {"iban": "", "account_holder": "Nordvik IT Aktiebolag"}

    response = change(client_of(ida), profile, answers)

    newest = profile.versions.get(number=2)
    assert response.status_code == 302
    assert newest.is_pending
    assert newest.details["iban"] == HELD
    assert newest.details["account_holder"] == "Nordvik IT Aktiebolag"


def test_a_number_typed_anew_replaces_it(client_of, ida, profile):
    change(client_of(ida), profile, BANK_DETAILS)

    newest = profile.versions.get(number=2)
    assert newest.details["iban"] == BANK_DETAILS["iban"]


def test_in_another_country_nothing_is_kept(client_of, ida, profile):
    response = change(
        client_of(ida), profile, BANK_DETAILS | {"iban": ""}, country="DE"
    )

    assert response.status_code == 422
    assert profile.versions.count() == 1
