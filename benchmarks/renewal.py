"""The year end beside one raw statement and the usual Django ways, in one run.

Each way gets its own copy of the same database and a process of its own; its outcome is
compared, row by row, with that of the raw statement. The loop is timed on a part. What
counts are the ratios of one run.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import _pages
import _renewal_ways as ways
import psycopg2
from psycopg2 import sql

SIZES = (10_000, 100_000, 1_000_000)
BEFORE = datetime(2027, 6, 20, 9, tzinfo=UTC)
NIGHT = datetime(2027, 7, 1, 0, 0, tzinfo=UTC)
BASE = os.environ["DATABASE_URL"]
HERE = Path(__file__)


def url_of(name: str) -> str:
    return re.sub(r"/[^/?]*(\?|$)", rf"/{name}\1", BASE)


def tell(statement: str, **names: str) -> None:
    """Say something about databases, outside a transaction."""
    connection = psycopg2.connect(BASE)
    connection.autocommit = True
    with connection.cursor() as cursor:
        words = {key: sql.Identifier(name) for key, name in names.items()}
        cursor.execute(sql.SQL(statement).format(**words))
    connection.close()


def by_file() -> str:
    """Copy a large database file by file: from PostgreSQL 15 on, it is asked for."""
    connection = psycopg2.connect(BASE)
    version = connection.server_version
    connection.close()
    return " STRATEGY FILE_COPY" if version >= 150_000 else ""


@contextmanager
def database(name: str, *, like: str = "template1"):
    """A database of this run, a copy of another."""
    name = f"bench_{os.getpid()}_{name}"
    tell(f"CREATE DATABASE {{name}} TEMPLATE {{like}}{by_file()}", name=name, like=like)
    try:
        yield name
    finally:
        tell("DROP DATABASE {name} WITH (FORCE)", name=name)


def begin(part: str, name: str, **words) -> subprocess.Popen:
    """Start a part of the measurement as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(HERE), "--part", part, *map(str, words.values())],
        env=os.environ | {"DATABASE_URL": url_of(name)},
        stdout=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen) -> dict:
    """Wait for a part; a part that fails ends the run."""
    out, _err = process.communicate()
    if process.returncode:
        raise SystemExit("A part of the measurement failed.")
    return json.loads(out.splitlines()[-1])


def measure(rows: int, *, with_pages: bool, with_peers: bool) -> dict:
    """Measure one size; return seconds, memory and what else was seen."""
    found: dict[str, dict] = {}
    with database("base") as base:
        outcome(begin("fill", base, rows=rows))
        found["rehearsal"] = outcome(begin("rehearse", base))
        with database("raw", like=base) as copy:
            found["raw"] = outcome(begin("raw", copy))
            picture = found["raw"].pop("picture")
        for name, workers in (("one worker", 1), ("two workers", 2)):
            with database("ours", like=base) as copy:
                outcome(begin("start", copy))
                began = time.perf_counter()
                parts = [begin("run", copy) for _ in range(workers)]
                ends = [outcome(part) for part in parts]
                # Starting Python is not the year end.
                seconds = max(end["ended"] for end in ends) - min(
                    end["began"] for end in ends
                )
                print(f"  {name}: {time.perf_counter() - began:.1f} s", flush=True)
                found[name] = {
                    "seconds": seconds,
                    "mb": max(end["mb"] for end in ends),
                    "ranges": sorted(one for end in ends for one in end["ranges"]),
                }
                hold(outcome(begin("picture", copy))["picture"], picture, name)
        if with_peers:
            with database("chunks", like=base) as copy:
                found["bulk_create"] = chunks = outcome(begin("chunks", copy))
                if "picture" in chunks:
                    hold(chunks.pop("picture"), picture, "bulk_create")
                chunks["seconds"] *= rows / chunks["rows"]
            with database("loop", like=base) as copy:
                found["loop"] = outcome(begin("loop", copy))
                found["loop"]["seconds"] *= rows / found["loop"]["rows"]
        if with_pages:
            with database("pages", like=base) as copy:
                found["pages"] = during_a_run(copy)
    return found


def hold(picture: list, expected: list, name: str) -> None:
    if picture != expected:
        raise SystemExit(f"{name} did not do what the raw statement did.")


