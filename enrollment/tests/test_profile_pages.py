"""What profiles' pages say of the enrollments that use them."""

import re

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.tests.shared_rows import shared
from enrollment import payout
from enrollment.models import Enrollment, PayoutAssignment
from enrollment.services import replace_profile
from enrollment.tests.factories import EnrollmentFactory, ProgramTermsFactory
from profiles.countries import bank_schema
from profiles.models import BankProfile, TaxProfile, versions
from profiles.services import (
    revise_bank_profile,
    revise_tax_profile,
    unsent_bank_version,
)
from profiles.tests.factories import (
    BANK_DETAILS,
    TAX_DETAILS,
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

pytestmark = pytest.mark.django_db

US_DETAILS = {
    **{key: value for key, value in BANK_DETAILS.items() if key != "iban"},
    "routing_number": "110000000",
    "account_number": "000123456789",
    "account_type": "checking",
    "postcode": "23510",
    "state": "VA",
}


def words(response) -> str:
    """The page's text, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def address(name, profile) -> str:
    return reverse(f"profiles:{name}", kwargs={"pk": profile.pk})


@shared
def bank(nordvik, ida):
    return BankProfileFactory(partner_account=nordvik, created_by=ida)


@shared
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


def test_on_an_enrollments_page_no_more_than_some_uses_are_counted(
    client_of, ida, bank, enroll, monkeypatch
):
    first = enroll(complete=True)
    enroll(accepted=True)
    enroll(status="declined")
    page, client = first.get_absolute_url(), client_of(ida)

    assert "Used by 2 enrollments" in words(client.get(page))
    for module in (versions, payout):
        monkeypatch.setattr(module, "MOST_USES", 1)
    monkeypatch.setattr(versions, "MOST_TYPES", 2)
    assert "Used by more than 1 enrollments" in words(client.get(page))


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


@pytest.mark.parametrize("why", ["country", "currency"])
def test_a_change_announces_whom_it_cannot_be_paid_to(ida, bank, enroll, why):
    """Read before it is sent; sent, those enrollments need the partner (R44)."""
    paid, refused = enroll(complete=True), enroll(complete=True)
    PayoutAssignment.objects.update(currency="USD")
    if why == "country":
        refused.terms.bank_countries_refused = ["US"]
        refused.terms.save()
    else:
        PayoutAssignment.objects.filter(enrollment=refused).update(currency="EUR")
    us = {"country": "US", "details": US_DETAILS}
    new = unsent_bank_version(
        bank, schema=bank_schema("US"), details=US_DETAILS, by=ida
    )

    impact = bank.change_impact(new)

    assert [one.follower.enrollment for one in impact.refused] == [refused.pk]
    assert [one.enrollment for one in impact.sent_back] == [paid.pk]
    assert {
        "country": "cannot pay to banks in United States",
        "currency": "this account takes USD only",
    }[why] in impact.refused[0].why
    revise_bank_profile(bank, **us, by=ida)
    statuses = dict(Enrollment.objects.values_list("pk", "status"))
    assert statuses == {paid.pk: "validating", refused.pk: "action_required"}


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
def test_a_profile_in_use_is_replaced_and_then_archived(
    client_of, ida, nordvik, goteborg, bank, tax, enroll, kind
):
    # R53, R44
    enrolled, invited = enroll(complete=True), enroll(accepted=True)
    PayoutAssignment.objects.update(currency="EUR")
    others = {
        "bank": BankProfileFactory(partner_account=nordvik, created_by=ida),
        "tax": TaxProfileFactory(location=goteborg, created_by=ida),
    }
    profile, other = {"bank": bank, "tax": tax}[kind], others[kind]
    if kind == "bank":
        DefaultBankProfileFactory(location=goteborg, bank_profile=bank, currency="SEK")
    client = client_of(ida)
    archive = address(f"archive_{kind}", profile)
    replace = reverse(f"enrollment:replace_{kind}", kwargs={"pk": profile.pk})

    page = words(client.get(archive))
    for row in (enrolled, invited):
        assert f"{row.terms.program.name}, Göteborg" in page
    assert ("default of Göteborg" in page) is (kind == "bank")
    assert "Replace with" in page
    asked = words(client.get(replace))
    assert other.name in asked
    assert f"ending in {other.versions.get().last4}" in asked
    assert "This sends 1 enrollment back to validation" in asked
    assert "It is used here, too:" in asked
    # A program that asks for more than the other has would need the partner again.
    more = "Details have to be added to it for"
    assert more not in asked
    type(enrolled.terms).objects.update(required_tax_details=["residence_certificate"])
    assert (more in words(client.get(replace))) is (kind == "tax")
    type(enrolled.terms).objects.update(required_tax_details=[])
    response = client.post(replace, {"replacement": other.pk}, follow=True)

    assert f"{other.name} is used by 2 enrollments instead." in words(response)
    field = f"{kind}_profile"
    assert set(PayoutAssignment.objects.values_list(field, flat=True)) == {other.pk}
    enrolled.refresh_from_db()
    assert enrolled.status == "validating"
    if kind == "bank":
        assert other.defaults.get().location == goteborg
    client.post(archive)
    profile.refresh_from_db()
    assert profile.is_archived


def test_only_a_profile_in_force_of_the_same_owner_replaces_one(
    client_of, ida, nordvik, malmo, bank, tax, enroll
):
    enroll(complete=True)
    waiting = BankProfileFactory(partner_account=nordvik, version__pending=True)
    elsewhere = TaxProfileFactory(location=malmo)
    pairs = ((bank, waiting), (bank, BankProfileFactory()), (tax, elsewhere))
    for profile, other in (*pairs, (bank, bank)):
        with pytest.raises(ValidationError, match="Choose a profile from the list"):
            replace_profile(profile, replacement=other, by=ida)
        replace = reverse(
            f"enrollment:replace_{profile.part}", kwargs={"pk": profile.pk}
        )
        posted = client_of(ida).post(replace, {"replacement": other.pk})
        assert posted.status_code == 422


def test_what_a_program_cannot_pay_to_replaces_nothing(
    client_of, ida, nordvik, bank, enroll
):
    row = enroll(complete=True)
    other = BankProfileFactory(partner_account=nordvik)
    replace = reverse("enrollment:replace_bank", kwargs={"pk": bank.pk})
    PayoutAssignment.objects.update(currency="JPY")
    asked = client_of(ida).get(replace)
    where = f"{row.terms.program.name} (Göteborg)"
    assert f"A currency has to be chosen anew for {where}." in words(asked)
    assert "disabled" not in asked.content.decode()
    row.terms.bank_countries = ["DE"]
    row.terms.save()

    # Read before it is chosen, which nobody can.
    asked = client_of(ida).get(replace)
    assert f"{where}: This program cannot pay" in words(asked)
    assert re.search(
        r'<input[^>]*name="replacement"[^>]*disabled', asked.content.decode()
    )

    with pytest.raises(ValidationError, match="Göteborg: This program cannot pay"):
        replace_profile(bank, replacement=other, by=ida)

    assert set(PayoutAssignment.objects.values_list("bank_profile", flat=True)) == {
        bank.pk
    }


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
