"""What profiles' pages say of the enrollments that use them."""

import re

import pytest
from django.urls import reverse

from enrollment.models import PayoutAssignment
from enrollment.tests.factories import EnrollmentFactory, ProgramTermsFactory
from profiles.models import BankProfile, TaxProfile
from profiles.tests.factories import (
    BANK_DETAILS,
    BankProfileFactory,
    TaxProfileFactory,
)

pytestmark = pytest.mark.django_db


def words(response) -> str:
    """The page's text, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def address(name, profile) -> str:
    return reverse(f"profiles:{name}", kwargs={"pk": profile.pk})


@pytest.fixture
def bank(nordvik, ida):
    return BankProfileFactory(partner_account=nordvik, created_by=ida)


@pytest.fixture
def tax(goteborg, ida):
    return TaxProfileFactory(location=goteborg, created_by=ida)


@pytest.fixture
def enroll(goteborg, bank, tax):
    """Add an enrollment of Göteborg that is paid through the two profiles."""

    def add(**traits):
        earning_types = [("rebate", 60), ("co_op", 40)]
        return EnrollmentFactory(
            location=goteborg,
            terms=ProgramTermsFactory(earning_types=earning_types),
            payout__bank_profile=bank,
            payout__tax_profile=tax,
            **traits,
        )

    return add


@pytest.mark.parametrize("kind", ["bank", "tax"])
def test_a_profile_counts_the_enrollments_that_use_it_once_each(
    client_of, ida, bank, tax, enroll, kind
):
    enroll(complete=True)
    enroll(accepted=True)
    enroll(status="declined")
    enroll(status="expired")
    profile = {"bank": bank, "tax": tax}[kind]

    row = type(profile).objects.with_uses().get(pk=profile.pk)
    shown = words(client_of(ida).get(address(kind, profile)))

    assert (row.uses, row.validated_uses) == (2, 1)
    assert PayoutAssignment.objects.count() == 8
    assert "Used by 2 enrollments" in shown


def test_a_change_says_how_many_enrollments_it_sends_back(
    client_of, ida, bank, tax, enroll
):
    # R44, prof.impact
    for _number in range(2):
        enroll(complete=True)
    enroll(submitted=True)

    of_bank = words(client_of(ida).get(address("change_bank", bank)))
    of_tax = words(client_of(ida).get(address("change_tax", tax)))

    assert (
        "This change sends 2 enrollments back to validation. Payments continue to the "
        "old account until the new one is approved." in of_bank
    )
    assert "This change sends 2 enrollments back to validation." in of_tax


def test_the_enrollments_that_a_change_announced_do_go_back(
    client_of, ida, bank, enroll
):
    # R44: the sentence and the deed are the same number.
    enrolled = enroll(complete=True)
    version = bank.versions.get()
    enrolled.payout_assignments.update(bank_version=version, currency="EUR")

    client_of(ida).post(
        address("change_bank", bank), {**BANK_DETAILS, "street": "Nygatan 2"}
    )

    enrolled.refresh_from_db()
    assert enrolled.status == "validating"


@pytest.mark.parametrize("kind", ["bank", "tax"])
def test_a_profile_that_pays_an_enrollment_is_not_archived(
    client_of, ida, bank, tax, enroll, kind
):
    # R53
    enroll(complete=True)
    profile = {"bank": bank, "tax": tax}[kind]

    response = client_of(ida).post(address(f"archive_{kind}", profile))

    assert response.status_code == 422
    assert "1 enrollment uses this profile. Choose another there first." in words(
        response
    )
    assert not BankProfile.objects.exclude(archived_at=None).exists()
    assert not TaxProfile.objects.exclude(archived_at=None).exists()


@pytest.mark.parametrize("kind", ["bank", "tax"])
@pytest.mark.parametrize("status", ["declined", "expired"])
def test_a_profile_that_is_shown_as_unused_can_be_archived(
    client_of, ida, bank, tax, enroll, kind, status
):
    # R53: the page and the refusal count the same enrollments.
    enroll(status=status)
    client, profile = client_of(ida), {"bank": bank, "tax": tax}[kind]
    shown = words(client.get(address(kind, profile)))

    client.post(address(f"archive_{kind}", profile))

    profile.refresh_from_db()
    assert "No enrollment uses it yet." in shown
    assert profile.is_archived


def test_the_enroll_page_counts_the_same_uses(client_of, ida, bank, tax, enroll):
    enroll(complete=True)
    enroll(status="expired")
    choosing = enroll(accepted=True)

    page = client_of(ida).get(
        reverse("enrollment:profiles", kwargs={"pk": choosing.pk}), follow=True
    )

    (card,) = [card for _radio, card in page.context["bank_choices"]]
    assert card.uses == 2


@pytest.mark.parametrize("name", ["list", "tax_list"])
def test_lists_count_uses(client_of, ida, bank, tax, enroll, name):
    enroll(complete=True)

    response = client_of(ida).get(reverse(f"profiles:{name}"))

    assert "1 enrollment" in words(response)
