"""What the database itself refuses, and what models say of their own row."""

import datetime
import uuid
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone, translation

from accounts.models import OutgoingEmail
from accounts.tests.factories import (
    LocationFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from enrollment.models import (
    CalendarFeed,
    Campaign,
    CampaignRecipient,
    Enrollment,
    EnrollmentBatch,
    EnrollmentEvent,
    ExtensionRequest,
    FiscalYear,
    Invitation,
    PayoutAssignment,
    ProgramTerms,
    Reminder,
    RenewalPlan,
    RequirementDispute,
    StandingNotice,
    TaxExpiryNotice,
    ValueImport,
    YearEndNotice,
)
from enrollment.models.terms import known_time_zone
from enrollment.tests.factories import (
    AgreementFactory,
    CriterionFactory,
    EarningTypeFactory,
    EnrollmentFactory,
    FiscalCalendarFactory,
    FiscalYearFactory,
    GuideFileFactory,
    InvitationFactory,
    MeasuredValueFactory,
    RequirementFactory,
    TermsDraftFactory,
    TermsVersionFactory,
)
from profiles.tests.factories import (
    BankProfileFactory,
    BankVersionFactory,
    TaxProfileFactory,
    TaxVersionFactory,
)

# --- Every constraint, violated once ---------------------------------------------------


@shared
def world(goteborg, terms, ida, maria):
    """A complete enrollment with its profiles, and people to point at."""
    bank = BankProfileFactory(
        partner_account=goteborg.partner_account, created_by=maria
    )
    tax = TaxProfileFactory(location=goteborg, created_by=maria)
    enrollment = EnrollmentFactory(
        location=goteborg,
        terms=terms,
        complete=True,
        payout__bank_profile=bank,
        payout__tax_profile=tax,
        payout__currency="SEK",
    )
    plan = approved_plan(SimpleNamespace(year=terms.fiscal_year))
    one = plan.ranges.create(number=1, first_company=1, last_company=7)
    one.rows.create(enrollment=enrollment, outcome="enrolled")
    return SimpleNamespace(
        plan=plan,
        value_import=ValueImport.objects.create(
            status="reading", accepted=0, changed=0, rejected=0
        ),
        range=one,
        set_aside=plan.set_aside.create(enrollment=enrollment, planned="enrolled"),
        location=goteborg,
        terms=terms,
        year=terms.fiscal_year,
        person=ida,
        bank=bank,
        tax=tax,
        enrollment=enrollment,
        payout=enrollment.payout_assignments.get(),
    )


def approved_plan(w, *, number: int = 1) -> RenewalPlan:
    """A plan two operators prepared and approved."""
    return RenewalPlan.objects.create(
        into=w.year,
        number=number,
        status="approved",
        known_on=w.year.starts_on,
        digest="0" * 64,
        proposed_at=timezone.now(),
        proposed_by=UserFactory(is_staff=True),
        approved_at=timezone.now(),
        approved_by=UserFactory(is_staff=True),
    )


def change(row, **fields) -> None:
    """Write past everything but the database."""
    type(row)._default_manager.filter(pk=row.pk).update(**fields)


def copy(row) -> None:
    """Store the row once more, as another."""
    another = type(row)._default_manager.get(pk=row.pk)
    another.pk = another._meta.pk.get_default()
    another.save(force_insert=True)


def notice(**facts):
    return YearEndNotice.objects.create(part=0, **facts)


def batch(w, **facts) -> EnrollmentBatch:
    return EnrollmentBatch.objects.create(
        partner_account=w.location.partner_account,
        by=w.person,
        created_at=timezone.now(),
        **facts,
    )


VIOLATIONS = {
    "fiscalyear_numbered_once": lambda w: FiscalYear.objects.create(
        calendar=w.year.calendar,
        number=w.year.number,
        starts_on=datetime.date(2050, 7, 1),
        ends_on=datetime.date(2051, 6, 30),
    ),
    "fiscalyear_ends_after_it_starts": lambda w: change(
        w.year, ends_on=w.year.starts_on
    ),
    "fiscalyear_no_overlap": lambda w: FiscalYear.objects.create(
        calendar=w.year.calendar,
        number=2150,
        starts_on=w.year.ends_on,
        ends_on=w.year.ends_on + datetime.timedelta(days=1),
    ),
    "programterms_once_per_year": lambda w: copy(w.terms),
    "programterms_methods_are_known": lambda w: change(w.terms, methods=["cash"]),
    "programterms_earnings_start_is_known": lambda w: change(
        w.terms, earnings_start="someday"
    ),
    "earningtype_once": lambda w: EarningTypeFactory(terms=w.terms, kind="rebate"),
    "earningtype_kind_is_known": lambda w: EarningTypeFactory(
        terms=w.terms, kind="gift"
    ),
    "earningtype_share_is_a_percentage": lambda w: EarningTypeFactory(
        terms=w.terms, kind="fee", share=101
    ),
    "criterion_kind_is_known": lambda w: CriterionFactory(kind="feeling"),
    "requirement_once": lambda w: copy(RequirementFactory(terms=w.terms)),
    "measuredvalue_once": lambda w: copy(MeasuredValueFactory(location=w.location)),
    "agreement_ends_after_it_starts": lambda w: AgreementFactory(
        partner_account=PartnerAccountFactory(), ends_on=datetime.date(2019, 12, 31)
    ),
    "agreement_terminated_after_it_starts": lambda w: AgreementFactory(
        partner_account=w.location.partner_account,
        starts_on=datetime.date(2021, 1, 2),
        terminated_on=datetime.date(2021, 1, 1),
    ),
    "agreement_once_per_day": lambda w: AgreementFactory(
        partner_account=w.location.partner_account
    ),
    # R29
    "enrollment_once": lambda w: copy(w.enrollment),
    "enrollment_status_is_known": lambda w: change(w.enrollment, status="pending"),
    "enrollment_acceptance_is_paired": lambda w: change(w.enrollment, accepted_by=None),
    "enrollment_submission_is_paired": lambda w: change(
        w.enrollment, submitted_by=None
    ),
    "enrollment_submitted_was_accepted": lambda w: change(
        w.enrollment, accepted_at=None, accepted_by=None
    ),
    "enrollment_first_submitted_is_submitted": lambda w: change(
        w.enrollment,
        status="action_required",
        first_submitted_at=timezone.now(),
        submitted_at=None,
        submitted_by=None,
    ),
    "enrollment_validating_was_submitted": lambda w: change(
        w.enrollment, submitted_at=None, submitted_by=None
    ),
    # R40
    "enrollment_enrolled_has_its_moment": lambda w: change(
        w.enrollment, enrolled_at=None
    ),
    "enrollment_reason_only_at_the_end": lambda w: change(
        w.enrollment, end_reason="program_ended"
    ),
    "invitation_handed_to_somebody_else": lambda w: InvitationFactory(
        enrollment=w.enrollment,
        user=w.person,
        handed_to=w.person,
        handed_at=timezone.now(),
    ),
    "invitation_once_per_person": lambda w: copy(
        InvitationFactory(enrollment=w.enrollment, user=w.person)
    ),
    "payoutassignment_once": lambda w: copy(w.payout),
    "payoutassignment_method_is_known": lambda w: change(w.payout, method="cash"),
    "payoutassignment_currency_is_three_letters": lambda w: change(
        w.payout, currency="sek"
    ),
    "payoutassignment_bank_version_has_its_profile": lambda w: change(
        w.payout, bank_version=w.bank.versions.get(), bank_profile=None
    ),
    "payoutassignment_tax_version_has_its_profile": lambda w: change(
        w.payout, tax_version=w.tax.versions.get(), tax_profile=None
    ),
    "enrollmentevent_statuses_are_known": lambda w: EnrollmentEvent.objects.create(
        enrollment=w.enrollment, code="invited", to_status="pending", at=timezone.now()
    ),
}

VIOLATIONS |= {
    "termsversion_once": lambda w: copy(TermsVersionFactory(terms=w.terms)),
    "termsversion_counts_from_1": lambda w: TermsVersionFactory(
        terms=w.terms, number=0
    ),
    "termsdraft_once": lambda w: copy(
        TermsDraftFactory(program=w.terms.program, fiscal_year=w.year)
    ),
    "guidefile_language_is_known": lambda w: GuideFileFactory(
        program=w.terms.program, fiscal_year=w.year, language="xx"
    ),
    "guidefile_content_type_is_known": lambda w: GuideFileFactory(
        program=w.terms.program, fiscal_year=w.year, content_type="text/html"
    ),
    "renewalplan_numbered_once": lambda w: RenewalPlan.objects.create(
        into=w.year, number=1, known_on=w.year.starts_on
    ),
    "renewalplan_one_in_force": lambda w: approved_plan(w, number=3),
    "renewalplan_status_is_known": lambda w: change(w.plan, status="done"),
    "renewalplan_approval_is_paired": lambda w: change(w.plan, approved_at=None),
    "renewalplan_approved_by_somebody_else": lambda w: change(
        w.plan, proposed_by=w.plan.approved_by
    ),
    "renewalplan_in_force_is_approved": lambda w: change(
        w.plan, approved_by=None, approved_at=None
    ),
    "renewalplan_undoing_is_asked_with_reason": lambda w: change(
        w.plan, undo_asked_at=timezone.now(), undo_asked_by=w.plan.approved_by
    ),
    "renewalplan_undone_by_somebody_else": lambda w: change(
        w.plan,
        undo_reason="Wrong terms.",
        undo_asked_at=timezone.now(),
        undo_asked_by=w.plan.approved_by,
        undo_approved_at=timezone.now(),
        undo_approved_by=w.plan.approved_by,
    ),
    "renewalplan_undoing_is_approved": lambda w: change(w.plan, status="undone"),
    "renewalrange_numbered_once": lambda w: copy(w.range),
    "renewalrange_ends_after_it_starts": lambda w: change(w.range, first_company=8),
    "renewalrow_once": lambda w: copy(w.range.rows.get()),
    "renewalrow_outcome_is_known": lambda w: w.range.rows.create(
        enrollment_id=uuid.uuid4(), outcome="maybe"
    ),
    "renewalrow_past_is_known": lambda w: w.range.rows.create(
        enrollment_id=uuid.uuid4(), outcome="enrolled", was="maybe"
    ),
    "calendarfeed_keeps_a_fingerprint": lambda w: CalendarFeed.objects.create(
        user=w.person, secret_sha256="open", made_at=timezone.now()
    ),
    "calendarfeed_one_per_person": lambda w: [
        CalendarFeed.objects.create(
            user=w.person, secret_sha256=letter * 64, made_at=timezone.now()
        )
        for letter in "ab"
    ],
    "requirementdispute_one_waits": lambda w: [
        RequirementDispute.objects.create(
            location=w.location,
            terms=w.terms,
            text="No.",
            asked_at=timezone.now(),
            asked_by=w.person,
        )
        for _ in "12"
    ],
    "requirementdispute_answer_is_whole": lambda w: RequirementDispute.objects.create(
        location=w.location,
        terms=w.terms,
        text="No.",
        asked_at=timezone.now(),
        asked_by=w.person,
        answer="Yes.",
    ),
    "extensionrequest_one_waits": lambda w: [extension(w) for _ in "12"],
    "extensionrequest_answer_is_whole": lambda w: extension(w, answer="Yes."),
    "enrollmentbatch_finished_was_sent": lambda w: batch(w, finished_at=timezone.now()),
    "batchrow_once": lambda w: [
        one.rows.create(enrollment=w.enrollment) for one in [batch(w)] * 2
    ],
    "batchrow_outcome_is_known": lambda w: batch(w).rows.create(
        enrollment=w.enrollment, outcome="maybe"
    ),
    "batchrow_refusal_says_why": lambda w: batch(w).rows.create(
        enrollment=w.enrollment, outcome="refused"
    ),
    "valueimport_status_is_known": lambda w: change(w.value_import, status="odd"),
    "valueimport_file_once": lambda w: copy(w.value_import),
    "valueimport_released_by_somebody_else": lambda w: change(
        w.value_import, released_by=w.person, released_at=timezone.now()
    ),
    "importblock_numbered_once": lambda w: [
        w.value_import.blocks.create(number=1, packed=b"") for _ in "12"
    ],
    "importproblem_once": lambda w: [
        w.value_import.problems.create(line=2, code="day") for _ in "12"
    ],
    "importeffect_once": lambda w: [
        w.value_import.effects.create(
            location=w.location, terms=w.terms, was="met", becomes="unmet"
        )
        for _ in "12"
    ],
    "setaside_once": lambda w: copy(w.set_aside),
    "setaside_outcomes_are_known": lambda w: change(w.set_aside, found="maybe"),
    "setaside_decision_is_paired": lambda w: change(w.set_aside, is_applied=True),
    "yearendnotice_once_per_run": lambda w: [notice(plan=w.plan) for _ in "12"],
    "yearendnotice_once_per_step": lambda w: [
        notice(first_day=datetime.date(2027, 7, 1), days_before=90) for _ in "12"
    ],
    "taxexpirynotice_once_per_step": lambda w: [
        TaxExpiryNotice.objects.create(
            last_day=datetime.date(2027, 12, 31), days_before=60, part=0
        )
        for _ in "12"
    ],
    "yearendnotice_is_of_a_run_or_a_step": lambda w: notice(
        plan=w.plan, days_before=90
    ),
}


def campaign(w, **facts) -> Campaign:
    """One that runs."""
    moment = timezone.now()
    usual = {"status": "running", "confirmed_at": moment, "starts_at": moment}
    return Campaign.objects.create(
        **{"terms": w.terms, "began_at": moment} | usual | facts
    )


def recipient(w) -> CampaignRecipient:
    return CampaignRecipient.objects.create(
        campaign=Campaign.objects.first() or campaign(w),
        user=w.person,
        email=mail(w),
    )


def mail(w) -> OutgoingEmail:
    return OutgoingEmail.objects.create(
        dedupe_key=str(uuid.uuid4()),
        to_address=w.person.email,
        next_attempt_at=timezone.now(),
    )


def extension(w, **changes) -> ExtensionRequest:
    return ExtensionRequest.objects.create(
        enrollment=w.enrollment,
        enroll_by=w.enrollment.enroll_by,
        text="Late.",
        asked_at=timezone.now(),
        asked_by=w.person,
        **changes,
    )


def standing_notice(w, *, since: datetime.datetime) -> StandingNotice:
    return StandingNotice.objects.create(
        enrollment=w.enrollment, user=w.person, since=since, email=mail(w)
    )


VIOLATIONS |= {
    "standingnotice_once_each_time": lambda w: [
        standing_notice(w, since=w.enrollment.status_since) for _ in "12"
    ],
    "campaign_one_under_way": lambda w: [campaign(w) for _ in "12"],
    "campaign_status_is_known": lambda w: campaign(w, status="lost"),
    "campaign_step_is_known": lambda w: campaign(w, step="lost"),
    "campaign_sent_was_confirmed": lambda w: campaign(w, confirmed_at=None),
    "campaign_running_has_begun": lambda w: campaign(w, began_at=None),
    "campaign_sends_something": lambda w: campaign(w, mails_per_hour=0),
    "campaignrecipient_once_per_campaign": lambda w: [recipient(w) for _ in "12"],
    "reminder_once_per_step": lambda w: [
        Reminder.objects.create(
            enrollment=w.enrollment,
            user=w.person,
            days_before=7,
            last_day=w.enrollment.enroll_by,
            email=mail(w),
        )
        for _ in "12"
    ],
}

# The key itself is unique; this one is only there to be referred to.
NEVER_ALONE = {"enrollment_enrollment_with_its_location"}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_the_database_refuses(world, name):
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        VIOLATIONS[name](world)

    assert f"enrollment_{name}" in str(refusal.value)


def test_every_constraint_is_violated_by_a_test():
    constraints = {
        constraint.name
        for model in apps.get_app_config("enrollment").get_models()
        for constraint in model._meta.constraints
    }

    violated = {f"enrollment_{name}" for name in VIOLATIONS}
    assert violated | NEVER_ALONE == constraints


# --- Years -----------------------------------------------------------------------------


def test_years_of_another_calendar_may_overlap(world):
    calendar = FiscalCalendarFactory(code="calendar-year", name="Calendar year")

    year = FiscalYearFactory(
        calendar=calendar, starts_on=world.year.starts_on, ends_on=world.year.ends_on
    )

    assert year.pk


def test_a_year_that_begins_the_day_after_does_not_overlap(world):
    after = FiscalYearFactory(number=world.year.number + 1)

    assert after.starts_on == world.year.ends_on + datetime.timedelta(days=1)


def test_the_form_of_a_year_that_overlaps_says_so(world):
    year = FiscalYear(
        calendar=world.year.calendar,
        number=2150,
        starts_on=world.year.starts_on,
        ends_on=world.year.ends_on,
    )

    with pytest.raises(ValidationError, match="overlaps another year"):
        year.full_clean()


MICROSECOND = datetime.timedelta(microseconds=1)


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Stockholm", "America/Los_Angeles", "Pacific/Kiritimati"]
)
def test_a_year_ends_at_midnight_in_its_calendar_s_own_zone(db, zone):
    # R66: named by the year it ends in; half-open, to the microsecond.
    calendar = FiscalCalendarFactory(code="zoned", time_zone=zone)
    old = FiscalYearFactory(calendar=calendar, number=2026)
    new = FiscalYearFactory(calendar=calendar, number=2027)
    midnight = datetime.datetime(2026, 7, 1, tzinfo=ZoneInfo(zone))

    before, after = midnight - MICROSECOND, midnight

    assert FiscalYear.objects.at(before, calendar=calendar) == old
    assert FiscalYear.objects.at(after, calendar=calendar) == new
    # The same moments, told in another zone.
    tokyo = ZoneInfo("Asia/Tokyo")
    assert FiscalYear.objects.at(before.astimezone(tokyo), calendar=calendar) == old
    assert FiscalYear.objects.at(after.astimezone(tokyo), calendar=calendar) == new


