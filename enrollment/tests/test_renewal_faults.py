"""A year end that is disturbed in every way ends as one that nobody disturbed.

Runners die, several begin at once, and what they decide by changes under their hands.
"""

import os
import random
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import QuerySet

from accounts.models import AuditAction, AuditEvent, User
from accounts.tests.factories import UserFactory
from accounts.tests.threads import at_once, meet, wait_at, wait_for
from enrollment import services
from enrollment.models import (
    Agreement,
    Enrollment,
    EnrollmentEvent,
    FiscalYear,
    MeasuredValue,
    RenewalPlan,
    RenewalRow,
    SetAside,
)
from enrollment.services import imports, renewals
from enrollment.states import RENEWALS
from enrollment.tests.test_renewal import Value, World, made
from enrollment.tests.year_end import BEFORE, NIGHT
from enrollment.tests.year_ends import fill_year_end
from profiles.models import TaxProfile

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

ROWS_AT_ONCE = 5
# DEATHS=200 takes minutes: as many are tried before the run of a year end is changed.
DEATHS = int(os.environ.get("DEATHS", "10"))

PROGRAM = """
import django
django.setup()
from enrollment.tests.killed_runners import main
main()
"""

# Every row of the plan beside what became of it: none may be missing, done by half or
# done twice.
WRONG = """
SELECT r.outcome, e.status, e.end_reason, n.status, count(*)
FROM enrollment_renewalrow r
JOIN enrollment_enrollment e ON e.id = r.enrollment_id
JOIN (VALUES {map}) m (outcome, ends_as, renews_as) ON m.outcome = r.outcome
LEFT JOIN enrollment_enrollment n ON n.renewed_from_id = e.id
WHERE e.status <> 'expired'
   OR e.end_reason <> m.ends_as
   OR COALESCE(n.status, '') <> m.renews_as
   OR (SELECT count(*) FROM enrollment_enrollmentevent v
       WHERE v.enrollment_id = e.id AND v.code = 'year_ended') <> 1
   OR (n.id IS NOT NULL AND (
       (SELECT count(*) FROM enrollment_enrollmentevent v
        WHERE v.enrollment_id = n.id AND v.code = 'renewed') <> 1
       OR (SELECT count(*) FROM enrollment_payoutassignment a
           WHERE a.enrollment_id = n.id) <> 1))
GROUP BY 1, 2, 3, 4
"""


def wrong_rows(among=connection) -> list[tuple]:
    mapping = ", ".join(
        f"('{outcome}', '{end.ends_as}', '{end.renews_as or ''}')"
        for outcome, end in RENEWALS.items()
    )
    with among.cursor() as cursor:
        cursor.execute(WRONG.format(map=mapping))
        return cursor.fetchall()


@pytest.fixture
def plan(request, monkeypatch) -> RenewalPlan:
    """An approved plan of many small ranges, which has begun."""
    monkeypatch.setattr(renewals, "ROWS_AT_ONCE", ROWS_AT_ONCE)
    plan = approved(fill_year_end(request.param))
    return services.start_renewals(plan, by=None, at=NIGHT)


def approved(year: FiscalYear) -> RenewalPlan:
    """A plan of a year, rehearsed by one operator and approved by another."""
    mina = UserFactory(full_name="Mina Okafor", operator=True)
    lucia = UserFactory(full_name="Lucía Prado", operator=True)
    lucia.groups.add(Group.objects.get(name="Approver"))
    plan = services.rehearse_renewals(year, by=mina, at=BEFORE)
    services.propose_renewals(plan, by=mina)
    return services.approve_renewals(plan, digest=plan.digest, by=lucia)


def take_all(plan: RenewalPlan) -> None:
    while services.renew_next_range(plan, at=NIGHT):
        pass


def url_of(database) -> str:
    """The address of the database that tests use, for another program."""
    settings = database.settings_dict
    password = f":{settings['PASSWORD']}" if settings["PASSWORD"] else ""
    return (
        f"postgres://{settings['USER']}{password}@{settings['HOST'] or 'localhost'}"
        f":{settings['PORT'] or 5432}/{settings['NAME']}"
    )


