"""Inviting: who gets an enrollment, who gets a mail, and that nobody gets two."""

import datetime
import threading
from contextlib import contextmanager

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import AuditEvent, OutgoingEmail
from accounts.roles import Role
from accounts.services import assign_role
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
)
from accounts.tests.threads import at_once, meet, wait_for
from enrollment import services
from enrollment.models import (
    Enrollment,
    EnrollmentEvent,
    Invitation,
    PayoutAssignment,
    ProgramTerms,
)
from enrollment.services import invitations
from enrollment.tests.factories import (
    AgreementFactory,
    CriterionFactory,
    EnrollmentFactory,
    FiscalYearFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    RequirementFactory,
    fiscal_number,
)


def invited_names(terms) -> list[str]:
    return sorted(
        Enrollment.objects.filter(terms=terms).values_list("location__name", flat=True)
    )


def mails_to(user) -> list[OutgoingEmail]:
    return list(OutgoingEmail.objects.addressed_to(user).order_by("created_at"))


# --- Who is invited ---------------------------------------------------------------


def test_an_eligible_location_is_invited_and_its_incentives_admin_told_once(
    goteborg, terms, ida, mina
):
    run = services.invite_locations(terms, by=mina)

    # R18
    enrollment = Enrollment.objects.get(location=goteborg, terms=terms)
    assert enrollment.is_invited
    assert [mail.name for mail in mails_to(ida)] == ["invitation"]
    invitation = Invitation.objects.get(enrollment=enrollment, user=ida)
    assert invitation.email == mails_to(ida)[0]
    assert (run.invited, run.mails, run.without_admin) == (1, 1, 0)


def test_an_invitation_says_who_sent_it_and_prepares_a_payout_per_earning_type(
    goteborg, program, nordvik, mina
):
    AgreementFactory(partner_account=nordvik)
    terms = ProgramTermsFactory(
        program=program, earning_types=[("rebate", 60), ("co_op", 40)]
    )

    services.invite_locations(terms, by=mina)

    event = EnrollmentEvent.objects.get(enrollment__location=goteborg)
    assert (event.code, event.by, event.from_status) == ("invited", mina, "")
    rows = PayoutAssignment.objects.filter(enrollment__location=goteborg)
    assert {row.earning_type.kind for row in rows} == {"rebate", "co_op"}
    assert {row.partner_account for row in rows} == {nordvik}


def test_the_audit_trail_remembers_a_run_that_invited_somebody(goteborg, terms, mina):
    services.invite_locations(terms, by=mina)
    services.invite_locations(terms, by=mina)

    event = AuditEvent.objects.get(action="invitations_sent")
    assert event.actor == mina
    assert event.after == {"invited": 1, "mails": 0, "without_admin": 1}


def test_the_last_day_to_answer_follows_the_terms(goteborg, terms):
    terms.enroll_within_days = 30
    terms.save()

    services.invite_locations(terms, by=None)

    invited_on = terms.today()
    last_day = Enrollment.objects.get(location=goteborg).enroll_by
    assert last_day == min(
        terms.fiscal_year.ends_on, invited_on + datetime.timedelta(days=30)
    )


def test_a_location_that_is_not_eligible_is_not_invited(goteborg, malmo, terms):
    # R28
    revenue = RequirementFactory(terms=terms, at_least=25000).criterion
    MeasuredValueFactory(location=goteborg, criterion=revenue, value=25000)
    MeasuredValueFactory(location=malmo, criterion=revenue, value=24999)

    services.invite_locations(terms, by=None)

    assert invited_names(terms) == ["Göteborg"]


def test_a_location_of_a_company_without_an_agreement_is_not_invited(goteborg, program):
    # R28
    terms = ProgramTermsFactory(program=program)

    run = services.invite_locations(terms, by=None)

    assert run.invited == 0
    assert not Enrollment.objects.exists()


def test_a_closed_location_is_not_invited(goteborg, malmo, terms):
    malmo.closed_at = timezone.now()
    malmo.save()

    services.invite_locations(terms, by=None)

    assert invited_names(terms) == ["Göteborg"]