@pytest.mark.parametrize(
    ("zone", "first_day"),
    [
        ("UTC", "2028-02-29"),
        ("Europe/Stockholm", "2028-03-01"),
        # Summer time begins at midnight there: the day begins at one o'clock.
        ("Asia/Beirut", "2027-03-28"),
        # And there midnight comes twice: the day begins with the first.
        ("America/Havana", "2026-11-01"),
        ("Pacific/Apia", "2027-07-01"),
    ],
)
def test_a_year_begins_once_on_leap_days_and_when_clocks_change(db, zone, first_day):
    # R66
    day = datetime.date.fromisoformat(first_day)
    calendar = FiscalCalendarFactory(code="zoned", time_zone=zone)
    years = [
        FiscalYearFactory(
            calendar=calendar,
            number=number,
            starts_on=starts,
            ends_on=starts + datetime.timedelta(days=364),
        )
        for number, starts in ((1, day - datetime.timedelta(days=365)), (2, day))
    ]
    begins = years[1].begins_at

    assert begins.astimezone(ZoneInfo(zone)).date() == day
    last = (begins.astimezone(datetime.UTC) - MICROSECOND).astimezone(ZoneInfo(zone))
    assert last.date() == day - datetime.timedelta(days=1)
    for minutes in range(-180, 180, 15):
        moment = begins.astimezone(datetime.UTC) + datetime.timedelta(minutes=minutes)
        year = FiscalYear.objects.at(moment, calendar=calendar)
        assert year == years[minutes >= 0], moment


