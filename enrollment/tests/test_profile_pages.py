"""What profiles' pages say of the enrollments that use them."""

import re

import pytest
from django.urls import reverse

from enrollment.models import Enrollment, PayoutAssignment
from enrollment.tests.factories import EnrollmentFactory, ProgramTermsFactory
from profiles.models import BankProfile, TaxProfile
from profiles.services import revise_bank_profile, revise_tax_profile
from profiles.tests.factories import (
    BANK_DETAILS,
    TAX_DETAILS,
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

    assert row.uses == 2
    assert PayoutAssignment.objects.count() == 8
    assert "Used by 2 enrollments" in shown


@pytest.mark.parametrize("kind", ["bank", "tax"])
def test_what_a_change_announces_is_what_happens(
    client_of, ida, bank, tax, enroll, kind
):
    # R44: the preview and the deed ask the same question.
    profile = {"bank": bank, "tax": tax}[kind]
    traits = (
        {"complete": True},
        {"complete": True},
        {"submitted": True},
        {"accepted": True},
        {"status": "expired"},
    )
    rows = {row.pk: row for row in (enroll(**trait) for trait in traits)}
    PayoutAssignment.objects.update(currency="EUR")
    PayoutAssignment.objects.filter(enrollment__status="enrolled").update(
        bank_version=bank.versions.get(), tax_version=tax.versions.get()
    )
    before = dict(Enrollment.objects.values_list("pk", "status"))
    announced = type(profile).objects.get(pk=profile.pk).change_impact()

    page = words(client_of(ida).get(address(f"change_{kind}", profile)))
    if kind == "bank":
        details = BANK_DETAILS | {"street": "Nygatan 2"}
        revise_bank_profile(profile, country="SE", details=details, by=ida)
    else:
        details = TAX_DETAILS | {"city": "Lund"}
        revise_tax_profile(profile, country="SE", details=details, by=ida)

    after = dict(Enrollment.objects.values_list("pk", "status"))
    moved = {pk for pk in rows if before[pk] != after[pk]}
    assert {one.enrollment for one in announced.sent_back} == moved
    assert len(moved) == 2
    assert {after[pk] for pk in moved} == {"validating"}
    assert [before[one.enrollment] for one in announced.staying] == ["validating"]
    assert "This change sends 2 enrollments back to validation:" in page
    for pk in moved:
        assert f"{rows[pk].terms.program.name}, Göteborg" in page
    assert "1 enrollment that is not complete yet is validated" in page


@pytest.mark.parametrize("kind", ["bank", "tax"])
def test_versions_are_compared_with_their_numbers_masked(
    client_of, ida, oscar, bank, tax, kind
):
    profile = {"bank": bank, "tax": tax}[kind]
    if kind == "bank":
        details = BANK_DETAILS | {"iban": "SE4550000000058398257466"}
        revise_bank_profile(profile, country="SE", details=details, by=ida)
    else:
        details = TAX_DETAILS | {"city": "Lund"}
        revise_tax_profile(profile, country="SE", details=details, by=ida)

    for person, area in ((ida, "profiles"), (oscar, "ops")):
        path = reverse(f"{area}:compare_{kind}", kwargs={"pk": profile.pk})
        page = words(client_of(person).get(path))
        assert "Version 1 and version 2" in page
        assert "changed" in page
        assert "SE45" not in page
        assert ("7466" if kind == "bank" else "Lund") in page
        turned = words(client_of(person).get(path + "?old=2&new=1"))
        assert "Version 2 and version 1" in turned
        odd = client_of(person).get(path + "?old=x&new=99")
        assert "Version 1 and version 2" in words(odd)


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
