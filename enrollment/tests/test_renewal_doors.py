"""The year end from the command line and by the clock: the same services."""

import copy
import getpass
import os
import signal
from datetime import UTC, datetime

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError

from accounts.models import AuditEvent
from accounts.operators import ensure_operator_groups
from accounts.tests.factories import UserFactory
from accounts.tests.shared_rows import shared
from enrollment import services, tasks
from enrollment.models import Enrollment, FiscalYear, RenewalPlan, RenewalRow
from enrollment.services import renewals
from enrollment.tests.factories import FiscalYearFactory
from enrollment.tests.test_renewal import NEXT, TaxFact, World, made
from enrollment.tests.year_end import tamper

pytestmark = pytest.mark.django_db

BEFORE = datetime(2027, 6, 20, 9, tzinfo=UTC)
NIGHT = datetime(2027, 7, 1, 0, 0, 1, tzinfo=UTC)
PASSWORD = "nine tall ships at sea"


def operator(name: str, group: str):
    ensure_operator_groups()
    user = UserFactory(full_name=name, is_staff=True, email=f"{name}@owner.example")
    user.set_password(PASSWORD)
    user.save()
    user.groups.add(Group.objects.get(name=group))
    return user


@shared
def mina(db):
    return operator("mina", "Program manager")


@shared
def aino(db):
    return operator("aino", "Approver")


@pytest.fixture
def typed(monkeypatch):
    """What is typed at the prompts, one after the other."""
    answers = [PASSWORD]
    monkeypatch.setattr(getpass, "getpass", lambda prompt: answers[0])
    return answers


@shared
def enrollments(db):
    return [made(World())[0], made(World(tax=TaxFact(expires=-1)))[0]]


def renew(*options, at: datetime = BEFORE) -> None:
    with time_machine.travel(at, tick=False):
        call_command("renew_enrollments", str(NEXT), *options)


def the_plan() -> RenewalPlan:
    return RenewalPlan.objects.get()


def approve(typed, *, settings) -> None:
    settings.DEMO = True
    renew("--rehearse", "--by", "mina@owner.example")
    renew("--propose", "--by", "mina@owner.example")
    renew("--approve", the_plan().digest, "--by", "aino@owner.example")


def test_the_whole_year_end_at_the_command_line(
    enrollments, mina, aino, typed, settings, capsys
):
    approve(typed, settings=settings)
    assert (the_plan().proposed_by, the_plan().approved_by) == (mina, aino)
    capsys.readouterr()

    renew("--run", at=NIGHT)

    told = capsys.readouterr().out
    assert "Continues as Enrolled" in told
    assert "2 done: 2 continued, 0 ended, 0 set aside." in told
    assert the_plan().digest in told
    assert {e.status for e in Enrollment.objects.exclude(renewed_from=None)} == {
        "enrolled",
        "action_required",
    }
    assert the_plan().is_finished


def test_a_run_before_the_year_begins_is_refused(
    enrollments, mina, aino, typed, settings
):
    approve(typed, settings=settings)

    with pytest.raises(CommandError, match="has not begun") as refusal:
        renew("--run")
    assert refusal.value.returncode == os.EX_TEMPFAIL


def test_who_prepared_it_does_not_approve_it_here_either(
    enrollments, mina, typed, settings
):
    settings.DEMO = True
    mina.groups.add(Group.objects.get(name="Approver"))
    renew("--rehearse", "--by", "mina@owner.example")
    renew("--propose", "--by", "mina@owner.example")

    with pytest.raises(CommandError, match="Somebody else has to approve"):
        renew("--approve", the_plan().digest, "--by", "mina@owner.example")


@pytest.mark.parametrize("who", ["mina@owner.example", "nobody@owner.example"])
def test_who_may_not_or_is_not_known_is_refused_alike(
    who, enrollments, mina, typed, settings
):
    settings.DEMO = True
    renew("--rehearse", "--by", "mina@owner.example")

    with pytest.raises(CommandError, match="password is wrong, or this operator"):
        renew("--approve", the_plan().digest, "--by", who)


def test_outside_the_demo_a_second_factor_is_asked_for(
    enrollments, mina, typed, settings
):
    settings.DEMO = False
    services.rehearse_renewals(FiscalYear.objects.get(number=NEXT), by=None, at=BEFORE)

    for act in ("--rehearse", "--propose"):
        with pytest.raises(CommandError, match="authenticator app"):
            renew(act, "--by", "mina@owner.example")


