"""The files under demo/: what the demo says happened, as plain data."""

import csv
import io
import json
from typing import Any

from django.conf import settings

FOLDER = settings.BASE_DIR / "demo"


def rows(name: str) -> list[dict[str, str]]:
    """Return the lines of a CSV file."""
    text = (FOLDER / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def entries(name: str) -> list[dict[str, Any]]:
    """Return what a JSON file lists."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def as_csv(lines: list[dict[str, str]]) -> bytes:
    """Write lines as the CSV file they would have come in."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, fieldnames=list(lines[0]))
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue().encode()
