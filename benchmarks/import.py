"""The import of measured values beside raw COPY and upsert, and django-import-export.

Each way gets its own copy of the same database and a process of its own, in turn; what
is known afterwards is compared before a time counts. Ours keeps the file, checks every
line, writes the difference down, applies it and moves enrollments; the limit copies,
checks and upserts. What counts are the ratios of one run.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import _import_ways as ways
import psycopg2
from psycopg2 import sql

ROWS = 1_000_000
PEER_ROWS = 10_000
ROUNDS = 3
BASE = os.environ["DATABASE_URL"]
HERE = Path(__file__)
TEMPLATE = os.environ.get("BENCH_TEMPLATE", "template1")


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


@contextmanager
def database(name: str, *, like: str = "template1"):
    """A database of this run, a copy of another."""
    name = f"bench_{os.getpid()}_{name}"
    tell("CREATE DATABASE {name} TEMPLATE {like}", name=name, like=like)
    try:
        yield name
    finally:
        tell("DROP DATABASE {name} WITH (FORCE)", name=name)


def outcome(part: str, name: str, *words: object) -> dict:
    """Take a part of the measurement in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(HERE), "--part", part, *map(str, words)],
        env=os.environ | {"DATABASE_URL": url_of(name)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{part} failed.")
    return json.loads(done.stdout.splitlines()[-1])


def measure(rows: int, *, peer_rows: int, rounds: int) -> dict[str, list[dict]]:
    """Measure every way in turn, so many rounds."""
    found: dict[str, list[dict]] = {"raw": [], "ours": []}
    with database("base", like=TEMPLATE) as base:
        outcome("fill", base, rows)
        for number in range(1, rounds + 1):
            for way in ("raw", "ours"):
                with database(way, like=base) as copy:
                    facts = outcome(way, copy)
                found[way].append(facts)
                print(f"  {number}: {way} {facts['seconds']:.2f} s", flush=True)
            if found["ours"][-1]["picture"] != found["raw"][-1]["picture"]:
                raise SystemExit("Ours did not do what the raw statements did.")
        for way in ("import_export_bulk", "import_export"):
            with database("peer", like=base) as copy:
                found[way] = [outcome(way, copy, peer_rows)]
            print(f"  {way} {found[way][0]['seconds']:.2f} s", flush=True)
    return found


def take_part(part: str, words: list[str]) -> dict:
    import django
    from django.db import connection

    django.setup()
    if part != "ours":
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
    return {
        "fill": ways.fill,
        "raw": ways.raw,
        "ours": ways.ours,
        "import_export": lambda rows: ways.import_export(rows, is_bulk=False),
        "import_export_bulk": lambda rows: ways.import_export(rows, is_bulk=True),
    }[part](*map(int, words))


def peak_mb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


def show(rows: int, found: dict[str, list[dict]]) -> dict:
    """Print a table; return the last line."""
    seconds = {
        way: statistics.median(one["seconds"] for one in facts)
        for way, facts in found.items()
    }
    per_row = {way: seconds[way] / (found[way][0].get("rows") or rows) for way in found}
    memory = {way: max(one["mb"] for one in facts) for way, facts in found.items()}
    print(f"\n{rows} lines\n")
    print("| Way | seconds | a line | beside raw, a line | memory of the process |")
    print("|---|---|---|---|---|")
    for way in found:
        print(
            f"| {way} | {seconds[way]:.2f} | {1e6 * per_row[way]:.1f} µs "
            f"| {per_row[way] / per_row['raw']:.2f} | {memory[way]} MB |"
        )
    print(f"\nours: {found['ours'][-1]['steps']}")
    print(f"difference: {found['ours'][-1]['difference']}")
    best = min(per_row["import_export"], per_row["import_export_bulk"])
    return {
        "benchmark": "import",
        "rows": rows,
        "ratios": {
            "ours": round(seconds["ours"] / seconds["raw"], 2),
            "import_export": round(best / per_row["ours"], 1),
        },
        "rss_mb": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, to see it work")
    parser.add_argument("--rows", type=int, default=ROWS, help="lines of the file")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part, *words = options.part
        facts = take_part(part, words)
        print(json.dumps(facts | {"mb": peak_mb()}))
        return
    rows = 20_000 if options.quick else options.rows
    peer_rows = 500 if options.quick else PEER_ROWS
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCH_FILE"] = f"{folder}/values.csv"
        found = measure(rows, peer_rows=peer_rows, rounds=options.rounds)
    print(f"\n{json.dumps(show(rows, found))}")


if __name__ == "__main__":
    main()
