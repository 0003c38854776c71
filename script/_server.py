"""Starts the whole portal with its demo people, watches over it, and ends all of it.

Run by script/server, which has made the environment.
"""

import base64
import contextlib
import fcntl
import hashlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import stat
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import _services
from _processes import (
    ROOT,
    Process,
    Refusal,
    Running,
    end_sessions,
    free_port,
    kill,
    leave_on_signals,
    working_in,
)
from _services import (
    check_address,
    database_person,
    given_postgres,
    given_redis,
    new_postgres,
    new_redis,
    reachable_place,
)

VAR = ROOT / "var"
LOGS = VAR / "log"
SECRETS = VAR / "demo.env"
PASSWORDS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "WEB_PASSWORD")
# The database role of the web server, the worker and the clock: it adds to history and
# cannot change it. The tables belong to the one that migrates.
WEB_ROLE = "portal_web"
PYTHON = sys.executable
MAILBOX = "The mailbox"
# What may end and be started again, with its log and the words Celery starts it by.
RESTARTABLE = {
    "The worker": (
        "worker",
        (
            *("worker", "--concurrency", "2", "--loglevel", "WARNING"),
            *("--without-mingle", "--without-gossip", "--without-heartbeat"),
        ),
    ),
    "The clock": (
        "beat",
        (
            *("beat", "--loglevel", "WARNING", "--pidfile", ""),
            *("--schedule", str(VAR / "beat")),
        ),
    ),
}
MAY_RESTART = 3


def main() -> int:
    _services.progress = sys.stdout
    leave_on_signals()
    try:
        given = given_values()
        with (
            only_one_of_us(given["PORT"]),
            Running(VAR / "processes") as running,
            reserved(given["PORT"]) as door,
        ):
            try:
                serve(given, door, running)
            finally:
                if running.processes:
                    say("== Stopping")
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}.", file=sys.stderr)
        return 1
    except SystemExit as asked:
        # Ctrl-C and SIGTERM are how one leaves: nothing went wrong.
        return 0 if asked.code in (130, 143, 129) else 1
    return 0


# --- What we were given -----------------------------------------------------------


def given_values() -> dict[str, str]:
    """Return the caller's variables that are not empty, the form of ours checked."""
    given = {name: value for name, value in os.environ.items() if value.strip()}
    port = given.setdefault("PORT", "8000").strip()
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise Refusal(f"PORT must be a whole number from 1 to 65535, not {port!r}.")
    for name, schemes in {
        "DATABASE_URL": ("postgres", "postgresql"),
        "REDIS_URL": ("redis", "rediss"),
        "EMAIL_URL": ("smtp", "smtp+tls", "smtp+ssl"),
    }.items():
        if name in given:
            check_address(name, given[name], schemes)
    if "DATABASE_URL" in given:
        given_postgres("DATABASE_URL", given["DATABASE_URL"])
    if "REDIS_URL" in given:
        given_redis("REDIS_URL", given["REDIS_URL"])
    return given | {"PORT": port}


