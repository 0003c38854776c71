"""A year end undone: asked, approved by somebody else, put back, carried out again."""

import threading
from datetime import datetime, timedelta
from unittest.mock import patch

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import F

from accounts.models import AuditEvent, OutgoingEmail
from accounts.tests.factories import RoleAssignmentFactory, UserFactory
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once
from enrollment import services, tasks
from enrollment.models import (
    Enrollment,
    EnrollmentEvent,
    RenewalPlan,
    SetAside,
    YearEndNotice,
)
from enrollment.services import renewals, undoing
from enrollment.tests.test_renewal import World, made
from enrollment.tests.year_end import (
    BEFORE,
    NIGHT,
    approve,
    lucia,
    made_once,
    mina,
    pictures,
    rows,
    run,
    take_its_place,
    year,
)

__all__ = ["lucia", "made_once", "mina", "rows", "year"]
pytestmark = pytest.mark.django_db

WHY = "The new terms had the wrong currencies."
LONG_AGO = BEFORE - timedelta(days=90)
MORNING = NIGHT + timedelta(hours=9)


@shared
def ran_once(made_once) -> tuple[dict, RenewalPlan]:
    """Where every enrollment was before the run, and the plan that ran."""
    for name in ("continues", "validating"):
        one = Enrollment.objects.get(pk=made_once.rows[name].pk)
        Enrollment.objects.filter(pk=one.pk).update(status_since=LONG_AGO)
        one.events.create(
            code="submitted", from_status="", to_status=one.status, at=LONG_AGO
        )
    plan = approve(made_once)
    before = standings()
    return before, run(plan)


@pytest.fixture
def before(ran_once) -> dict:
    return dict(ran_once[0])


@pytest.fixture
def ran(ran_once) -> RenewalPlan:
    return ran_once[1]


def standings() -> dict:
    return {
        one.pk: (one.status, one.end_reason)
        for one in Enrollment.objects.filter(terms__fiscal_year__number=2027)
    }


def put_back(plan: RenewalPlan, *, at: datetime = MORNING) -> RenewalPlan:
    while services.undo_next_range(plan, at=at):
        pass
    assert services.finish_undoing(plan, at=at)
    plan.refresh_from_db()
    return plan


def undone(plan: RenewalPlan, *, asks, approves) -> RenewalPlan:
    plan = services.ask_to_undo(plan, reason=WHY, by=asks)
    return put_back(services.approve_undoing(plan, by=approves))


# --- What is put back --------------------------------------------------------


def test_everything_is_where_it_was_and_nothing_is_deleted(
    rows, before, ran, mina, lucia
):
    ended = set(before) - {pk for pk, now in standings().items() if now == before[pk]}
    new = Enrollment.objects.exclude(renewed_from=None)
    assert ended
    count = new.count()
    assert services.undoable(ran).restored == len(ended)

    plan = undone(ran, asks=mina, approves=lucia)

    assert standings() == before
    # What waits has waited since then, not since it was undone.
    since = Enrollment.objects.filter(status_since=LONG_AGO)
    assert set(since) == {rows["continues"], rows["validating"]}
    assert [(one.status, one.end_reason) for one in new] == [
        ("expired", "undone")
    ] * count
    told = EnrollmentEvent.objects.filter(code="year_end_undone")
    assert told.filter(enrollment__in=ended).count() == len(ended)
    assert told.filter(enrollment__in=new, to_status="expired").count() == count
    assert (plan.status, plan.undone_at) == ("undone", MORNING)
    assert sum(plan.ranges.values_list("undone", flat=True)) == len(ended)


def test_undone_twice_it_is_undone_once(ran, mina, lucia):
    plan = undone(ran, asks=mina, approves=lucia)
    after = pictures()

    assert services.undo_next_range(plan, at=MORNING) is None
    assert services.finish_undoing(plan, at=MORNING)

    assert pictures() == after
    assert AuditEvent.objects.filter(action="renewals_undone").count() == 1


