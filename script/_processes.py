"""Starts programs that end when we do, and finds what a killed run left behind."""

import contextlib
import ctypes
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent


# The signals that end us, with all that we have started.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Refusal(Exception):
    """What stands in the way, as one sentence for the person at the keyboard."""


def die_with(parent: int, last_words: signal.Signals) -> Callable[[], None]:
    """Let the kernel signal the new process when its parent is killed outright."""
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        prctl = None

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        if prctl is not None:
            prctl(1, int(last_words))
            if os.getppid() != parent:
                os._exit(1)

    return prepare


class Process:
    """One started program: in a session of its own, writing to its log file."""

    def __init__(
        self,
        name: str,
        command: list[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | str = ROOT,
        person: pwd.struct_passwd | None = None,
        stop_with: signal.Signals = signal.SIGTERM,
        fds: tuple[int, ...] = (),
        is_service: bool = False,
    ):
        self.name, self.log, self.stop_with = name, log, stop_with
        self.is_service = is_service
        as_person = (
            {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []}
            if person
            else {}
        )
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with(os.getpid(), stop_with),
                pass_fds=fds,
                **as_person,
            )
        self.pid = self._popen.pid
        self._is_asked = False

    def has_ended(self) -> bool:
        return self._popen.poll() is not None

    def has_failed(self) -> bool:
        return self._popen.poll() not in (None, 0)

    @property
    def killed_by(self) -> int | None:
        """Return the number of the signal that ended it, if one did."""
        status = self._popen.poll()
        return -status if status is not None and status < 0 else None

    def ask_to_stop(self) -> None:
        if not self._is_asked and not self.has_ended():
            self._is_asked = True
            self._popen.send_signal(self.stop_with)

    def stop(self, *, patience: float = 10) -> None:
        """Ask, wait, and then kill whatever is left of its session."""
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(patience)
        kill_session(self.pid)
        self._popen.wait()

    def last_words(self, *, about: str = "") -> str:
        """Return the last line of its log that says something, or something about."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        said = (line.strip() for line in reversed(lines))
        return next((line for line in said if line and about in line), "")


class Running:
    """What we have started; all of it ends with the block, the services last.

    A journal on disk lets the next start find what a killed one left behind.
    """

    def __init__(self, journal: Path | None = None):
        self._journal = journal
        self.processes: list[Process] = []

    def __enter__(self):
        if self._journal:
            self._end_leftovers(self._journal)
        return self

    def __exit__(self, *_):
        for number in ENDING:
            signal.signal(number, self._hurry)
        for of_services in (False, True):
            group = [p for p in self.processes if p.is_service == of_services]
            for process in group:
                process.ask_to_stop()
            for process in group:
                process.stop()
        if self._journal:
            self._journal.unlink(missing_ok=True)

    def start(self, name: str, command: list[str | Path], **how) -> Process:
        """Start a program that ends when we do; `how` is what Process takes."""
        # A signal has to wait: now it would leave a program that nobody knows of.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            process = Process(name, command, **how)
            self.processes.append(process)
            if self._journal:
                with self._journal.open("a") as journal:
                    moment = _started_at(process.pid) or 0
                    journal.write(f"{process.pid} {moment} {int(process.stop_with)}\n")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return process

    def stop(self, process: Process) -> None:
        process.stop()
        self.processes.remove(process)

    def _hurry(self, *_) -> None:
        """Kill all: whoever signals twice does not want to wait."""
        for process in self.processes:
            kill_session(process.pid)

    def _end_leftovers(self, journal: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            lines = [line.split() for line in journal.read_text().splitlines()]
            end_sessions(
                [
                    (int(pid), signal.Signals(int(how)))
                    for pid, moment, how in lines
                    if _started_at(int(pid)) in (int(moment), None)
                ]
            )
            journal.unlink()


def _facts(pid: int | str) -> tuple[int, int] | None:
    """Return the session of a living process and the moment it started."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] not in "ZX":
            return int(fields[3]), int(fields[19])
    return None


def _started_at(pid: int) -> int | None:
    """Return the moment that tells a process from a later one of the same number."""
    facts = _facts(pid)
    return facts and facts[1]


def _members(session: int) -> list[int]:
    return [
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if (facts := _facts(entry.name)) and facts[0] == session
    ]


def working_in(folder: Path) -> list[int]:
    """Return the living processes whose working folder this is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == folder.resolve() and _facts(entry.name):
                found.append(int(entry.name))
    return found


def kill_session(session: int) -> None:
    """Kill all that is left of a session, and wait until it has let go of its ports."""
    kill(lambda: _members(session))


def kill(left: Callable[[], list[int]]) -> None:
    """Kill all that `left` finds, again and again until it finds nothing."""
    deadline = time.monotonic() + 5
    while (found := left()) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def end_sessions(sessions: list[tuple[int, signal.Signals]]) -> None:
    """Ask the leaders to end, wait while they do, and kill what is left."""
    for leader, how in sessions:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(leader, how)
    deadline = time.monotonic() + 8
    while any(_facts(leader) for leader, _ in sessions):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    for leader, _ in sessions:
        kill_session(leader)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(ready: Callable[[], bool], process: Process, *, seconds: float) -> bool:
    """Wait until `ready()`, giving up early when the process has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return True
        if process.has_ended():
            return False
        time.sleep(0.03)
    return False


def leave_on_signals() -> None:
    """Turn the signals that end a program into an exit that tidies up."""

    def leave(number: int, _frame) -> NoReturn:
        raise SystemExit(128 + number)

    for number in ENDING:
        # What nohup ignores stays ignored.
        if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN):
            signal.signal(number, leave)
