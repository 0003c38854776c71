"""Files of measured values: read strictly, a block at a time, every line judged.

Nothing here knows the database. A file is refused as a whole where it is no CSV in
UTF-8; otherwise each line is right, or it is a problem with a field and a reason.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from operator import itemgetter

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.text import clean_line

# What a file is cut into while it comes in and while it is kept; a multiple of SAMPLE, so
# that a block ends where a piece that came in does.
BLOCK_SIZE = 1024 * 1024
MOST_BYTES = 200 * 1024 * 1024
# One line, or one quoted cell over several, is never longer.
LONGEST_CELL = 128 * 1024
# So much of a cell at fault is told; one that is longer is not remembered.
LONGEST_TOLD = 200
PIECE = 64 * 1024
FIRST_ROWS = 5
# What of a file is looked at for them.
SAMPLE = 256 * 1024
BOM = b"\xef\xbb\xbf"

DELIMITERS: dict[str, Promise] = {
    ",": _("comma"),
    ";": _("semicolon"),
    "\t": _("tab"),
    "|": _("vertical bar"),
}

# The fields of a line, and what else their columns are called in files.
FIELDS: dict[str, Promise] = {
    "partner_id": _("PartnerID"),
    "criterion": _("Criterion"),
    "value": _("Value"),
    "measured_on": _("Measured on"),
    "source": _("Source"),
}
OPTIONAL = frozenset({"source"})
NEEDED = tuple(name for name in FIELDS if name not in OPTIONAL)
_ALSO_CALLED = {
    "partnerid": "partner_id",
    "partner": "partner_id",
    "location": "partner_id",
    "location_id": "partner_id",
    "metric": "criterion",
    "requirement": "criterion",
    "amount": "value",
    "date": "measured_on",
    "day": "measured_on",
    "as_of": "measured_on",
    "origin": "source",
    # As the portal itself says them in Swedish.
    "plats": "partner_id",
    "kriterium": "criterion",
    "värde": "value",
    "uppmätt_den": "measured_on",
    "datum": "measured_on",
    "källa": "source",
}

FILE_PROBLEMS: dict[str, Promise] = {
    "empty": _("The file is empty."),
    "large": _("The file is larger than 200 MB. Split it."),
    "encoding": _(
        "The file looks like %(encoding)s, not UTF-8. Save it as CSV UTF-8 and try "
        "again."
    ),
    "unknown_encoding": _("The file is not UTF-8. Save it as CSV UTF-8 and try again."),
    "workbook": _(
        "The file is a spreadsheet or an archive, not CSV. Save it as CSV UTF-8 and try "
        "again."
    ),
    "binary": _("The file has binary content. It must be CSV text."),
    "quotes": _("Line %(line)d cannot be read as CSV: check its quotes."),
    "unclosed": _(
        "A quote that opens on line %(line)d is never closed. Close it and try again."
    ),
    "long": _("Line %(line)d has a cell of more than 128 kB. Check its quotes."),
    "columns": _("The first line must name the columns; missing: %(names)s."),
}


@dataclass(frozen=True)
class LineProblem:
    """Why a line is rejected: the field at fault, and the sentence for it."""

    field: str
    sentence: Promise


LINE_PROBLEMS: dict[str, LineProblem] = {
    "cells": LineProblem(
        "", _("there are more cells than columns; put quotes around commas.")
    ),
    "location": LineProblem("partner_id", _("no location has the PartnerID %(cell)s.")),
    "global": LineProblem(
        "partner_id", _("%(cell)s is a global PartnerID; give a location's.")
    ),
    "criterion": LineProblem("criterion", _("there is no criterion %(cell)s.")),
    "yes_no": LineProblem("value", _("the value must be yes or no.")),
    "number": LineProblem("value", _("the value must be a number like 21340.50.")),
    "day": LineProblem("measured_on", _("the day must be written like 2026-11-20.")),
    "future": LineProblem("measured_on", _("the day is in the future.")),
    "source": LineProblem("source", _("the source cannot be read.")),
    "contradiction": LineProblem(
        "value", _("the value differs from that of the same day on line %(cell)s.")
    ),
}

# Fourteen digits and two decimals is what the database holds.
_NUMBER = re.compile(r"-?[0-9]{1,14}(\.[0-9]{1,2})?")
_YES_NO = {"yes": "1", "1": "1", "no": "0", "0": "0"}
_MOST_REMEMBERED = 2000


def file_problem(code: str, **params: object) -> ValidationError:
    """Return the refusal of a whole file."""
    return ValidationError(FILE_PROBLEMS[code], code=code, params=params or None)


def line_sentence(code: str, cell: str) -> str:
    """Say in the reader's language why a line was rejected."""
    if code == "source":
        try:
            clean_line(cell, max_length=80)
        except ValidationError as error:
            return " ".join(error.messages)
    return str(LINE_PROBLEMS[code].sentence) % {"cell": cell}


