"""The steps of an enrollment as the services take them."""

import datetime
import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.models import OutgoingEmail
from accounts.tests.factories import (
    LocationFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once, meet
from enrollment import services, tasks
from enrollment.clock import earning_outlook
from enrollment.models import Enrollment, EnrollmentEvent
from enrollment.services import enrollments, lapsing
from enrollment.services import moving as moves
from enrollment.states import TRANSITIONS, EnrollmentStatus
from enrollment.tests.factories import (
    EnrollmentFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    RequirementFactory,
)
from enrollment.tests.service_modules import replace_in_steps
from profiles.models import DefaultBankProfile
from profiles.services import (
    approve_version,
    archive_profile,
    bring_changes_into_force,
    deciding,
    return_version,
    revise_bank_profile,
    revise_tax_profile,
    withdraw_change,
)
from profiles.tests.factories import (
    BANK_DETAILS,
    TAX_DETAILS,
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
    as_if_sent,
)

RETURNED = [{"field": "account_holder", "code": "BANK_NAME_MISMATCH", "note": ""}]
TAX_RETURNED = [{"field": "legal_name", "code": "TAX_NAME_MISMATCH", "note": ""}]


def codes(enrollment):
    return list(enrollment.events.order_by("pk").values_list("code", flat=True))


def noon(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(12), tzinfo=datetime.UTC)


def refusal(error) -> str:
    return " ".join(error.value.messages)


def set_expiry(tax_profile, day: datetime.date) -> None:
    as_if_sent(tax_profile.versions.all(), expires_on=day)


@shared
def ready(accepted, default_bank, tax_profile):
    """Accepted, with an approved default bank profile and tax profile."""
    return accepted


@shared
def submitted(ready, ida):
    return services.submit_enrollment(ready, by=ida)


@shared
def enrolled(submitted, oscar):
    services.confirm_payout(submitted, part="bank", by=oscar)
    return services.confirm_payout(submitted, part="tax", by=oscar)


# --- Accept and decline --------------------------------------------------------------


def test_accepting_keeps_who_when_and_which_agreement(invited, ida):
    enrollment = services.accept_enrollment(invited, by=ida)

    assert enrollment.accepted_by == ida
    assert enrollment.accepted_at is not None
    assert enrollment.agreement_version == "1"
    assert enrollment.status == EnrollmentStatus.INVITED
    assert codes(enrollment) == ["accepted"]


def test_accepting_twice_changes_nothing(invited, ida, nordvik):
    first = services.accept_enrollment(invited, by=ida)
    colleague = RoleAssignmentFactory(partner_account=nordvik).user
    second = services.accept_enrollment(invited, by=colleague)

    assert second.accepted_by == ida
    assert second.accepted_at == first.accepted_at
    assert codes(second) == ["accepted"]


def test_an_invitation_cannot_be_accepted_after_its_last_day(goteborg, terms, ida):
    enrollment = EnrollmentFactory(
        location=goteborg,
        terms=terms,
        enroll_by=timezone.localdate() - datetime.timedelta(days=1),
    )

    with pytest.raises(ValidationError) as error:
        services.accept_enrollment(enrollment, by=ida)

    assert "last day to enroll has passed" in refusal(error)


def test_an_invitation_can_be_accepted_on_its_last_day(goteborg, terms, ida):
    enrollment = EnrollmentFactory(
        location=goteborg, terms=terms, enroll_by=timezone.localdate()
    )

    assert services.accept_enrollment(enrollment, by=ida).is_accepted


def test_a_discontinued_program_cannot_be_enrolled_in(invited, ida):
    # R67
    services.discontinue_program(invited.terms.program, by=None)

    with pytest.raises(ValidationError) as error:
        services.accept_enrollment(invited, by=ida)

    assert "is discontinued" in refusal(error)


def test_a_company_that_must_migrate_first_is_told_so(invited, nordvik, ida):
    # R72
    nordvik.must_migrate = True
    nordvik.save(update_fields=["must_migrate"])

    with pytest.raises(ValidationError) as error:
        services.accept_enrollment(invited, by=ida)

    assert "has not finished the migration" in refusal(error)


def test_a_company_that_has_migrated_is_not_asked(invited, nordvik, ida):
    # R72
    nordvik.must_migrate = True
    nordvik.migrated_at = timezone.now()
    nordvik.save(update_fields=["must_migrate", "migrated_at"])

    assert services.accept_enrollment(invited, by=ida).is_accepted


def test_a_closed_location_cannot_be_enrolled(invited, goteborg, ida):
    goteborg.closed_at = timezone.now()
    goteborg.save(update_fields=["closed_at"])

    with pytest.raises(ValidationError) as error:
        services.accept_enrollment(invited, by=ida)

    assert "is closed" in refusal(error)


def test_a_decline_can_be_taken_back(invited, ida):
    declined = services.decline_enrollment(invited, reason="Not this year", by=ida)
    assert declined.status == EnrollmentStatus.DECLINED
    assert declined.events.get(code="declined").note == "Not this year"

    again = services.reconsider_enrollment(declined, by=ida)

    assert again.status == EnrollmentStatus.INVITED
    assert not again.is_accepted


def test_declining_twice_changes_nothing(invited, ida):
    services.decline_enrollment(invited, by=ida)
    services.decline_enrollment(invited, by=ida)

    assert codes(invited) == ["declined"]


def test_a_decline_cannot_be_taken_back_after_the_last_day(invited, ida):
    services.decline_enrollment(invited, by=ida)
    Enrollment.objects.update(
        enroll_by=timezone.localdate() - datetime.timedelta(days=1)
    )

    with pytest.raises(ValidationError) as error:
        services.reconsider_enrollment(invited, by=ida)

    assert "last day" in refusal(error)


def test_only_a_declined_invitation_can_be_taken_up_again(submitted, ida):
    with pytest.raises(ValidationError) as error:
        services.reconsider_enrollment(submitted, by=ida)

    assert "Only a declined invitation" in refusal(error)


# --- What is used, and what is missing ------------------------------------------------


def test_submitting_uses_the_default_bank_profile_and_the_tax_profile(
    submitted, bank_profile, tax_profile, ida
):
    # R30, R31, R33, R37
    payout = submitted.payout_assignments.get()

    assert submitted.status == EnrollmentStatus.VALIDATING
    assert submitted.submitted_by == ida
    assert payout.bank_profile == bank_profile
    assert payout.tax_profile == tax_profile
    assert payout.currency == "SEK"


def test_submitting_is_refused_before_the_invitation_is_accepted(
    invited, default_bank, tax_profile, ida
):
    with pytest.raises(ValidationError) as error:
        services.submit_enrollment(invited, by=ida)

    assert "Accept the invitation first" in refusal(error)


def test_submitting_is_refused_with_the_names_of_everything_missing(accepted, ida):
    # R34
    with pytest.raises(ValidationError) as error:
        services.submit_enrollment(accepted, by=ida)

    assert "A bank profile is missing." in error.value.messages
    assert "A tax profile is missing." in error.value.messages
    accepted.refresh_from_db()
    assert accepted.status == EnrollmentStatus.INVITED
    assert accepted.submitted_at is None


@pytest.mark.parametrize(
    ("value", "refusals", "status"),
    [
        # What is not known refuses nobody who was invited.
        (None, [], "validating"),
        (25000, [], "validating"),
        (24999, ["Göteborg does not meet what {} asks now."], "invited"),
    ],
)
def test_nobody_submits_against_a_requirement_that_is_known_not_to_be_met(
    ready, goteborg, terms, ida, value, refusals, status
):
    criterion = RequirementFactory(terms=terms, at_least=25000).criterion
    if value is not None:
        MeasuredValueFactory(location=goteborg, criterion=criterion, value=value)
    said = []

    try:
        services.submit_enrollment(ready, by=ida)
    except ValidationError as refusal:
        said = refusal.messages

    assert said == [one.format(terms.program.name) for one in refusals]
    assert Enrollment.objects.get(pk=ready.pk).status == status


def test_submitting_twice_is_one_submission(submitted, ida):
    services.submit_enrollment(submitted, by=ida)

    assert codes(submitted).count("submitted") == 1
    assert OutgoingEmail.objects.filter(name="enrollment_submitted").count() == 1


def test_submitting_after_the_last_day_is_refused(ready, ida):
    Enrollment.objects.update(
        enroll_by=timezone.localdate() - datetime.timedelta(days=1)
    )

    with pytest.raises(ValidationError) as error:
        services.submit_enrollment(ready, by=ida)

    assert "last day" in refusal(error)


def test_continuing_with_something_missing_asks_for_action(accepted, ida):
    # R36
    enrollment = services.ask_for_details(accepted, by=ida)

    assert enrollment.status == EnrollmentStatus.ACTION_REQUIRED
    assert codes(enrollment) == ["details_asked"]


def test_continuing_with_nothing_missing_changes_nothing(ready, ida):
    enrollment = services.ask_for_details(ready, by=ida)

    assert enrollment.status == EnrollmentStatus.INVITED


def test_what_was_missing_can_be_supplied_and_submitted(
    accepted, goteborg, nordvik, ida, maria
):
    services.ask_for_details(accepted, by=ida)
    other = BankProfileFactory(partner_account=nordvik, created_by=maria)
    TaxProfileFactory(location=goteborg, created_by=maria)
    services.choose_bank_profile(accepted, bank_profile=other, by=ida)
    services.choose_currency(accepted, currency="EUR", by=ida)

    enrollment = services.submit_enrollment(accepted, by=ida)

    assert enrollment.status == EnrollmentStatus.VALIDATING
    assert enrollment.payout_assignments.get().currency == "EUR"


def test_another_bank_profile_is_used_here_and_the_default_stays(
    ready, nordvik, bank_profile, ida, maria
):
    # R32
    other = BankProfileFactory(
        partner_account=nordvik, name="Nordvik EUR", created_by=maria
    )

    services.choose_bank_profile(ready, bank_profile=other, by=ida)
    services.choose_currency(ready, currency="EUR", by=ida)
    enrollment = services.submit_enrollment(ready, by=ida)

    assert enrollment.payout_assignments.get().bank_profile == other
    assert DefaultBankProfile.objects.get().bank_profile == bank_profile


def test_another_companys_bank_profile_cannot_be_chosen(ready, sam, ida):
    foreign = BankProfileFactory()

    with pytest.raises(ValidationError) as error:
        services.choose_bank_profile(ready, bank_profile=foreign, by=ida)

    assert "your company" in refusal(error)
    assert ready.payout_assignments.get().bank_profile is None


def test_an_archived_bank_profile_cannot_be_chosen(ready, nordvik, ida, maria):
    old = BankProfileFactory(
        partner_account=nordvik,
        created_by=maria,
        archived_at=timezone.now(),
        archived_by=maria,
    )

    with pytest.raises(ValidationError) as error:
        services.choose_bank_profile(ready, bank_profile=old, by=ida)

    assert "archived" in refusal(error)


def test_a_tax_profile_of_another_location_cannot_be_chosen(ready, malmo, ida, maria):
    # R31
    other = TaxProfileFactory(location=malmo, created_by=maria)

    with pytest.raises(ValidationError) as error:
        services.choose_tax_profile(ready, tax_profile=other, by=ida)

    assert "this location" in refusal(error)


def test_a_currency_the_program_does_not_pay_in_is_refused_and_not_stored(ready, ida):
    with pytest.raises(ValidationError) as error:
        services.choose_currency(ready, currency="JPY", by=ida)

    assert "does not accept JPY" in refusal(error)
    assert ready.payout_assignments.get().currency == ""


def test_each_earning_type_can_have_its_own_bank_profile(
    goteborg, nordvik, program, ida, maria
):
    terms = ProgramTermsFactory(earning_types=[("rebate", 60), ("co_op", 40)])
    enrollment = EnrollmentFactory(
        location=goteborg, terms=terms, accepted=True, accepted_by=ida
    )
    main = BankProfileFactory(partner_account=nordvik, created_by=maria)
    DefaultBankProfileFactory(location=goteborg, bank_profile=main)
    other = BankProfileFactory(partner_account=nordvik, created_by=maria)
    TaxProfileFactory(location=goteborg, created_by=maria)
    rebate, co_op = terms.earning_types.order_by("-share")

    services.choose_bank_profile(
        enrollment, bank_profile=other, earning_type=co_op, by=ida
    )
    with pytest.raises(ValidationError):
        # R56: one payment without a currency keeps the whole from being submitted.
        services.submit_enrollment(enrollment, by=ida)
    services.choose_currency(enrollment, currency="SEK", by=ida)
    services.submit_enrollment(enrollment, by=ida)

    used = {row.earning_type: row for row in enrollment.payout_assignments.all()}
    assert used[rebate].bank_profile == main
    assert used[co_op].bank_profile == other


# --- Validation -----------------------------------------------------------------------


def test_one_validated_profile_is_not_enough(submitted, oscar):
    # R38, R39
    enrollment = services.confirm_payout(submitted, part="bank", by=oscar)

    assert enrollment.status == EnrollmentStatus.VALIDATING
    assert enrollment.enrolled_at is None


def test_both_validated_is_enrolled_with_its_moment(enrolled, oscar):
    # R40, R45
    assert enrolled.status == EnrollmentStatus.ENROLLED
    assert enrolled.enrolled_at is not None
    assert enrolled.earns_from == timezone.localdate().replace(day=1)
    assert codes(enrolled) == [
        "submitted",
        "bank_confirmed",
        "tax_confirmed",
        "enrolled",
    ]
    assert OutgoingEmail.objects.filter(name="enrollment_completed").count() == 1


def test_the_validated_versions_are_pinned(enrolled, bank_profile, tax_profile):
    payout = enrolled.payout_assignments.get()

    assert payout.bank_version == bank_profile.version_in_force
    assert payout.tax_version == tax_profile.version_in_force


def test_a_pending_profile_is_approved_by_validating_the_enrollment(
    accepted, goteborg, nordvik, ida, maria, oscar
):
    # The company was paid before: one operator is enough for another account.
    BankProfileFactory(partner_account=nordvik)
    bank = BankProfileFactory(
        partner_account=nordvik, created_by=maria, version__pending=True
    )
    tax = TaxProfileFactory(location=goteborg, created_by=maria, version__pending=True)
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    submitted = services.submit_enrollment(accepted, by=ida)
    services.confirm_payout(submitted, part="bank", by=oscar)

    enrollment = services.confirm_payout(submitted, part="tax", by=oscar)

    assert enrollment.status == EnrollmentStatus.ENROLLED
    assert bank.versions.get().is_approved
    assert tax.versions.get().is_approved
    assert bank.versions.get().decided_by == oscar


def test_approving_the_profiles_themselves_enrolls_who_waits_for_them(
    accepted, goteborg, nordvik, ida, maria, oscar
):
    # R40
    # The company was paid before: one operator is enough for another account.
    BankProfileFactory(partner_account=nordvik)
    bank = BankProfileFactory(
        partner_account=nordvik, created_by=maria, version__pending=True
    )
    tax = TaxProfileFactory(location=goteborg, created_by=maria, version__pending=True)
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    services.submit_enrollment(accepted, by=ida)

    approve_version(bank.versions.get(), by=oscar)
    accepted.refresh_from_db()
    assert accepted.status == EnrollmentStatus.VALIDATING
    approve_version(tax.versions.get(), by=oscar)

    accepted.refresh_from_db()
    assert accepted.status == EnrollmentStatus.ENROLLED


def test_who_submitted_cannot_validate(submitted, ida):
    # Rule 78
    with pytest.raises(ValidationError) as error:
        services.confirm_payout(submitted, part="bank", by=ida)

    assert "Somebody else" in refusal(error)


def test_who_entered_the_profile_cannot_validate_it(submitted, maria):
    # Rule 78
    with pytest.raises(ValidationError) as error:
        services.confirm_payout(submitted, part="bank", by=maria)

    assert "Somebody else" in refusal(error)


def test_what_is_not_waiting_cannot_be_validated(enrolled, oscar):
    with pytest.raises(ValidationError) as error:
        services.confirm_payout(enrolled, part="bank", by=oscar)

    assert "not waiting for validation" in refusal(error)


def test_a_returned_profile_asks_for_action_and_says_why(
    accepted, goteborg, nordvik, ida, maria, oscar, tax_profile
):
    # R41
    bank = BankProfileFactory(
        partner_account=nordvik, created_by=maria, version__pending=True
    )
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    services.submit_enrollment(accepted, by=ida)

    return_version(bank.versions.get(), returned=RETURNED, by=oscar)

    accepted.refresh_from_db()
    assert accepted.status == EnrollmentStatus.ACTION_REQUIRED
    mail = OutgoingEmail.objects.get(name="needs_attention", to_user=ida)
    assert "legal" in mail.body_text
    assert f"/enroll/{accepted.pk}/profiles/" in mail.body_text


def test_mending_a_returned_profile_sends_the_enrollment_back_to_validation(
    accepted, goteborg, nordvik, ida, maria, oscar, tax_profile
):
    bank = BankProfileFactory(
        partner_account=nordvik, created_by=maria, version__pending=True
    )
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    services.submit_enrollment(accepted, by=ida)
    return_version(bank.versions.get(), returned=RETURNED, by=oscar)

    revise_bank_profile(bank, country="SE", details=BANK_DETAILS, by=ida)

    accepted.refresh_from_db()
    assert accepted.status == EnrollmentStatus.VALIDATING


def test_what_is_returned_and_submitted_again_keeps_its_first_month(
    accepted, default_bank, tax_profile, nordvik, ida, maria, oscar, time_machine
):
    # domain.md §10.1: the month of submission counts, and being returned costs none.
    terms = accepted.terms
    terms.earnings_start = "submitted"
    terms.save()
    time_machine.move_to(noon(datetime.date(2026, 11, 10)), tick=False)
    services.submit_enrollment(accepted, by=ida)
    bank = default_bank.bank_profile
    return_version(bank.versions.get(), returned=RETURNED, by=oscar)
    time_machine.move_to(noon(datetime.date(2026, 12, 3)), tick=False)
    other = BankProfileFactory(partner_account=nordvik, created_by=maria)
    services.choose_bank_profile(accepted, bank_profile=other, by=ida)
    services.choose_currency(accepted, currency="SEK", by=ida)

    again = services.submit_enrollment(accepted, by=ida)

    assert again.submitted_at == timezone.now()
    said = "As soon as it is validated, it earns from 1 November 2026."
    assert earning_outlook(again, at=timezone.now()) == said
    for part in ("bank", "tax"):
        enrolled = services.confirm_payout(again, part=part, by=oscar)
    assert enrolled.earns_from == datetime.date(2026, 11, 1)


def test_what_was_recalled_counts_from_when_it_is_sent_again(
    submitted, ida, time_machine
):
    terms = submitted.terms
    terms.earnings_start = "submitted"
    terms.save()
    time_machine.move_to(noon(datetime.date(2026, 12, 3)), tick=False)

    services.recall_enrollment(submitted, by=ida)
    again = services.submit_enrollment(submitted, by=ida)

    assert again.counts_from == timezone.now()


def test_changing_a_profile_of_an_enrolled_enrollment_validates_it_again(
    enrolled, bank_profile, ida
):
    # R44
    version_before = enrolled.payout_assignments.get().bank_version

    revise_bank_profile(
        bank_profile,
        country="SE",
        details=BANK_DETAILS | {"account_holder": "Nordvik Sverige AB"},
        by=ida,
    )

    enrolled.refresh_from_db()
    assert enrolled.status == EnrollmentStatus.VALIDATING
    payout = enrolled.payout_assignments.get()
    # The approved version stays in force until the new one is approved.
    assert payout.bank_version == version_before
    assert payout.bank_version.is_approved


def test_approving_the_changed_profile_enrolls_again_and_keeps_the_first_moment(
    enrolled, tax_profile, ida, oscar
):
    # R40, R44
    first = enrolled.enrolled_at
    revise_tax_profile(
        tax_profile, country="SE", details=TAX_DETAILS | {"city": "Göteborg"}, by=ida
    )
    newest = tax_profile.versions.get(number=2)

    approve_version(newest, by=oscar)

    enrolled.refresh_from_db()
    assert enrolled.status == EnrollmentStatus.ENROLLED
    assert enrolled.enrolled_at == first
    assert enrolled.payout_assignments.get().tax_version == newest


@shared
def moving(enrolled, bank_profile, ida, oscar, lucia):
    """Its account is to change: approved by two, its cooling-off just over."""
    asked = timezone.now() - datetime.timedelta(hours=72)
    other = BANK_DETAILS | {"iban": "SE4550000000058398257466"}
    revise_bank_profile(bank_profile, country="SE", details=other, by=ida, at=asked)
    change = bank_profile.versions.get(number=2)
    for operator in (oscar, lucia):
        approve_version(change, by=operator, at=asked)
    return change


def test_a_changed_account_is_pinned_when_its_cooling_off_is_over(
    enrolled, moving, bank_profile
):
    # R44, docs/adr/0010
    first = enrolled.enrolled_at
    assert enrolled.payout_assignments.get().bank_version.number == 1
    enrolled.refresh_from_db()
    assert enrolled.status == EnrollmentStatus.VALIDATING

    for _beat in range(2):
        bring_changes_into_force(at=moving.usable_from)

    enrolled.refresh_from_db()
    assert enrolled.status == EnrollmentStatus.ENROLLED
    assert enrolled.enrolled_at == first
    assert enrolled.payout_assignments.get().bank_version == moving
    assert codes(enrolled)[-2:] == ["bank_confirmed", "enrolled"]


def test_a_withdrawn_change_leaves_the_enrollment_as_it_was(enrolled, moving, ida):
    before = enrolled.payout_assignments.get().bank_version

    withdraw_change(moving, by=ida)

    enrolled.refresh_from_db()
    assert enrolled.status == EnrollmentStatus.ENROLLED
    assert enrolled.payout_assignments.get().bank_version == before


def test_an_enrollment_that_was_never_submitted_does_not_follow_its_profiles(
    ready, bank_profile, ida, oscar
):
    return_version(bank_profile.versions.get(), returned=RETURNED, by=oscar)

    ready.refresh_from_db()
    assert ready.status == EnrollmentStatus.INVITED


def test_an_expired_tax_profile_asks_for_action(enrolled, tax_profile, ida):
    # R54
    today = timezone.localdate()
    set_expiry(tax_profile, today - datetime.timedelta(days=1))

    moved = services.note_expired_tax_profiles(at=timezone.now())

    enrolled.refresh_from_db()
    assert moved == 1
    assert enrolled.status == EnrollmentStatus.ACTION_REQUIRED
    assert codes(enrolled)[-1] == "profile_expired"
    assert services.note_expired_tax_profiles(at=timezone.now()) == 0


def test_a_tax_profile_is_good_through_its_last_day(enrolled, tax_profile):
    # R54
    today = timezone.localdate()
    set_expiry(tax_profile, today)

    assert services.note_expired_tax_profiles(at=timezone.now()) == 0


def test_pending_for_48_hours_is_overdue_and_stays_pending(submitted):
    # R43
    now = timezone.now()
    Enrollment.objects.update(
        status_since=now - datetime.timedelta(hours=48, seconds=1)
    )

    submitted.refresh_from_db()
    assert submitted.is_overdue(now)
    assert list(Enrollment.objects.overdue(now)) == [submitted]
    assert submitted.status == EnrollmentStatus.VALIDATING


def test_pending_for_less_than_48_hours_is_not_overdue(submitted):
    now = timezone.now()
    Enrollment.objects.update(status_since=now - datetime.timedelta(hours=47))

    submitted.refresh_from_db()
    assert not submitted.is_overdue(now)
    assert not Enrollment.objects.overdue(now).exists()


# --- Recall and the ends --------------------------------------------------------------


def test_a_submission_can_be_recalled_with_everything_kept(
    submitted, bank_profile, ida
):
    enrollment = services.recall_enrollment(submitted, by=ida)

    assert enrollment.status == EnrollmentStatus.ACTION_REQUIRED
    assert enrollment.submitted_at is None
    assert enrollment.payout_assignments.get().bank_profile == bank_profile
    again = services.submit_enrollment(enrollment, by=ida)
    assert again.status == EnrollmentStatus.VALIDATING


def test_an_enrolled_enrollment_cannot_be_recalled(enrolled, ida):
    with pytest.raises(ValidationError) as error:
        services.recall_enrollment(enrolled, by=ida)

    assert "Only a submission" in refusal(error)


def test_an_unanswered_invitation_lapses_after_its_last_day(invited):
    # domain.md §10.4
    last_day = invited.enroll_by

    assert services.lapse_invitations(at=noon(last_day)) == 0
    assert (
        services.lapse_invitations(at=noon(last_day + datetime.timedelta(days=1))) == 1
    )

    invited.refresh_from_db()
    assert invited.status == EnrollmentStatus.EXPIRED
    assert invited.end_reason == "not_answered"
    assert (
        services.lapse_invitations(at=noon(last_day + datetime.timedelta(days=1))) == 0
    )


def test_what_was_begun_and_never_sent_lapses_and_is_invited_anew_with_what_was_chosen(
    accepted, bank_profile, ida, mina
):
    # domain.md §10.4: nobody is left where nothing can be done.
    services.choose_bank_profile(accepted, bank_profile=bank_profile, by=ida)
    services.ask_for_details(accepted, by=ida)
    yesterday = timezone.localdate() - datetime.timedelta(days=1)
    Enrollment.objects.update(enroll_by=yesterday)

    assert services.lapse_invitations(at=timezone.now()) == 1

    accepted.refresh_from_db()
    event = accepted.events.order_by("pk").last()
    assert (accepted.status, accepted.end_reason) == ("expired", "not_answered")
    assert (event.code, event.from_status) == ("lapsed", "action_required")
    again = services.invite_anew(accepted, by=mina)
    assert again.is_invited
    assert again.enroll_by > yesterday
    assert again.payout_assignments.get().bank_profile == bank_profile


def test_what_the_year_end_or_the_program_owner_decides_does_not_lapse(
    accepted, malmo, terms, ida, bank_profile
):
    # domain.md §10.2: Action required continues in the next year.
    services.ask_for_details(accepted, by=ida)
    long_ago = timezone.localdate() - datetime.timedelta(days=40)
    EnrollmentFactory(
        location=malmo,
        terms=terms,
        submitted=True,
        status="action_required",
        enroll_by=long_ago,
    )
    summer = noon(terms.fiscal_year.ends_on + datetime.timedelta(days=1))

    assert services.lapse_invitations(at=summer) == 0


def test_invitations_lapse_in_ranges_and_few_statements(
    terms, nordvik, monkeypatch, django_assert_max_num_queries
):
    for _number in range(5):
        EnrollmentFactory(
            location=LocationFactory(partner_account=nordvik), terms=terms
        )
    late = noon(terms.fiscal_year.ends_on + datetime.timedelta(days=1))
    monkeypatch.setattr(lapsing, "INVITATIONS_AT_ONCE", 4)

    with django_assert_max_num_queries(8):
        assert services.lapse_invitations(at=late) == 4
    assert [services.lapse_invitations(at=late) for _turn in range(2)] == [1, 0]


def test_the_clock_takes_every_range_that_lapses(
    terms, nordvik, monkeypatch, time_machine
):
    for _number in range(3):
        EnrollmentFactory(
            location=LocationFactory(partner_account=nordvik), terms=terms
        )
    monkeypatch.setattr(lapsing, "INVITATIONS_AT_ONCE", 1)
    time_machine.move_to(noon(terms.fiscal_year.ends_on + datetime.timedelta(days=1)))

    tasks.lapse_invitations()

    assert Enrollment.objects.lapsed().count() == 3


def test_the_last_day_ends_where_the_program_counts_its_days(goteborg, ida):
    # R66
    terms = ProgramTermsFactory(
        fiscal_year__calendar__code="pacific",
        fiscal_year__calendar__time_zone="America/Los_Angeles",
    )
    enrollment = EnrollmentFactory(
        location=goteborg, terms=terms, enroll_by=datetime.date(2026, 11, 20)
    )
    evening = datetime.datetime(2026, 11, 21, 2, tzinfo=datetime.UTC)
    night = datetime.datetime(2026, 11, 21, 8, tzinfo=datetime.UTC)

    assert services.lapse_invitations(at=evening) == 0
    assert services.accept_enrollment(enrollment, by=ida, at=evening).is_accepted
    assert services.lapse_invitations(at=night) == 1


def test_what_was_submitted_cannot_be_declined(submitted, bank_profile, ida, oscar):
    return_version(bank_profile.versions.get(), returned=RETURNED, by=oscar)

    with pytest.raises(ValidationError) as error:
        services.decline_enrollment(submitted, by=ida)

    assert "was submitted and cannot be declined" in refusal(error)


def test_a_profile_archived_meanwhile_cannot_be_chosen(ready, nordvik, ida, maria):
    stale = BankProfileFactory(partner_account=nordvik, created_by=maria)
    archive_profile(type(stale).objects.get(pk=stale.pk), by=ida)

    with pytest.raises(ValidationError) as error:
        services.choose_bank_profile(ready, bank_profile=stale, by=ida)

    assert "archived" in refusal(error)


def test_a_tax_profile_that_expires_before_it_is_confirmed_is_noticed(
    submitted, tax_profile
):
    # R54
    set_expiry(tax_profile, timezone.localdate() - datetime.timedelta(days=1))

    assert services.note_expired_tax_profiles(at=timezone.now()) == 1

    submitted.refresh_from_db()
    assert submitted.status == EnrollmentStatus.ACTION_REQUIRED


def test_discontinuing_a_program_ends_its_open_enrollments(enrolled, mina):
    # R67
    ended = services.discontinue_program(enrolled.terms.program, by=mina)

    enrolled.refresh_from_db()
    assert ended == 1
    assert enrolled.status == EnrollmentStatus.DISCONTINUED
    assert enrolled.end_reason == "program_ended"


def test_every_step_leaves_one_event_with_who_did_it(enrolled, ida, oscar):
    # Rule 76
    events = EnrollmentEvent.objects.filter(enrollment=enrolled).order_by("pk")

    assert [(event.code, event.by) for event in events] == [
        ("submitted", ida),
        ("bank_confirmed", oscar),
        ("tax_confirmed", oscar),
        ("enrolled", oscar),
    ]


# --- Open programs --------------------------------------------------------------------


def test_an_open_program_is_begun_by_the_partner_without_a_mail(goteborg, ida):
    # R26
    terms = ProgramTermsFactory(open_to_all=True)

    enrollment = services.start_open_enrollment(goteborg, terms=terms, by=ida)

    assert enrollment.status == EnrollmentStatus.INVITED
    assert codes(enrollment) == ["started"]
    assert enrollment.payout_assignments.count() == 1
    assert not OutgoingEmail.objects.exists()


def test_beginning_twice_is_one_enrollment(goteborg, ida):
    # R29
    terms = ProgramTermsFactory(open_to_all=True)

    first = services.start_open_enrollment(goteborg, terms=terms, by=ida)
    second = services.start_open_enrollment(goteborg, terms=terms, by=ida)

    assert first == second
    assert Enrollment.objects.count() == 1


def test_what_lapsed_in_an_open_program_is_begun_again(goteborg, ida, time_machine):
    # R26: it is there for everybody as long as the program takes enrollments.
    time_machine.move_to(noon(datetime.date(2026, 9, 1)), tick=False)
    terms = ProgramTermsFactory(open_to_all=True, enroll_within_days=7)
    first = services.start_open_enrollment(goteborg, terms=terms, by=ida)
    time_machine.shift(datetime.timedelta(days=9))
    assert services.lapse_invitations(at=timezone.now()) == 1

    again = services.start_open_enrollment(goteborg, terms=terms, by=ida)

    assert (again.pk, again.is_invited) == (first.pk, True)
    assert again.enroll_by == datetime.date(2026, 9, 17)
    assert codes(again) == ["started", "lapsed", "started"]
    assert not OutgoingEmail.objects.exists()
    # Once the program takes none any more, it stays.
    time_machine.shift(datetime.timedelta(days=9))
    services.lapse_invitations(at=timezone.now())
    terms.enroll_by = datetime.date(2026, 9, 15)
    terms.save()
    with pytest.raises(ValidationError, match="not open"):
        services.start_open_enrollment(goteborg, terms=terms, by=ida)


def test_a_program_with_criteria_cannot_be_begun_without_an_invitation(
    goteborg, terms, ida
):
    with pytest.raises(ValidationError) as error:
        services.start_open_enrollment(goteborg, terms=terms, by=ida)

    assert "not open to Göteborg" in refusal(error)


def test_an_open_program_for_another_country_cannot_be_begun(goteborg, ida):
    terms = ProgramTermsFactory(open_to_all=True, countries=["US"])

    with pytest.raises(ValidationError):
        services.start_open_enrollment(goteborg, terms=terms, by=ida)

    assert not Enrollment.objects.exists()


# --- The map, driven through the one line that sets a status -------------------------


@pytest.mark.parametrize("before", EnrollmentStatus)
@pytest.mark.parametrize("after", EnrollmentStatus)
def test_exactly_the_moves_of_the_map_are_possible(db, before, after):
    now = timezone.now()
    person = UserFactory()
    enrollment = EnrollmentFactory(
        status=before,
        accepted_at=now,
        accepted_by=person,
        submitted_at=now,
        submitted_by=person,
        enrolled_at=now,
        earns_from=now.date(),
    )

    def move():
        moves.move(enrollment, after, code="submitted", by=None)

    if after in TRANSITIONS[before]:
        move()
        enrollment.refresh_from_db()
        assert enrollment.status == after
        assert enrollment.events.get().from_status == before
    else:
        with pytest.raises(ValidationError):
            move()
        enrollment.refresh_from_db()
        assert enrollment.status == before
        assert not enrollment.events.exists()


# --- At the same moment ---------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_submit_once(ready, ida):
    outcomes = at_once(*[lambda: services.submit_enrollment(ready, by=ida).status] * 8)

    assert outcomes == ["validating"] * 8
    assert codes(ready) == ["submitted"]
    assert OutgoingEmail.objects.filter(name="enrollment_submitted").count() == 1


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_two_clicks_at_once_would_submit_more_than_once(
    ready, ida, monkeypatch
):
    # The control of the test above: the same clicks without the locks.
    def unlocked(enrollment):
        return Enrollment.objects.for_pages().get(pk=enrollment.pk)

    replace_in_steps(monkeypatch, "read_alone", unlocked)
    meeting = threading.Barrier(4)
    original = moves.payout_of

    def slowly(*args, **kwargs):
        meeting.wait(timeout=10)
        return original(*args, **kwargs)

    monkeypatch.setattr(moves, "payout_of", slowly)

    at_once(*[lambda: services.submit_enrollment(ready, by=ida).status] * 4)

    assert codes(ready).count("submitted") > 1


@pytest.mark.django_db(transaction=True)
def test_two_operators_deciding_what_two_enrollments_share_both_get_an_answer(
    goteborg, nordvik, ida, maria, oscar, lucia
):
    # The company was paid before: one operator is enough for another account.
    BankProfileFactory(partner_account=nordvik)
    bank = BankProfileFactory(
        partner_account=nordvik, created_by=maria, version__pending=True
    )
    TaxProfileFactory(location=goteborg, created_by=maria, version__pending=True)
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    first, second = (
        services.submit_enrollment(
            EnrollmentFactory(location=goteborg, accepted=True, accepted_by=ida), by=ida
        )
        for _number in range(2)
    )

    outcomes = at_once(
        lambda: services.confirm_payout(second, part="bank", by=oscar),
        lambda: services.confirm_payout(first, part="tax", by=lucia),
    )

    assert not [one for one in outcomes if isinstance(one, Exception)]
    assert {one.status for one in Enrollment.objects.all()} == {"enrolled"}


@pytest.mark.django_db(transaction=True)
def test_a_profile_returned_during_the_submission_is_not_overlooked(
    accepted, goteborg, nordvik, ida, maria, oscar, tax_profile, monkeypatch
):
    bank = BankProfileFactory(
        partner_account=nordvik, created_by=maria, version__pending=True
    )
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    version = bank.versions.get()
    barrier = threading.Barrier(2)
    meet(monkeypatch, enrollments, "payout_now", barrier)
    meet(monkeypatch, deciding, "refuse_own", barrier)

    at_once(
        lambda: services.submit_enrollment(accepted, by=ida),
        lambda: return_version(version, returned=RETURNED, by=oscar),
    )

    accepted.refresh_from_db()
    assert accepted.status in ("invited", "action_required")


@pytest.mark.django_db(transaction=True)
def test_beginning_at_once_is_one_enrollment(goteborg, ida):
    terms = ProgramTermsFactory(open_to_all=True)

    outcomes = at_once(
        *[
            lambda: services.start_open_enrollment(goteborg, terms=terms, by=ida).pk,
        ]
        * 8
    )

    assert len(set(outcomes)) == 1
    assert EnrollmentEvent.objects.count() == 1


def test_a_failing_mail_takes_the_submission_back(ready, ida, monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(enrollments.emails, "enrollment_submitted", fails)

    with pytest.raises(RuntimeError), transaction.atomic():
        services.submit_enrollment(ready, by=ida)

    ready.refresh_from_db()
    assert ready.status == EnrollmentStatus.INVITED
    assert codes(ready) == []


def test_another_location_is_not_touched(enrolled, malmo, terms):
    other = EnrollmentFactory(location=malmo, terms=terms)
    foreign = EnrollmentFactory(location=LocationFactory(), terms=terms)

    for enrollment in (other, foreign):
        enrollment.refresh_from_db()
        assert enrollment.status == EnrollmentStatus.INVITED
