"""Runs the same tests again and again, each time in a process that starts warm.

usage: _mutation_tests.py SOCKET MODULE SECONDS PYTEST-ARGUMENTS...
For each connection it says whether the tests notice what MODULE has become: 0 for no, 1
and the test for yes. A change inside functions is tried by _mutation_warm.py. For any
other the portal has to be imported anew: this imports the packages once and forks; the
child imports the portal as it lies there now and runs all the tests.
"""

import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

OWN = ("accounts", "profiles", "enrollment", "incentives_portal", "conftest")
LIST_MODULES = (
    "import django; django.setup(); import sys, conftest, incentives_portal.urls; "
    "print(*sys.modules)"
)


def preload() -> None:
    """Import what the portal and its tests use, but nothing of the portal itself."""
    words = [sys.executable, "-c", LIST_MODULES]
    names = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for name in names.split():
        if name.partition(".")[0] not in OWN:
            # Some cannot be imported before Django is set up: the child does.
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    for name in list(sys.modules):
        if name.partition(".")[0] in OWN:
            del sys.modules[name]


def run_in_child(seconds: int, arguments: list[str]) -> int:
    """Fork, run the tests, return how they ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        os.setsid()
        signal.alarm(seconds)
        write_to(os.devnull)
        code = int(importlib.import_module("pytest").main(arguments))
    finally:
        os._exit(code)


def write_to(path: str) -> None:
    with open(path, "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


def start_warm(module: str, log: str, arguments: list[str]) -> socket.socket:
    """Fork a process that runs all tests and then stays; return the line to it."""
    ours, theirs = socket.socketpair()
    if os.fork():
        theirs.close()
        return ours
    ours.close()
    try:
        write_to(log)
        sys.path.insert(0, str(Path(__file__).parent))
        warm = importlib.import_module("_mutation_warm").Warm(module, theirs)
        importlib.import_module("pytest").main(arguments, plugins=[warm])
    finally:
        os._exit(0)


def answer_of(warm, seconds: int, arguments: list[str]) -> str:
    """Ask the process with everything in it first."""
    warm.write("?\n")
    warm.flush()
    said = warm.readline().strip()
    if said != "cold":
        return said or "2 the tests broke off"
    if os.environ.get("QUICK"):
        return "9 it runs on import"
    return f"{min(1, abs(run_in_child(seconds, arguments)))} imported anew"


def main() -> None:
    path, module, seconds, *arguments = sys.argv[1:]
    sys.path.insert(0, os.getcwd())
    preload()
    warm = start_warm(module, f"{path}.log", arguments).makefile("rw")
    before = warm.readline().strip() or "2 the tests broke off"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()
        while True:
            asking, _ = door.accept()
            with asking, contextlib.suppress(OSError):
                said, before = before, ""
                said = said or answer_of(warm, int(seconds), arguments)
                asking.sendall(said.encode())


if __name__ == "__main__":
    main()