def test_only_locations_in_the_program_s_countries_are_invited(
    nordvik, goteborg, terms
):
    LocationFactory(partner_account=nordvik, name="Amsterdam", country="NL")
    terms.countries = ["NL", "DE"]
    terms.save()

    services.invite_locations(terms, by=None)

    assert invited_names(terms) == ["Amsterdam"]


def test_a_program_that_is_not_listed_invites_all_the_same(goteborg, terms):
    terms.is_listed = False
    terms.save()

    services.invite_locations(terms, by=None)

    assert invited_names(terms) == ["Göteborg"]


def test_a_company_that_must_migrate_is_invited_but_cannot_enroll_yet(
    nordvik, goteborg, terms, ida
):
    # R72
    nordvik.must_migrate = True
    nordvik.save()

    run = services.invite_locations(terms, by=None)

    assert (run.invited, run.mails) == (1, 1)
    enrollment = Enrollment.objects.get(location=goteborg)
    with pytest.raises(ValidationError, match="has not finished the migration"):
        services.accept_enrollment(enrollment, by=ida)


# --- When nobody is invited ---------------------------------------------------------


def assert_nobody_was_invited(run, sentence):
    assert (run.invited, run.mails, run.without_admin) == (0, 0, 0)
    assert run.sentence == sentence
    assert not Enrollment.objects.exists()
    assert not OutgoingEmail.objects.exists()


def test_a_program_open_to_all_invites_nobody_and_sends_nothing(goteborg, program, ida):
    # R26
    terms = ProgramTermsFactory(program=program, open_to_all=True)

    run = services.invite_locations(terms, by=None)

    assert_nobody_was_invited(
        run,
        "Cloud Solution Provider – Direct Bill is open to all: partners find it in "
        "their Overview, nobody is invited.",
    )


def test_an_enrollment_begun_in_an_open_program_is_never_announced(
    goteborg, program, ida, greta
):
    # R26
    terms = ProgramTermsFactory(program=program, open_to_all=True)
    services.start_open_enrollment(goteborg, terms=terms, by=ida)

    assert services.notify_waiting_admins() == 0
    assert not OutgoingEmail.objects.exists()


def test_a_discontinued_program_invites_nobody(goteborg, terms, program):
    # R67
    services.discontinue_program(program, by=None)

    run = services.invite_locations(terms, by=None)

    assert_nobody_was_invited(
        run, "Cloud Solution Provider – Direct Bill is discontinued."
    )


def test_nobody_is_invited_to_a_year_that_is_over(goteborg, terms):
    number = fiscal_number(timezone.localdate()) - 1
    terms.fiscal_year = FiscalYearFactory(number=number)
    terms.save()

    run = services.invite_locations(terms, by=None)

    assert_nobody_was_invited(
        run,
        f"Fiscal year {number} of Cloud Solution Provider – Direct Bill ended on "
        f"30 June {number}.",
    )


def test_nobody_is_invited_to_a_year_that_has_not_begun(goteborg, terms):
    number = fiscal_number(timezone.localdate()) + 1
    terms.fiscal_year = FiscalYearFactory(number=number)
    terms.save()

    run = services.invite_locations(terms, by=None)

    assert_nobody_was_invited(
        run,
        f"Fiscal year {number} of Cloud Solution Provider – Direct Bill has not begun. "
        f"It begins on 1 July {number - 1}.",
    )


def test_nobody_is_invited_after_the_last_day_to_enroll(goteborg, terms):
    yesterday = terms.today() - datetime.timedelta(days=1)
    terms.enroll_by = yesterday
    terms.save()

    run = services.invite_locations(terms, by=None)

    assert run.reason.startswith("The last day to enroll in Cloud Solution Provider")
    assert not Enrollment.objects.exists()


# --- Run again -----------------------------------------------------------------------


def test_inviting_again_adds_no_second_enrollment_and_no_second_mail(
    goteborg, terms, ida
):
    # R29
    services.invite_locations(terms, by=None)
    run = services.invite_locations(terms, by=None)

    assert run.sentence == "No location was left to invite."
    assert Enrollment.objects.count() == 1
    assert len(mails_to(ida)) == 1
    assert Invitation.objects.count() == 1


