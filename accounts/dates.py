"""Days as people read them, in the reader's language."""

import datetime
from functools import lru_cache

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language

# Swedish writes its months small and short ("12 nov"), which Django's "M" does not.
SHORT_DAY = {"sv": "j N"}


def day(value: datetime.date | None) -> str:
    """A day in the reader's language, with its year unless that is the current one."""
    if not value:
        return ""
    return _day_in_words(
        local_day(value), get_language() or "", timezone.localdate().year
    )


@lru_cache(maxsize=1024)
def _day_in_words(on: datetime.date, language: str, this_year: int) -> str:
    # Lists say the same days again and again.
    pattern = SHORT_DAY.get(language, "j M")
    return date_format(on, pattern if on.year == this_year else f"{pattern} Y")


def full_day(value: datetime.date | None) -> str:
    """A day written out, for deadlines and agreements."""
    return _full_day_in_words(local_day(value), get_language() or "") if value else ""


@lru_cache(maxsize=1024)
def _full_day_in_words(on: datetime.date, language: str) -> str:
    return date_format(on, "j F Y")


def local_day(value: datetime.date) -> datetime.date:
    """The day of a moment, in the reader's zone; a day as it is."""
    if isinstance(value, datetime.datetime):
        return timezone.localdate(value)
    return value
