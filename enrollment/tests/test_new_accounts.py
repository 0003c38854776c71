"""A new account takes no other's place at once, and everybody hears where one did."""

import datetime

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts.models import OutgoingEmail
from accounts.tests.factories import UserFactory
from accounts.tests.shared_rows import shared
from enrollment.models import PayoutAssignment
from enrollment.services import choose_bank_profile, choosing, replace_profile
from enrollment.tests.factories import EnrollmentFactory, ProgramTermsFactory
from profiles.models import DefaultBankProfile
from profiles.services import (
    create_bank_profile,
    defaults,
    remove_default_bank_profile,
    set_default_bank_profile,
)
from profiles.services.approvals import takes_place_from
from profiles.tests.factories import (
    BANK_DETAILS,
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
    as_if_sent,
)

pytestmark = pytest.mark.django_db

OTHER = BANK_DETAILS | {"iban": "SE4550000000058398257466"}
CONTACT = BANK_DETAILS["contact_email"]
THREE_DAYS = datetime.timedelta(hours=72)


@shared
def main(nordvik, ida):
    """The account that Nordvik has been paid at for a year."""
    return BankProfileFactory(
        partner_account=nordvik,
        created_by=ida,
        version__submitted_at=timezone.now() - datetime.timedelta(days=365),
        version__approved_at=timezone.now() - datetime.timedelta(days=364),
    )


@shared
def new(nordvik, ida, main):
    """Another one, asked for a moment ago and in force already."""
    return BankProfileFactory(
        partner_account=nordvik, created_by=ida, version__details=OTHER
    )


def make_default(profile, *places, moving=(), by):
    return set_default_bank_profile(
        [*places, *moving], bank_profile=profile, currency="SEK", moving=moving, by=by
    )


def told(step: str) -> dict[str, str]:
    """Who got the mail, and its text in one line."""
    words = {
        "added": "A bank account was added",
        "moved": "move to another account",
        "set": "was set",
        "removed": "was removed",
    }
    return {
        mail.to_address: " ".join(mail.body_text.split())
        for mail in OutgoingEmail.objects.filter(
            name="payout_moved", subject__contains=words[step]
        )
    }


def test_a_default_moves_to_a_new_account_three_days_after_it_was_asked_for(
    main, new, goteborg, ida, monkeypatch
):
    """Moved, or taken away and set anew: security.md T1 (docs/adr/0013)."""
    DefaultBankProfileFactory(location=goteborg, bank_profile=main)

    for _way in ("moving", "set anew"):
        with pytest.raises(ValidationError, match="can take the place of another"):
            make_default(new, moving=[goteborg], by=ida)
        default = DefaultBankProfile.objects.filter(location=goteborg).first()
        assert default is None or default.bank_profile == main
        if default is not None:
            remove_default_bank_profile(default, by=ida)
    at = timezone.now()
    as_if_sent(new.versions, submitted_at=at - THREE_DAYS + datetime.timedelta(hours=1))
    with pytest.raises(ValidationError):
        make_default(new, goteborg, by=ida)
    as_if_sent(new.versions, submitted_at=at - THREE_DAYS)
    make_default(new, goteborg, by=ida)
    # The control: without the rule it is moved at once.
    DefaultBankProfile.objects.all().delete()
    as_if_sent(new.versions, submitted_at=at)
    monkeypatch.setattr(defaults, "refuse_too_new", lambda *_rows, **_field: None)
    make_default(new, goteborg, by=ida)


def test_a_first_account_and_one_known_before_need_not_wait(
    main, nordvik, goteborg, malmo, ida
):
    first = BankProfileFactory()
    make_default(main, goteborg, by=ida)
    again = BankProfileFactory(partner_account=nordvik, created_by=ida)
    make_default(again, moving=[goteborg], by=ida)

    assert first.versions.count() == 1
    assert DefaultBankProfile.objects.get().bank_profile == again


def test_every_admin_hears_of_a_further_account_when_it_is_asked_for(
    main, nordvik, ida, greta, alice, uma
):
    create_bank_profile(nordvik, name="New", country="SE", details=OTHER, by=ida)

    mails = told("added")
    assert set(mails) == {one.email for one in (ida, greta, alice)}
    assert "an account in Sweden that ends in 66" in mails[greta.email]
    assert OTHER["iban"] not in str(mails)
    assert "7466" not in str(mails)