def test_the_next_run_ends_as_if_the_first_had_not_been(rows, ran, mina, lucia):
    first = [row[:4] for row in pictures()[0]]
    undone(ran, asks=mina, approves=lucia)

    again = services.rehearse_renewals(ran.into, by=mina, at=MORNING)
    services.propose_renewals(again, by=mina)
    services.approve_renewals(again, digest=again.digest, by=lucia)
    run(again, at=MORNING)

    assert again.number == 2
    assert [row[:4] for row in pictures()[0]] == first
    old = rows["continues"]
    new = Enrollment.objects.get(renewed_from=old)
    assert (new.status, new.end_reason) == ("enrolled", "")
    assert new.payout_assignments.count() == 1
    told = EnrollmentEvent.objects.filter(enrollment=new).order_by("pk")
    assert [one.code for one in told] == ["renewed", "year_end_undone", "renewed"]
    assert not SetAside.objects.exists()


# --- What is kept ------------------------------------------------------------


def change_payout(old: Enrollment) -> None:
    """Somebody of the company does something in the new year."""
    new = Enrollment.objects.get(renewed_from=old)
    EnrollmentEvent.objects.create(
        enrollment=new,
        code="profiles_chosen",
        from_status=new.status,
        to_status=new.status,
        at=MORNING,
    )


KEPT = {
    "it changed the new one": lambda rows, plan: change_payout(rows["continues"]),
    "it was invited anew": lambda rows, plan: take_its_place(rows["invited"], plan),
}


@pytest.mark.parametrize("what", KEPT)
def test_a_company_that_changed_something_since_is_kept_whole(
    rows, before, ran, mina, lucia, what
):
    kept = rows["continues" if "changed" in what else "invited"]
    KEPT[what](rows, ran)
    then = standings()[kept.pk]

    assert services.undoable(ran).kept == 1
    undone(ran, asks=mina, approves=lucia)

    now = standings()
    assert now.pop(kept.pk) == then != before.pop(kept.pk)
    assert now == before
    assert sum(ran.ranges.values_list("kept", flat=True)) == 1


def test_without_looking_for_changes_it_would_be_undone(
    rows, before, ran, mina, lucia, monkeypatch
):
    """The control of what keeps a company's changes."""
    change_payout(rows["continues"])
    monkeypatch.setattr(
        undoing,
        "FOUND",
        undoing.FOUND.replace("c.company IS NOT NULL AS is_kept", "false AS is_kept"),
    )

    undone(ran, asks=mina, approves=lucia)

    assert standings() == before


# --- Who ---------------------------------------------------------------------


def test_nobody_undoes_alone(ran, mina, lucia):
    services.ask_to_undo(ran, reason=WHY, by=lucia)

    with pytest.raises(ValidationError, match="Somebody else has to approve it"):
        services.approve_undoing(ran, by=lucia)
    with pytest.raises(ValidationError, match="Operators in the group"):
        services.approve_undoing(ran, by=UserFactory(is_staff=True))
    assert services.undo_next_range(ran) is None
    assert services.plans_to_undo() == []


def test_what_nobody_asked_for_is_not_approved(ran, lucia):
    with pytest.raises(ValidationError, match="Nobody asked"):
        services.approve_undoing(ran, by=lucia)


def test_it_is_asked_for_with_a_reason_once(ran, mina, lucia):
    with pytest.raises(ValidationError, match="Say why"):
        services.ask_to_undo(ran, reason="  ", by=mina)
    services.ask_to_undo(ran, reason=WHY, by=mina)
    services.ask_to_undo(ran, reason=WHY, by=mina)

    with pytest.raises(ValidationError, match="asked to undo it already"):
        services.ask_to_undo(ran, reason="Other.", by=lucia)
    asked = AuditEvent.objects.get(action="renewals_undo_asked")
    assert (asked.actor, asked.reason) == (mina, WHY)


def test_what_was_asked_for_can_be_dropped(ran, mina, lucia):
    services.ask_to_undo(ran, reason=WHY, by=mina)

    services.drop_undoing(ran, by=lucia)
    services.drop_undoing(ran, by=lucia)

    ran.refresh_from_db()
    assert (ran.status, ran.undo_asked_by, ran.undo_reason) == ("finished", None, "")
    assert AuditEvent.objects.filter(action="renewals_undo_dropped").count() == 1


# --- What people are told, and the pages -------------------------------------


