"""A year end whose runners die again and again ends as one that nobody disturbed."""

import os
import subprocess
import sys

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from accounts.tests.factories import UserFactory
from enrollment import services
from enrollment.models import RenewalPlan
from enrollment.services import renewals
from enrollment.states import RENEWALS
from enrollment.tests.test_renewals import BEFORE, NIGHT
from enrollment.tests.year_ends import fill_year_end

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

ROWS_AT_ONCE = 5
# DEATHS=200 takes minutes: as many are tried before the run of a year end is changed.
DEATHS = int(os.environ.get("DEATHS", "16"))

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


def wrong_rows() -> list[tuple]:
    mapping = ", ".join(
        f"('{outcome}', '{end.ends_as}', '{end.renews_as or ''}')"
        for outcome, end in RENEWALS.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(WRONG.format(map=mapping))
        return cursor.fetchall()


@pytest.fixture
def plan(request, monkeypatch) -> RenewalPlan:
    """An approved plan of many small ranges, which has begun."""
    monkeypatch.setattr(renewals, "ROWS_AT_ONCE", ROWS_AT_ONCE)
    year = fill_year_end(request.param)
    mina = UserFactory(full_name="Mina Okafor", operator=True)
    lucia = UserFactory(full_name="Lucía Prado", operator=True)
    lucia.groups.add(Group.objects.get(name="Approver"))
    plan = services.rehearse_renewals(year, by=mina, at=BEFORE)
    services.propose_renewals(plan, by=mina)
    plan = services.approve_renewals(plan, digest=plan.digest, by=lucia)
    return services.start_renewals(plan, by=None, at=NIGHT)


def killed(*words: object) -> int:
    """Run it by processes that are killed; return how many were."""
    settings = connection.settings_dict
    password = f":{settings['PASSWORD']}" if settings["PASSWORD"] else ""
    url = (
        f"postgres://{settings['USER']}{password}@{settings['HOST'] or 'localhost'}"
        f":{settings['PORT'] or 5432}/{settings['NAME']}"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=240,
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


@pytest.mark.parametrize("plan", [100], indirect=True)
def test_without_one_transaction_rows_would_be_lost(plan):
    """The control: a range is noted as done before it is."""
    killed(4, 16, 7, "hasty")

    assert wrong_rows() != []
