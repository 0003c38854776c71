"""Mail against a real worker, broker and mail server, each broken on purpose.

What is counted is what the mail server got and what the database says. Where something
protects, a control shows that the same test fails without it.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from celery import Celery
from django.conf import settings as configured
from django.db import connection, transaction
from django.db.models import QuerySet
from django.urls import reverse
from kombu.exceptions import OperationalError
from redis import Redis

from accounts import outbox, tasks
from accounts.models import MailStatus, OutgoingEmail
from accounts.tests import mail_server as how
from accounts.tests.mail_server import MailServer
from accounts.tests.mails import make_email, pass_time
from enrollment import emails
from enrollment.models import Enrollment
from enrollment.tests.factories import EnrollmentFactory
from incentives_portal.tests.proxy import Proxy
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

# A page may wait this long for a broker that does not answer (it waits 1.0 s), and
# take this long altogether (1.3 s; the rest is for a machine with more to do).
LONGEST_PUBLISH = 1.5
LONGEST_PAGE = 3.0


# --- The real thing ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def running_server():
    """One mail server for all tests of this file."""
    with MailServer() as server:
        yield server


@pytest.fixture(scope="module")
def redis_line():
    """The line to Redis, which can be cut."""
    address = urlsplit(configured.REDIS_URL)
    with Proxy(address.hostname, address.port or 6379) as proxy:
        proxy.url = address._replace(
            netloc=f"{address.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}".lstrip(
                "@"
            )
        ).geturl()
        yield proxy


@contextmanager
def worker_process(app: Celery, mail_server, *, queue: str, log, clock=None):
    """Run a worker of its own for one queue, from its first task to the block's end.

    On a clock of its own where a file says how far ahead it is (moved_clock.py).
    """
    moved = ["incentives_portal.tests.moved_clock", str(clock)] if clock else []
    app.send_task(tasks.deliver_mail.name, queue=queue)
    config = connection.settings_dict
    password = f":{config['PASSWORD']}" if config["PASSWORD"] else ""
    place = f"{config['USER']}{password}@{config['HOST']}:{config['PORT']}"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", *moved, "celery"),
                *("--app=incentives_portal", "worker"),
                *(f"--queues={queue}", "--concurrency=2", "--loglevel=INFO"),
                *("--without-mingle", "--without-gossip", "--without-heartbeat"),
                f"--hostname={queue}@test",
            ],
            cwd=configured.BASE_DIR,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "incentives_portal.settings",
                "DATABASE_URL": f"postgres://{place}/{config['NAME']}",
                "REDIS_URL": app.conf.broker_url,
                "EMAIL_URL": f"smtp://127.0.0.1:{mail_server.port}",
                "DEMO": "true",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            with Redis.from_url(app.conf.broker_url) as redis:
                wait_until(lambda: redis.llen(queue) == 0, seconds=30)
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            with Redis.from_url(configured.REDIS_URL) as redis:
                redis.delete(queue, *redis.keys(f"*{queue}"))


@pytest.fixture(scope="module")
def house(django_db_setup, redis_line, running_server, tmp_path_factory):
    """A worker, its broker and its mail server, for all tests of this file."""
    queue = f"faults-{uuid.uuid4().hex}"
    app = Celery("faults", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.broker_url = redis_line.url
    app.conf.task_default_queue = queue
    log = tmp_path_factory.mktemp("worker") / "log"
    with worker_process(app, running_server, queue=queue, log=log) as worker:
        yield SimpleNamespace(app=app, queue=queue, worker=worker, log=log)
    app.close()


@pytest.fixture
def mail_server(
    house, running_server, redis_line, settings, monkeypatch, transactional_db
):
    """Everything whole and empty: the mail server of the worker and of this process."""
    assert house.worker.poll() is None, house.log.read_text()[-2000:]
    redis_line.restore()
    running_server.reset()
    settings.EMAIL_BACKEND = "accounts.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", running_server.port
    monkeypatch.setattr(outbox, "current_app", house.app)
    monkeypatch.setattr(outbox, "_bell", outbox._Bell())
    hear_the_worker(house)
    running_server.reset()
    yield running_server
    redis_line.restore()
    # The next test begins with a connection that is not a dead one.
    nobodys = f"nobodys-{house.queue}"
    publish(house.app, nobodys)
    with Redis.from_url(configured.REDIS_URL) as redis:
        redis.delete(*redis.keys(f"*{nobodys}"))


def hear_the_worker(house) -> None:
    """See one mail leave: no connection of an earlier test swallows a wake-up."""
    email = make_email()
    tick_until(
        OutgoingEmail.objects.filter(status=MailStatus.SENT).exists,
        tick=lambda: publish(house.app, house.queue),
    )
    email.delete()


@pytest.fixture
def tick(house) -> Callable[[], None]:
    """What the clock does every 30 seconds."""

    return lambda queue=house.queue: publish(house.app, queue)


@pytest.fixture
def enrollment(goteborg, ida, nordvik) -> Enrollment:
    """Ready to submit."""
    bank = BankProfileFactory(partner_account=nordvik)
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    TaxProfileFactory(location=goteborg)
    return EnrollmentFactory(location=goteborg, accepted=True, accepted_by=ida)


def publish(app: Celery, queue: str) -> None:
    """Ask for a delivery, twice if the first connection turns out to be dead."""
    with suppress(OperationalError):
        app.send_task(tasks.deliver_mail.name, queue=queue)
        return
    app.send_task(tasks.deliver_mail.name, queue=queue)


def wait_until(happened: Callable[[], bool], *, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.03)


def children_of(pid: int) -> list[int]:
    rows = (path.read_text() for path in Path("/proc").glob("[0-9]*/stat"))
    facts = [(row.split(" ", 1)[0], row.rpartition(")")[2].split()) for row in rows]
    return [int(child) for child, fields in facts if int(fields[1]) == pid]


def tick_until(happened: Callable[[], bool], *, tick: Callable[[], None]) -> None:
    """Let the clock go on, quickly: a wake-up can be lost with its connection."""

    def tick_and_look():
        tick()
        with suppress(AssertionError):
            wait_until(happened, seconds=2)
        return happened()

    wait_until(tick_and_look, seconds=30)


def statuses() -> list[str]:
    return sorted(OutgoingEmail.objects.values_list("status", flat=True))


def wait_for_statuses(*wanted: str) -> None:
    wait_until(lambda: statuses() == sorted(wanted))


def seconds_of(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


# --- Transactions -------------------------------------------------------------------------


def test_a_mail_leaves_by_itself_right_after_the_commit(mail_server, goteborg, ida):
    emails.enrollment_completed(EnrollmentFactory(location=goteborg, complete=True))

    (message,) = mail_server.wait_for(1)
    assert message["To"] == ida.email
    wait_for_statuses(MailStatus.SENT)


def test_nothing_leaves_before_the_commit_or_after_a_rollback(
    mail_server, tick, goteborg, ida
):
    for fate in ("rollback", "commit"):
        with transaction.atomic():
            emails.enrollment_completed(
                EnrollmentFactory(location=goteborg, complete=True)
            )
            tick()
            time.sleep(0.5)
            assert mail_server.messages == []
            transaction.set_rollback(fate == "rollback")
        if fate == "rollback":
            tick()
            time.sleep(0.5)
            assert mail_server.messages == []
    assert len(mail_server.wait_for(1)) == 1


@pytest.mark.long
def test_control_a_mail_sent_inside_the_transaction_outlives_its_rollback(mail_server):
    with transaction.atomic():
        email = make_email()
        outbox.as_message(email).send()
        transaction.set_rollback(True)
    assert not OutgoingEmail.objects.exists()
    assert len(mail_server.messages) == 1


def test_the_clock_finds_what_no_wake_up_told_of(
    mail_server, tick, goteborg, ida, monkeypatch
):
    # The process died between the commit and the wake-up.
    monkeypatch.setattr(outbox, "wake", lambda: None)
    emails.enrollment_completed(EnrollmentFactory(location=goteborg, complete=True))
    time.sleep(0.5)
    assert mail_server.messages == []

    tick()
    assert len(mail_server.wait_for(1)) == 1


def test_the_clock_looks_every_half_minute():
    entry = configured.CELERY_BEAT_SCHEDULE["deliver-mail"]
    assert entry["task"] == tasks.deliver_mail.name == outbox.WAKE_TASK
    assert entry["schedule"] <= 30


# --- The broker -----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut", "silence"], ids=["stopped", "black hole"])
def test_without_a_broker_pages_work_and_mail_leaves_later(
    mail_server, redis_line, tick, client_of, enrollment, ida, fault
):
    client = client_of(ida)
    # A connection is open when the broker goes away, and what went over it has been done.
    first = make_email()
    outbox.wake()
    mail_server.wait_for(1)
    client.get(reverse("home"))
    getattr(redis_line, fault)()

    address = reverse("enrollment:submit", kwargs={"pk": enrollment.pk})
    took = seconds_of(lambda: client.post(address))

    enrollment.refresh_from_db()
    assert enrollment.status == "validating"
    assert took < LONGEST_PAGE
    # Whoever comes next does not wait again.
    assert seconds_of(outbox.wake) < 0.1
    mail = OutgoingEmail.objects.exclude(pk=first.pk)
    assert mail.get().status == MailStatus.QUEUED

    redis_line.restore()
    tick_until(lambda: mail.get().status == MailStatus.SENT, tick=tick)
    assert len(mail_server.messages) == 2


@pytest.mark.parametrize("fault", ["cut", "silence"], ids=["stopped", "black hole"])
@pytest.mark.parametrize("was_open", [True, False], ids=["in use", "new"])
def test_a_publish_gives_up_soon(redis_line, mail_server, house, fault, was_open):
    app = Celery("publisher", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.broker_url = redis_line.url
    app.conf.task_default_queue = house.queue
    # A connection pool of its own.
    app.conf.broker_transport_options |= {"client_name": uuid.uuid4().hex}
    if was_open:
        app.send_task(tasks.deliver_mail.name)
    getattr(redis_line, fault)()

    def fail_to_publish():
        with pytest.raises(OperationalError):
            app.send_task(tasks.deliver_mail.name)

    assert seconds_of(fail_to_publish) < LONGEST_PUBLISH
    redis_line.restore()
    app.close()


@pytest.mark.long
def test_control_celery_as_it_comes_waits_and_waits(redis_line, mail_server, house):
    app = Celery("publisher", broker=redis_line.url, set_as_current=False)
    app.conf.task_default_queue = house.queue
    app.send_task(tasks.deliver_mail.name)
    redis_line.silence()
    publisher = threading.Thread(target=app.send_task, args=[tasks.deliver_mail.name])
    publisher.start()
    publisher.join(2 * LONGEST_PUBLISH)
    is_still_waiting = publisher.is_alive()
    redis_line.restore()
    publisher.join(20)
    app.close()
    assert is_still_waiting


# --- The mail server ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "break_it",
    [
        MailServer.refuse,
        lambda server: setattr(server, "mode", how.IS_CLOSING),
        lambda server: setattr(server, "mode", how.SAYS_LATER),
    ],
    ids=["refuses", "421", "450"],
)
def test_a_mail_waits_for_its_server_and_arrives_once(mail_server, tick, break_it):
    break_it(mail_server)
    emails_ = [make_email() for _ in range(3)]
    tick()
    wait_until(lambda: OutgoingEmail.objects.filter(attempts__gt=0).exists())
    wait_for_statuses(*[MailStatus.QUEUED] * 3)
    assert OutgoingEmail.objects.undelivered().exists()

    mail_server.reset()
    pass_time(minutes=2)
    tick()
    wait_for_statuses(*[MailStatus.SENT] * 3)
    assert mail_server.message_ids == {outbox.message_id(e): 1 for e in emails_}


def test_a_refused_recipient_fails_at_once_and_is_shown(mail_server, tick):
    mail_server.mode = how.SAYS_NEVER
    email = make_email()
    tick()
    wait_for_statuses(MailStatus.FAILED)
    assert list(OutgoingEmail.objects.undelivered()) == [email]

    mail_server.mode = how.ACCEPTS
    pass_time(days=3)
    tick()
    time.sleep(0.5)
    assert mail_server.messages == []


def test_no_answer_after_the_text_means_one_more_try(mail_server, tick):
    mail_server.mode = how.HANGS_UP_AFTER
    email = make_email()
    tick()
    wait_for_statuses(MailStatus.UNKNOWN)

    mail_server.mode = how.ACCEPTS
    tick()
    time.sleep(0.5)
    assert len(mail_server.messages) == 1
    pass_time(minutes=16)
    tick()
    wait_for_statuses(MailStatus.SENT)
    assert mail_server.message_ids == {outbox.message_id(email): 2}


def arrivals_at_a_server_that_never_answers(mail_server) -> int:
    make_email()
    mail_server.mode = how.HANGS_UP_AFTER
    for _ in range(4):
        outbox.deliver()
        pass_time(hours=2)
    assert len(mail_server.message_ids) == 1
    return len(mail_server.messages)


def test_a_server_that_never_answers_gets_a_mail_twice(mail_server):
    assert arrivals_at_a_server_that_never_answers(mail_server) == 2


@pytest.mark.long
def test_control_taken_for_not_sent_it_goes_on_and_on(mail_server, monkeypatch):
    monkeypatch.setattr(outbox, "_leave_unclear", outbox._wait_for_server)
    assert arrivals_at_a_server_that_never_answers(mail_server) == 4


def test_a_slow_mail_server_slows_no_page(mail_server, tick, client_of, ida, goteborg):
    mail_server.mode, mail_server.seconds = how.IS_SLOW, 3
    client = client_of(ida)
    client.get(reverse("home"))
    make_email()
    tick()
    mail_server.wait_for(1)
    for _ in range(3):
        assert seconds_of(lambda: client.get(reverse("home"))) < LONGEST_PAGE
    wait_for_statuses(MailStatus.SENT)


# --- Workers --------------------------------------------------------------------------------


def test_a_killed_worker_loses_no_mail_and_doubles_at_most_one(
    mail_server, house, tick, tmp_path, monkeypatch
):
    emails_ = [make_email() for _ in range(6)]
    accept = MailServer.handle_DATA

    async def accept_two_then_stall(self, server, session, envelope):
        if len(self.messages) == 2:
            self.mode, self.seconds = how.IS_SLOW, 60
        return await accept(self, server, session, envelope)

    monkeypatch.setattr(MailServer, "handle_DATA", accept_two_then_stall)
    mail_server.reset()
    doomed = f"doomed-{uuid.uuid4().hex}"
    with worker_process(
        house.app, mail_server, queue=doomed, log=tmp_path / "log"
    ) as worker:
        tick(doomed)
        mail_server.wait_for(3)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(10)

    monkeypatch.setattr(MailServer, "handle_DATA", accept)
    received = mail_server.message_ids
    mail_server.refuse()
    mail_server.mode = how.ACCEPTS
    mail_server.open()
    assert statuses() == sorted(["sent"] * 2 + ["sending"] + ["queued"] * 3)
    # Its lease keeps others away for a while.
    tick()
    time.sleep(0.5)
    assert mail_server.message_ids == received

    pass_time(minutes=16)
    tick()
    wait_for_statuses(*[MailStatus.SENT] * 6)
    ids = {outbox.message_id(email) for email in emails_}
    assert set(mail_server.message_ids) == ids
    assert sorted(mail_server.message_ids.values()) == [1, 1, 1, 1, 1, 2]


def test_the_task_of_a_killed_child_runs_again_at_once(mail_server, house, tick):
    make_email()
    mail_server.mode, mail_server.seconds = how.IS_SLOW, 60
    tick()
    mail_server.wait_for(1)
    mail_server.mode = how.ACCEPTS
    make_email()

    for child in children_of(house.worker.pid):
        os.kill(child, signal.SIGKILL)

    # Nobody asked for it but the task that was killed.
    assert len(mail_server.wait_for(2, seconds=10)) == 2
    wait_for_statuses(MailStatus.SENDING, MailStatus.SENT)


def test_a_worker_outlives_a_broker_that_comes_and_goes(
    mail_server, redis_line, house, tick
):
    for number in range(1, 4):
        mail_server.mode, mail_server.seconds = how.IS_SLOW, 0.5
        make_email()
        tick_until(lambda n=number: len(mail_server.messages) == n, tick=tick)
        # Now, while a task is under way.
        redis_line.cut()
        time.sleep(0.2)
        redis_line.restore()
        wait_for_statuses(*[MailStatus.SENT] * number)
        assert house.worker.poll() is None, house.log.read_text()[-2000:]
    assert set(mail_server.message_ids.values()) == {1}


def test_two_workers_at_once_send_each_mail_once(mail_server, tick):
    emails_ = [make_email() for _ in range(3 * outbox.BATCH_SIZE)]
    for _ in range(4):
        tick()
    wait_for_statuses(*[MailStatus.SENT] * len(emails_))
    assert mail_server.message_ids == {outbox.message_id(e): 1 for e in emails_}
    assert mail_server.connections >= 3


def most_arrivals_of_one_mail(mail_server) -> int:
    """Let two workers claim at the same moment; return how often a mail came."""
    make_email()
    mail_server.mode, mail_server.seconds = how.IS_SLOW, 0.5
    together, worker = threading.Barrier(2), threading.local()
    read = QuerySet.__iter__

    def read_together(rows):
        result = read(rows)
        is_claim = rows.model is OutgoingEmail and rows.query.is_sliced
        # Who found nothing claims once more, alone: what may wait for it.
        if is_claim and not hasattr(worker, "has_met"):
            worker.has_met = together.wait(5) >= 0
        return result

    def deliver():
        try:
            outbox.deliver()
        finally:
            connection.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuerySet, "__iter__", read_together)
        workers = [threading.Thread(target=deliver) for _ in range(2)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
    return max(mail_server.message_ids.values())


def test_two_claims_at_the_same_moment_share_nothing(mail_server):
    assert most_arrivals_of_one_mail(mail_server) == 1


@pytest.mark.long
def test_control_without_lock_and_fence_both_send_everything(mail_server, monkeypatch):
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **_: rows.all())
    monkeypatch.setattr(
        outbox, "_claimed", lambda email: OutgoingEmail.objects.filter(pk=email.pk)
    )
    assert most_arrivals_of_one_mail(mail_server) == 2
