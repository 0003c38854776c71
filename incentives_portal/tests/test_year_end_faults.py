"""A year end run by a real worker, while broker, worker and database go away.

What is compared is what the plan says of every row with what became of it.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace

import psycopg2
import pytest
from celery import Celery
from django.conf import settings as configured
from django.db import transaction
from redis import Redis

from accounts.models import (
    AuditAction,
    AuditEvent,
    OutgoingEmail,
    PartnerAccount,
)
from accounts.tests.factories import RoleAssignmentFactory
from enrollment import services, tasks
from enrollment.models import RenewalPlan, YearEndNotice
from enrollment.services import renewals
from enrollment.tests.test_renewal_faults import (
    PROGRAM,
    ROWS_AT_ONCE,
    approved,
    wrong_rows,
)
from enrollment.tests.year_ends import fill_year_end
from incentives_portal.tests.running import database_url
from incentives_portal.tests.test_faults import (
    children_of,
    wait_until,
    worker_process,
)

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

NIGHT = datetime(2027, 7, 1, 0, 0, 1, tzinfo=UTC)
# Flushed here: nobody else's broker.
REDIS_DATABASE = 7
RESTARTS = int(os.environ.get("RESTARTS", "2"))
RANGES_DONE = "SELECT count(done_at) FROM enrollment_renewalrange"


@pytest.fixture
def plan(monkeypatch) -> RenewalPlan:
    """An approved plan of many small ranges."""
    monkeypatch.setattr(renewals, "ROWS_AT_ONCE", ROWS_AT_ONCE)
    return approved(fill_year_end(100))


@pytest.fixture
def broker():
    """A broker of this test's own."""
    url = f"{configured.REDIS_URL.rpartition('/')[0]}/{REDIS_DATABASE}"
    with Redis.from_url(url) as redis:
        redis.flushdb()
        redis.url = url
        yield redis
        redis.flushdb()


@pytest.fixture
def app(broker):
    app = Celery("year-end", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.broker_url = broker.url
    yield app
    app.close()


def is_told() -> bool:
    """Whether everybody was told what became of it."""
    notices = YearEndNotice.objects.all()
    return notices.exists() and not notices.filter(finished_at=None).exists()


def test_without_broker_and_workers_memory_a_run_goes_on(plan, broker, app, tmp_path):
    queue = f"year-end-{uuid.uuid4().hex}"
    people = [
        RoleAssignmentFactory(partner_account=account).user
        for account in PartnerAccount.objects.order_by("pk")[:3]
    ]
    clock = tmp_path / "clock"
    clock.write_text(str(NIGHT.timestamp() - time.time()))
    with worker_process(
        app,
        SimpleNamespace(port=1),
        queue=queue,
        log=tmp_path / "log",
        clock=clock,
    ) as worker:
        middle = plan.ranges.order_by("number")[plan.ranges.count() // 2]
        with transaction.atomic():
            held = PartnerAccount.objects.filter(pk__gte=middle.first_company)
            list(held.select_for_update(no_key=True))
            # Two clocks: each comes four times.
            for _tick in range(4):
                for _clock in range(2):
                    app.send_task(tasks.renew_enrollments.name, queue=queue)
            wait_until(
                lambda: plan.ranges.filter(done_at=None).count() <= middle.number
            )
            wait_until(lambda: broker.llen(queue) > 0)
            broker.flushdb()
            for child in children_of(worker.pid):
                os.kill(child, signal.SIGKILL)
        plan.refresh_from_db()
        assert plan.is_running

        app.send_task(tasks.renew_enrollments.name, queue=queue)
        wait_until(lambda: RenewalPlan.objects.get().is_finished, seconds=60)
        for _clock in range(2):
            app.send_task(tasks.tell_of_year_ends.name, queue=queue)
        wait_until(is_told, seconds=60)

    assert wrong_rows() == []
    assert services.renewal_progress(plan).done == plan.rows_count
    for action in (AuditAction.RENEWALS_STARTED, AuditAction.RENEWALS_FINISHED):
        assert AuditEvent.objects.filter(action=action).count() == 1
    mails = list(OutgoingEmail.objects.all())
    assert {mail.to_user for mail in mails} == set(people)
    assert len(mails) == len(people)


# --- The database restarted ------------------------------------------------------------


@pytest.fixture
def begun(plan) -> RenewalPlan:
    return services.start_renewals(plan, by=None, at=NIGHT)


@pytest.fixture
def own_database(begun, monkeypatch):
    """A PostgreSQL of this test's own with a copy of the tests' database."""
    monkeypatch.syspath_prepend(str(configured.BASE_DIR / "script"))
    servers = import_module("_services")
    port = servers.free_port()
    monkeypatch.setattr(servers, "free_port", lambda: port)
    _version, programs = servers.find_postgres()
    with (
        import_module("_with_services").throw_away_folder() as folder,
        import_module("_processes").Running() as running,
    ):

        def start() -> str:
            return servers.start_postgres(
                running,
                folder / "postgres",
                programs=programs,
                password="of-a-test",
                log=folder / "log",
                durable=False,
            )

        def restart(how: signal.Signals) -> None:
            (server,) = (one for one in running.processes if one.is_service)
            os.kill(server.pid, how)
            wait_until(server.has_ended, seconds=20)
            running.stop(server)
            start()

        def asks(question: str):
            with closing(psycopg2.connect(url)) as there, there.cursor() as cursor:
                cursor.execute(question)
                return cursor.fetchone()[0]

        url = start()
        copy = subprocess.run(
            [programs / "pg_dump", "--no-owner", database_url()],
            capture_output=True,
            check=True,
        )
        subprocess.run(
            [programs / "psql", "--quiet", "--set=ON_ERROR_STOP=1", url],
            input=copy.stdout,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        yield SimpleNamespace(url=url, restart=restart, asks=asks)


def endured(own_database, *words: str) -> list[tuple]:
    """Restart the database while two runners go on; return the rows that are wrong."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "endure", "2", *words],
        env=os.environ | {"DATABASE_URL": own_database.url},
        stdout=subprocess.PIPE,
        text=True,
    ) as runners:
        for number in range(RESTARTS):
            done = own_database.asks(RANGES_DONE)
            wait_until(lambda done=done: own_database.asks(RANGES_DONE) > done)
            # Once it breaks off what is at work, once it crashes.
            own_database.restart(signal.SIGQUIT if number % 2 else signal.SIGINT)
        broken_off, _errors = runners.communicate(timeout=120)
    assert runners.returncode == 0
    assert int(broken_off) >= RESTARTS
    with closing(psycopg2.connect(own_database.url)) as there:
        return wrong_rows(there)


def test_a_database_restarted_in_mid_run_ends_every_row_once(begun, own_database):
    assert endured(own_database) == []
    assert own_database.asks("SELECT status FROM enrollment_renewalplan") == "finished"


@pytest.mark.long
def test_without_one_transaction_a_restart_would_lose_rows(begun, own_database):
    """The control: a range is noted as done before it is."""
    assert endured(own_database, "hasty") != []
