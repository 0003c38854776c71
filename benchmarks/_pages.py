"""Times pages of the portal in turn: each beside the bare signed-in view of its round."""

import http.client
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2
from psycopg2 import sql

WARM_UP = 5
# The variable that names a database to copy.
TEMPLATE = "BENCH_TEMPLATE"


@contextmanager
def own_database():
    """An empty database of this run, named in DATABASE_URL before Django reads it.

    A copy of BENCH_TEMPLATE where that is given: that one is migrated already.
    """
    server = os.environ["DATABASE_URL"]
    name = f"bench_{os.getpid()}"
    template = os.environ.get(TEMPLATE, "template1")
    _tell(server, "CREATE DATABASE {} TEMPLATE {}", name, template)
    os.environ["DATABASE_URL"] = re.sub(r"/[^/?]*(\?|$)", rf"/{name}\1", server)
    try:
        yield
    finally:
        _tell(server, "DROP DATABASE {} WITH (FORCE)", name)


def _tell(server: str, statement: str, *names: str) -> None:
    """Say something about a database, outside a transaction."""
    connection = psycopg2.connect(server)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
    connection.close()


@contextmanager
def web_server(*, workers: int = 2):
    """The portal as the image runs it, with the bare view; yields port and process."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "_bare:application"]
    options = ["--bind", f"127.0.0.1:{port}", "--workers", str(workers)]
    options += ["--pythonpath", str(Path(__file__).parent), "--log-level", "warning"]
    server = subprocess.Popen([*command, *options])
    try:
        _wait_for(port)
        yield port, server
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(port: int) -> None:
    for _attempt in range(300):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit("The web server did not start.")


def fetch(port: int, path: str, cookie: str) -> str:
    """Return a page; anything but 200 ends the run."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", path, headers={"Cookie": cookie})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    if response.status != 200:
        raise SystemExit(f"{path} answered {response.status}.")
    return body


def time_in_turn(
    port: int, pages: dict, *, rounds: int, warm_up: int = WARM_UP
) -> dict[str, list[float]]:
    """Fetch each page once a round; return each page's seconds without the warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in pages}
    for number in range(warm_up + rounds):
        for name, (path, cookie) in pages.items():
            start = time.perf_counter()
            fetch(port, path, cookie)
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def peak_memory(server: subprocess.Popen) -> int:
    """Return the largest memory of a worker so far, in MB."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    peaks = []
    for child in children.split():
        status = Path(f"/proc/{child}/status").read_text()
        peaks.append(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]))
    return max(peaks) // 1024


def median_ms(seconds: list[float]) -> float:
    return 1000 * statistics.median(seconds)


def spread_ms(seconds: list[float]) -> tuple[float, float]:
    """Return the 10th and the 90th percentile."""
    tenths = statistics.quantiles(seconds, n=10)
    return 1000 * tenths[0], 1000 * tenths[-1]
