"""The earning clock: until when to act, what it earns, and what waiting costs.

Earnings start on the first day of a month (R45): of the month of validation, or of the
month of submission where the terms say so. Because the program owner has its promised
time, whoever wants this month acts that much earlier (domain.md §2.6). One place for
messages, mails, the Overview and the steps of an enrollment; asks nothing. Sentences
are made in the language that is active: call it in the reader's.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from accounts.dates import day, full_day
from enrollment.models import Enrollment, ProgramTerms
from enrollment.models.terms import EarningsStart

DAY = timedelta(days=1)


@dataclass(frozen=True)
class EarningClock:
    """What acting in time earns under a program's terms, as of one day."""

    # The first day that earns, if it is complete by the last day of that month.
    earns_from: date
    month_ends: date
    # The last day to act on which that is sure, whatever time validation takes.
    act_by: date
    # The last day to enroll; none once it was submitted.
    last_day: date | None
    counts_submission: bool
    promise_days: int
    is_tight: bool

    @property
    def is_mending(self) -> bool:
        """Whether it was submitted already, and something is to be put right."""
        return self.last_day is None

    @property
    def is_last_chance(self) -> bool:
        """Whether nothing comes after it: its last day is the last one to enroll."""
        return self.last_day is not None and self.last_day <= self.act_by

    @property
    def line(self) -> str:
        """The clock of a row: "Enroll by 30 Nov and earn from 1 Nov; later, …"."""
        # Rows of a list say the same few lines.
        return _line(self, get_language() or "", timezone.localdate().year)

    @property
    def sentence(self) -> str:
        """The clock of a page or a mail, days written out, and the last day at all."""
        return _sentence(self, get_language() or "")

    def in_words(self, written) -> str:
        """The days that count, as `written` writes a day."""
        words = {
            "by": written(self.act_by),
            "start": written(self.earns_from),
            "end": written(self.month_ends),
            "month": date_format(self.earns_from, "F"),
        }
        return self._pattern() % words

    def _pattern(self) -> str:
        if self.is_tight and self.is_mending:
            return _(
                "Put it right today: validated by %(end)s, it earns from %(start)s; "
                "later, %(month)s is lost"
            )
        if self.is_mending:
            return _(
                "Put it right by %(by)s and earn from %(start)s; validated after "
                "%(end)s, %(month)s is lost"
            )
        if self.is_tight:
            return _(
                "Enroll today: validated by %(end)s, it earns from %(start)s; later, "
                "%(month)s is lost"
            )
        if self.is_last_chance:
            return _("Enroll by %(by)s and earn from %(start)s")
        if self.counts_submission:
            return _(
                "Enroll by %(by)s and earn from %(start)s; later, %(month)s is lost"
            )
        return _(
            "Enroll by %(by)s and earn from %(start)s; validated after %(end)s, "
            "%(month)s is lost"
        )


@lru_cache(maxsize=1024)
def _line(clock: EarningClock, language: str, this_year: int) -> str:
    return clock.in_words(day)


@lru_cache(maxsize=1024)
def _sentence(clock: EarningClock, language: str) -> str:
    said = [f"{clock.in_words(full_day)}."]
    if not clock.counts_submission:
        said.append(
            ngettext(
                "Validation takes up to %(days)d day.",
                "Validation takes up to %(days)d days.",
                clock.promise_days,
            )
            % {"days": clock.promise_days}
        )
    if clock.last_day is not None and (clock.is_tight or not clock.is_last_chance):
        said.append(
            _("The last day to enroll is %(day)s.") % {"day": full_day(clock.last_day)}
        )
    return " ".join(said)


def clock_of(
    terms: ProgramTerms, *, on: date, last_day: date | None
) -> EarningClock | None:
    """Return what acting in time earns on a day in the program's calendar.

    `last_day` is the last one to enroll; None for what was submitted and is to be put
    right. None when it is too late for this fiscal year.
    """
    if on > terms.fiscal_year.ends_on or (last_day is not None and on > last_day):
        return None
    start = terms.first_earning_day(on)
    month_ends = _end_of_month(start)
    counts_submission = terms.earnings_start == EarningsStart.SUBMITTED
    promise = -(-terms.validation_promise // DAY)
    safe = month_ends if counts_submission else month_ends - promise * DAY
    return EarningClock(
        earns_from=start,
        month_ends=month_ends,
        act_by=safe if last_day is None else min(safe, last_day),
        last_day=last_day,
        counts_submission=counts_submission,
        promise_days=promise,
        is_tight=on > safe,
    )


def clock_for(enrollment: Enrollment, *, at: datetime) -> EarningClock | None:
    """Return the clock of an enrollment that its partner has to act on, if it has one.

    Without one: what is with the program owner or over, what has its first day of
    earning already, and what was submitted where that month earns (nothing is lost).
    """
    terms = enrollment.terms
    if not enrollment.is_editable or enrollment.earns_from is not None:
        return None
    on = terms.fiscal_year.calendar.day_at(at)
    if enrollment.submitted_at is None:
        return clock_of(terms, on=on, last_day=enrollment.enroll_by)
    if terms.earnings_start == EarningsStart.SUBMITTED:
        return None
    return clock_of(terms, on=on, last_day=None)


def earning_outlook(enrollment: Enrollment, *, at: datetime) -> str:
    """Say of an enrollment in validation what it will earn, and what that hangs on."""
    terms = enrollment.terms
    if enrollment.earns_from is not None:
        return _("It earns from %(start)s, as before.") % {
            "start": full_day(enrollment.earns_from)
        }
    day_at = terms.fiscal_year.calendar.day_at
    if terms.earnings_start == EarningsStart.SUBMITTED:
        start = terms.first_earning_day(day_at(enrollment.counts_from))
        return _("As soon as it is validated, it earns from %(start)s.") % {
            "start": full_day(start)
        }
    start = terms.first_earning_day(day_at(at))
    month_ends = _end_of_month(start)
    words = {"start": full_day(start), "end": full_day(month_ends)}
    later = terms.first_earning_day(day_at(max(enrollment.due_at, at)))
    if later == start:
        return _("Validated by %(end)s, it earns from %(start)s.") % words
    return _(
        "Validated by %(end)s, it earns from %(start)s; the answer is promised later "
        "than that, and then it earns from %(later)s."
    ) % (words | {"later": full_day(later)})


def _end_of_month(on: date) -> date:
    return on.replace(day=monthrange(on.year, on.month)[1])