@pytest.mark.parametrize("trait", [{}, {"accepted": True}, {"complete": True}])
def test_a_location_with_an_enrollment_is_left_alone(goteborg, terms, trait):
    # R29
    enrollment = EnrollmentFactory(location=goteborg, terms=terms, **trait)

    run = services.invite_locations(terms, by=None)

    assert run.invited == 0
    assert Enrollment.objects.get() == enrollment


def test_a_location_that_became_eligible_later_is_invited_by_the_next_run(
    goteborg, malmo, terms, ida
):
    yes = CriterionFactory(kind="yes_no")
    RequirementFactory(terms=terms, criterion=yes, at_least=1)
    MeasuredValueFactory(location=goteborg, criterion=yes, value=1)
    services.invite_locations(terms, by=None)

    MeasuredValueFactory(location=malmo, criterion=yes, value=1)
    run = services.invite_locations(terms, by=None)

    assert run.invited == 1
    assert invited_names(terms) == ["Göteborg", "Malmö"]
    assert len(mails_to(ida)) == 1


def test_a_declined_invitation_is_not_sent_again(goteborg, terms, ida):
    services.invite_locations(terms, by=None)
    services.decline_enrollment(Enrollment.objects.get(), by=ida)

    services.invite_locations(terms, by=None)

    assert services.notify_waiting_admins() == 0
    assert Enrollment.objects.get().is_declined


# --- Who is told ---------------------------------------------------------------------


def test_one_mail_lists_all_locations_of_a_person_in_the_program(
    nordvik, goteborg, malmo, terms
):
    company_wide = RoleAssignmentFactory(partner_account=nordvik).user

    run = services.invite_locations(terms, by=None)

    (mail,) = mails_to(company_wide)
    assert "Göteborg" in mail.body_text
    assert "Malmö" in mail.body_text
    assert Invitation.objects.addressed_to(company_wide).count() == 2
    assert (run.invited, run.mails) == (2, 1)


def test_two_roles_that_cover_a_location_bring_one_mail(nordvik, goteborg, terms, ida):
    RoleAssignmentFactory(user=ida, partner_account=nordvik)

    services.invite_locations(terms, by=None)

    assert len(mails_to(ida)) == 1
    assert Invitation.objects.addressed_to(ida).count() == 1


def test_one_mail_for_a_person_of_two_companies(nordvik, goteborg, terms, ida):
    other = PartnerAccountFactory(name="Alpha AB")
    AgreementFactory(partner_account=other)
    LocationFactory(partner_account=other, name="Alingsås")
    RoleAssignmentFactory(user=ida, partner_account=other)

    services.invite_locations(terms, by=None)

    (mail,) = mails_to(ida)
    assert "Alingsås" in mail.body_text
    assert "Göteborg" in mail.body_text


def test_two_programs_are_two_mails(goteborg, terms, ida):
    second = ProgramTermsFactory()

    services.invite_locations(terms, by=None)
    services.invite_locations(second, by=None)

    assert len(mails_to(ida)) == 2


def test_only_incentives_admins_of_that_location_and_program_are_told(
    nordvik, goteborg, malmo, terms, ida, uma, greta, alice, lars, sam
):
    # R18; R8, R9: a role elsewhere or for another program reads nothing.
    elsewhere = RoleAssignmentFactory(partner_account=nordvik, location=malmo).user
    other_program = RoleAssignmentFactory(
        partner_account=nordvik, location=goteborg, program=IncentiveProgramFactory()
    ).user
    this_program = RoleAssignmentFactory(
        partner_account=nordvik, location=goteborg, program=terms.program
    ).user
    malmo.closed_at = timezone.now()
    malmo.save()

    services.invite_locations(terms, by=None)

    told = set(OutgoingEmail.objects.values_list("to_user__full_name", flat=True))
    assert told == {ida.full_name, this_program.full_name}
    assert not mails_to(elsewhere)
    assert not mails_to(other_program)


@pytest.mark.parametrize("end", ["revoked", "last day passed", "left the company"])
def test_somebody_whose_role_ended_is_not_told(goteborg, terms, ida, end):
    role = ida.role_assignments.get()
    if end == "revoked":
        role.revoked_at = timezone.now()
    elif end == "last day passed":
        role.ends_on = timezone.localdate() - datetime.timedelta(days=2)
    else:
        ida.is_active = False
        ida.save()
    role.save()

    run = services.invite_locations(terms, by=None)

    assert (run.invited, run.mails, run.without_admin) == (1, 0, 1)
    assert not mails_to(ida)


