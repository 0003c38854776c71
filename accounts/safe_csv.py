"""Tables for spreadsheets: no cell is ever run as a formula (security.md T13)."""

import csv
import unicodedata
from collections.abc import Iterable, Iterator

from accounts.time_limits import at_length

# What a spreadsheet may take for the beginning of something to run or to fetch.
DANGEROUS = frozenset("=+-@|%\t\r\n\0")


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


def safe_cell(value: object) -> str:
    """Return a value as text that no spreadsheet runs: quoted where it could be."""
    text = "" if value is None else str(value).replace("\0", "")
    # Wide and styled letters are read as the plain ones, and spaces before them skipped.
    plain = unicodedata.normalize("NFKC", text).lstrip(" \u200b\u2060\ufeff")
    is_dangerous = plain[:1] in DANGEROUS or text[:1] in DANGEROUS
    return f"'{text}" if text and plain and is_dangerous else text


def csv_lines(header: Iterable[object], rows: Iterable[Iterable[object]]) -> Iterator:
    """Return the lines of a table as they come, in UTF-8 that spreadsheets recognize.

    What its rows ask of the database has a job's time: a million are put in order first.
    """
    writer = csv.writer(_Echo(), quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    yield ("\ufeff" + writer.writerow([safe_cell(cell) for cell in header])).encode()
    with at_length():
        for row in rows:
            yield writer.writerow([safe_cell(cell) for cell in row]).encode()