@contextlib.contextmanager
def only_one_of_us(port: str) -> Iterator[None]:
    """Hold var/lock while we run, so that no two servers share one var/."""
    if VAR.exists() and VAR.stat().st_uid != os.geteuid():
        raise Refusal(
            f"{VAR} belongs to another user, who has run script/server here: do it as "
            "that user, or remove the folder, or use another checkout."
        )
    try:
        LOGS.mkdir(parents=True, exist_ok=True)
        lock = (VAR / "lock").open("a+")
    except OSError as error:
        raise Refusal(
            f"{VAR} must be a folder you may write in: {error.strerror}."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise Refusal(
                f"The portal already runs from this folder ({lock.read().strip()}): "
                "stop that one first, or use another checkout."
            ) from None
        lock.truncate(0)
        lock.write(f"http://127.0.0.1:{port}/, process {os.getpid()}")
        lock.flush()
        yield


@contextlib.contextmanager
def reserved(port: str) -> Iterator[socket.socket]:
    """Hold the port from the start; the web server listens when it is ready."""
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", int(port)))
        except PermissionError:
            raise Refusal(
                f"PORT {port} may not be used by an ordinary user; choose one above "
                "1023."
            ) from None
        except OSError:
            raise Refusal(
                f"PORT {port} is taken by another program; choose another one, as in "
                f"PORT={int(port) % 65535 + 1} script/server."
            ) from None
        yield door


def demo_secrets() -> dict[str, str]:
    """Return the demo's keys, made once and readable by nobody else."""
    if not SECRETS.exists():
        values = {
            "SECRET_KEY": secrets.token_urlsafe(64),
            "FIELD_ENCRYPTION_KEYS": f"k1:{_key()}",
            "BLIND_INDEX_KEY": _key(),
            **{name: secrets.token_hex(16) for name in PASSWORDS},
        }
        unfinished = SECRETS.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        with open(unfinished, "w", opener=_services.private) as file:
            file.writelines(f"{name}={value}\n" for name, value in values.items())
        unfinished.rename(SECRETS)
    lines = SECRETS.read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    # Demos of before had a password less.
    for name in set(PASSWORDS) - values.keys():
        values[name] = secrets.token_hex(16)
        with open(SECRETS, "a") as file:
            file.write(f"{name}={values[name]}\n")
    return values


def _key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def database_folder() -> Path:
    """Return where PostgreSQL keeps its files: var/, or where its own user can come."""
    person = database_person()
    VAR.chmod(0o755)
    if reachable_place([VAR], person):
        return VAR / "postgres"
    checkout = hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:16]
    place = Path("/var/tmp") / f"incentives-portal-{checkout}"
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o711)
    facts = place.lstat()
    if (
        not stat.S_ISDIR(facts.st_mode)
        or facts.st_uid != os.geteuid()
        or facts.st_mode & 0o022
    ):
        raise Refusal(f"{place} stands there already and is not ours: remove it.")
    place.chmod(0o711)
    remembered = VAR / "database-place"
    if not remembered.exists():
        # Whoever removed var/ wants to start afresh; the old keys are gone with it.
        shutil.rmtree(place / "postgres", ignore_errors=True)
        remembered.write_text(f"{place}\n")
    if not reachable_place([place], person):
        raise Refusal(
            f"PostgreSQL has to run as the user {person.pw_name}, who may write "
            f"neither in {VAR} nor in {place}."
        )
    return place / "postgres"


# --- The portal ---------------------------------------------------------------------


def serve(given: dict[str, str], door: socket.socket, running: Running) -> None:
    """Start everything in its order, say where it is, and watch over it."""
    began = time.monotonic()
    env = portal_environment(given, start_services(given, running))
    if "EMAIL_URL" not in given:
        start_mailbox(env, running)
    people = prepare(env, running)
    say("== Starting the portal")
    # From here on without the rights of the tables' owner.
    env["DATABASE_URL"] = env.pop("WEB_DATABASE_URL", env["DATABASE_URL"])
    start_web(env, door, running)
    wait_for_first_page(env, given["PORT"], running)
    # Last, so that the first page need not share the processor with them.
    for name, (log, _) in RESTARTABLE.items():
        start_restartable(name, log_file(log), env, running)
    say(welcome(given, env, people, seconds=time.monotonic() - began))
    watch(env, running)