def test_one_moment_is_in_two_years_of_two_zones(db):
    # R66
    west = FiscalCalendarFactory(code="west", time_zone="America/Los_Angeles")
    east = FiscalCalendarFactory(code="east", time_zone="Asia/Tokyo")
    for calendar in (west, east):
        for number in (2026, 2027):
            FiscalYearFactory(calendar=calendar, number=number)
    moment = datetime.datetime(2026, 6, 30, 20, tzinfo=datetime.UTC)

    assert FiscalYear.objects.at(moment, calendar=west).number == 2026
    assert FiscalYear.objects.at(moment, calendar=east).number == 2027


def test_a_moment_in_no_year_is_said_to_be_in_none(db):
    calendar = FiscalCalendarFactory()

    with pytest.raises(FiscalYear.DoesNotExist):
        FiscalYear.objects.at(timezone.now(), calendar=calendar)


@pytest.mark.parametrize(
    ("day", "is_in"),
    [("2026-06-30", False), ("2026-07-01", True), ("2027-06-30", True)],
)
def test_a_year_contains_its_first_and_its_last_day(db, day, is_in):
    year = FiscalYearFactory(number=2027)

    assert year.contains(datetime.date.fromisoformat(day)) is is_in


@pytest.mark.parametrize("name", ["Europe/Gothenburg", "", "../etc/passwd", "UTC+1"])
def test_a_time_zone_has_to_be_known(name):
    with pytest.raises(ValidationError):
        known_time_zone(name)


