"""Runs the same tests again and again, each time in a process that starts warm.

usage: _mutation_tests.py SOCKET SECONDS PYTEST-ARGUMENTS...
Most of a short run is importing what never changes. This imports the packages once;
for each connection it forks, and the child imports the portal as it lies there now and
runs pytest. The answer is pytest's exit code.
"""

import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys

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
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        code = int(importlib.import_module("pytest").main(arguments))
    finally:
        os._exit(code)


def main() -> None:
    path, seconds, *arguments = sys.argv[1:]
    sys.path.insert(0, os.getcwd())
    preload()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()
        while True:
            asking, _ = door.accept()
            with asking, contextlib.suppress(OSError):
                code = run_in_child(int(seconds), arguments)
                asking.sendall(str(code).encode())


if __name__ == "__main__":
    main()