def test_each_person_reads_their_own_language(nordvik, goteborg, terms, ida):
    # R70
    ida.language = "sv"
    ida.save()
    RoleAssignmentFactory(partner_account=nordvik)

    services.invite_locations(terms, by=None)

    languages = OutgoingEmail.objects.order_by("language").values_list("language")
    assert list(languages) == [("en",), ("sv",)]


def test_mail_leaves_with_the_change_or_not_at_all(goteborg, terms, ida):
    @transaction.atomic
    def invite_and_fail():
        services.invite_locations(terms, by=None)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        invite_and_fail()

    assert not OutgoingEmail.objects.exists()
    assert not Enrollment.objects.exists()


# --- Somebody appointed later --------------------------------------------------------


def test_a_person_made_incentives_admin_later_gets_their_first_invitation(
    nordvik, goteborg, terms, greta, lars
):
    services.invite_locations(terms, by=None)
    assert not mails_to(lars)

    assign_role(lars, role="incentives_admin", account=nordvik, by=greta)
    told = services.notify_waiting_admins()

    assert told == 1
    assert [mail.name for mail in mails_to(lars)] == ["role_given", "invitation"]
    # Bears repetition.
    assert services.notify_waiting_admins() == 0
    assert len(mails_to(lars)) == 2


def test_a_second_admin_is_told_without_the_first_hearing_again(
    nordvik, goteborg, terms, ida
):
    services.invite_locations(terms, by=None)
    second = RoleAssignmentFactory(partner_account=nordvik, location=goteborg).user

    services.notify_waiting_admins()

    assert len(mails_to(ida)) == 1
    assert len(mails_to(second)) == 1


def test_a_person_appointed_to_one_more_location_hears_only_of_that_one(
    nordvik, goteborg, malmo, terms, ida
):
    services.invite_locations(terms, by=None)
    RoleAssignmentFactory(user=ida, partner_account=nordvik, location=malmo)

    services.notify_waiting_admins()

    _first, second = mails_to(ida)
    assert "Malmö" in second.body_text
    assert "Göteborg" not in second.body_text


@pytest.mark.parametrize(
    "change", ["accepted", "late", "closed", "discontinued", "submitted"]
)
def test_nobody_is_told_of_what_they_cannot_answer(
    nordvik, goteborg, terms, ida, change
):
    traits = {change: True} if change in ("accepted", "submitted") else {}
    enrollment = EnrollmentFactory(location=goteborg, terms=terms, **traits)
    if change == "late":
        enrollment.enroll_by = terms.today() - datetime.timedelta(days=1)
        enrollment.save()
    elif change == "closed":
        goteborg.closed_at = timezone.now()
        goteborg.save()
    elif change == "discontinued":
        terms.program.discontinued_at = timezone.now()
        terms.program.save()

    assert services.notify_waiting_admins() == 0
    assert not mails_to(ida)


def test_only_the_asked_program_is_told_of(nordvik, goteborg, terms, ida):
    other = ProgramTermsFactory()
    EnrollmentFactory(location=goteborg, terms=terms)
    EnrollmentFactory(location=goteborg, terms=other)

    assert services.notify_waiting_admins(terms=other) == 1
    assert Invitation.objects.get().enrollment.terms == other


# --- Nobody can enroll ----------------------------------------------------------------


def test_admins_who_appoint_are_told_of_locations_nobody_can_enroll(
    nordvik, goteborg, malmo, terms, ida, greta, alice, uma
):
    # Rule 74, R6
    run = services.invite_locations(terms, by=None)

    assert run.without_admin == 1
    for appointer in (greta, alice):
        (mail,) = mails_to(appointer)
        assert mail.name == "nobody_can_enroll"
        assert "Malmö" in mail.body_text
        assert "Göteborg" not in mail.body_text
    assert not mails_to(uma)


def test_every_appointer_is_told_however_many_locations_there_are(
    nordvik, terms, greta, alice
):
    LocationFactory.create_batch(60, partner_account=nordvik)

    run = services.invite_locations(terms, by=None)

    assert run.without_admin == 60
    assert len(mails_to(greta)) == 1
    assert len(mails_to(alice)) == 1


