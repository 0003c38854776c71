"""Runs a command with throw-away servers; script/with-services says more."""

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from _processes import ENDING, Refusal, Running, die_with, leave_on_signals
from _services import (
    database_person,
    given_postgres,
    given_redis,
    new_postgres,
    new_redis,
    reachable_place,
)

THROW_AWAY = "incentives-portal-throw-away-"


@contextlib.contextmanager
def throw_away_folder() -> Iterator[Path]:
    """Lend a folder the database's user can reach; removes it, and forgotten ones."""
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    place = reachable_place(places, database_person())
    if place is None:
        raise Refusal("PostgreSQL's own user may not write in /tmp or in /var/tmp.")
    for forgotten in place.glob(f"{THROW_AWAY}*"):
        _remove_if_forgotten(forgotten)
    folder = Path(tempfile.mkdtemp(prefix=THROW_AWAY, dir=place))
    folder.chmod(0o711)
    try:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_forgotten(folder: Path) -> None:
    """Remove what a killed run left: ours, a minute old, its lock let go."""
    with contextlib.suppress(OSError):
        facts = folder.lstat()
        if (
            stat.S_ISDIR(facts.st_mode)
            and facts.st_uid == os.geteuid()
            and facts.st_mtime < time.time() - 60
        ):
            with (folder / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def with_services(command: list[str]) -> int:
    """Run a command with throw-away servers and return its exit status."""
    apt = not os.environ.get("NO_APT")
    environment = dict(os.environ)
    with throw_away_folder() as folder, Running() as running:
        if url := os.environ.get("TEST_DATABASE_URL"):
            given_postgres("TEST_DATABASE_URL", url)
        else:
            url = new_postgres(
                running,
                folder / "postgres",
                log=folder / "postgres.log",
                password=secrets.token_hex(16),
                durable=False,
                apt=apt,
                settings_of_its_own=environment.pop(
                    "PRIVATE_POSTGRES_SETTINGS", ""
                ).split(),
            )
        environment["DATABASE_URL"] = url
        if url := os.environ.get("TEST_REDIS_URL"):
            given_redis("TEST_REDIS_URL", url)
        else:
            url = new_redis(
                running,
                folder / "redis",
                log=folder / "redis.log",
                password=secrets.token_hex(16),
                apt=apt,
            )
        environment["REDIS_URL"] = url
        return _run_in_front(command, environment)


def _run_in_front(command: list[str], environment: Mapping[str, str]) -> int:
    """Run the command in this terminal, handing on the signals meant for it."""
    try:
        running = subprocess.Popen(
            command,
            env=environment,
            preexec_fn=die_with(os.getpid(), signal.SIGTERM),
        )
    except OSError as error:
        raise Refusal(f"{command[0]} cannot be run: {error.strerror}.") from None

    def hand_on(number: int, _frame) -> None:
        # A terminal sends Ctrl-C to the command as well as to us: once is enough.
        if number != signal.SIGINT or not sys.stdin.isatty():
            running.send_signal(number)

    for number in ENDING:
        signal.signal(number, hand_on)
    status = running.wait()
    return status if status >= 0 else 128 - status


def main(command: list[str]) -> int:
    if not command:
        print("usage: script/with-services COMMAND...", file=sys.stderr)
        return 2
    leave_on_signals()
    try:
        return with_services(command)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