def start_services(given: dict[str, str], running: Running) -> dict[str, str]:
    """Start what was not given, and return where it is, with the demo's keys."""
    folder = None if "DATABASE_URL" in given else database_folder()
    if folder and folder.exists() and not SECRETS.exists():
        raise Refusal(
            f"{SECRETS} is gone, and without it the demo in {folder} cannot be read: "
            f"put it back, or remove {folder} to start afresh."
        )
    values = demo_secrets()
    passwords = {name: values.pop(name) for name in PASSWORDS}
    if folder:
        end_old_postgres(folder)
        values["DATABASE_URL"] = new_postgres(
            running,
            folder,
            log=log_file("postgres"),
            password=passwords["POSTGRES_PASSWORD"],
            durable=True,
            apt=False,
        )
        server = values["DATABASE_URL"].rpartition("@")[2]
        password = passwords["WEB_PASSWORD"]
        values["WEB_DATABASE_URL"] = f"postgres://{WEB_ROLE}:{password}@{server}"
    if "REDIS_URL" not in given:
        values["REDIS_URL"] = new_redis(
            running,
            VAR / "redis",
            log=log_file("redis"),
            password=passwords["REDIS_PASSWORD"],
            apt=False,
        )
    return values


def end_old_postgres(folder: Path) -> None:
    """End a server that still runs on our files, and remove the mark of a dead one."""
    mark = folder / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int(mark.read_text().split()[0])
        if pid in working_in(folder):
            end_sessions([(pid, signal.SIGINT)])
    # Its children lead sessions of their own, and may outlive it.
    kill(lambda: working_in(folder))
    mark.unlink(missing_ok=True)