def test_another_company_s_admins_do_not_learn_of_it(nordvik, goteborg, terms, greta):
    stranger = RoleAssignmentFactory(role=Role.GLOBAL_ADMIN).user

    services.invite_locations(terms, by=None)

    assert len(mails_to(greta)) == 1
    assert not mails_to(stranger)


# --- What a run says --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ((1, 1, 0), "1 location was invited. 1 mail is on its way."),
        ((3, 2, 0), "3 locations were invited. 2 mails are on their way."),
        ((0, 0, 0), "No location was left to invite."),
        ((0, 1, 0), "No location was left to invite. 1 mail is on its way."),
        (
            (2, 0, 2),
            (
                "2 locations were invited. Nobody can enroll 2 of them; the Global "
                "and Account admins there are told."
            ),
        ),
    ],
)
def test_a_run_says_what_it_did_in_words(counts, sentence):
    invited, mails, without_admin = counts
    run = services.InvitationRun(
        invited=invited, mails=mails, without_admin=without_admin
    )

    assert run.sentence == sentence


# --- The message on the home page -------------------------------------------------------


def test_opening_the_message_is_remembered_once_and_for_one_person(
    nordvik, goteborg, terms, ida
):
    # R23-R25
    second = RoleAssignmentFactory(partner_account=nordvik, location=goteborg).user
    services.invite_locations(terms, by=None)
    mine = Invitation.objects.get(user=ida)

    opened_at = services.open_invitation(mine).opened_at
    again = services.open_invitation(mine).opened_at

    assert opened_at is not None
    assert again == opened_at
    assert Invitation.objects.get(user=second).opened_at is None
    assert not Invitation.objects.addressed_to(ida).unopened().exists()
    # The invitation itself is untouched.
    assert Enrollment.objects.get().is_invited


# --- Size ---------------------------------------------------------------------------------


class _Counter:
    def __init__(self):
        self.count = 0

    def __call__(self, execute, sql, params, many, context):
        self.count += 1
        return execute(sql, params, many, context)


@contextmanager
def counted():
    counter = _Counter()
    with connection.execute_wrapper(counter):
        yield counter


def test_the_number_of_queries_does_not_follow_locations_and_people(terms):
    def company_with(locations: int):
        company = PartnerAccountFactory()
        AgreementFactory(partner_account=company)
        for location in LocationFactory.create_batch(
            locations, partner_account=company
        ):
            RoleAssignmentFactory(partner_account=company, location=location)

    company_with(1)
    with counted() as few:
        services.invite_locations(terms, by=None)
    company_with(20)
    with counted() as many:
        run = services.invite_locations(terms, by=None)

    assert (run.invited, run.mails) == (20, 20)
    assert many.count == few.count


# --- Two runs at once ------------------------------------------------------------------------


@pytest.fixture
def meeting(monkeypatch):
    """Make two runs wait for each other before a step, as long as both get there."""

    def arrange(step: str) -> threading.Barrier:
        barrier = threading.Barrier(2)
        meet(monkeypatch, invitations, step, barrier)
        return barrier

    return arrange


@pytest.fixture
def no_lock(monkeypatch):
    """Take away what keeps two runs apart, to see the collision it prevents."""

    def read(terms, *, skip_locked=False):
        return ProgramTerms.objects.select_related(
            "program", "fiscal_year__calendar"
        ).get(pk=terms.pk)

    monkeypatch.setattr(invitations, "lock_terms", read)


@pytest.mark.django_db(transaction=True)
def test_two_runs_at_once_invite_and_tell_once(goteborg, terms, ida, meeting):
    # R29
    meeting("_create_enrollments")

    runs = at_once(*[lambda: services.invite_locations(terms, by=None)] * 2)

    assert sorted(run.invited for run in runs) == [0, 1]
    assert Enrollment.objects.count() == 1
    assert len(mails_to(ida)) == 1


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_two_runs_at_once_collide(
    goteborg, terms, ida, meeting, no_lock
):
    """The control of the test above."""
    meeting("_create_enrollments")

    runs = at_once(*[lambda: services.invite_locations(terms, by=None)] * 2)

    assert [run for run in runs if isinstance(run, IntegrityError)]