# --- The portal during a run -------------------------------------------------


def during_a_run(name: str) -> dict:
    """Return the p95 of Home and Overview, alone and during a run, in ms."""
    outcome(begin("start", name))
    cookie = outcome(begin("sign_in", name))
    os.environ["DATABASE_URL"] = url_of(name)
    pages = {name: (path, cookie["cookie"]) for name, path in cookie["pages"].items()}
    try:
        with _pages.web_server() as (port, _server):
            alone = _pages.time_in_turn(port, pages, rounds=100)
            run = begin("run", name)
            rounds = []
            while run.poll() is None:
                asked_at = time.time()
                seconds = _pages.time_in_turn(port, pages, rounds=1, warm_up=0)
                rounds.append((asked_at, seconds))
            ran = outcome(run)
    finally:
        os.environ["DATABASE_URL"] = BASE
    # Python starts and ends before and after the run.
    during = [one for at, one in rounds if ran["began"] <= at <= ran["ended"]]
    return {
        page: {
            "alone": p95_ms(alone[page]),
            "during": p95_ms([one[page][0] for one in during]),
            "rounds": len(during),
        }
        for page in pages
    }


def p95_ms(seconds: list[float]) -> float:
    """The 95th percentile; nothing was seen in a run that was too short."""
    if not seconds:
        return float("nan")
    return 1000 * sorted(seconds)[int(len(seconds) * 0.95)]


# --- Parts, each a process ---------------------------------------------------


# What the portal itself does keeps to its time limits; the rest takes what it takes.
LIMITED = ("rehearse", "start", "run", "sign_in")


def take_part(part: str, words: list[str]) -> dict:
    import django
    from django.db import connection

    django.setup()
    if part not in LIMITED:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
    return {
        "fill": ways.fill,
        "rehearse": ways.rehearse,
        "start": ways.start,
        "run": ways.run,
        "raw": ways.raw,
        "chunks": ways.in_chunks,
        "loop": ways.in_a_loop,
        "picture": ways.picture_of_all,
        "sign_in": ways.sign_in,
    }[part](*map(int, words))


def peak_mb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


# --- What is printed ---------------------------------------------------------


def show(rows: int, found: dict) -> dict:
    raw = found["raw"]["seconds"]
    print(f"\n{rows} ending enrollments\n")
    print("| Way | seconds | beside raw | a row | memory of a process |")
    print("|---|---|---|---|---|")
    ratios = {}
    for name, facts in found.items():
        if name == "pages":
            continue
        ratios[name] = round(facts["seconds"] / raw, 2)
        print(
            f"| {name} | {facts['seconds']:.1f} | {ratios[name]:.2f} "
            f"| {1e6 * facts['seconds'] / rows:.0f} µs | {facts['mb']} MB |"
        )
    ranges = found["one worker"]["ranges"]
    print(f"\nRanges, a thousand rows: {ranges[0]:.1f} to {ranges[-1]:.1f} ms")
    for page, facts in found.get("pages", {}).items():
        ratios[f"{page} during a run"] = round(facts["during"] / facts["alone"], 2)
        print(
            f"{page}: p95 {facts['alone']:.0f} ms alone, {facts['during']:.0f} ms "
            f"during a run ({facts['rounds']} times): "
            f"{facts['during'] / facts['alone']:.2f}"
        )
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, to see it work")
    parser.add_argument("--rows", type=int, help="ending enrollments")
    parser.add_argument("--no-pages", action="store_true", help="only the year end")
    parser.add_argument("--no-peers", action="store_true", help="no usual Django ways")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part, *words = options.part
        facts = take_part(part, words)
        print(json.dumps(facts | {"mb": peak_mb()}))
        return
    sizes = [options.rows] if options.rows else SIZES
    if options.quick:
        sizes = [1_000]
    lines = {}
    for rows in sizes:
        print(f"{rows} ...", flush=True)
        found = measure(
            rows,
            with_pages=rows == max(sizes) and not options.no_pages,
            with_peers=not options.no_peers,
        )
        lines[rows] = show(rows, found)
    print(f"\n{json.dumps({'benchmark': 'renewal', 'ratios': lines})}")


if __name__ == "__main__":
    main()