# --- The file as a whole --------------------------------------------------------


def refuse_unreadable(head: bytes) -> None:
    """Raise what the first bytes show: an empty file, another encoding, no text."""
    if not head.removeprefix(BOM).strip():
        raise file_problem("empty")
    # What .xlsx and .ods begin with, and old .xls.
    if head[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        raise file_problem("workbook")
    if head[:4] in (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff"):
        raise file_problem("encoding", encoding="UTF-32")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise file_problem("encoding", encoding="UTF-16")
    sample = head[:2000]
    for start in (0, 1):
        every_other = sample[start::2]
        if every_other and every_other.count(0) > len(every_other) * 0.8:
            raise file_problem("encoding", encoding="UTF-16")
    if b"\0" in head:
        raise file_problem("binary")


def _misread(block: bytes) -> ValidationError:
    """Name the encoding of a block that is not UTF-8, as far as it can be told."""
    high = [byte for byte in block if byte >= 0x80]
    if sum(byte < 0xA0 for byte in high) * 2 > len(high):
        try:
            block.decode("shift_jis")
        except UnicodeDecodeError:
            return file_problem("encoding", encoding="Mac Roman / DOS (CP 850)")
        return file_problem("encoding", encoding="Shift JIS")
    try:
        block.decode("cp1252")
    except UnicodeDecodeError:
        return file_problem("unknown_encoding")
    return file_problem("encoding", encoding="Windows-1252 (Latin-1)")


def _texts(blocks: Iterable[bytes]) -> Iterator[str]:
    """Decode blocks of bytes at line ends, so that no character is cut."""
    rest = b""
    # A piece at a time: as text in memory it takes five times its bytes.
    pieces = (
        block[start : start + PIECE]
        for block in blocks
        for start in range(0, len(block), PIECE)
    )
    for block in pieces:
        block = rest + block
        # A lone CR at the very end may be the half of CR LF.
        end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, len(block) - 1)) + 1
        if not end and len(block) > BLOCK_SIZE + LONGEST_CELL:
            raise file_problem("long", line=1)
        rest, block = block[end:], block[:end]
        if block:
            yield _decoded(block)
    if rest:
        yield _decoded(rest)


def _decoded(block: bytes) -> str:
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _misread(block) from error
    if "\0" in text:
        raise file_problem("binary")
    return text