def test_a_paused_run_has_a_status_of_its_own(enrollments, mina, aino, typed, settings):
    approve(typed, settings=settings)
    with time_machine.travel(NIGHT, tick=False):
        services.start_renewals(the_plan(), by=None)
        services.pause_renewals(the_plan(), by=mina)

    with pytest.raises(CommandError) as refusal:
        renew("--run", at=NIGHT)
    assert refusal.value.returncode == os.EX_TEMPFAIL

    renew("--resume", "--by", "mina@owner.example", at=NIGHT)
    assert the_plan().is_finished


def test_a_signal_stops_it_after_the_batch(
    enrollments, mina, aino, typed, settings, monkeypatch
):
    monkeypatch.setattr(renewals, "ROWS_AT_ONCE", 1)
    approve(typed, settings=settings)
    take = services.renew_next_range

    def take_one_and_be_told_to_end(plan):
        os.kill(os.getpid(), signal.SIGTERM)
        return take(plan)

    monkeypatch.setattr(services, "renew_next_range", take_one_and_be_told_to_end)

    with pytest.raises(CommandError, match="Stopped after the batch") as refusal:
        renew("--run", at=NIGHT)

    assert refusal.value.returncode == os.EX_TEMPFAIL
    assert the_plan().ranges.waiting().count() == 1
    monkeypatch.setattr(services, "renew_next_range", take)
    renew("--run", at=NIGHT)
    assert the_plan().is_finished


def test_the_report_says_who_when_why_and_writes_every_row(
    enrollments, mina, aino, typed, settings, capsys, tmp_path
):
    approve(typed, settings=settings)
    Enrollment.objects.filter(pk=enrollments[0].pk).update(status="validating")
    renew("--run", at=NIGHT)
    capsys.readouterr()

    renew("--report", "--csv", str(tmp_path / "rows.csv"), at=NIGHT)

    told = capsys.readouterr().out
    assert "Proposed: 2027-06-20 09:00:00 UTC, mina" in told
    assert "Approved: 2027-06-20 09:00:00 UTC, aino" in told
    assert "Finished: 2027-07-01 00:00:01 UTC" in told
    assert "The tax profile has expired." in told
    assert "1 set aside waits for a decision" in told
    rows = (tmp_path / "rows.csv").read_text("utf-8-sig").splitlines()
    assert len(rows) == 3
    assert sum("Set aside, not decided" in row for row in rows) == 1


def test_a_year_that_is_not_there_is_said(db):
    with pytest.raises(CommandError, match="There is no fiscal year 2028"):
        renew("--report")


def test_a_year_that_was_not_rehearsed_is_said(enrollments):
    with pytest.raises(CommandError, match="Use --rehearse"):
        renew("--report")


# --- The clock ---------------------------------------------------------------


def tick(at: datetime) -> None:
    with time_machine.travel(at, tick=False):
        tasks.renew_enrollments()


def test_the_clock_runs_what_is_due_and_nothing_before(
    enrollments, mina, aino, typed, settings
):
    approve(typed, settings=settings)

    tick(datetime(2027, 6, 30, 23, 59, 59, tzinfo=UTC))
    assert the_plan().is_approved

    tick(NIGHT)
    assert the_plan().is_finished


def test_a_clock_that_stood_still_catches_up(enrollments, mina, aino, typed, settings):
    approve(typed, settings=settings)

    tick(datetime(2027, 7, 4, 12, tzinfo=UTC))

    assert the_plan().is_finished


def test_two_clocks_run_it_once(enrollments, mina, aino, typed, settings):
    approve(typed, settings=settings)

    tick(NIGHT)
    rows = Enrollment.objects.count()
    tick(NIGHT)

    assert Enrollment.objects.count() == rows == 4


