"""The year end carried out: rehearsed, approved by somebody else, run, left aside."""

import copy
import threading
from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connection, transaction

from accounts.models import AuditAction, AuditEvent
from accounts.tests.factories import UserFactory
from accounts.tests.threads import at_once
from enrollment import services, tasks
from enrollment.models import (
    Enrollment,
    EnrollmentEvent,
    FiscalYear,
    RenewalPlan,
    RenewalRow,
    SetAside,
)
from enrollment.services import renewals
from enrollment.states import RENEWALS, EndReason
from enrollment.tests.test_renewal import (
    BankFact,
    TaxFact,
    Value,
    World,
    made,
    outcome_of,
    reasons_of,
    without_keys,
)
from profiles.tests.factories import as_if_sent

pytestmark = pytest.mark.django_db

BEFORE = datetime(2027, 6, 20, 9, tzinfo=UTC)
LAST_MOMENT = datetime(2027, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC)
NIGHT = datetime(2027, 7, 1, 0, 0, tzinfo=UTC)

# One of each line of the table.
WORLDS = {
    "continues": World(),
    "form expires": World(tax=TaxFact(expires=-1)),
    "validating": World(status="validating", bank=BankFact(status="pending")),
    "returned": World(status="action_required", bank=BankFact("action_required")),
    "no agreement": World(agreement=None),
    "not eligible": World(asks=True, value=Value(9, 0), on=date(2027, 6, 20)),
    "discontinued": World(discontinued=True),
    "no terms": World(has_terms=False),
    "invited": World(status="invited"),
    "declined": World(status="declined"),
    "inactive": World(status="inactive"),
}


@pytest.fixture(scope="module")
def ending(shared_rows) -> tuple[dict[str, Enrollment], FiscalYear]:
    """One enrollment for each line of the table, and the year they end for."""
    rows = {name: made(world)[0] for name, world in WORLDS.items()}
    return rows, made(World())[1]


@pytest.fixture
def rows(ending, db) -> dict[str, Enrollment]:
    return copy.deepcopy(ending[0])


@pytest.fixture
def year(ending, db) -> FiscalYear:
    return copy.deepcopy(ending[1])


@pytest.fixture
def mina(db):
    return UserFactory(full_name="Mina Okafor", is_staff=True)


@pytest.fixture
def lucia(db):
    user = UserFactory(full_name="Lucía Prado", is_staff=True)
    user.groups.add(Group.objects.get(name="Approver"))
    return user


@pytest.fixture
def rehearsed(year, mina) -> RenewalPlan:
    return services.rehearse_renewals(year, by=mina, at=BEFORE)


@pytest.fixture
def approved(rehearsed, mina, lucia) -> RenewalPlan:
    plan = services.propose_renewals(rehearsed, by=mina)
    return services.approve_renewals(plan, digest=plan.digest, by=lucia)


def run(plan: RenewalPlan, *, at: datetime = NIGHT) -> RenewalPlan:
    services.start_renewals(plan, by=None, at=at)
    while services.renew_next_range(plan, at=at):
        pass
    services.finish_renewals(plan, at=at)
    plan.refresh_from_db()
    return plan


def tamper(rows, **facts) -> None:
    """What somebody with the owner's rights can do: switch the trigger off."""
    as_if_sent(rows, **facts)


def pictures() -> tuple:
    """Everything a year end writes, without what is new each time."""
    return (
        sorted(
            Enrollment.objects.values_list(
                "location",
                "terms",
                "status",
                "end_reason",
                "renewed_from",
                "earns_from",
            ),
            key=str,
        ),
        sorted(
            EnrollmentEvent.objects.values_list(
                "enrollment__location",
                "enrollment__terms",
                "code",
                "from_status",
                "to_status",
                "note",
            ),
            key=str,
        ),
    )


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


# --- Run ---------------------------------------------------------------------


def test_every_enrollment_becomes_what_the_plan_says(rows, approved):
    plan = run(approved)

    for name, world in WORLDS.items():
        end = RENEWALS[outcome_of(world)]
        old = Enrollment.objects.get(pk=rows[name].pk)
        new = Enrollment.objects.filter(renewed_from=old).first()
        assert (old.status, old.end_reason) == ("expired", end.ends_as), name
        assert (new and new.status) == end.renews_as, name
    assert plan.is_finished
    assert plan.finished_at == NIGHT
    assert not SetAside.objects.exists()