def test_who_was_told_of_the_year_end_is_told_of_its_undoing(
    rows, ran, mina, lucia, time_machine
):
    company = rows["continues"].location.partner_account
    person = RoleAssignmentFactory(
        partner_account=company, location=rows["continues"].location
    ).user
    time_machine.move_to(MORNING)
    late = RoleAssignmentFactory(
        partner_account=company, location=rows["continues"].location
    ).user
    # Whoever comes first only; the others are at it when it is undone.
    services.begin_year_end_notices(at=MORNING)
    YearEndNotice.objects.exclude(part=person.pk % 8).update(part=F("part") + 100)
    while services.tell_next_people(at=MORNING) is not None:
        pass
    YearEndNotice.objects.filter(part__gte=100).update(
        part=F("part") - 100, finished_at=None
    )
    assert OutgoingEmail.objects.get(name="renewal_done").to_user == person
    undone(ran, asks=mina, approves=lucia)
    tasks.tell_of_year_ends()
    tasks.tell_of_year_ends()

    assert not OutgoingEmail.objects.filter(to_user=late).exists()
    mail = OutgoingEmail.objects.get(name="renewal_undone")
    assert mail.to_user == person
    assert "is being repeated" in mail.subject
    assert "where they were before" in " ".join(mail.body_text.split())


def test_two_operators_undo_a_year_end_on_its_page(rows, before, ran, client_of):
    ran.set_aside.create(enrollment=rows["continues"], planned="enrolled")
    people = {}
    for name in ("Program manager", "Approver"):
        person = UserFactory(operator=True)
        person.groups.set([Group.objects.get(name=name)])
        people[name] = client_of(person)
    manager, approver = people.values()
    url = ran.get_absolute_url()

    empty = manager.post(f"{url}undo/", {"reason": ""})
    assert (empty.status_code, "Say why" in empty.text) == (422, True)
    assert "waits for a decision" in manager.get(url).text
    # Counting reads the whole run: only whoever asks for it waits for it.
    assert "would be put back" in manager.get(f"{url}?undo=1").text
    with patch.object(services, "undoable", side_effect=AssertionError):
        assert "See what would be put back" in manager.get(url).text
    manager.post(f"{url}undo/", {"reason": WHY})
    assert "Approve and undo it" not in manager.get(url).text
    assert WHY in approver.get(url).text
    approver.post(f"{url}undo/approve/")
    tasks.undo_renewals()

    assert standings() == before
    page = manager.get(url).text
    assert "This year end was undone" in page
    assert "What was approved" in page
    # The next run decides it anew.
    assert "waits for a decision" not in page


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_asked", [True, False])
def test_a_stopped_run_is_not_undone_while_a_range_is_at_work(monkeypatch, is_asked):
    enrollment, year = made(World())
    mina, lucia = UserFactory(is_staff=True), UserFactory(is_staff=True)
    lucia.groups.add(Group.objects.get(name="Approver"))
    plan = services.rehearse_renewals(year, by=mina, at=BEFORE)
    services.propose_renewals(plan, by=mina)
    services.approve_renewals(plan, digest=plan.digest, by=lucia)
    services.start_renewals(plan, by=None, at=NIGHT)
    at_work, tried = threading.Event(), threading.Event()
    carry_out = renewals._carry_out

    def slowly(cursor, **facts):
        at_work.set()
        tried.wait(timeout=20)
        return carry_out(cursor, **facts)

    def stop_and_undo():
        at_work.wait(timeout=20)
        services.pause_renewals(plan, by=mina)
        services.ask_to_undo(plan, reason=WHY, by=mina)
        try:
            services.approve_undoing(plan, by=lucia)
            services.finish_undoing(plan, at=MORNING)
        finally:
            tried.set()

    monkeypatch.setattr(renewals, "_carry_out", slowly)
    if not is_asked:
        # The control: the range ends after everything else was put back.
        monkeypatch.setattr(undoing, "_refuse_at_work", lambda plan: None)
    outcomes = at_once(lambda: services.renew_next_range(plan, at=NIGHT), stop_and_undo)

    plan.refresh_from_db()
    assert ("still at work" in str(outcomes)) is is_asked
    assert Enrollment.objects.filter(
        renewed_from=enrollment, status="enrolled"
    ).exists()
    assert plan.status == ("paused" if is_asked else "undone")
    if is_asked:
        put_back(services.approve_undoing(plan, by=lucia))
        enrollment.refresh_from_db()
        assert enrollment.status == "enrolled"