def test_what_takes_another_profiles_place_is_told_with_its_places(
    main, new, goteborg, malmo, ida, greta, alice, client_of
):
    tax = TaxProfileFactory(location=goteborg)
    enrolled = EnrollmentFactory(
        location=goteborg,
        terms=ProgramTermsFactory(),
        payout__bank_profile=main,
        payout__tax_profile=tax,
        complete=True,
    )
    PayoutAssignment.objects.update(currency="EUR")
    DefaultBankProfileFactory(location=goteborg, bank_profile=main)
    page = reverse("enrollment:replace_bank", kwargs={"pk": main.pk})

    early = client_of(ida).post(page, {"replacement": new.pk})

    assert early.status_code == 422
    assert "is new: it can take the place of another from" in early.content.decode()
    assert not told("moved")
    as_if_sent(new.versions, submitted_at=timezone.now() - THREE_DAYS)
    client_of(ida).post(page, {"replacement": new.pk})
    mails = told("moved")
    assert set(mails) == {CONTACT, *(one.email for one in (ida, greta, alice))}
    for address, text in mails.items():
        # Whoever has no account here reads no names of places.
        is_named = address != CONTACT
        assert (f"{enrolled.terms.program.name}, Göteborg" in text) is is_named
        assert ("default of Göteborg" in text) is is_named
        assert "ends in 03. New: an account in Sweden that ends in 66" in text

    other = TaxProfileFactory(location=goteborg)
    replace_profile(tax, replacement=other, by=ida)
    last = OutgoingEmail.objects.filter(subject__contains="Another tax profile")
    assert [mail.to_address for mail in last] == [ida.email]


def test_a_default_that_moves_is_told(main, new, goteborg, ida, greta, alice):
    as_if_sent(new.versions, submitted_at=timezone.now() - THREE_DAYS)
    DefaultBankProfileFactory(location=goteborg, bank_profile=main)

    make_default(new, moving=[goteborg], by=ida)

    mails = told("moved")
    assert set(mails) == {CONTACT, *(one.email for one in (ida, greta, alice))}
    assert "default of Göteborg" in mails[greta.email]


def test_taking_a_default_away_and_setting_another_is_told_as_moving_it_is(
    main, new, goteborg, ida, greta, alice, client_of
):
    as_if_sent(new.versions, submitted_at=timezone.now() - THREE_DAYS)
    default = DefaultBankProfileFactory(location=goteborg, bank_profile=main)

    client_of(ida).post(reverse("profiles:remove_default", kwargs={"pk": default.pk}))
    make_default(new, goteborg, by=ida)

    removed, chosen = told("removed"), told("set")
    assert set(removed) == {CONTACT, *(one.email for one in (ida, greta, alice))}
    assert "no longer the default here: - Göteborg " in removed[greta.email]
    assert "Göteborg" not in removed[CONTACT]
    assert set(chosen) == {one.email for one in (ida, greta, alice)}
    assert "an account in Sweden that ends in 66" in chosen[greta.email]
    # The company's first account is where payments go anyway.
    make_default(main, moving=[goteborg], by=ida)
    DefaultBankProfile.objects.all().delete()
    make_default(main, goteborg, by=ida)
    assert len(OutgoingEmail.objects.filter(subject__contains="was set")) == 3


def sent_to(goteborg, bank):
    """An enrollment that was paid to an account, and has to be mended."""
    return EnrollmentFactory(
        location=goteborg,
        terms=ProgramTermsFactory(),
        payout__bank_profile=bank,
        payout__tax_profile=TaxProfileFactory(location=goteborg),
        status="action_required",
        accepted=True,
        submitted_at=timezone.now(),
        submitted_by=UserFactory(),
    )


def test_what_was_sent_before_goes_to_a_new_account_three_days_after_it_was_asked_for(
    main, new, goteborg, ida, greta, alice, monkeypatch
):
    """Not by way of an enrollment that has to be mended, either (security.md T1)."""
    enrollment = sent_to(goteborg, main)

    with pytest.raises(ValidationError, match="can take the place of another"):
        choose_bank_profile(enrollment, bank_profile=new, by=ida)

    assert enrollment.payout_assignments.get().bank_profile == main
    assert not told("moved")
    as_if_sent(new.versions, submitted_at=timezone.now() - THREE_DAYS)
    choose_bank_profile(enrollment, bank_profile=new, by=ida)
    assert enrollment.payout_assignments.get().bank_profile == new
    assert {CONTACT, greta.email, alice.email} <= set(told("moved"))
    # The control: without the rule it is chosen at once.
    as_if_sent(new.versions, submitted_at=timezone.now())
    again = sent_to(goteborg, main)
    monkeypatch.setattr(choosing, "refuse_too_new", lambda *_rows, **_field: None)
    choose_bank_profile(again, bank_profile=new, by=ida)


def test_a_request_that_was_withdrawn_is_no_waiting_time(main, new, nordvik, ida):
    """Asked for in another profile a year ago, and never in force."""
    elsewhere = BankProfileFactory(
        partner_account=nordvik,
        created_by=ida,
        version__pending=True,
        version__details=OTHER,
        version__submitted_at=timezone.now() - datetime.timedelta(days=365),
    )
    as_if_sent(elsewhere.versions, status="replaced")

    assert takes_place_from(new) > timezone.now()


def test_asked_for_before_anybody_was_told_it_waits_from_its_approval(
    main, new, goteborg, ida
):
    as_if_sent(new.versions, submitted_at=timezone.now() - datetime.timedelta(days=400))

    with pytest.raises(ValidationError, match="can take the place of another"):
        make_default(new, goteborg, by=ida)