# --- Composite keys: each row is of one company, which is paid to its own account -----------


@transaction.atomic
def commit_change(row, **fields) -> None:
    """Change a row and ask the keys that are asked at the end of a transaction."""
    change(row, **fields)
    connection.check_constraints()


def refused_at_commit(row, **fields) -> str:
    """Change a row and say which key refuses it."""
    with pytest.raises(IntegrityError) as refusal:
        commit_change(row, **fields)
    return str(refusal.value)


def test_the_database_says_whose_an_enrollment_is_where_its_writer_does_not(
    goteborg, terms
):
    written = EnrollmentFactory(location=goteborg, terms=terms)
    assert written.partner_account_id is None

    written.refresh_from_db()
    assert written.partner_account == goteborg.partner_account

    change(written, partner_account=None)
    written.refresh_from_db()
    assert written.partner_account == goteborg.partner_account


def test_an_enrollment_is_of_its_location_s_company(world):
    other = PartnerAccountFactory()

    message = refused_at_commit(world.enrollment, partner_account=other)

    assert "enrollment_enrollment_location_of_company" in message


def test_a_payout_is_at_its_enrollment_s_location(world, malmo):
    message = refused_at_commit(world.payout, location=malmo, tax_profile=None)

    assert "payoutassignment_enrollment_at_location" in message