def killed(*words: object) -> int:
    """Run it by processes that are killed; return how many were."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        env=os.environ | {"DATABASE_URL": url_of(connection)},
        capture_output=True,
        text=True,
        timeout=120 + 10 * DEATHS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize("plan", [5 * DEATHS], indirect=True)
def test_runners_that_die_again_and_again_end_every_row_once(plan):
    died = killed(4, DEATHS, 7)

    plan.refresh_from_db()
    assert died >= DEATHS
    assert plan.status == "finished"
    assert wrong_rows() == []
    progress = services.renewal_progress(plan)
    assert progress.done == progress.renewed + progress.ended == plan.rows_count
    assert progress.set_aside == 0


@pytest.mark.long
@pytest.mark.parametrize("plan", [60], indirect=True)
def test_without_one_transaction_rows_would_be_lost(plan):
    """The control: a range is noted as done before it is."""
    killed(4, 10, 7, "hasty")

    assert wrong_rows() != []


# --- Several at once -------------------------------------------------------------------


@pytest.mark.parametrize("is_held", [True, False])
def test_two_starts_at_the_same_moment_are_one(monkeypatch, is_held):
    plan = approved(made(World())[1])
    if not is_held:
        # The control: nobody waits for the other one's step.
        rows = RenewalPlan.objects.select_related("into__calendar")
        monkeypatch.setattr(renewals, "held_plan", lambda plan: rows.get(pk=plan.pk))
        meet(monkeypatch, renewals, "_step", threading.Barrier(2))

    start = partial(services.start_renewals, plan, by=None, at=NIGHT)
    at_once(start, start)

    started = AuditEvent.objects.filter(action=AuditAction.RENEWALS_STARTED)
    assert started.count() == (1 if is_held else 2)


@pytest.mark.parametrize("is_held", [True, False])
def test_two_workers_share_one_rehearsal(monkeypatch, is_held):
    monkeypatch.setattr(renewals, "ROWS_AT_ONCE", 1)
    for _company in range(4):
        _enrollment, year = made(World())
    alone = services.rehearse_renewals(year, by=None, at=BEFORE)
    both, begun = threading.Barrier(2), threading.local()
    rehearse_range = renewals._rehearse_range

    def begin_together(one, *, plan):
        if not hasattr(begun, "once"):
            begun.once = True
            wait_at(both)
        rehearse_range(one, plan=plan)

    monkeypatch.setattr(renewals, "_rehearse_range", begin_together)
    services.ask_for_rehearsal(year, by=None, at=BEFORE)
    if not is_held:
        # The control: both take the same range.
        monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **_: rows.all())

    rehearse = partial(services.rehearse_renewals, year, by=None, at=BEFORE)
    outcomes = at_once(rehearse, rehearse)

    if not is_held:
        assert any(isinstance(one, IntegrityError) for one in outcomes), outcomes
        return
    shared = RenewalPlan.objects.exclude(pk=alone.pk).get()
    assert (shared.digest, shared.outcomes) == (alone.digest, alone.outcomes)
    rows = RenewalRow.objects.filter(range__plan=shared)
    assert rows.count() == shared.rows_count == Enrollment.objects.count()


# --- What changes meanwhile ------------------------------------------------------------


def change_everything(companies: list[int]) -> None:
    """End agreements and put tax profiles away, past every service and its locks."""
    for number, company in enumerate(companies):
        if number % 2:
            Agreement.objects.filter(partner_account=company).update(
                terminated_on=BEFORE.date()
            )
        else:
            TaxProfile.objects.filter(location__partner_account=company).update(
                archived_at=BEFORE, archived_by=UserFactory()
            )


def what_went_wrong(plan: RenewalPlan) -> list:
    """Rows that are neither as approved nor left alone, and asides without reason."""
    aside = SetAside.objects.filter(plan=plan)
    touched = Enrollment.objects.filter(set_aside__plan=plan)
    return [
        *RenewalRow.objects.filter(range__plan=plan)
        .exclude(enrollment__in=aside.values("enrollment"))
        .exclude(enrollment__status="expired"),
        *touched.filter(status="expired"),
        *Enrollment.objects.filter(renewed_from__in=touched),
        *[row for row in aside if row.planned == row.found],
        *aside.filter(found__in=("at_risk", "not_eligible"), reasons=[]),
    ]


@pytest.mark.parametrize("is_compared", [True, False])
@pytest.mark.parametrize("plan", [60], indirect=True)
def test_what_changes_during_a_run_is_carried_out_whole_or_set_aside(
    plan, monkeypatch, is_compared
):
    if not is_compared:
        # The control: nothing looks at what was approved.
        monkeypatch.setattr(renewals, "SET_DRIFT_ASIDE", "SELECT 1")
    companies = list(
        Agreement.objects.order_by("pk").values_list("partner_account", flat=True)
    )
    random.Random(7).shuffle(companies)
    change_everything(companies[:2])

    run = partial(take_all, plan)
    at_once(run, run, partial(change_everything, companies))
    services.finish_renewals(plan, at=NIGHT)

    progress = services.renewal_progress(plan)
    assert plan.is_finished or RenewalPlan.objects.get().is_finished
    assert (progress.set_aside > 0) is is_compared
    if is_compared:
        assert what_went_wrong(plan) == []
        assert progress.renewed + progress.ended + progress.set_aside == progress.done
    else:
        assert wrong_rows() != []


class PublishedAmid:
    """Lets somebody publish terms right after what a range's rows become was asked."""

    def __init__(self, publish):
        self.publish = publish
        self.others = None

    def __call__(self, execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "CREATE TEMPORARY TABLE renewal_found" in sql and self.others is None:
            published = threading.Event()
            self.others = threading.Thread(target=self._publish, args=[published])
            self.others.start()
            wait_for(published)
        return result

    def _publish(self, published):
        try:
            self.publish()
        finally:
            published.set()
            connections.close_all()


@pytest.mark.parametrize("is_held", [True, False])
def test_terms_published_amid_a_range_are_followed_by_what_it_wrote(
    monkeypatch, is_held
):
    enrollment, year = made(World())
    plan = services.start_renewals(approved(year), by=None, at=NIGHT)
    if not is_held:
        # The control: nobody holds the programs.
        monkeypatch.setattr(renewals, "hold_rules_of", lambda into: None)
    mina = User.objects.get(full_name="Mina Okafor")
    draft = services.begin_terms_draft(
        enrollment.terms.program, fiscal_year=year, by=mina
    )
    draft.content |= {"methods": ["bank_transfer"], "pays_local_currency": False}
    draft.save()

    def publish():
        seen = services.foresee_publishing(draft, at=NIGHT).digest
        with suppress(ValidationError):
            services.publish_terms(draft, seen=seen, is_confirmed=True, by=mina)
            return
        # Looked at anew, with what the range wrote meanwhile.
        seen = services.foresee_publishing(draft, at=NIGHT).digest
        services.publish_terms(draft, seen=seen, is_confirmed=True, by=mina)

    amid = PublishedAmid(publish)
    with connection.execute_wrapper(amid):
        take_all(plan)
    amid.others.join()

    # It is paid in SEK, which the second version of the terms does not pay in.
    new = Enrollment.objects.get(renewed_from=enrollment)
    assert new.terms.version == 2
    assert new.terms.is_followed
    assert new.status == ("action_required" if is_held else "enrolled")


@pytest.mark.parametrize("is_held", [True, False])
def test_a_file_of_values_is_applied_before_or_after_a_range(monkeypatch, is_held):
    enrollment, year = made(World(asks=True, value=Value(12, 0), on=BEFORE.date()))
    plan = services.start_renewals(approved(year), by=None, at=NIGHT)
    if not is_held:
        # The control: nobody holds what is decided by.
        monkeypatch.setattr(renewals, "hold_rules_of", lambda into: None)
    seen = []

    def apply():
        # As an import does first; then it moves the enrollments that it sees.
        with transaction.atomic():
            imports._lock_criteria()
            new = Enrollment.objects.filter(renewed_from=enrollment)
            seen.append(new.exists())

    amid = PublishedAmid(apply)
    with connection.execute_wrapper(amid):
        take_all(plan)
    amid.others.join()

    assert seen == [is_held]


class ImportedAmid:
    """Imports a value right after what a range's rows become was asked."""

    def __init__(self, value: int):
        self.value = value
        self.is_done = False

    def __call__(self, execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "CREATE TEMPORARY TABLE renewal_found" in sql and not self.is_done:
            self.is_done = True
            at_once(lambda: MeasuredValue.objects.update(value=self.value))
        return result


def find_in_two_steps(cursor, enrollments, **facts) -> None:
    """Ask for outcomes and for reasons in a statement each."""
    find(cursor, enrollments, **facts)
    cursor.execute("ALTER TABLE renewal_found RENAME TO renewal_outcomes")
    find(cursor, enrollments, **facts)
    cursor.execute(
        "UPDATE renewal_found f SET outcome = o.outcome "
        "FROM renewal_outcomes o WHERE o.id = f.id"
    )
    cursor.execute("DROP TABLE renewal_outcomes")


find = renewals._find


@pytest.mark.parametrize("is_one_step", [True, False])
def test_a_value_imported_amid_a_range_leaves_no_outcome_without_its_reason(
    monkeypatch, is_one_step
):
    world = World(asks=True, value=Value(9, 0), on=BEFORE.date())
    enrollment, year = made(world)
    plan = services.start_renewals(approved(year), by=None, at=NIGHT)
    if not is_one_step:
        monkeypatch.setattr(renewals, "_find", find_in_two_steps)

    with connection.execute_wrapper(ImportedAmid(12)):
        take_all(plan)

    enrollment.refresh_from_db()
    ended = EnrollmentEvent.objects.filter(enrollment=enrollment, code="year_ended")
    if is_one_step:
        assert enrollment.end_reason == "not_eligible"
        assert ended.get().note.startswith("requirement-")
    else:
        # The control: an outcome without its reason, which is not what was planned.
        assert not ended.exists()
        assert SetAside.objects.get(enrollment=enrollment).found == "not_eligible"
