"""The words of a mail: how lines break, and how a text that many share is filled in.

What a mail said is put together again from its parts for as long as it is kept: what is
done here to a shared text and to the words that are put into it has to stay as it is.
"""

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, Self

LINE_WIDTH = 76
# What SMTP lets a line have, and its end.
LONGEST_LINE = 990
# What stands for a reader's own words until they are filled in; nobody types these.
OPEN, CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{OPEN}([0-9]+){CLOSE}")
_TO_ESCAPE = re.compile("[&<>\"']")


# --- Lines ----------------------------------------------------------------------------


def wrapped(text: str) -> str:
    """Break long lines between words, under their indent; never inside an address."""
    lines: list[str] = []
    for line in _unbroken(text):
        lines += _broken(line)
    return "\n".join(lines) + "\n"


def wrapped_but_open(marked: str) -> str:
    """Break a text's lines as wrapped() does, but for those with a mark in them."""
    lines: list[str] = []
    for line in _unbroken(marked):
        lines += [line] if OPEN in line else _broken(line)
    return "\n".join(lines) + "\n"


def _unbroken(text: str) -> Iterator[str]:
    """Return a text's lines without what trails them; of empty ones in a row, one."""
    before = ""
    for line in text.strip().splitlines():
        line = line.rstrip()
        if line or before:
            yield line
        before = line


def _broken(line: str) -> Sequence[str]:
    """Return a line as one or more that are not too long."""
    if len(line) <= LINE_WIDTH and "\t" not in line:
        return (line,)
    words = line.lstrip()
    words_at = len(line) - len(words)
    hanging = line[:words_at] + ("  " if words.startswith("- ") else "")
    if line.isprintable() and "  " not in words:
        return _broken_at_spaces(line, words_at, hanging)
    return tuple(
        textwrap.wrap(
            line,
            LINE_WIDTH,
            subsequent_indent=hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def _broken_at_spaces(line: str, words_at: int, hanging: str) -> list[str]:
    """Do what textwrap does where one space is between words, in a tenth of the time."""
    lines = []
    while len(line) > LINE_WIDTH:
        end = line.rfind(" ", words_at, LINE_WIDTH + 1)
        if end < 0:
            # A word that is too long has a line of its own.
            end = line.find(" ", words_at)
        if end < 0:
            break
        lines.append(line[:end])
        line = hanging + line[end + 1 :]
        words_at = len(hanging)
    return [*lines, line]


def is_short(body: bytes) -> bool:
    """Whether SMTP lets a mail have lines as long as those of this text."""
    return max(map(len, body.split(b"\r\n"))) <= LONGEST_LINE


# --- What many mails share --------------------------------------------------------------


def mark(number: int | str) -> str:
    """Return what stands for a reader's own words, by their place among these."""
    return f"{OPEN}{number}{CLOSE}"


def is_marked(text: str) -> bool:
    """Whether a text has a mark, or a part of one."""
    return OPEN in text or CLOSE in text


class Filled(NamedTuple):
    """A mail's text and HTML as they leave; lines end as SMTP wants it (RFC 5321)."""

    text: bytes
    html: bytes
    # Whether no line is longer than SMTP lets it be.
    is_short: bool

    @classmethod
    def of(cls, text: str, html: str) -> Self:
        """Return what is whole already as it leaves."""
        bodies = [
            "\r\n".join(body.replace("\r\n", "\n").split("\n")).encode()
            for body in (text, html)
        ]
        return cls(*bodies, all(map(is_short, bodies)))

    def as_read(self) -> tuple[str, str]:
        """Return text and HTML as a page shows them; of() takes them back."""
        text, html = (
            body.decode().replace("\r\n", "\n") for body in (self.text, self.html)
        )
        return text, html


# A format, and what takes the own words for it from all of them.
_Open = tuple[Any, Callable[[list], Any]]


@dataclass(frozen=True)
class Shared:
    """A text and its HTML, ready to be filled in again and again.

    Of the text, lines of nobody's own stand together as bytes; the others are open.
    """

    text: list[bytes | _Open]
    html: _Open
    # Of a line: the most bytes without own words, and the most of these.
    longest: int
    most_marks: int

    def filled(self, own: list[str]) -> Filled:
        """Return a mail with a reader's own words, in their order."""
        text = [
            some if isinstance(some, bytes) else _line(some, own) for some in self.text
        ]
        if _TO_ESCAPE.search("".join(own)):
            own = [escape(word) for word in own]
        words = [word.encode() for word in own]
        bodies = b"\r\n".join(text), _filled(self.html, words)
        at_most = self.longest + self.most_marks * max(map(len, words))
        return Filled(*bodies, at_most <= LONGEST_LINE or all(map(is_short, bodies)))


@lru_cache(maxsize=256)
def shared(text: str, html: str) -> Shared:
    """Return a text and HTML with marks as what can be filled in."""
    lines: list[bytes | _Open] = []
    for is_open, some in groupby(text.split("\n"), key=lambda line: OPEN in line):
        if is_open:
            lines += [_opened(line) for line in some]
        else:
            lines.append("\r\n".join(some).encode())
    form, words = _opened(html.replace("\n", "\r\n"))
    all_lines = f"{text}\n{html}".split("\n")
    return Shared(
        text=lines,
        html=(form.encode(), words),
        longest=max(len(_MARK.sub("", line).encode()) for line in all_lines),
        most_marks=max(line.count(OPEN) for line in all_lines),
    )


def _opened(marked: str) -> _Open:
    parts = _MARK.split(marked.replace("%", "%%"))
    marks = [int(number) for number in parts[1::2]]
    return "%s".join(parts[::2]), itemgetter(*marks) if marks else _nothing


def _nothing(_own: list) -> tuple:
    """What half a mark takes of a reader's own words."""
    return ()


def _filled(part: _Open, own: list) -> Any:
    form, words = part
    return form % words(own)


def _line(part: _Open, own: list[str]) -> bytes:
    line = _filled(part, own)
    if len(line) > LINE_WIDTH:
        line = "\r\n".join(_broken(line))
    return line.encode()
