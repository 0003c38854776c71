"""Leaves out changes of what is written for readers only: the types of arguments.

usage: _mutation_filter.py SESSION CONFIG, in the environment of script/mutate.
"""

import ast
import sys
from pathlib import Path

from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import WorkerOutcome, WorkResult


def annotations(source: str) -> list[ast.expr]:
    """Return what stands behind the colons and arrows of a module."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            if part := getattr(node, name, None):
                found.append(part)
    return found


def main() -> None:
    with use_db(sys.argv[1]) as work:
        for item in list(work.pending_work_items):
            change = item.mutations[0]
            start, end = tuple(change.start_pos), tuple(change.end_pos)
            if any(
                (part.lineno, part.col_offset) <= start
                and end <= (part.end_lineno, part.end_col_offset)
                for part in annotations(Path(change.module_path).read_text())
            ):
                left_out = WorkResult(WorkerOutcome.SKIPPED, output="annotation")
                work.set_result(item.job_id, left_out)


if __name__ == "__main__":
    main()
