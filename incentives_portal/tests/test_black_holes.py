"""Pages and mail while Redis, the mail server or PostgreSQL swallow everything.

Pages answer as ever, and all mail has left within a minute after whatever was away is
back: seen with a real worker and its clock. `LONG=1` tries all of it, and says how long
it took; ROUNDS says how often each page is asked for.
"""

import os
import signal
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from celery import Celery
from django.conf import settings as configured
from django.db import connection, transaction
from django.test import TestCase
from django.utils import timezone
from redis import Redis

from accounts import outbox
from accounts.models import MailStatus, OutgoingEmail
from accounts.tests import mail_server as how
from accounts.tests.mail_server import MailServer
from accounts.tests.mails import make_email
from incentives_portal.tests.permission_table import TABLE
from incentives_portal.tests.proxy import Proxy
from incentives_portal.tests.test_permissions import (
    ADDRESSES,
    DONE,
    _path,
    made,
    world,
)

__all__ = ["made", "world"]

LONGEST_PAGE = 2.0
ROUNDS = int(os.environ.get("ROUNDS", "3"))
LONGEST_RECOVERY = 60
MAILS = 300
# Flushed here: nobody else's broker.
REDIS_DATABASE = 8
# A mail the fault met while its text went out waits a quarter: the documented window.
WINDOW = (MailStatus.SENDING, MailStatus.UNKNOWN)


def address_of_redis() -> tuple[str, int]:
    parts = urlsplit(configured.REDIS_URL)
    return parts.hostname or "127.0.0.1", parts.port or 6379


@contextmanager
def line_to_redis():
    with Proxy(*address_of_redis()) as line:
        parts = urlsplit(configured.REDIS_URL)
        login = parts.netloc.rpartition("@")[0]
        place = f"{login}@127.0.0.1:{line.port}" if login else f"127.0.0.1:{line.port}"
        line.url = f"redis://{place}/{REDIS_DATABASE}"
        yield line


@contextmanager
def broker_app(url: str):
    app = Celery("holes", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.broker_url = url
    yield app
    app.close()


# --- Pages ---------------------------------------------------------------------------


def test_nothing_waits_longer_for_a_broker_than_a_page_may_take():
    options = configured.CELERY_BROKER_TRANSPORT_OPTIONS
    assert options["socket_timeout"] <= 1
    assert options["socket_connect_timeout"] <= 1
    assert options["max_retries"] == 0
    assert configured.CELERY_TASK_PUBLISH_RETRY is False
    # Neither sessions nor limits live in Redis; mail is sent by workers only.
    assert "redis" not in configured.CACHES["default"]["BACKEND"].lower()
    assert configured.SESSION_ENGINE.endswith((".db", "usersessions"))


def asked_for_every_page(world) -> list[tuple[float, str]]:
    """Ask for each page in each of its methods; return how long each took.

    Each change is taken for one that queues a mail, and for the first that finds that
    no broker answers.
    """
    times = []
    # What made the world wakes nobody: it stays in its transaction.
    connection.run_on_commit.clear()
    for name, row in TABLE.items():
        path = _path(name, row, "own", world)
        client = world.clients[row.yes[0]]
        cookies = client.cookies.output()
        for method in row.methods:
            outbox._bell.quiet_until = 0.0
            client.cookies.load(cookies.replace("Set-Cookie: ", ""))
            with transaction.atomic():
                began = time.monotonic()
                with TestCase.captureOnCommitCallbacks(execute=True):
                    response = client.generic(method, path)
                    if method == "POST":
                        outbox.wake_after_commit()
                times.append((time.monotonic() - began, f"{method} {name}"))
                transaction.set_rollback(True)
            assert response.status_code in DONE, f"{method} {name}"
    return times


@pytest.mark.long
@pytest.mark.faults
def test_every_page_answers_while_redis_and_the_mail_server_are_black_holes(
    world, settings, monkeypatch, capsys
):
    with (
        line_to_redis() as redis_line,
        MailServer() as server,
        Proxy("127.0.0.1", server.port) as mail_line,
        broker_app(redis_line.url) as app,
    ):
        settings.EMAIL_BACKEND = "accounts.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mail_line.port
        monkeypatch.setattr(outbox, "current_app", app)
        monkeypatch.setattr(outbox, "_bell", outbox._Bell())
        redis_line.silence()
        mail_line.silence()

        times = sorted(
            one for _ in range(ROUNDS) for one in asked_for_every_page(world)
        )

        redis_line.restore()
        assert mail_line.came == 0, "a page speaks to the mail server"
        assert redis_line.came > 0, "no page wakes a worker"
    seconds = [took for took, _page in times]
    p99 = statistics.quantiles(seconds, n=100)[98]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(TABLE)} pages, asked {len(times)} times: median "
            f"{statistics.median(seconds):.2f} s, p99 {p99:.2f} s, slowest "
            f"{seconds[-1]:.2f} s ({times[-1][1]})\n"
        )
    assert {f"{m} {name}" for name in ADDRESSES for m in TABLE[name].methods} == {
        page for _took, page in times
    }
    assert p99 < LONGEST_PAGE


# --- After it is back -------------------------------------------------------------------


