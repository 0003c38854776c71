"""Calendars as files (RFC 5545): all-day events, escaped and folded. Pure data."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

# No line is longer, its end left out (RFC 5545 §3.1); in octets, not letters.
LONGEST_LINE = 75
PRODUCT = "-//Partner Incentives Portal//Dates//EN"


@dataclass(frozen=True)
class DayEvent:
    """Something that is on a day, with a name that stays the same."""

    uid: str
    on: date
    title: str
    text: str
    url: str


def calendar_text(
    events: Iterable[DayEvent], *, name: str, language: str, made_at: datetime
) -> str:
    """Return a calendar that programs subscribe to, in the order of the events.

    `made_at` stands in every event: what is the same at the same moment is the same
    text.
    """
    stamp = made_at.strftime("%Y%m%dT%H%M%SZ")
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:{PRODUCT}",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        f"NAME;LANGUAGE={language}:{_escaped(name)}",
        f"X-WR-CALNAME:{_escaped(name)}",
        # Twice a day: nothing here is a matter of hours.
        "REFRESH-INTERVAL;VALUE=DURATION:PT12H",
        "X-PUBLISHED-TTL:PT12H",
    ]
    for event in events:
        lines += [
            "BEGIN:VEVENT",
            f"UID:{_escaped(event.uid)}",
            f"DTSTAMP:{stamp}",
            f"DTSTART;VALUE=DATE:{event.on:%Y%m%d}",
            f"DTEND;VALUE=DATE:{event.on + timedelta(days=1):%Y%m%d}",
            f"SUMMARY;LANGUAGE={language}:{_escaped(event.title)}",
            f"DESCRIPTION;LANGUAGE={language}:{_escaped(event.text)}",
            f"URL:{event.url}",
            # A day to know of: nobody is busy by it.
            "TRANSP:TRANSPARENT",
            "CLASS:PRIVATE",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(f"{part}\r\n" for line in lines for part in _folded(line))


def _escaped(text: str) -> str:
    """Return a text as a value: no character of it ends the line or the value."""
    text = "\n".join(text.splitlines())
    text = "".join(letter for letter in text if letter == "\n" or letter >= " ")
    for plain, written in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        text = text.replace(plain, written)
    return text


def _folded(line: str) -> Iterator[str]:
    """Yield a line in parts, each but the first begun with a space; no letter is cut."""
    part, length = "", 0
    for letter in line:
        octets = len(letter.encode())
        if length + octets > LONGEST_LINE:
            yield part
            part, length = " ", 1
        part += letter
        length += octets
    yield part
