"""The year end prepared: rehearsed, compared, approved by somebody else."""

import threading
from itertools import pairwise

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from accounts.models import AuditAction, AuditEvent
from accounts.tests.factories import UserFactory
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once
from enrollment import services, tasks
from enrollment.models import (
    Enrollment,
    RenewalPlan,
    RenewalRow,
)
from enrollment.services import renewals
from enrollment.states import EndReason
from enrollment.tests.test_renewal import (
    World,
    made,
    outcome_of,
    reasons_of,
    without_keys,
)
from enrollment.tests.year_end import (
    BEFORE,
    NIGHT,
    WORLDS,
    approve,
    lucia,
    made_once,
    mina,
    pictures,
    rows,
    run,
    tamper,
    year,
)

__all__ = ["lucia", "made_once", "mina", "rows", "year"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def rehearsed(year, mina) -> RenewalPlan:
    return services.rehearse_renewals(year, by=mina, at=BEFORE)


@shared
def approved(made_once) -> RenewalPlan:
    return approve(made_once)


# --- Rehearsal ---------------------------------------------------------------


def test_a_rehearsal_says_of_every_enrollment_what_becomes_of_it(rows, rehearsed):
    for name, world in WORLDS.items():
        row = RenewalRow.objects.get(range__plan=rehearsed, enrollment=rows[name])
        assert row.outcome == outcome_of(world), name
        assert without_keys(row.reasons) == reasons_of(world), name

    # And the one that the year was made with.
    assert rehearsed.rows_count == len(WORLDS) + 1
    assert sum(rehearsed.outcomes.values()) == rehearsed.rows_count
    assert rehearsed.outcomes["program_ended"] == 2
    assert rehearsed.reasons["at_risk tax_expired"] == 1


def test_a_rehearsal_changes_nothing_else(rows, year, mina):
    before = pictures()

    services.rehearse_renewals(year, by=mina, at=BEFORE)

    assert pictures() == before


def test_the_same_facts_have_the_same_digest_and_others_another(rows, rehearsed, mina):
    again = services.rehearse_renewals(rehearsed.into, by=mina, at=BEFORE)
    assert (again.number, again.digest) == (2, rehearsed.digest)

    Enrollment.objects.filter(pk=rows["continues"].pk).update(status="inactive")

    changed = services.rehearse_renewals(rehearsed.into, by=mina, at=BEFORE)
    assert changed.digest != rehearsed.digest


def test_a_year_without_enrollments_is_rehearsed_as_well(rows, year, mina):
    Enrollment.objects.update(status="expired", end_reason=EndReason.YEAR_ENDED)

    plan = services.rehearse_renewals(year, by=mina, at=BEFORE)

    assert (plan.is_rehearsed, plan.rows_count, plan.outcomes) == (True, 0, {})


def test_a_rehearsal_that_is_asked_for_waits_for_a_worker(rows, year, mina):
    plan = services.ask_for_rehearsal(year, by=mina, at=BEFORE)
    again = services.ask_for_rehearsal(year, by=None, at=BEFORE)

    assert (again, plan.status, plan.rows_count) == (plan, "asked", 0)
    assert services.unfinished_rehearsals() == [plan]
    assert not RenewalRow.objects.exists()

    tasks.rehearse_renewals()
    tasks.rehearse_renewals()

    plan.refresh_from_db()
    assert (plan.is_rehearsed, plan.rehearsed_by) == (True, mina)
    assert plan.rows_count == len(WORLDS) + 1
    told = AuditEvent.objects.get(action=AuditAction.RENEWALS_REHEARSED)
    assert told.after["digest"] == plan.digest


def test_a_rehearsal_that_was_cut_off_goes_on(rows, year, mina, monkeypatch):
    whole = services.rehearse_renewals(year, by=mina, at=BEFORE)
    monkeypatch.setattr(renewals, "ROWS_AT_ONCE", 2)
    plan = services.ask_for_rehearsal(year, by=mina, at=BEFORE)
    services.rehearse_next_range(plan)
    plan.refresh_from_db()

    assert not services.finish_rehearsal(plan)
    assert services.rehearsal_progress(plan).done == 2
    with pytest.raises(ValidationError, match="Being rehearsed"):
        services.propose_renewals(plan, by=mina)

    done = services.rehearse_renewals(year, by=None, at=BEFORE)
    assert (done, done.is_rehearsed, done.rehearsed_by) == (plan, True, mina)
    assert (done.outcomes, done.reasons) == (whole.outcomes, whole.reasons)
    assert done.changes == {}


def test_a_withdrawn_rehearsal_writes_nothing_more(rows, year, mina):
    plan = services.ask_for_rehearsal(year, by=mina, at=BEFORE)
    services.withdraw_renewals(plan, by=mina)

    assert services.rehearse_next_range(plan) is None
    assert not RenewalRow.objects.exists()


def test_a_rehearsal_tells_what_changed_since_the_one_before(
    rows, rehearsed, mina, monkeypatch
):
    Enrollment.objects.filter(pk=rows["continues"].pk).update(status="validating")
    Enrollment.objects.filter(pk=rows["invited"].pk).update(
        status="expired", end_reason=EndReason.NOT_ANSWERED
    )
    newcomer, _year = made(World(status="declined"))
    # Cut otherwise than before.
    monkeypatch.setattr(renewals, "ROWS_AT_ONCE", 2)

    again = services.rehearse_renewals(rehearsed.into, by=mina, at=BEFORE)

    assert again.compared_with == rehearsed
    assert again.changes == {
        "enrolled validating": 1,
        " unanswered": 1,
        "unanswered ": 1,
    }
    changed = RenewalRow.objects.filter(range__plan=again).exclude(was="")
    assert set(changed.values_list("enrollment", "was")) == {
        (rows["continues"].pk, "enrolled"),
        (newcomer.pk, "new"),
    }
    row = RenewalRow.objects.get(range__plan=again, enrollment=rows["continues"])
    assert row.status == "validating"


def test_companies_stay_whole_in_ranges(rows, year, mina, monkeypatch):
    monkeypatch.setattr(renewals, "ROWS_AT_ONCE", 2)

    plan = services.rehearse_renewals(year, by=mina, at=BEFORE)

    assert plan.ranges.count() == 6
    assert sum(one.rows_count for one in plan.ranges.all()) == len(WORLDS) + 1
    ends = [(one.first_company, one.last_company) for one in plan.ranges.all()]
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(ends))


