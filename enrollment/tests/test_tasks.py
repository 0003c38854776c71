"""The clock's tasks: what fails with one keeps no other waiting."""

import logging

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from enrollment import services, tasks
from enrollment.models import ImportBlock, RenewalPlan
from enrollment.tests.test_imports import HEADER, kept

# Each task that goes through several, where they are asked for, and a step of it.
TASKS = [
    ("run_campaigns", "campaigns_to_run", "run_next_range"),
    ("submit_batches", "batches_to_run", "carry_on"),
    ("follow_changed_terms", "terms_to_follow", "follow_changed_terms"),
    ("follow_requirements", "terms_to_sweep", "follow_requirements"),
    ("end_discontinued", "programs_to_end", "end_next_of_program"),
    ("rehearse_renewals", "unfinished_rehearsals", "rehearse_next_range"),
    ("renew_enrollments", "due_plans", "start_renewals"),
    ("undo_renewals", "plans_to_undo", "undo_next_range"),
]


@pytest.fixture
def run(monkeypatch):
    """Run a task on two of which the first fails, and tell which ones it took."""

    def do(task, asked, step, error):
        one, other = RenewalPlan(pk=1), RenewalPlan(pk=2)
        taken = []

        def take(unit, **facts):
            taken.append(unit.pk)
            if unit is one:
                raise error
            raise StopIteration

        monkeypatch.setattr(services, asked, lambda **facts: [one, other])
        monkeypatch.setattr(services, step, take)
        getattr(tasks, task)()
        return taken

    return do


@pytest.mark.parametrize(("task", "asked", "step"), TASKS)
def test_what_fails_with_one_keeps_no_other_waiting(run, caplog, task, asked, step):
    taken = run(task, asked, step, ValueError("SE4550000000058398257466"))

    assert taken == [1, 2]
    said = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert "enrollment.RenewalPlan 1 failed: ValueError at" in said[0]
    # What was typed is in no log.
    assert "SE45" not in caplog.text


def test_a_task_whose_time_is_over_ends(run):
    with pytest.raises(SoftTimeLimitExceeded):
        run(*TASKS[0], SoftTimeLimitExceeded())


def test_a_file_that_cannot_be_brought_back_keeps_no_other_waiting(goteborg, db):
    broken, good = kept(HEADER), kept(HEADER + "6120102,revenue,1,2024-11-01,\n")
    ImportBlock.objects.filter(value_import=broken).update(packed=b"")

    tasks.import_values()

    good.refresh_from_db()
    assert not good.is_reading