def test_a_payout_is_of_its_location_s_company(world):
    other = PartnerAccountFactory()

    message = refused_at_commit(world.payout, partner_account=other, bank_profile=None)

    assert "payoutassignment_location_of_company" in message


def test_a_bank_profile_is_the_company_s_own(world):
    theirs = BankProfileFactory(partner_account=PartnerAccountFactory())

    message = refused_at_commit(world.payout, bank_profile=theirs)

    assert "payoutassignment_bank_of_company" in message


def test_a_tax_profile_is_the_location_s_own(world, malmo):
    # R31
    message = refused_at_commit(
        world.payout, tax_profile=TaxProfileFactory(location=malmo)
    )

    assert "payoutassignment_tax_of_location" in message


def test_a_validated_bank_version_is_of_the_profile_that_is_used(world):
    other = BankVersionFactory(
        profile=BankProfileFactory(
            partner_account=world.location.partner_account, version=False
        )
    )

    message = refused_at_commit(world.payout, bank_version=other)

    assert "payoutassignment_version_of_bank" in message


def test_a_validated_tax_version_is_of_the_profile_that_is_used(world):
    other = TaxVersionFactory(
        profile=TaxProfileFactory(location=world.location, version=False)
    )

    message = refused_at_commit(world.payout, tax_version=other)

    assert "payoutassignment_version_of_tax" in message