@pytest.mark.django_db(transaction=True)
def test_two_clocks_at_once_tell_a_new_admin_once(goteborg, terms, ida, meeting):
    EnrollmentFactory(location=goteborg, terms=terms)
    meeting("_tell_people")

    told = at_once(*[services.notify_waiting_admins] * 2)

    assert sorted(told) == [0, 1]
    assert len(mails_to(ida)) == 1


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_two_clocks_at_once_collide(
    goteborg, terms, ida, meeting, no_lock
):
    """The control of the test above."""
    EnrollmentFactory(location=goteborg, terms=terms)
    meeting("_tell_people")

    told = at_once(*[services.notify_waiting_admins] * 2)

    assert [outcome for outcome in told if isinstance(outcome, IntegrityError)]


@pytest.fixture
def withdrawn_meanwhile(terms, program, monkeypatch):
    """Withdraw the program when a run has begun; return what became of the invited."""
    began, withdrawn = threading.Event(), threading.Event()
    create = invitations._create_enrollments

    def create_later(*args, **kwargs):
        began.set()
        wait_for(withdrawn)
        return create(*args, **kwargs)

    def withdraw():
        began.wait(timeout=30)
        services.discontinue_program(program, by=None)
        withdrawn.set()

    def run() -> str:
        at_once(lambda: services.invite_locations(terms, by=None), withdraw)
        return Enrollment.objects.get().status

    monkeypatch.setattr(invitations, "_create_enrollments", create_later)
    return run


@pytest.mark.django_db(transaction=True)
def test_nobody_stays_invited_to_a_program_withdrawn_at_that_moment(
    goteborg, withdrawn_meanwhile
):
    # R67
    assert withdrawn_meanwhile() == "discontinued"


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_somebody_stays_invited_to_a_withdrawn_program(
    goteborg, no_lock, withdrawn_meanwhile
):
    """The control of the test above."""
    assert withdrawn_meanwhile() == "invited"


@pytest.mark.django_db(transaction=True)
def test_a_run_that_waits_too_long_says_that_somebody_else_is_inviting(goteborg, terms):
    began, waited = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            invitations.lock_terms(terms)
            began.set()
            waited.wait(timeout=10)

    def invite():
        began.wait(timeout=10)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '50ms'")
            return services.invite_locations(terms, by=None)
        finally:
            waited.set()

    (error,) = [outcome for outcome in at_once(hold, invite) if outcome]

    assert isinstance(error, ValidationError)
    assert "".join(error.messages) == (
        "Somebody else is inviting to Cloud Solution Provider – Direct Bill, or "
        "values are being applied. Look again in a minute."
    )


# --- Invited anew ----------------------------------------------------------------------------


@pytest.fixture
def november(time_machine):
    """Well into the fiscal year."""
    time_machine.move_to(datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC))


@pytest.fixture
def lapsed(november, goteborg, terms, ida):
    """Göteborg was invited, Ida opened the message, nobody answered in time."""
    terms.enroll_within_days = 30
    terms.save()
    long_ago = timezone.now() - datetime.timedelta(days=45)
    services.invite_locations(terms, by=None, at=long_ago)
    services.open_invitation(Invitation.objects.get())
    assert services.lapse_invitations(at=timezone.now()) == 1
    OutgoingEmail.objects.update(created_at=long_ago)
    return Enrollment.objects.get()


def test_a_lapsed_invitation_is_sent_anew(lapsed, terms, ida, mina):
    # domain.md §10.4
    services.invite_anew(lapsed, by=mina)

    enrollment = Enrollment.objects.get()
    event = enrollment.events.order_by("at", "pk").last()
    assert enrollment.is_invited
    assert enrollment.end_reason == ""
    assert enrollment.enroll_by == min(
        terms.today() + datetime.timedelta(days=30), terms.fiscal_year.ends_on
    )
    assert (event.code, event.from_status, event.by) == (
        "invited_anew",
        "expired",
        mina,
    )
    assert AuditEvent.objects.get(action="invited_anew").actor == mina


def test_whoever_was_told_before_is_told_anew(lapsed, ida, mina):
    first = Invitation.objects.get()

    services.invite_anew(lapsed, by=mina)

    again = Invitation.objects.get()
    assert len(mails_to(ida)) == 2
    assert again.pk == first.pk
    assert again.opened_at is None
    assert again.email == mails_to(ida)[-1] != first.email