def test_a_plan_changed_after_its_approval_is_paused_for_people_to_see(
    enrollments, mina, aino, typed, settings
):
    approve(typed, settings=settings)
    rows = RenewalRow.objects.filter(outcome="at_risk")
    tamper(rows, outcome="enrolled")

    tick(NIGHT)

    assert the_plan().is_paused
    assert Enrollment.objects.count() == 2
    assert AuditEvent.objects.filter(action="renewals_paused", actor=None).exists()
    tamper(RenewalRow.objects.filter(enrollment=enrollments[1]), outcome="at_risk")
    services.resume_renewals(the_plan(), by=mina)
    tick(NIGHT)
    assert the_plan().is_finished


def test_without_an_approved_plan_nothing_runs(enrollments):
    services.rehearse_renewals(FiscalYear.objects.get(number=NEXT), by=None, at=BEFORE)

    tick(NIGHT)

    assert not Enrollment.objects.exclude(renewed_from=None)


def test_a_worker_whose_time_is_up_leaves_the_rest_to_the_next(
    enrollments, mina, aino, typed, settings, monkeypatch
):
    monkeypatch.setattr(renewals, "ROWS_AT_ONCE", 1)
    approve(typed, settings=settings)
    monkeypatch.setattr(tasks, "LONG_ENOUGH", -1)

    tick(NIGHT)

    assert the_plan().is_running
    assert the_plan().ranges.waiting().count() == 2
    monkeypatch.undo()

    tick(NIGHT)

    assert the_plan().is_finished


def test_a_run_is_undone_at_the_command_line_by_two(
    enrollments, mina, aino, typed, settings
):
    approve(typed, settings=settings)
    renew("--run", at=NIGHT)
    renew("--undo", "The terms were wrong.", "--by", "mina@owner.example", at=NIGHT)
    mina.groups.add(Group.objects.get(name="Approver"))
    with pytest.raises(CommandError, match="Somebody else has to approve it"):
        renew("--approve-undo", "--by", "mina@owner.example", at=NIGHT)

    renew("--approve-undo", "--by", "aino@owner.example", at=NIGHT)
    tasks.undo_renewals()

    assert (the_plan().status, the_plan().undo_asked_by) == ("undone", mina)
    old = Enrollment.objects.filter(pk__in=[one.pk for one in enrollments])
    assert {one.status for one in old} == {"enrolled"}


def test_a_run_that_is_undone_ends_the_command_with_its_reason(
    enrollments, mina, aino, typed, settings
):
    approve(typed, settings=settings)
    renew("--run", at=NIGHT)
    for status in ("undoing", "undone"):
        RenewalPlan.objects.update(
            status=status,
            undo_reason="Too early.",
            undo_asked_at=NIGHT,
            undo_asked_by=mina,
            undo_approved_at=NIGHT,
            undo_approved_by=aino,
        )

        with pytest.raises(CommandError, match="nothing to go on with") as refusal:
            renew("--run", at=NIGHT)
        assert refusal.value.returncode == 1


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_away_is_a_reason_to_try_again(
    error, enrollments, mina, aino, typed, settings, monkeypatch
):
    approve(typed, settings=settings)

    def away(plan):
        raise error("the connection was ended")

    monkeypatch.setattr(services, "renew_next_range", away)

    with pytest.raises(CommandError, match="away or too busy") as refusal:
        renew("--run", at=NIGHT)
    assert refusal.value.returncode == os.EX_TEMPFAIL


@pytest.mark.parametrize("act", ["--rehearse", "--resume"])
def test_nobody_rehearses_or_goes_on_without_saying_who(
    act, enrollments, mina, aino, typed, settings
):
    approve(typed, settings=settings)
    with time_machine.travel(NIGHT, tick=False):
        services.start_renewals(the_plan(), by=None)
        services.pause_renewals(the_plan(), by=mina)

    with pytest.raises(CommandError, match="Say who you are"):
        renew(act, at=NIGHT)

    assert the_plan().is_paused


def test_a_plan_withdrawn_meanwhile_keeps_no_other_from_running(
    enrollments, mina, aino, typed, settings, monkeypatch
):
    approve(typed, settings=settings)
    plan = the_plan()
    stale = copy.deepcopy(plan)
    stale.pk = RenewalPlan.objects.create(
        into=FiscalYearFactory(number=2035),
        number=1,
        known_on=BEFORE.date(),
        status="withdrawn",
    ).pk
    monkeypatch.setattr(services, "due_plans", lambda at: [stale, plan])

    tick(NIGHT)

    assert RenewalPlan.objects.get(pk=plan.pk).is_finished
