"""When things happened: the demo's files hold offsets from today, never dates."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from enrollment.models import FiscalCalendar, FiscalYear

OFFSET = re.compile(r"(?P<origin>start|end)?(?P<count>[+-]\d+)(?P<unit>[dhm])")
UNITS = {"d": "days", "h": "hours", "m": "minutes"}
OFFICE_HOUR = time(9)
# The story of a fiscal year's enrollments, and its latest part, which is kept longest.
STORY = timedelta(days=100)
LATEST = timedelta(days=22)
# Mail about anything older is kept as sent.
NEWS = timedelta(days=21)


@dataclass(frozen=True)
class Clock:
    """Turns offsets into moments; `began_at` is when the youngest fiscal year did.

    Nobody is invited to a year that has not begun. Early in a year its story is drawn
    together, in the same order, into the time since it began.
    """

    now: datetime
    began_at: datetime

    def ago(
        self,
        offset: str,
        *,
        year: FiscalYear | None = None,
        wait: timedelta = timedelta(),
    ) -> timedelta:
        """Return how long ago the files say that something happened."""
        found = OFFSET.fullmatch(offset)
        if found is None:
            raise ValueError(f"{offset} is not an offset like -20d, -5h or start+30d")
        since = -timedelta(**{UNITS[found["unit"]]: int(found["count"])}) - wait
        if found["origin"]:
            day = year.starts_on if found["origin"] == "start" else year.ends_on
            since += self.now - first_moment(day, year.calendar, hour=OFFICE_HOUR)
        return max(since, timedelta())

    def moment(
        self,
        offset: str,
        *,
        year: FiscalYear | None = None,
        wait: timedelta = timedelta(),
    ) -> datetime:
        """Return when it happened in this demo."""
        ago = self.ago(offset, year=year, wait=wait)
        age = self.now - self.began_at
        if age < STORY and ago <= STORY and not OFFSET.fullmatch(offset)["origin"]:
            latest = min(LATEST, age * 0.9)
            if ago <= LATEST:
                ago = latest * (ago / LATEST)
            else:
                ago = latest + (age - latest) * ((ago - LATEST) / (STORY - LATEST))
        return self.now - ago

    def day(self, offset: str) -> date | None:
        """Return the day of an offset, as it is in the calendar; None for no offset."""
        today = self.now.date()
        if not offset:
            return None
        if offset == "year-end":
            return today.replace(month=12, day=31)
        return today + timedelta(days=int(offset.removesuffix("d")))


def first_moment(
    day: date, calendar: FiscalCalendar, *, hour: time = time()
) -> datetime:
    """Return the moment a day begins, or an hour of it, in a calendar's zone."""
    return datetime.combine(day, hour, tzinfo=ZoneInfo(calendar.time_zone))
