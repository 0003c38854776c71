"""Old and new code beside each other, as they are while a new version is brought out.

The former version is a commit; its own code works beside this one, on this database.
"""

import inspect
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import F

from enrollment import services
from enrollment.models import FollowingPayout, TakenOverPayout
from enrollment.services import renewals
from enrollment.tests.test_renewal_faults import PROGRAM, approved, url_of, wrong_rows
from enrollment.tests.year_end import NIGHT
from enrollment.tests.year_ends import fill_year_end

# Before measured values were held against the day of the run: the last whose digests
# stand for rows alone, and the last without the triggers that keep them.
FORMER = "77dd60241881dd6fca65aa2bd28bee2874747379"
# What a clock of the former version asks for. Nothing of the work is in the message: it
# is found in the database, so no argument can be misunderstood.
CALLS = (
    "accounts.tasks.clear_sessions",
    "accounts.tasks.close_what_is_over",
    "accounts.tasks.deliver_mail",
    "enrollment.tasks.follow_changed_terms",
    "enrollment.tasks.import_values",
    "enrollment.tasks.lapse_invitations",
    "enrollment.tasks.note_expired_tax_profiles",
    "enrollment.tasks.notify_waiting_admins",
    "enrollment.tasks.prepare_year_ends",
    "enrollment.tasks.rehearse_renewals",
    "enrollment.tasks.remind_of_invitations",
    "enrollment.tasks.renew_enrollments",
    "enrollment.tasks.run_campaigns",
    "enrollment.tasks.tell_of_tax_expiry",
    "enrollment.tasks.tell_of_year_ends",
    "enrollment.tasks.undo_renewals",
    "profiles.tasks.bring_changes_into_force",
    "profiles.tasks.discard_forgotten_drafts",
)
# One company of each line of the table's.
ROWS = 5


def test_what_the_former_clock_asks_for_is_still_understood():
    for name in CALLS:
        module, _dot, function = name.rpartition(".")
        task = getattr(import_module(module), function)
        assert task.name == name
        inspect.signature(task.run).bind()


@pytest.fixture(scope="module")
def former(tmp_path_factory) -> Path:
    """The former version's own code, from the history of this repository."""
    tree = subprocess.run(
        ["git", "archive", FORMER],
        cwd=settings.BASE_DIR,
        capture_output=True,
        check=False,
    )
    if tree.returncode:
        pytest.skip("This copy does not reach back to the former version.")
    where = tmp_path_factory.mktemp("former")
    subprocess.run(["tar", "-x", "-C", where], input=tree.stdout, check=True)
    return where


@pytest.mark.django_db
def test_what_is_taken_over_is_the_same_whether_its_terms_are_named_or_found():
    fill_year_end(ROWS)

    said = (
        "pk",
        "enrollment",
        "bank_gap",
        "currency_gap",
        "lasting_tax_gap",
        "tax_expires_on",
    )
    found = FollowingPayout.objects.order_by("pk").values_list(*said)
    named = TakenOverPayout.objects.filter(
        terms=F("enrollment__terms__succession__following")
    )

    assert list(named.order_by("pk").values_list(*said)) == list(found)
    assert {bank_gap for _pk, _enrollment, bank_gap, *_ in found} > {""}


@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
def test_a_worker_of_the_former_version_shares_a_run_with_one_of_this(
    former, monkeypatch
):
    monkeypatch.setattr(renewals, "ROWS_AT_ONCE", 1)
    plan = approved(fill_year_end(ROWS))
    plan = services.start_renewals(plan, by=None, at=NIGHT)

    old = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "1", "0", "7"],
        cwd=former,
        env={**os.environ, "DATABASE_URL": url_of(connection), "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    ours = 0
    while old.poll() is None:
        # A few for each: it needs a moment to begin.
        if ours < plan.ranges.count() // 2 and services.renew_next_range(
            plan, at=NIGHT
        ):
            ours += 1
        time.sleep(0.1)
    _out, err = old.communicate()
    services.finish_renewals(plan, at=NIGHT)

    assert old.returncode == 0, err[-2000:]
    plan.refresh_from_db()
    assert plan.is_finished
    assert 0 < ours < plan.ranges.count()
    assert wrong_rows() == []
    progress = services.renewal_progress(plan)
    assert progress.done == progress.renewed + progress.ended == plan.rows_count