@pytest.fixture
def house(transactional_db, settings, monkeypatch, tmp_path):
    """A worker with its clock, and a line that can be broken to all it speaks to."""
    config = connection.settings_dict
    with (
        line_to_redis() as redis_line,
        MailServer() as server,
        Proxy("127.0.0.1", server.port) as mail_line,
        Proxy(config["HOST"], int(config["PORT"])) as database_line,
        broker_app(redis_line.url) as app,
    ):
        _flush()
        monkeypatch.setattr(outbox, "current_app", app)
        monkeypatch.setattr(outbox, "_bell", outbox._Bell())
        password = f":{config['PASSWORD']}" if config["PASSWORD"] else ""
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "incentives_portal.settings",
            "DATABASE_URL": f"postgres://{config['USER']}{password}@127.0.0.1:"
            f"{database_line.port}/{config['NAME']}",
            "REDIS_URL": redis_line.url,
            "EMAIL_URL": f"smtp://127.0.0.1:{mail_line.port}",
            "DEMO": "true",
        }
        house = SimpleNamespace(
            server=server,
            redis_line=redis_line,
            mail_line=mail_line,
            database_line=database_line,
            has_clock=True,
            log=tmp_path / "log",
        )

        def start() -> None:
            clock = ["--beat", f"--schedule={tmp_path / 'clock'}"]
            with house.log.open("ab") as output:
                house.worker = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "celery", "--app=incentives_portal"),
                        *("worker", "--concurrency=2", "--loglevel=INFO"),
                        *("--without-mingle", "--without-gossip"),
                        *(clock if house.has_clock else []),
                    ],
                    cwd=configured.BASE_DIR,
                    env=environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

        def kill() -> None:
            os.killpg(house.worker.pid, signal.SIGKILL)
            house.worker.wait(10)

        house.start, house.kill = start, kill
        start()
        yield house
        for line in (redis_line, mail_line, database_line):
            line.restore()
        if house.worker.poll() is None:
            kill()
        _flush()


def _flush() -> None:
    host, port = address_of_redis()
    url = configured.REDIS_URL.rpartition("/")[0]
    assert url.endswith(f"{host}:{port}") or port == 6379
    with Redis.from_url(f"{url}/{REDIS_DATABASE}") as redis:
        redis.flushdb()


def wait_until(happened, *, seconds: float) -> float:
    """Wait, and return how long it took."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < seconds, "it did not happen"
        time.sleep(0.2)
    return time.monotonic() - began


def waiting() -> int:
    """How many mails are still to leave, but for those in the documented window."""
    sent = OutgoingEmail.objects.filter(status__in=[MailStatus.SENT, *WINDOW])
    return OutgoingEmail.objects.count() - sent.count()


def queue_mails() -> None:
    now = timezone.now()
    OutgoingEmail.objects.bulk_create(
        OutgoingEmail(
            dedupe_key=f"hole:{one}",
            name="invitation",
            to_address=f"reader{one}@partner.example",
            language="en",
            subject=f"Mail {one}",
            body_text="Hello.\n",
            body_html="<p>Hello.</p>",
            next_attempt_at=now,
        )
        for one in range(MAILS)
    )
    outbox.wake()


def lose_redis(house) -> None:
    house.redis_line.cut()
    queue_mails()
    time.sleep(5)
    # It comes back empty.
    _flush()


def silence_redis(house) -> None:
    house.redis_line.silence()
    queue_mails()
    time.sleep(20)


def lose_mail_server(house) -> None:
    house.mail_line.cut()
    queue_mails()
    time.sleep(35)


def silence_mail_server(house) -> None:
    house.mail_line.silence()
    queue_mails()
    time.sleep(35)


def lose_database(house) -> None:
    queue_mails()
    wait_until(lambda: house.server.messages, seconds=60)
    house.database_line.cut()
    time.sleep(5)


def kill_worker(house) -> None:
    house.server.mode, house.server.seconds = how.IS_SLOW, 0.1
    queue_mails()
    wait_until(lambda: len(house.server.messages) > 10, seconds=60)
    house.kill()
    house.server.mode = how.ACCEPTS


FAULTS = {
    "Redis is restarted empty": lose_redis,
    "Redis is a black hole": silence_redis,
    "the mail server is away": lose_mail_server,
    "the mail server is a black hole": silence_mail_server,
    "PostgreSQL ends all connections": lose_database,
    "the worker is killed": kill_worker,
}


def seconds_to_recover(house, fault) -> float:
    see_one_leave(house)
    fault(house)
    for line in (house.redis_line, house.mail_line, house.database_line):
        line.restore()
    if house.worker.poll() is not None:
        # A worker takes a while to begin, on a busy machine a long one.
        came = house.redis_line.came
        house.start()
        wait_until(lambda: house.redis_line.came > came, seconds=240)
    took = wait_until(lambda: not waiting(), seconds=LONGEST_RECOVERY)
    # The last one may still be on its way.
    time.sleep(2)
    return took


def see_one_leave(house) -> None:
    """Wait until the worker is at work."""
    make_email()
    outbox.wake()
    wait_until(lambda: house.server.messages, seconds=240)


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_all_mail_has_left_within_a_minute_after_what_was_away_is_back(
    house, fault, capsys
):
    took = seconds_to_recover(house, fault)

    window = OutgoingEmail.objects.filter(status__in=WINDOW)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{fault.__name__}: {took:.0f} s, {window.count()} unclear\n"
        )
    # Two processes had at most one mail each at hand.
    assert window.count() <= 2
    sent = OutgoingEmail.objects.filter(status=MailStatus.SENT)
    ids = house.server.message_ids
    assert {outbox.message_id(email) for email in sent} <= set(ids)
    assert set(ids.values()) == {1}


@pytest.mark.long
@pytest.mark.faults
def test_without_the_clock_what_no_wake_up_told_of_would_wait(house):
    """The control."""
    house.kill()
    house.has_clock = False
    house.start()

    with pytest.raises(AssertionError, match="did not happen"):
        seconds_to_recover(house, lose_redis)