def test_somebody_appointed_meanwhile_is_told_too(lapsed, nordvik, goteborg, ida, mina):
    other = RoleAssignmentFactory(
        role=Role.INCENTIVES_ADMIN, partner_account=nordvik, location=goteborg
    ).user

    services.invite_anew(lapsed, by=mina)

    assert len(mails_to(other)) == 1
    assert Invitation.objects.count() == 2


def test_inviting_anew_twice_invites_once(lapsed, ida, mina):
    services.invite_anew(lapsed, by=mina)

    services.invite_anew(lapsed, by=mina)

    assert len(mails_to(ida)) == 2
    assert lapsed.events.filter(code="invited_anew").count() == 1


def test_where_nobody_can_enroll_the_appointers_are_told(lapsed, ida, greta, mina):
    ida.role_assignments.update(revoked_at=timezone.now())

    services.invite_anew(lapsed, by=mina)

    assert [mail.name for mail in mails_to(greta)] == ["nobody_can_enroll"]
    assert len(mails_to(ida)) == 1


def test_the_agreement_is_accepted_anew(lapsed, ida, mina):
    Enrollment.objects.update(
        accepted_at=timezone.now(), accepted_by=ida, agreement_version="1"
    )

    services.invite_anew(lapsed, by=mina)

    enrollment = Enrollment.objects.get()
    assert not enrollment.is_accepted
    assert enrollment.agreement_version == ""


def test_an_open_program_is_open_anew_without_a_mail(lapsed, terms, ida, mina):
    # R26
    ProgramTerms.objects.update(is_open_to_all=True)

    services.invite_anew(lapsed, by=mina)

    assert Enrollment.objects.get().is_invited
    assert len(mails_to(ida)) == 1


def refused_anew(enrollment, by, sentence):
    with pytest.raises(ValidationError, match=sentence):
        services.invite_anew(enrollment, by=by)
    enrollment.refresh_from_db()
    assert not enrollment.is_invited
    assert not AuditEvent.objects.filter(action="invited_anew").exists()


def test_nobody_is_invited_anew_after_the_terms_last_day(lapsed, terms, mina):
    terms.enroll_by = terms.today() - datetime.timedelta(days=1)
    terms.save()

    refused_anew(lapsed, mina, "The last day to enroll in .* was")

    # The program manager moves the day.
    terms.enroll_by = terms.today()
    terms.save()
    assert services.invite_anew(lapsed, by=mina).enroll_by == terms.today()


def test_nobody_is_invited_anew_when_the_year_is_over(lapsed, terms, mina):
    after = datetime.datetime.combine(
        terms.fiscal_year.ends_on + datetime.timedelta(days=2),
        datetime.time(),
        tzinfo=datetime.UTC,
    )

    with pytest.raises(ValidationError, match="ended on 30 June"):
        services.invite_anew(lapsed, by=mina, at=after)


def test_nobody_is_invited_anew_to_a_discontinued_program(lapsed, program, mina):
    services.discontinue_program(program, by=None)

    refused_anew(lapsed, mina, "is discontinued")


def test_a_location_that_is_not_eligible_is_not_invited_anew(lapsed, terms, mina):
    # R28
    RequirementFactory(terms=terms)

    refused_anew(lapsed, mina, "Göteborg is closed or does not meet what")


def test_a_closed_location_is_not_invited_anew(lapsed, goteborg, mina):
    goteborg.closed_at = timezone.now()
    goteborg.save()

    refused_anew(lapsed, mina, "Göteborg is closed or does not meet what")


@pytest.mark.parametrize("trait", ["submitted", "complete"])
def test_only_a_lapsed_invitation_is_sent_anew(goteborg, terms, mina, trait):
    enrollment = EnrollmentFactory(location=goteborg, terms=terms, **{trait: True})

    refused_anew(enrollment, mina, "Only an invitation that was not answered in time")


def test_a_declined_invitation_is_the_partners_to_take_up(goteborg, terms, mina):
    enrollment = EnrollmentFactory(location=goteborg, terms=terms, status="declined")

    refused_anew(enrollment, mina, "This enrollment is declined")