# --- Four eyes ---------------------------------------------------------------


def test_a_second_operator_approves_by_the_digest(approved, mina, lucia):
    assert approved.is_approved
    assert (approved.proposed_by, approved.approved_by) == (mina, lucia)
    event = AuditEvent.objects.get(action=AuditAction.RENEWALS_APPROVED)
    assert event.after["digest"] == approved.digest


def test_nobody_approves_what_they_prepared(rehearsed, mina, lucia):
    plan = services.propose_renewals(rehearsed, by=lucia)

    for person in (mina, lucia):
        with pytest.raises(ValidationError, match="Somebody else has to approve"):
            services.approve_renewals(plan, digest=plan.digest, by=person)


def test_without_the_service_the_database_keeps_four_eyes(approved, mina):
    with pytest.raises(IntegrityError, match="approved_by_somebody_else"):
        RenewalPlan.objects.filter(pk=approved.pk).update(approved_by=mina)


def test_what_the_clock_rehearsed_needs_two_operators_as_well(year, mina, lucia):
    plan = services.rehearse_renewals(year, by=None, at=BEFORE)
    plan = services.propose_renewals(plan, by=mina)

    with pytest.raises(ValidationError, match="Somebody else"):
        services.approve_renewals(plan, digest=plan.digest, by=mina)
    assert services.approve_renewals(plan, digest=plan.digest, by=lucia).is_approved


def test_another_digest_is_not_approved(rehearsed, mina, lucia):
    plan = services.propose_renewals(rehearsed, by=mina)

    with pytest.raises(ValidationError, match="not the plan that was rehearsed"):
        services.approve_renewals(plan, digest="0" * 64, by=lucia)


def test_rows_changed_behind_the_digest_are_not_approved(rehearsed, mina, lucia):
    plan = services.propose_renewals(rehearsed, by=mina)
    tamper(RenewalRow.objects.filter(outcome="no_agreement"), outcome="enrolled")

    with pytest.raises(ValidationError, match="not the plan that was rehearsed"):
        services.approve_renewals(plan, digest=plan.digest, by=lucia)


@pytest.mark.parametrize(
    "facts", [{"first_company": 7}, {"last_company": 7}, {"digest": "0" * 64}]
)
def test_ranges_changed_behind_the_digest_neither_count_nor_run(approved, facts):
    one = approved.ranges.order_by("number").last()
    with (
        pytest.raises(IntegrityError, match="digest of a year end"),
        transaction.atomic(),
    ):
        approved.ranges.filter(pk=one.pk).update(**facts)
    with (
        pytest.raises(IntegrityError, match="digest of a year end"),
        transaction.atomic(),
    ):
        RenewalPlan.objects.update(digest="0" * 64)

    # Past the triggers, as the owner of the database can.
    tamper(approved.ranges.filter(pk=one.pk), **facts)
    services.start_renewals(approved, by=None, at=NIGHT)

    with pytest.raises(ValidationError, match="not what was approved"):
        services.renew_next_range(approved, at=NIGHT)


def test_a_plan_approved_by_the_former_version_still_runs(approved):
    digests = [one.digest for one in approved.ranges.order_by("number")]
    tamper(
        RenewalPlan.objects.filter(pk=approved.pk),
        digest=renewals._sealed(approved, digests),
    )
    services.start_renewals(approved, by=None, at=NIGHT)

    assert services.renew_next_range(approved, at=NIGHT)