def test_what_continues_is_paid_as_before_and_earns_from_the_first_day(rows, approved):
    old = rows["continues"]
    used = old.payout_assignments.get()

    run(approved)

    new = Enrollment.objects.get(renewed_from=old)
    assert new.terms.fiscal_year == approved.into
    assert new.earns_from == date(2027, 7, 1)
    assert new.enrolled_at == NIGHT
    assert (new.accepted_by, new.submitted_by) == (old.accepted_by, old.submitted_by)
    assert new.enroll_by == date(2028, 6, 30)
    paid = new.payout_assignments.get()
    assert paid.earning_type.terms == new.terms
    for name in ("bank_profile", "tax_profile", "bank_version", "tax_version"):
        assert getattr(paid, name) == getattr(used, name)
    assert (paid.currency, paid.method) == (used.currency, used.method)


def test_what_lacks_something_does_not_earn_until_it_is_mended(rows, approved):
    run(approved)

    new = Enrollment.objects.get(renewed_from=rows["form expires"])
    assert (new.status, new.enrolled_at, new.earns_from) == (
        "action_required",
        None,
        None,
    )


def test_history_tells_both_sides_with_the_reasons(rows, approved):
    run(approved)

    old = rows["form expires"].events.get(code="year_ended")
    assert (old.from_status, old.to_status, old.note) == (
        "enrolled",
        "expired",
        "tax_expired",
    )
    new = EnrollmentEvent.objects.get(
        code="renewed", enrollment__renewed_from=rows["form expires"]
    )
    assert (new.from_status, new.to_status, new.by) == ("", "action_required", None)
    unmet = rows["not eligible"].events.get(code="year_ended")
    assert unmet.note.startswith("requirement-")


def test_one_audit_event_records_the_run_with_the_digest(approved):
    run(approved)

    event = AuditEvent.objects.get(action=AuditAction.RENEWALS_FINISHED)
    assert event.after["digest"] == approved.digest
    assert event.actor is None


def test_a_run_again_changes_nothing(approved):
    run(approved)
    after = pictures()

    run(approved)

    assert pictures() == after


def test_nothing_runs_before_the_year_begins(approved):
    with pytest.raises(ValidationError, match="has not begun"):
        services.start_renewals(approved, by=None, at=LAST_MOMENT)
    assert services.due_plans(at=LAST_MOMENT) == []
    assert services.due_plans(at=NIGHT) == [approved]


def test_nothing_runs_that_is_not_approved(rehearsed, mina):
    proposed = services.propose_renewals(rehearsed, by=mina)

    with pytest.raises(ValidationError, match="Only an approved plan"):
        services.start_renewals(proposed, by=mina, at=NIGHT)
    assert services.renew_next_range(proposed, at=NIGHT) is None


def test_a_late_run_decides_with_what_was_known_then(rows, approved):
    run(approved, at=datetime(2027, 7, 20, tzinfo=UTC))

    assert not SetAside.objects.exists()
    new = Enrollment.objects.get(renewed_from=rows["continues"])
    assert (new.status, new.earns_from) == ("enrolled", date(2027, 7, 1))


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


def test_only_what_was_paused_is_resumed(approved, mina):
    with pytest.raises(ValidationError, match="not where that can be done"):
        services.resume_renewals(approved, by=mina)
    with pytest.raises(ValidationError, match="not where that can be done"):
        services.pause_renewals(approved, by=mina)


def test_a_range_that_breaks_leaves_nothing_behind(approved, monkeypatch):
    before = pictures()
    services.start_renewals(approved, by=None, at=NIGHT)
    monkeypatch.setattr(renewals, "PAY_AS_BEFORE", "SELECT 1 / 0")

    with pytest.raises(DataError, match="division by zero"), transaction.atomic():
        services.renew_next_range(approved, at=NIGHT)
    assert pictures() == before

    monkeypatch.undo()
    assert run(approved).is_finished


def test_rows_changed_after_approval_do_not_run(approved):
    services.start_renewals(approved, by=None, at=NIGHT)
    tamper(RenewalRow.objects.filter(outcome="no_agreement"), outcome="enrolled")

    with pytest.raises(ValidationError, match="not what was approved"):
        services.renew_next_range(approved, at=NIGHT)


# --- What changed between approval and run -----------------------------------


@pytest.fixture
def drifted(rows, approved) -> Enrollment:
    """Its tax form was archived after the approval."""
    enrollment = rows["continues"]
    profile = enrollment.payout_assignments.get().tax_profile
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE profiles_taxprofile SET archived_at = now(), archived_by_id = %s "
            "WHERE id = %s",
            [enrollment.submitted_by_id, profile.pk],
        )
    return enrollment


