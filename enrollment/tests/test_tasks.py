"""The clock's tasks: what fails with one keeps no other waiting."""

import logging
from threading import Event

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.exceptions import ValidationError
from django.db import DataError, OperationalError
from django.urls import reverse

from accounts.tests.shared_rows import shared
from enrollment import services, tasks
from enrollment.models import ImportBlock, RenewalPlan, ValueImport
from enrollment.services import imports
from enrollment.tests.factories import CriterionFactory
from enrollment.tests.test_imports import HEADER, compared, kept

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

    def do(task, asked, step, error, *, note=lambda unit, at: None):
        one, other = RenewalPlan(pk=1), RenewalPlan(pk=2)
        taken = []

        def take(unit, **facts):
            taken.append(unit.pk)
            if unit is one:
                raise error
            raise StopIteration

        monkeypatch.setattr(services, asked, lambda **facts: [one, other])
        monkeypatch.setattr(services, step, take)
        monkeypatch.setattr(services, "note_failed_try", note)
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


def test_where_a_failure_cannot_be_noted_the_others_go_on(run, caplog):
    def cannot(unit, at):
        raise OperationalError("away")

    (campaigns,) = (one for one in TASKS if one[0] == "run_campaigns")

    assert run(*campaigns, ValueError(), note=cannot) == [1, 2]
    said = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert "1 failed: OperationalError at" in said[1]


def test_a_task_whose_time_is_over_ends(run):
    with pytest.raises(SoftTimeLimitExceeded):
        run(*TASKS[0], SoftTimeLimitExceeded())


# --- Three starts ---------------------------------------------------------------------


@shared
def revenue(db):
    return CriterionFactory(code="revenue", kind="number")


@shared
def broken(goteborg, revenue):
    """A file of whose only block a part is lost, so that reading it fails each time."""
    one = kept(HEADER + "6120102,revenue,2,2024-11-02,\n")
    kept_block = ImportBlock.objects.get(value_import=one).packed
    ImportBlock.objects.filter(value_import=one).update(packed=b"")
    one.whole = kept_block
    return one


def test_a_file_that_fails_keeps_no_other_waiting(broken, goteborg, revenue):
    good = kept(HEADER + "6120102,revenue,1,2024-11-01,\n")

    tasks.import_values()

    good.refresh_from_db()
    assert good.is_ready


def test_a_file_that_failed_three_times_is_set_aside_and_may_be_tried_again(
    broken, client_of, mina
):
    web = client_of(mina)
    for _start in range(3):
        assert not ValueImport.objects.waiting_for_people().exists()
        tasks.import_values()

    broken.refresh_from_db()
    assert broken.starts == 3
    assert services.imports_to_read() == []
    page = web.get(broken.get_absolute_url()).content.decode()
    assert "It failed three times in a row" in page
    assert "data-poll" not in page
    assert "Set aside" in web.get(reverse("ops:imports")).content.decode()
    assert list(ValueImport.objects.waiting_for_people()) == [broken]

    ImportBlock.objects.filter(value_import=broken).update(packed=broken.whole)
    web.post(reverse("ops:retry_import", kwargs={"pk": broken.pk}))
    tasks.import_values()

    broken.refresh_from_db()
    assert (broken.status, broken.starts) == ("ready", 0)
    with pytest.raises(ValidationError, match="This import is now: Ready to apply"):
        services.retry_import(broken, by=mina)


def test_a_start_that_ends_its_worker_is_counted(broken):
    # What was started and never came back: of such there is nothing to be caught.
    assert [services.start_import(broken) for _start in range(4)] == [True] * 3 + [
        False
    ]


def test_applying_that_fails_is_set_aside_and_can_be_canceled(
    goteborg, revenue, mina, monkeypatch
):
    one = compared("6120102,revenue,2,2024-11-02,")
    services.apply_import(one, by=mina)

    def fail(one):
        raise ValueError

    monkeypatch.setattr(services, "carry_out_import", fail)
    for _start in range(4):
        tasks.import_values()

    one.refresh_from_db()
    assert (one.is_set_aside, one.starts) == (True, 3)
    assert services.cancel_import(one, by=mina).is_canceled


def wait(one):
    held = OperationalError()
    held.__cause__ = type("Held", (Exception,), {"pgcode": "55P03"})()
    raise held


def test_waiting_for_somebody_else_is_no_failed_start(goteborg, revenue, monkeypatch):
    one = kept(HEADER + "6120102,revenue,2,2024-11-02,\n")

    monkeypatch.setattr(services, "read_next_lines", wait)
    tasks.import_values()

    one.refresh_from_db()
    assert one.starts == 0


def test_of_two_faults_of_reading_the_first_is_told(goteborg, revenue, monkeypatch):
    # Ended by the thread that joins, the transaction answers nobody else either.
    one = kept(HEADER + "6120102,revenue,2,2024-11-02,\n" * 3)
    read, has_failed = imports._next_parts, Event()

    def join(value_import, count, cursor):
        try:
            cursor.execute("SELECT 1 / 0")
        finally:
            has_failed.set()

    def read_on(judge, rows, *, most):
        parts = read(judge, rows, most=most)
        if rows.line > 2:
            assert has_failed.wait(10)
            ImportBlock.objects.count()
        return parts

    monkeypatch.setattr(imports, "LINES_TO_JOIN", 1)
    monkeypatch.setattr(imports, "_join_lines", join)
    monkeypatch.setattr(imports, "_next_parts", read_on)

    with pytest.raises(DataError, match="division by zero"):
        services.read_next_lines(one)


def test_who_did_not_start_takes_no_start_of_another_back(
    goteborg, revenue, monkeypatch
):
    one = kept(HEADER + "6120102,revenue,2,2024-11-02,\n")
    services.start_import(one)
    monkeypatch.setattr(services, "start_import", wait)

    tasks.import_values()

    one.refresh_from_db()
    assert one.starts == 1