class Rows:
    """The rows of a file, from where a reader left off: cells, and where each ends.

    `offset` is the byte after the last row that was handed out, `line` its last line.
    Whoever stops early closes it: what was read ahead would stay in memory until Python
    looks for circles. Raises ValidationError where the file is not CSV in UTF-8.
    """

    def __init__(
        self,
        blocks: Iterable[bytes],
        *,
        delimiter: str,
        offset: int = 0,
        line: int = 0,
    ):
        self._first_line = line
        self._begun = 0
        # Where the text begins of which lines are handed out now.
        self._text_at = offset
        self._text = io.StringIO()
        self._ahead = self._lines(blocks)
        self._reader = csv.reader(self._ahead, delimiter=delimiter, strict=True)
        csv.field_size_limit(LONGEST_CELL)

    def close(self) -> None:
        self._ahead.close()

    @property
    def line(self) -> int:
        return self._first_line + self._reader.line_num

    @property
    def offset(self) -> int:
        handed_out = self._text.getvalue()[: self._text.tell()]
        return self._text_at + len(handed_out.encode())

    def _lines(self, blocks: Iterable[bytes]) -> Iterator[str]:
        if not self._text_at:
            blocks = self._without_bom(blocks)
        for text in _texts(blocks):
            self._text_at = self.offset
            self._text = io.StringIO(text, newline="")
            yield from self._text

    def _without_bom(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Skip the mark that spreadsheets put before UTF-8."""
        for number, block in enumerate(blocks):
            if number == 0 and block.startswith(BOM):
                self._text_at = len(BOM)
                block = block[len(BOM) :]
            yield block

    def __iter__(self) -> Iterator[list[str]]:
        reader = self._reader
        try:
            for row in reader:
                self._begun = reader.line_num
                yield row
        except csv.Error as error:
            raise self._refusal(error) from error

    def _refusal(self, error: csv.Error) -> ValidationError:
        said = str(error)
        begun = self._first_line + self._begun + 1
        if "field limit" in said:
            return file_problem("long", line=begun)
        if "unexpected end" in said:
            return file_problem("unclosed", line=begun)
        return file_problem("quotes", line=self.line)


# --- Columns ----------------------------------------------------------------------


@dataclass(frozen=True)
class FirstRows:
    """What a page shows of a file, so that its columns can be named."""

    delimiter: str
    header: list[str]
    rows: list[list[str]]
    columns: dict[str, int]

    @property
    def missing(self) -> list[str]:
        return [name for name in NEEDED if name not in self.columns]


def first_rows(head: bytes, *, delimiter: str = "") -> FirstRows:
    """Read the beginning of a file; without a delimiter, with the one it looks like.

    A header in quotes is no CSV with any delimiter but its own. Raises ValidationError
    where it cannot be read with any.
    """
    refuse_unreadable(head)
    found, refusals = [], []
    for one in [delimiter] if delimiter else DELIMITERS:
        try:
            found.append(_first_rows(head, delimiter=one))
        except ValidationError as error:
            refusals.append(error)
    if not found:
        raise refusals[0]
    # The most columns recognized, then the most columns: a comma wins a draw.
    return max(found, key=lambda one: (len(one.columns), len(one.header)))


def _first_rows(head: bytes, *, delimiter: str) -> FirstRows:
    rows: list[list[str]] = []
    whole = head.removeprefix(BOM)
    # What is cut off at the end of the sample is not shown.
    cut = whole
    if len(whole) > SAMPLE:
        cut = whole[: whole.rfind(b"\n", 0, SAMPLE) + 1] or whole
    try:
        with closing(Rows([cut], delimiter=delimiter)) as reader:
            for row in reader:
                if any(cell.strip() for cell in row):
                    rows.append([cell[:80] for cell in row])
                if len(rows) > FIRST_ROWS:
                    break
    except ValidationError:
        if not rows:
            raise
    header = [cell.strip() for cell in rows[0]] if rows else []
    return FirstRows(delimiter, header, rows[1:], recognized(header))


def recognized(header: list[str]) -> dict[str, int]:
    """Return which column is which field, by the names of the first line."""
    columns: dict[str, int] = {}
    for index, cell in enumerate(header):
        name = re.sub(r"[^a-zåäö]+", "_", cell.strip().lower()).strip("_")
        name = _ALSO_CALLED.get(name, name)
        if name in FIELDS:
            columns.setdefault(name, index)
    return columns


def refuse_missing(columns: dict[str, int]) -> None:
    """Raise when a needed field has no column."""
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise file_problem("columns", names=", ".join(missing))


# --- Lines -----------------------------------------------------------------------


@dataclass(frozen=True)
class KnownCriterion:
    """What of a criterion a line is held against."""

    key: int
    is_yes_no: bool


@dataclass(frozen=True)
class Part:
    """Some lines of a file: `right` as the database copies them in, with their numbers.

    `wrong` are their numbers, codes of LINE_PROBLEMS and cells at fault; `count` is of
    both. Nothing follows the last part.
    """

    right: bytes
    wrong: list[tuple[int, str, str]]
    count: int
    is_last: bool


class Judge:
    """Decides of each row whether it is right; keeps what few values repeat.

    Which location a PartnerID is, the database says.
    """

    def __init__(
        self,
        columns: dict[str, int],
        *,
        width: int,
        criteria: dict[str, KnownCriterion],
        today: date,
    ):
        self._width = width
        # A column that is not there is one more, with nothing in it.
        self._cells = itemgetter(*(columns.get(name, width) for name in FIELDS))
        self._has_all = len(columns) == len(FIELDS)
        self._criteria = criteria
        # A day ahead may be today already where it was measured.
        self._last_day = today + timedelta(days=1)
        self._days: dict[str, tuple[str, str]] = {}
        self._sources: dict[str, tuple[str, str]] = {}

    def part(self, rows: Rows, *, most: int) -> Part:
        """Judge the next rows, so many at most; empty ones are passed over."""
        right, wrong = [], []
        for row in rows:
            if not row or not (row[0].strip() or any(cell.strip() for cell in row)):
                continue
            line = rows.line
            code, found = self._judged(row)
            if code:
                wrong.append((line, code, found[:LONGEST_TOLD]))
            else:
                right.append(f"{line}\t{found}\n")
            if len(right) + len(wrong) >= most:
                break
        count = len(right) + len(wrong)
        return Part("".join(right).encode(), wrong, count, is_last=count < most)

    def _judged(self, row: list[str]) -> tuple[str, str]:
        """Return ("", cells with tabs between) for a right row, else (code, cell)."""
        missing = self._width - len(row)
        if missing < 0:
            return "cells", ""
        if missing or not self._has_all:
            row = [*row, *[""] * (missing + 1)]
        partner, code, amount, day, source = self._cells(row)
        partner, code, amount = partner.strip(), code.strip(), amount.strip()
        if not partner or len(partner) > 40 or not partner.isprintable():
            return "location", partner
        criterion = self._criteria.get(code)
        if criterion is None:
            return "criterion", code
        if criterion.is_yes_no:
            number = _YES_NO.get(amount.lower())
            if number is None:
                return "yes_no", amount
        elif not _NUMBER.fullmatch(amount):
            return "number", amount
        else:
            number = amount
        problem, day = self._days.get(day) or self._once(self._days, day, self._day)
        if problem:
            return problem, day
        problem, source = self._sources.get(source) or self._once(
            self._sources, source, _source
        )
        if problem:
            return problem, source
        if "\\" in partner:
            partner = partner.replace("\\", "\\\\")
        return "", f"{partner}\t{criterion.key}\t{number}\t{day}\t{source}"

    def _once(
        self,
        known: dict[str, tuple[str, str]],
        text: str,
        read: Callable[[str], tuple[str, str]],
    ) -> tuple[str, str]:
        if len(text) > LONGEST_TOLD:
            return read(text.strip())
        if len(known) >= _MOST_REMEMBERED:
            known.clear()
        found = known[text] = read(text.strip())
        return found

    def _day(self, text: str) -> tuple[str, str]:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            return "day", text
        if day.isoformat() != text:
            return "day", text
        return ("future", text) if day > self._last_day else ("", text)


def _source(text: str) -> tuple[str, str]:
    if not text:
        return "", ""
    try:
        return "", clean_line(text, max_length=80).replace("\\", "\\\\")
    except ValidationError:
        return "source", text