def test_what_drifted_is_set_aside_and_left_alone(rows, approved, drifted):
    run(approved)

    aside = SetAside.objects.get()
    assert (aside.enrollment, aside.planned, aside.found, aside.reasons) == (
        drifted,
        "enrolled",
        "at_risk",
        ["tax_archived"],
    )
    drifted.refresh_from_db()
    assert drifted.status == "enrolled"
    assert not Enrollment.objects.filter(renewed_from=drifted)
    # The others went their way.
    assert Enrollment.objects.filter(renewed_from=rows["validating"])
    assert approved.ranges.get().set_aside == 1


def test_what_is_new_since_the_approval_is_set_aside(approved):
    newcomer, _ = made(World())

    run(approved)

    newcomer.refresh_from_db()
    assert newcomer.status == "enrolled"
    aside = SetAside.objects.get()
    assert (aside.enrollment, aside.planned, aside.found) == (newcomer, "", "enrolled")


def test_what_has_ended_since_is_set_aside(rows, approved):
    Enrollment.objects.filter(pk=rows["continues"].pk).update(
        status="expired", end_reason=EndReason.PROGRAM_ENDED
    )

    run(approved)

    aside = SetAside.objects.get()
    assert (aside.planned, aside.found) == ("enrolled", "")


def take_its_place(old: Enrollment, plan: RenewalPlan) -> None:
    """Let somebody invite the location to the new year beforehand."""
    Enrollment.objects.create(
        location=old.location,
        terms=old.terms.program.terms.get(fiscal_year=plan.into),
        status="invited",
        status_since=BEFORE,
        invited_at=BEFORE,
        enroll_by=date(2028, 6, 30),
    )


def test_a_place_taken_in_the_new_year_is_set_aside(rows, approved):
    old = rows["continues"]
    take_its_place(old, approved)

    run(approved)

    aside = SetAside.objects.get()
    assert (aside.enrollment, aside.found) == (old, "")
    old.refresh_from_db()
    assert old.status == "enrolled"


def test_a_person_carries_out_what_is_found(approved, drifted, mina):
    run(approved)

    services.decide_set_aside(
        SetAside.objects.get(), apply=True, reason="Checked by phone.", by=mina
    )
    services.decide_set_aside(
        SetAside.objects.get(), apply=True, reason="Checked by phone.", by=mina
    )

    drifted.refresh_from_db()
    assert (drifted.status, drifted.end_reason) == ("expired", "continued_with_gaps")
    assert Enrollment.objects.get(renewed_from=drifted).status == "action_required"
    decided = SetAside.objects.get()
    assert (decided.decided_by, decided.reason) == (mina, "Checked by phone.")
    assert not SetAside.objects.undecided().exists()


def test_nothing_is_decided_without_a_reason(approved, drifted, mina):
    run(approved)

    with pytest.raises(ValidationError, match="Say why"):
        services.decide_set_aside(
            SetAside.objects.get(), apply=True, reason=" ", by=mina
        )


def test_many_are_decided_at_once_and_those_that_cannot_be_are_named(
    rows, approved, drifted, mina
):
    take_its_place(rows["form expires"], approved)
    run(approved)
    taken = SetAside.objects.get(enrollment=rows["form expires"])

    refused = services.decide_alike(
        SetAside.objects.order_by("pk"), apply=True, reason="All checked.", by=mina
    )

    assert list(refused) == [taken]
    assert "nothing to carry out" in refused[taken]
    assert list(SetAside.objects.undecided()) == [taken]


def test_a_person_leaves_it(approved, drifted, mina):
    run(approved)

    services.decide_set_aside(
        SetAside.objects.get(), apply=False, reason="Checked by phone.", by=mina
    )

    drifted.refresh_from_db()
    assert drifted.status == "enrolled"


def test_what_somebody_decided_otherwise_is_not_overwritten(
    approved, drifted, mina, lucia
):
    run(approved)
    services.decide_set_aside(
        SetAside.objects.get(), apply=False, reason="Checked by phone.", by=mina
    )

    with pytest.raises(ValidationError, match="Mina Okafor decided this"):
        services.decide_set_aside(
            SetAside.objects.get(), apply=True, reason="Checked by phone.", by=lucia
        )


def test_nothing_is_carried_out_where_the_place_is_taken(rows, approved, mina):
    take_its_place(rows["continues"], approved)
    run(approved)

    with pytest.raises(ValidationError, match="nothing to carry out"):
        services.decide_set_aside(
            SetAside.objects.get(), apply=True, reason="Checked by phone.", by=mina
        )
    assert SetAside.objects.undecided().exists()


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