# --- History is written once ----------------------------------------------------------------


@shared
def event(world):
    return EnrollmentEvent.objects.create(
        enrollment=world.enrollment,
        code="invited",
        to_status="invited",
        at=timezone.now(),
    )


def test_an_event_cannot_be_changed(event):
    with pytest.raises(IntegrityError), transaction.atomic():
        change(event, note="nothing happened")


def test_an_event_cannot_be_deleted(event):
    with pytest.raises(IntegrityError), transaction.atomic():
        EnrollmentEvent.objects.filter(pk=event.pk).delete()


def test_an_enrollment_with_a_history_cannot_be_deleted(event):
    alone = Enrollment.objects.filter(pk=event.enrollment_id)

    with pytest.raises(IntegrityError, match="has a history"), transaction.atomic():
        alone._raw_delete(alone.db)


@pytest.mark.parametrize(
    "edit",
    [
        lambda row: change(row, outcome="enrolled"),
        lambda row: type(row).objects.filter(pk=row.pk).delete(),
        lambda row: row.range.plan.delete(),
    ],
    ids=["changed", "deleted", "deleted with its plan"],
)
def test_a_row_of_a_year_end_plan_is_written_once(world, edit):
    world.set_aside.delete()
    with (
        pytest.raises(IntegrityError, match="enrollment_renewalrow is written once"),
        transaction.atomic(),
    ):
        edit(world.range.rows.get())


