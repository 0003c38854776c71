"""The portal as it runs: gunicorn, a Celery worker, a mail server, Chromium."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import override_settings

from accounts.tests.canaries import WATCH, everything_in_redis


@dataclass
class Portal:
    """A running portal: where it answers and where its processes write."""

    url: str
    log: Path
    environment: dict[str, str]

    def manage(self, *arguments: str) -> None:
        """Run a command of manage.py as an operator would."""
        _manage(*arguments, environment=self.environment)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def running_portal(
    *, mail_port: int, folder: Path, redis_database: int, clock: Path | None = None
):
    """Run the portal on the test database until the block ends.

    On a clock of its own where a file says how far ahead it is (moved_clock.py).
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    log = folder / "portal.log"
    environment = _environment(
        url, mail_port=mail_port, folder=folder, redis_database=redis_database
    )
    _collect_static_files(folder / "static")
    with log.open("w") as output:
        processes = [
            _start(
                "gunicorn",
                "incentives_portal.wsgi",
                f"--bind=127.0.0.1:{port}",
                # One process: what a page is drawn with is prepared once.
                "--workers=1",
                "--threads=4",
                "--preload",
                environment=environment,
                output=output,
                clock=clock,
            ),
            _start(
                "celery",
                "--app=incentives_portal",
                "worker",
                "--concurrency=1",
                "--without-mingle",
                "--without-gossip",
                "--loglevel=INFO",
                environment=environment,
                output=output,
                clock=clock,
            ),
        ]
        try:
            _wait_until_it_answers(f"{url}/healthz", log)
            yield Portal(url=url, log=log, environment=environment)
        finally:
            for process in processes:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            for process in processes:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(5)
            WATCH.look("the running portal's log", log.read_bytes())
            WATCH.look(
                "the running portal's Redis",
                everything_in_redis(environment["REDIS_URL"]),
            )


def database_url() -> str:
    """The address of the database that this test uses."""
    config = connection.settings_dict
    password = f":{config['PASSWORD']}" if config["PASSWORD"] else ""
    return (
        f"postgres://{config['USER']}{password}@{config['HOST']}:{config['PORT']}"
        f"/{config['NAME']}"
    )


def _environment(
    url: str, *, mail_port: int, folder: Path, redis_database: int
) -> dict[str, str]:
    redis = settings.REDIS_URL.rpartition("/")[0]
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "incentives_portal.settings",
        "DATABASE_URL": database_url(),
        "REDIS_URL": f"{redis}/{redis_database}",
        "EMAIL_URL": f"smtp://127.0.0.1:{mail_port}",
        "PUBLIC_BASE_URL": url,
        "STATIC_ROOT": str(folder / "static"),
        "DEMO": "true",
        "DEMO_MAIL_DIR": str(folder / "mail"),
    }


def _collect_static_files(folder: Path) -> None:
    """Collect them under the names the portal serves them by; nothing is compressed.

    That is what takes long; test_image.py does it as it is done for real.
    """
    storages = settings.STORAGES | {
        "staticfiles": {
            "BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
        }
    }
    with override_settings(STATIC_ROOT=folder, STORAGES=storages):
        call_command("collectstatic", verbosity=0, interactive=False)


def _manage(*arguments: str, environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=environment,
        check=True,
    )


def _start(
    module: str, *arguments: str, environment, output, clock: Path | None
) -> subprocess.Popen:
    moved = ["incentives_portal.tests.moved_clock", str(clock)] if clock else []
    return subprocess.Popen(
        [sys.executable, "-m", *moved, module, *arguments],
        cwd=settings.BASE_DIR,
        env=environment,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _wait_until_it_answers(url: str, log: Path) -> None:
    end = time.monotonic() + 40
    while time.monotonic() < end:
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            if urllib.request.urlopen(url, timeout=2).status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"the portal does not answer:\n{log.read_text()}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