def portal_environment(given: dict[str, str], ours: dict[str, str]) -> dict[str, str]:
    """Return what the portal's processes read: what was given wins over ours."""
    # Ours to say: it goes with the server that we made.
    given = {name: v for name, v in given.items() if name != "WEB_DATABASE_URL"}
    if "DATABASE_URL" not in given:
        # What the caller's psql reads is not meant for our own server.
        given = {name: v for name, v in given.items() if not name.startswith("PG")}
    return (
        {
            "DEMO": "true",
            "ALLOWED_HOSTS": "127.0.0.1,localhost,[::1]",
            "PUBLIC_BASE_URL": f"http://127.0.0.1:{given['PORT']}",
            "EMAIL_URL": f"smtp://127.0.0.1:{free_port()}",
            "DEMO_MAIL_DIR": str(VAR / "mail"),
            "STATIC_ROOT": str(VAR / "static"),
        }
        | ours
        | given
        | {
            "DJANGO_SETTINGS_MODULE": "incentives_portal.settings",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
    )


def log_file(name: str) -> Path:
    """Return the path of a new log; the one before is kept beside it."""
    log = LOGS / f"{name}.log"
    with contextlib.suppress(FileNotFoundError):
        log.replace(LOGS / f"{name}.log.1")
    return log


def prepare(env: dict[str, str], running: Running) -> str:
    """Migrate, load the demo, collect static files; return the table of people."""
    people = VAR / "people.txt"
    steps = {"the database": [PYTHON, ROOT / "script" / "_prepare.py", people]}
    digest = static_digest(env)
    remembered = VAR / "static.digest"
    collected = Path(env["STATIC_ROOT"]) / "staticfiles.json"
    if not (
        remembered.exists() and remembered.read_text() == digest and collected.exists()
    ):
        steps["the static files"] = [
            *(PYTHON, "manage.py", "collectstatic", "--no-input", "--verbosity", "0")
        ]
    say(f"== Preparing {' and '.join(steps)}")
    started = [
        running.start(name, command, log=log_file(f"prepare-{name[4:]}"), env=env)
        for name, command in steps.items()
    ]
    while not all(step.has_ended() for step in started):
        if any(step.has_failed() for step in started):
            break
        time.sleep(0.03)
    for step in started:
        if step.has_failed():
            said = step.last_words()
            raise Refusal(
                said
                if said.startswith("The portal cannot start:")
                else f"Preparing {step.name} failed ({said}); see {step.log}."
            )
        running.stop(step)
    remembered.write_text(digest)
    return people.read_text()


def static_digest(env: dict[str, str]) -> str:
    """Return what changes when collecting the static files would change them."""
    digest = hashlib.sha256(env["STATIC_ROOT"].encode())
    digest.update((ROOT / "requirements.lock").read_bytes())
    for path in sorted((ROOT / "static").rglob("*")):
        facts = path.stat()
        digest.update(f"{path} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def start_mailbox(env: dict[str, str], running: Running) -> None:
    port = str(urlsplit(env["EMAIL_URL"]).port)
    mailbox = [PYTHON, "manage.py", "demo_mail_server", "--port", port]
    running.start(MAILBOX, mailbox, log=log_file("mail"), env=env)


def start_web(env: dict[str, str], door: socket.socket, running: Running) -> None:
    web = [
        *(PYTHON, "-m", "gunicorn", "incentives_portal.wsgi"),
        *("--bind", f"fd://{door.fileno()}", "--workers", "2", "--threads", "4"),
        *("--preload", "--no-control-socket", "--graceful-timeout", "5"),
    ]
    running.start(
        "The web server", web, log=log_file("web"), env=env, fds=(door.fileno(),)
    )


def start_restartable(
    name: str, log: Path, env: dict[str, str], running: Running
) -> None:
    _, words = RESTARTABLE[name]
    celery = [PYTHON, "-m", "celery", "-A", "incentives_portal", *words]
    running.start(name, celery, log=log, env=env)


def wait_for_first_page(env: dict[str, str], port: str, running: Running) -> None:
    """Wait until /healthz answers 200 and the mailbox takes mail, or refuse."""
    hosts = [host.strip() for host in env["ALLOWED_HOSTS"].split(",")]
    host = "127.0.0.1" if {"127.0.0.1", "*"} & {*hosts} else hosts[0].lstrip(".")
    deadline = time.monotonic() + 60
    answer = "nothing yet"
    while time.monotonic() < deadline:
        if dead := first_dead(running):
            raise Refusal(its_end(dead))
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", "/healthz", headers={"Host": host})
                answer = connection.getresponse().status
                if answer == http.HTTPStatus.OK and mailbox_is_open(env, running):
                    return
        time.sleep(0.05)
    raise Refusal(f"The portal did not come up in a minute ({answer}); see {LOGS}.")


def mailbox_is_open(env: dict[str, str], running: Running) -> bool:
    if all(process.name != MAILBOX for process in running.processes):
        return True
    with contextlib.suppress(OSError):
        port = urlsplit(env["EMAIL_URL"]).port
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    return False


def welcome(
    given: dict[str, str], env: dict[str, str], people: str, *, seconds: float
) -> str:
    address = f"http://127.0.0.1:{given['PORT']}/"
    mail = (
        f"sent to the server of EMAIL_URL, {urlsplit(env['EMAIL_URL']).hostname}"
        if "EMAIL_URL" in given
        else f"{address}demo/mail/"
    )
    return (
        f"\nThe portal is ready after {seconds:.0f} s: {address}\n\n"
        f"{people.strip()}\n\n"
        f"Mail   {mail}\nLogs   {LOGS}\nEnd    Ctrl-C\n"
    )


def first_dead(running: Running) -> Process | None:
    return next((p for p in running.processes if p.has_ended()), None)


def its_end(process: Process) -> str:
    said = process.last_words()
    if said.startswith("The portal cannot start:"):
        return said
    how = f"killed by signal {process.killed_by}" if process.killed_by else said
    return f"{process.name} ended by itself ({how}); see {process.log}."


def watch(env: dict[str, str], running: Running) -> NoReturn:
    """Start the worker and the clock again when they end, a few times; else give up."""
    restarts = Counter()
    while True:
        while dead := first_dead(running):
            restarts[dead.name] += 1
            if dead.name not in RESTARTABLE or restarts[dead.name] > MAY_RESTART:
                raise Refusal(its_end(dead))
            say(f"== Starting again: {its_end(dead)}")
            running.stop(dead)
            (VAR / "beat").unlink(missing_ok=True)
            start_restartable(dead.name, dead.log, env, running)
        time.sleep(0.5)


def say(text: str) -> None:
    """Print for whoever still listens."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