def test_what_has_a_history_cannot_be_deleted(world, event):
    for row in (world.enrollment, world.terms, world.location, world.bank):
        with pytest.raises(IntegrityError), transaction.atomic():
            type(row)._default_manager.filter(pk=row.pk).delete()


# --- What models say of their own row --------------------------------------------------------


@pytest.mark.parametrize(
    ("enroll_by", "within", "last_day"),
    [
        (None, None, "2027-06-30"),
        ("2026-12-31", None, "2026-12-31"),
        (None, 30, "2026-12-20"),
        ("2026-12-10", 30, "2026-12-10"),
        ("2027-12-31", None, "2027-06-30"),
    ],
)
def test_the_last_day_is_the_earliest_of_what_the_terms_say(
    db, enroll_by, within, last_day
):
    # domain.md §10.4
    terms = ProgramTerms(
        fiscal_year=FiscalYearFactory(number=2027),
        enroll_by=enroll_by and datetime.date.fromisoformat(enroll_by),
        enroll_within_days=within,
    )

    assert terms.last_day_for(datetime.date(2026, 11, 20)).isoformat() == last_day


STOCKHOLM = ZoneInfo("Europe/Stockholm")
JUST_BEFORE_MIDNIGHT = datetime.datetime(2026, 11, 30, 22, 30, tzinfo=datetime.UTC)
JUST_AFTER_MIDNIGHT = datetime.datetime(2026, 11, 30, 23, 30, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("rule", "validated_at", "earns_from"),
    [
        ("validated", JUST_BEFORE_MIDNIGHT, "2026-11-01"),
        ("validated", JUST_AFTER_MIDNIGHT, "2026-12-01"),
        ("submitted", JUST_AFTER_MIDNIGHT, "2026-10-01"),
    ],
)
def test_earnings_start_on_the_first_of_the_deciding_month_in_the_calendar_s_zone(
    db, rule, validated_at, earns_from
):
    # R45, domain.md §10.1
    calendar = FiscalCalendarFactory(time_zone="Europe/Stockholm")
    terms = ProgramTerms(
        fiscal_year=FiscalYearFactory(calendar=calendar, number=2027),
        earnings_start=rule,
    )
    submitted_at = datetime.datetime(2026, 10, 31, 12, tzinfo=STOCKHOLM)

    start = terms.earns_from(submitted_at=submitted_at, validated_at=validated_at)

    assert start.isoformat() == earns_from


def test_whoever_enrolls_before_the_year_begins_earns_from_its_first_day(db):
    terms = ProgramTerms(fiscal_year=FiscalYearFactory(number=2027))
    early = datetime.datetime(2026, 6, 20, tzinfo=datetime.UTC)

    start = terms.earns_from(submitted_at=early, validated_at=early)

    assert start == datetime.date(2026, 7, 1)


def test_current_terms_are_those_of_the_years_that_contain_the_day(world):
    inside = ProgramTerms.objects.current(world.year.ends_on)
    outside = ProgramTerms.objects.current(
        world.year.ends_on + datetime.timedelta(days=1)
    )

    assert list(inside) == [world.terms]
    assert list(outside) == []