def test_a_newer_rehearsal_that_is_withdrawn_takes_the_older_one_with_it(
    year, rehearsed, mina, lucia
):
    services.propose_renewals(rehearsed, by=mina)
    newer = services.rehearse_renewals(year, by=mina, at=BEFORE)
    services.withdraw_renewals(newer, by=mina)

    with pytest.raises(ValidationError, match="not where that can be done"):
        services.approve_renewals(rehearsed, digest=rehearsed.digest, by=lucia)
    assert set(RenewalPlan.objects.values_list("status", flat=True)) == {"withdrawn"}
    assert AuditEvent.objects.filter(action="renewals_withdrawn").count() == 2


def test_a_plan_is_not_approved_before_it_is_proposed(rehearsed, lucia):
    with pytest.raises(ValidationError, match="Rehearsed"):
        services.approve_renewals(rehearsed, digest=rehearsed.digest, by=lucia)


def test_an_older_rehearsal_is_neither_proposed_nor_approved(rehearsed, mina, lucia):
    proposed = services.propose_renewals(rehearsed, by=mina)
    services.rehearse_renewals(rehearsed.into, by=mina, at=BEFORE)

    with pytest.raises(ValidationError, match="newer rehearsal"):
        services.approve_renewals(proposed, digest=proposed.digest, by=lucia)


def test_nothing_is_rehearsed_beside_an_approved_plan(approved, mina):
    with pytest.raises(ValidationError, match="approved already"):
        services.rehearse_renewals(approved.into, by=mina, at=BEFORE)


def test_an_approved_plan_is_withdrawn_until_it_begins(approved, mina):
    services.withdraw_renewals(approved, by=mina)
    services.withdraw_renewals(approved, by=mina)
    assert services.rehearse_renewals(approved.into, by=mina, at=BEFORE).number == 2


def test_what_has_begun_is_not_withdrawn(approved, mina):
    services.start_renewals(approved, by=mina, at=NIGHT)

    with pytest.raises(ValidationError, match="Pause it instead"):
        services.withdraw_renewals(approved, by=mina)


def test_nothing_runs_that_is_not_approved(rehearsed, mina):
    proposed = services.propose_renewals(rehearsed, by=mina)

    with pytest.raises(ValidationError, match="Only an approved plan"):
        services.start_renewals(proposed, by=mina, at=NIGHT)
    assert services.renew_next_range(proposed, at=NIGHT) is None


def test_a_paused_run_goes_on_where_it_stopped(rows, year, mina, lucia, monkeypatch):
    monkeypatch.setattr(renewals, "ROWS_AT_ONCE", 2)
    plan = services.rehearse_renewals(year, by=mina, at=BEFORE)
    plan = services.propose_renewals(plan, by=mina)
    plan = services.approve_renewals(plan, digest=plan.digest, by=lucia)
    services.start_renewals(plan, by=None, at=NIGHT)
    services.renew_next_range(plan, at=NIGHT)
    services.pause_renewals(plan, by=mina)

    assert services.renew_next_range(plan, at=NIGHT) is None
    assert not services.finish_renewals(plan, at=NIGHT)
    assert plan.ranges.waiting().count() == plan.ranges.count() - 1
    # The clock comes again and does not wake it.
    assert services.start_renewals(plan, by=None, at=NIGHT).is_paused

    services.resume_renewals(plan, by=mina)
    services.resume_renewals(plan, by=mina)
    assert run(plan).is_finished
    assert not Enrollment.objects.filter(terms__fiscal_year__number=2027).exclude(
        status="expired"
    )


def test_the_database_compiles_none_of_the_questions(db):
    """Compiling them took 20 s where answering took one."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW jit")
        assert cursor.fetchone() == ("off",)


@pytest.mark.django_db(transaction=True)
def test_who_pauses_does_not_wait_for_the_range_at_work(monkeypatch):
    enrollment, year = made(World())
    mina, lucia = UserFactory(is_staff=True), UserFactory(is_staff=True)
    lucia.groups.add(Group.objects.get(name="Approver"))
    plan = services.rehearse_renewals(year, by=mina, at=BEFORE)
    services.propose_renewals(plan, by=mina)
    services.approve_renewals(plan, digest=plan.digest, by=lucia)
    services.start_renewals(plan, by=None, at=NIGHT)
    at_work, paused, waited = threading.Event(), threading.Event(), []
    carry_out = renewals._carry_out

    def slowly(cursor, **facts):
        at_work.set()
        waited.append(paused.wait(timeout=5))
        return carry_out(cursor, **facts)

    def pause():
        at_work.wait(timeout=5)
        services.pause_renewals(plan, by=mina)
        paused.set()

    monkeypatch.setattr(renewals, "_carry_out", slowly)
    at_once(lambda: services.renew_next_range(plan, at=NIGHT), pause)

    assert waited == [True]
    plan.refresh_from_db()
    assert plan.is_paused
    # The range at work was finished; nothing is begun after it.
    assert Enrollment.objects.filter(renewed_from=enrollment).exists()
    assert services.renew_next_range(plan, at=NIGHT) is None
