"""What changes while somebody is enrolling: another admin, the terms, the last day."""

import datetime
import re

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts.templatetags.portal import full_moment
from accounts.tests.factories import RoleAssignmentFactory
from accounts.tests.shared_rows import shared
from enrollment import services
from enrollment.models import Enrollment, PayoutAssignment
from enrollment.tests.factories import (
    EarningTypeFactory,
    EnrollmentFactory,
    ProgramTermsFactory,
)
from enrollment.tests.test_publishing import publish
from enrollment.tests.test_views import text
from profiles.tests.factories import BankProfileFactory, BankVersionFactory


@shared
def ready(accepted, default_bank, tax_profile):
    return accepted


@pytest.fixture
def page(client_of, ida):
    return client_of(ida)


@shared
def colleague(maria, goteborg):
    """Maria is Incentives admin of Göteborg too."""
    RoleAssignmentFactory(
        user=maria, partner_account=goteborg.partner_account, location=goteborg
    )
    return maria


@shared
def other_bank(nordvik, colleague):
    return BankProfileFactory(
        partner_account=nordvik, name="Nordvik EUR", created_by=colleague
    )


def url(name: str, enrollment: Enrollment) -> str:
    return reverse(f"enrollment:{name}", kwargs={"pk": enrollment.pk})


def seen_on(response) -> str:
    return re.search(r'name="seen" value="([^"]+)"', response.content.decode())[1]


def test_two_admins_at_once_see_what_the_other_changed(
    page, ready, other_bank, colleague
):
    seen = seen_on(page.get(ready.get_absolute_url()))
    services.choose_bank_profile(ready, bank_profile=other_bank, by=colleague)
    services.choose_currency(ready, currency="EUR", by=colleague)

    refused = page.post(url("submit", ready), {"seen": seen})

    said = text(refused)
    assert refused.status_code == 422
    assert "This enrollment was changed meanwhile." in said
    assert "Bank profile Nordvik SEK main Nordvik EUR Maria Petersson now" in said
    ready.refresh_from_db()
    assert ready.is_invited
    # The page shows what is there now: pressing it again is a decision about that.
    again = page.post(url("submit", ready), {"seen": seen_on(refused)})
    assert again.status_code == 302
    ready.refresh_from_db()
    assert ready.is_validating


def test_without_the_note_the_change_of_the_other_would_go_unseen(
    page, ready, other_bank, colleague
):
    # The control of the test above.
    services.choose_bank_profile(ready, bank_profile=other_bank, by=colleague)
    services.choose_currency(ready, currency="EUR", by=colleague)

    assert page.post(url("submit", ready)).status_code == 302


def test_a_choice_does_not_silently_undo_the_choice_of_another(
    page, ready, other_bank, nordvik, colleague
):
    third = BankProfileFactory(partner_account=nordvik, created_by=colleague)
    seen = seen_on(page.get(url("choose_bank", ready)))
    services.choose_bank_profile(ready, bank_profile=other_bank, by=colleague)
    choice = {"bank_profile": third.pk, "seen": seen}

    refused = page.post(url("choose_bank", ready), choice)

    assert refused.status_code == 422
    assert "Maria Petersson" in text(refused)
    assert ready.payout_assignments.get().bank_profile == other_bank
    # What was chosen stays chosen on the page.
    assert re.search(rf'value="{third.pk}"[^>]* checked', refused.content.decode())