def test_terms_of_a_withdrawn_program_are_not_offered(world):
    # R67
    assert list(ProgramTerms.objects.offered()) == [world.terms]

    change(world.terms.program, discontinued_at=timezone.now())

    assert list(ProgramTerms.objects.offered()) == []


@pytest.mark.parametrize(
    ("language", "swedish", "text"),
    [
        ("en", "Programmets regler.", "The rules."),
        ("sv", "Programmets regler.", "Programmets regler."),
        ("sv", "", "The rules."),
    ],
)
def test_the_agreement_is_read_in_the_reader_s_language(language, swedish, text):
    # R70
    terms = ProgramTerms(agreement_text_en="The rules.", agreement_text_sv=swedish)

    with translation.override(language):
        assert terms.agreement_text == text


def test_a_criterion_is_read_in_the_reader_s_language(db):
    criterion = CriterionFactory()

    with translation.override("sv"):
        assert criterion.name == "Omsättning på tolv månader"
        assert criterion.how_to_fix == "Sälj mer genom programmet."
    assert criterion.name == "Revenue in twelve months"


def test_a_reference_is_short_stable_and_has_no_letters_to_confuse():
    enrollment = Enrollment(pk=uuid.UUID("ffffffff-ff00-4000-8000-000000000000"))

    assert enrollment.reference == Enrollment(pk=enrollment.pk).reference
    assert enrollment.reference.startswith("ENR-")
    assert len(enrollment.reference) == len("ENR-7K3M-22Q9")
    assert not set("ILOU") & set(enrollment.reference.removeprefix("ENR-"))


@pytest.mark.parametrize(("hours", "is_overdue"), [(47.9, False), (48.1, True)])
def test_a_validation_is_overdue_after_two_days_and_stays_pending(
    world, hours, is_overdue
):
    # R43
    now = timezone.now()
    since = now - datetime.timedelta(hours=hours)
    change(world.enrollment, status="validating", status_since=since)
    enrollment = Enrollment.objects.get()

    assert enrollment.is_overdue(now) is is_overdue
    assert Enrollment.objects.overdue(now).exists() is is_overdue
    assert enrollment.is_validating


def test_only_what_waits_for_the_program_owner_can_be_overdue(world):
    long_ago = timezone.now() - datetime.timedelta(days=30)
    change(world.enrollment, status_since=long_ago)

    assert not Enrollment.objects.get().is_overdue(timezone.now())
    assert not Enrollment.objects.overdue(timezone.now()).exists()


def test_messages_are_each_person_s_own(world):
    # R25
    second = RoleAssignmentFactory(partner_account=world.location.partner_account).user
    mine = InvitationFactory(enrollment=world.enrollment, user=world.person)
    theirs = InvitationFactory(
        enrollment=world.enrollment, user=second, opened_at=timezone.now()
    )

    assert list(Invitation.objects.addressed_to(world.person)) == [mine]
    assert list(Invitation.objects.unopened()) == [mine]
    assert list(Invitation.objects.addressed_to(second)) == [theirs]


def test_a_stranger_s_rows_are_out_of_reach(world, sam, ida):
    # R8, R16
    for model in (Enrollment, Invitation, PayoutAssignment, EnrollmentEvent):
        assert not model.objects.visible_to(sam).exists()
    assert Enrollment.objects.visible_to(ida).exists()
    assert PayoutAssignment.objects.visible_to(ida).exists()


def test_nobody_who_is_not_signed_in_sees_a_row(world):
    nobody = SimpleNamespace(is_authenticated=False)

    assert not Enrollment.objects.visible_to(nobody).exists()


def test_no_row_shows_a_number_or_a_name_in_logs(world):
    # security.md: str() ends up in logs and admin pages.
    rows = (
        world.payout,
        world.enrollment,
        InvitationFactory(enrollment=world.enrollment),
    )

    for row in rows:
        assert "0003" not in str(row)
        assert "@" not in str(row)


def test_an_enrollment_with_a_payout_cannot_move_to_another_company(world):
    message = refused_at_commit(world.enrollment, location=LocationFactory())

    assert "payoutassignment_enrollment_at_location" in message
