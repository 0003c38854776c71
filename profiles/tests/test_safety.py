"""Nobody redirects a payment alone: not a partner elsewhere, not one operator."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse

from accounts.tests.factories import UserFactory
from profiles.models import BankProfileVersion
from profiles.services import (
    approve_version,
    create_bank_profile,
    return_version,
    revise_bank_profile,
)
from profiles.tests.factories import (
    BANK_DETAILS,
    BankProfileFactory,
    DefaultBankProfileFactory,
)

OTHER = BANK_DETAILS | {"iban": "SE4550000000058398257466"}
RETURNED = [{"field": "iban", "code": "OTHER", "note": "Please send another account."}]


@pytest.fixture
def maria(nordvik):
    return UserFactory(full_name="Maria Petersson", email="maria@partner.example")


@pytest.fixture
def profile(nordvik, maria):
    return BankProfileFactory(partner_account=nordvik, created_by=maria)


def test_returning_the_account_in_force_does_not_make_the_next_one_a_first_one(
    profile, maria, oscar, lucia
):
    # domain.md §10.7
    return_version(profile.versions.get(), returned=RETURNED, by=oscar)
    revise_bank_profile(profile, country="SE", details=OTHER, by=maria)
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
    revise_bank_profile(profile, country="SE", details=OTHER, by=maria)
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

    response = client_of(ida).post(
        reverse("profiles:change_bank", kwargs={"pk": profile.pk}), OTHER
    )

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