def test_choosing_the_same_twice_is_no_conflict(page, ready, other_bank):
    seen = seen_on(page.get(url("choose_bank", ready)))
    choice = {"bank_profile": other_bank.pk, "seen": seen}

    answers = [page.post(url("choose_bank", ready), choice) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [302, 302]


def test_a_new_version_of_a_profile_is_told_with_who_sent_it(
    page, ready, bank_profile, colleague
):
    seen = seen_on(page.get(ready.get_absolute_url()))
    BankVersionFactory(
        profile=bank_profile, number=2, pending=True, submitted_by=colleague
    )

    said = text(page.post(url("submit", ready), {"seen": seen}))

    before, now = "Nordvik SEK main, version 1", "Nordvik SEK main, version 2"
    assert f"Bank profile {before} {now} Maria Petersson" in said


@pytest.mark.parametrize("note", ["forged", "of another enrollment"])
def test_a_note_of_something_else_tells_nothing(page, ready, malmo, terms, ida, note):
    other = EnrollmentFactory(location=malmo, terms=terms, accepted=True)
    RoleAssignmentFactory(
        user=ida, partner_account=malmo.partner_account, location=malmo
    )
    seen = seen_on(page.get(other.get_absolute_url()))
    refused = page.post(
        url("submit", ready), {"seen": "x.y" if note == "forged" else seen}
    )

    assert refused.status_code == 422
    assert "changed meanwhile" in text(refused)
    assert "Nothing of yours was sent" not in text(refused)


def test_an_agreement_changed_in_the_middle_is_accepted_anew(page, ready, terms):
    seen = seen_on(page.get(ready.get_absolute_url()))
    terms.agreement_version, terms.agreement_text_en = "2", "Other rules."
    terms.save()

    refused = page.post(url("submit", ready), {"seen": seen})
    shown = text(refused)
    assert "Agreement version 1 version 2 the program owner" in shown
    assert "from version 1 to version 2" in shown
    assert "Other rules." in shown
    assert "Submit enrollment" not in shown
    with pytest.raises(ValidationError, match="Accept it first"):
        services.submit_enrollment(ready, by=ready.accepted_by)

    # Who read the old text does not accept the new one.
    page.post(url("accept", ready), {"version": "1"})
    ready.refresh_from_db()
    assert ready.agreement_version == "1"
    accepted = page.post(url("accept", ready), {"version": "2"}, follow=True)
    assert "Version 2, accepted" in text(accepted)
    assert "Submit enrollment" in text(accepted)


def published(terms, mina, **content) -> None:
    draft = services.begin_terms_draft(
        terms.program, fiscal_year=terms.fiscal_year, by=mina
    )
    draft.content |= content
    draft.save()
    publish(draft, mina)


def test_terms_published_in_the_middle_are_shown_before_anything_is_submitted(
    page, ready, terms, ida, mina
):
    # experience.md §4.5: the difference is shown before Submit.
    published(terms, mina, validation_hours=72)
    Enrollment.objects.update(accepted_at=None, accepted_by=None, status="invited")
    services.accept_enrollment(ready, by=ida)
    seen = seen_on(page.get(ready.get_absolute_url()))
    published(terms, mina, validation_hours=96, earnings_start="submitted")

    refused = page.post(url("submit", ready), {"seen": seen})

    assert refused.status_code == 422
    shown = text(refused)
    assert "Promised answer 3 days 4 days the program owner" in shown
    assert "it is validated The month in which it is submitted" in shown
    # Who comes back later reads it too, and decides about what is there now.
    later = page.get(ready.get_absolute_url())
    assert "What the program changed since" in text(later)
    assert "4 days" in text(later)
    # How mail is sent is nothing to partners.
    published(terms, mina, sender_name="Incentives")
    page.post(url("submit", ready), {"seen": seen_on(later)})
    ready.refresh_from_db()
    assert ready.is_validating


def test_what_lapsed_in_an_open_program_is_enrolled_by_its_button_and_with_others(
    page, goteborg, ida, time_machine
):
    # R26
    time_machine.move_to(datetime.datetime(2026, 9, 1, 12, tzinfo=datetime.UTC))
    terms = ProgramTermsFactory(open_to_all=True, enroll_within_days=7)
    enrollment = services.start_open_enrollment(goteborg, terms=terms, by=ida)
    place = f"{terms.pk}-{goteborg.pk}"
    start = reverse("enrollment:start", kwargs={"pk": place})
    for way in (start, reverse("enrollment:begin_batch")):
        time_machine.shift(datetime.timedelta(days=9))
        assert services.lapse_invitations(at=timezone.now()) == 1
        assert start in page.get(enrollment.get_absolute_url()).content.decode()
        assert start in page.get(reverse("enrollment:overview")).content.decode()

        assert page.post(way, {"row": place}).status_code == 302

        enrollment.refresh_from_db()
        assert enrollment.is_invited


def test_the_last_day_passing_in_the_middle_keeps_what_was_filled_in(
    page, ready, other_bank, ida
):
    services.choose_bank_profile(ready, bank_profile=other_bank, by=ida)
    seen = seen_on(page.get(ready.get_absolute_url()))
    yesterday = timezone.localdate() - datetime.timedelta(days=1)
    Enrollment.objects.filter(pk=ready.pk).update(enroll_by=yesterday)

    refused = page.post(url("submit", ready), {"seen": seen})

    said = text(refused)
    assert refused.status_code == 422
    assert "The last day to enroll has passed." in said
    assert "What you filled in is kept; nothing of it was sent." in said
    assert "Nordvik EUR" in said
    assert "Submit enrollment" not in said
    # So it stays once the clock has ended it.
    assert services.lapse_invitations(at=timezone.now()) == 1
    later = text(page.get(ready.get_absolute_url()))
    assert "What you filled in is kept; nothing of it was sent." in later
    assert "Nordvik EUR" in later


def test_nothing_is_recalled_that_could_not_be_submitted_again(page, ready, ida):
    services.submit_enrollment(ready, by=ida)
    yesterday = timezone.localdate() - datetime.timedelta(days=1)
    Enrollment.objects.filter(pk=ready.pk).update(enroll_by=yesterday)

    assert "Recall submission" not in text(page.get(ready.get_absolute_url()))
    refused = page.post(url("recall", ready))

    assert "it could not be submitted again" in text(refused)
    ready.refresh_from_db()
    assert ready.is_validating


def test_what_was_accepted_can_be_declined_and_taken_up_with_everything_kept(
    page, ready, other_bank, ida
):
    services.choose_bank_profile(ready, bank_profile=other_bank, by=ida)
    first = page.get(ready.get_absolute_url())
    assert "What you have chosen is kept." in text(first)

    answer = {"reason": "Not this year", "seen": seen_on(first)}
    declined = page.post(url("decline", ready), answer, follow=True)
    assert "Declined. You can change your mind until" in text(declined)
    assert "Invitation declined: Not this year" in text(declined)
    again = page.post(url("reconsider", ready), follow=True)

    assert "The invitation is open again." in text(again)
    assert ready.payout_assignments.get().bank_profile == other_bank


def test_a_decline_is_not_offered_back_after_the_last_day(page, ready, ida):
    services.decline_enrollment(ready, by=ida)
    yesterday = timezone.localdate() - datetime.timedelta(days=1)
    Enrollment.objects.filter(pk=ready.pk).update(enroll_by=yesterday)

    assert "Change your mind" not in text(page.get(ready.get_absolute_url()))
    assert "Change your mind" not in text(page.get(reverse("enrollment:overview")))


def test_the_confirmation_holds_the_receipt_to_keep(page, ready, ida):
    services.submit_enrollment(ready, by=ida)

    shown = text(page.get(ready.get_absolute_url()))
    kept = page.get(url("receipt", ready))

    assert f"Reference: {ready.reference}" in shown
    assert kept["Content-Type"] == "text/plain; charset=utf-8"
    assert f"{ready.reference}.txt" in kept["Content-Disposition"]
    lines = kept.content.decode().splitlines()
    assert lines[0] == f"Reference: {ready.reference}"
    ready.refresh_from_db()
    # What is kept says its year.
    assert f"Submitted: {full_moment(ready.submitted_at)}" in lines
    assert any("Nordvik SEK main" in line for line in lines)


def test_there_is_no_receipt_of_what_was_not_submitted(page, ready):
    assert page.get(url("receipt", ready)).status_code == 302


# --- Two ways to earn (variant H) -----------------------------------------------------


@shared
def two_types(ready, terms, other_bank):
    """Rebate and co-op, both paid to the default as yet."""
    co_op = EarningTypeFactory(terms=terms, kind="co_op", share=40)
    PayoutAssignment.objects.create(
        enrollment=ready,
        earning_type=co_op,
        location=ready.location,
        partner_account=ready.location.partner_account,
    )
    return co_op


def paid(enrollment) -> dict[str, tuple]:
    rows = enrollment.payout_assignments.select_related("earning_type", "bank_profile")
    return {
        row.earning_type.kind: (
            row.bank_profile and row.bank_profile.name,
            row.currency,
        )
        for row in rows
    }


def test_two_earning_types_are_two_lines_with_the_same_for_both(
    page, ready, two_types, other_bank
):
    shown = text(page.get(ready.get_absolute_url()))
    chooser = page.get(url("choose_bank", ready))
    assert shown.count("Choose another bank profile") == 2
    assert re.search(r'name="same_for_all"[^>]* checked', chooser.content.decode())

    choice = {"bank_profile": other_bank.pk, "earning_type": two_types.pk}
    page.post(url("choose_bank", ready), choice | {"same_for_all": "on"})

    assert {bank for bank, _ in paid(ready).values()} == {"Nordvik EUR"}


def test_each_line_has_its_own_bank_and_currency(
    page, ready, two_types, nordvik, colleague, terms
):
    # Two banks without a currency in common are no dead end.
    terms.currencies, terms.pays_local_currency = ["EUR", "USD"], True
    terms.save()
    only_sek, only_gbp = (
        BankProfileFactory(
            partner_account=nordvik,
            created_by=colleague,
            name=code,
            version__takes_only_local=True,
            version__local_currency=code,
            version__country=country,
        )
        for code, country in (("SEK", "SE"), ("GBP", "GB"))
    )
    rebate = terms.earning_types.get(kind="rebate")
    address = url("choose_bank", ready)
    chooser = page.get(address, {"for": two_types.pk})
    assert "Where co-op (40%) is paid to." in text(chooser)
    assert not re.search(r'name="same_for_all"[^>]* checked', chooser.content.decode())
    page.post(address, {"bank_profile": only_sek.pk, "earning_type": rebate.pk})
    page.post(address, {"bank_profile": only_gbp.pk, "earning_type": two_types.pk})

    # The one currency of each is chosen by itself.
    assert paid(ready) == {"rebate": ("SEK", "SEK"), "co_op": ("GBP", "GBP")}
    profiles = page.get(url("profiles", ready))
    assert "accept SEK" in text(profiles)
    assert "accept GBP" in text(profiles)
    refused = page.post(
        url("choose_currency", ready), {"currency": "GBP", "earning_type": rebate.pk}
    )
    assert refused.status_code == 422
    assert page.post(url("submit", ready)).status_code == 302


def test_a_currency_can_be_chosen_for_one_line_alone(
    page, ready, two_types, other_bank, ida
):
    services.choose_bank_profile(
        ready, bank_profile=other_bank, earning_type=two_types, by=ida
    )

    page.post(
        url("choose_currency", ready), {"currency": "USD", "earning_type": two_types.pk}
    )

    assert paid(ready)["co_op"] == ("Nordvik EUR", "USD")
    assert paid(ready)["rebate"] == (None, "")
