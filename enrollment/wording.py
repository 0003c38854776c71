"""What pages say of an enrollment: chip, turn line, the next step.

One place, so that no two screens disagree (R69). Reads annotated rows; asks nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from django.utils.formats import date_format
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from accounts.addresses import address_of
from accounts.templatetags.portal import moment
from enrollment import forecast
from enrollment.clock import EarningClock, clock_for, clock_of
from enrollment.eligibility import Gap
from enrollment.models import Enrollment, ProgramTerms
from enrollment.states import (
    AT_RISK,
    BETWEEN_YEARS,
    SHOWN,
    EndReason,
    EnrollmentStatus,
    ShownStatus,
    Turn,
    shown_status,
)


@dataclass(frozen=True)
class Action:
    """The next step: where it leads, and whether it changes something (POST).

    Without an address it says whose step it is.
    """

    label: str
    url: str = ""
    is_post: bool = False
    is_primary: bool = False


@dataclass(frozen=True)
class Standing:
    """Where an enrollment stands for one reader."""

    status: ShownStatus
    turn: Turn
    line: str
    action: Action | None
    # Until when to act and what it earns, while that is the partner's to do.
    clock: EarningClock | None = None


def day(value: date | datetime) -> str:
    """A short day, as in "12 Nov"."""
    return _day(date(value.year, value.month, value.day), get_language() or "")


@lru_cache(maxsize=1024)
def _day(value: date, language: str) -> str:
    # Lists say the same days again and again.
    return date_format(value, "j N" if language == "sv" else "j M")


# Where values usually come from; a name that is not here is shown as it was imported.
SOURCES = {
    "accreditation register": gettext_lazy("accreditation register"),
    "authorization register": gettext_lazy("authorization register"),
    "designation register": gettext_lazy("designation register"),
    "distributors' reports": gettext_lazy("distributors' reports"),
    "exam register": gettext_lazy("exam register"),
    "license register": gettext_lazy("license register"),
    "list of nominations": gettext_lazy("list of nominations"),
    "list of providers": gettext_lazy("list of providers"),
    "monthly revenue count": gettext_lazy("monthly revenue count"),
}


def source_name(source: str) -> str:
    """Where a measured value comes from, in the reader's language if it is known."""
    return str(SOURCES.get(source, source))


# Pages find the reasons of a year end here; mails, below.
reason_words = forecast.reason_words


def standing(
    enrollment: Enrollment,
    *,
    sees_progress: bool,
    sees_requirements: bool,
    may_edit: bool,
    gaps: Iterable[Gap],
    at: datetime,
    was_left: bool = False,
    is_at_risk: bool = False,
) -> Standing:
    """Return what one reader sees of an enrollment.

    `was_left` is whether an operator decided at the year end to leave it as it was,
    `is_at_risk` whether the next year ends it or finds something missing.
    """
    if enrollment.is_between_years(at):
        return _between_years(enrollment, was_left=was_left)
    if is_at_risk and enrollment.is_enrolled:
        return _at_risk(enrollment, may_edit=may_edit)
    shown = shown_status(enrollment.status, sees_progress=sees_progress)
    line = _LINES.get(shown.code, _no_line)(enrollment, list(gaps), may_edit, at)
    if not sees_progress and enrollment.end_reason == EndReason.CONTINUED_WITH_GAPS:
        # That something is missing is behind the veil (R42).
        line = _ended_because(enrollment, EndReason.CONTINUED.label)
    return Standing(
        status=shown,
        turn=_turn(enrollment, shown, may_edit=may_edit, at=at),
        line=line,
        action=_action(
            enrollment,
            shown,
            may_edit=may_edit and not enrollment.is_late(at),
            sees_requirements=sees_requirements,
            at=at,
        ),
        clock=clock_for(enrollment, at=at) if may_edit else None,
    )


def _turn(
    enrollment: Enrollment, shown: ShownStatus, *, may_edit: bool, at: datetime
) -> Turn:
    """Whose turn it is for this reader; nobody's turn is called theirs."""
    is_mine = may_edit and (_is_begun(enrollment) or enrollment.is_asked)
    turn = Turn.YOU if is_mine else shown.turn
    if turn in (Turn.NEW, Turn.YOU) and (not may_edit or enrollment.is_late(at)):
        return Turn.IDLE
    return turn


def _at_risk(enrollment: Enrollment, *, may_edit: bool) -> Standing:
    """In force, and not by itself in the next year; the forecast says why."""
    line = _("Earns from %(start)s · until %(end)s") % {
        "start": day(enrollment.earns_from),
        "end": day(enrollment.terms.fiscal_year.ends_on),
    }
    action = Action(_("View"), enrollment.get_absolute_url())
    turn = AT_RISK.turn if may_edit else Turn.IDLE
    return Standing(status=AT_RISK, turn=turn, line=line, action=action)


def _between_years(enrollment: Enrollment, *, was_left: bool) -> Standing:
    """Its year is over; the program owner decides what becomes of it."""
    year = enrollment.terms.fiscal_year
    words = {"year": year, "day": day(year.ends_on)}
    if was_left:
        shown = SHOWN[EnrollmentStatus.EXPIRED]
        line = _("Fiscal year %(year)s ended %(day)s · it was not continued") % words
    else:
        shown = BETWEEN_YEARS
        line = (
            _(
                "The program owner is looking at this · fiscal year %(year)s ended "
                "%(day)s"
            )
            % words
        )
    action = Action(_("View"), enrollment.get_absolute_url())
    return Standing(status=shown, turn=shown.turn, line=line, action=action)


def standing_without_enrollment(
    status: str,
    *,
    row_id: str,
    terms: ProgramTerms,
    may_edit: bool,
    sees_requirements: bool,
    met: int,
    total: int,
    on: date,
) -> Standing:
    """Return what is seen where nothing was begun: open, eligible, not eligible."""
    shown = SHOWN[status]
    action, clock = None, None
    last_day = terms.last_day_for(on)
    if status == "ineligible":
        line = ngettext(
            "%(met)d of %(total)d requirement met",
            "%(met)d of %(total)d requirements met",
            total,
        ) % {"met": met, "total": total}
        action = _requirements(row_id, is_seen=sees_requirements)
    elif on > last_day:
        line = _("The last day to enroll was %(day)s") % {"day": day(last_day)}
    elif status == "open":
        line = _("Optional · enroll by %(day)s") % {"day": day(last_day)}
        if may_edit:
            clock = clock_of(terms, on=on, last_day=last_day)
            url = address_of("enrollment:start", row_id)
            action = Action(_("Enroll"), url, is_post=True)
        else:
            action = Action(_("Your Incentives admin can enroll"))
    else:
        line = _("With the program owner · the invitation has not been sent yet")
        action = _requirements(row_id, is_seen=sees_requirements)
    return Standing(
        status=shown,
        turn=Turn.IDLE if on > last_day else shown.turn,
        line=line,
        action=action,
        clock=clock,
    )


def _requirements(row_id: str, *, is_seen: bool) -> Action:
    if not is_seen:
        return Action(_("Your Incentives admin sees the requirements"))
    return Action(_("See requirements"), address_of("enrollment:why", row_id))


def _is_begun(enrollment: Enrollment) -> bool:
    """Accepted, not yet submitted."""
    return enrollment.is_invited and enrollment.is_accepted


def _action(
    enrollment: Enrollment,
    shown: ShownStatus,
    *,
    may_edit: bool,
    sees_requirements: bool,
    at: datetime,
) -> Action | None:
    url = enrollment.get_absolute_url()
    row_id = f"{enrollment.terms_id}-{enrollment.location_id}"
    if may_edit and enrollment.can_begin_again(at):
        url = address_of("enrollment:start", row_id)
        return Action(_("Enroll"), url, is_post=True)
    if may_edit and _is_begun(enrollment):
        return Action(_("Continue"), url, is_primary=True)
    if may_edit and shown.code == "invited":
        return Action(_("Enroll"), url, is_primary=True)
    if may_edit and shown.code == "action_required":
        if enrollment.submitted_at is None:
            return Action(_("Continue"), url, is_primary=True)
        url = address_of("enrollment:profiles", enrollment.pk)
        return Action(_("Fix"), url, is_primary=True)
    if may_edit and enrollment.is_asked:
        return Action(_("Answer"), url, is_primary=True)
    if may_edit and shown.code == "declined":
        return Action(_("Change your mind"), url)
    if shown.code == "ineligible":
        return _requirements(row_id, is_seen=sees_requirements)
    return Action(_("View"), url)


def _invited(enrollment, gaps, may_edit, at) -> str:
    by = day(enrollment.enroll_by)
    if enrollment.is_late(at):
        return _too_late(enrollment)
    if not may_edit:
        return _("With your Incentives admin · enroll by %(day)s") % {"day": by}
    if enrollment.is_accepted:
        return _begun(enrollment, gaps, by)
    return _("Your turn · since %(day)s · enroll by %(by)s") % {
        "day": day(enrollment.status_since),
        "by": by,
    }


def _too_late(enrollment) -> str:
    words = {"day": day(enrollment.enroll_by)}
    if enrollment.is_accepted:
        return (
            _("The last day to enroll was %(day)s · what you filled in is kept") % words
        )
    return _("The last day to enroll was %(day)s") % words


def _begun(enrollment, gaps, by) -> str:
    accepted = day(enrollment.accepted_at)
    if not gaps:
        return _(
            "Your turn · accepted %(day)s · ready to submit · enroll by %(by)s"
        ) % {"day": accepted, "by": by}
    first, more = _first_of(gaps)
    if more:
        return ngettext(
            "Your turn · accepted %(day)s · %(what)s, and %(count)d more thing · "
            "enroll by %(by)s",
            "Your turn · accepted %(day)s · %(what)s, and %(count)d more things · "
            "enroll by %(by)s",
            more,
        ) % {"day": accepted, "what": first, "count": more, "by": by}
    return _("Your turn · accepted %(day)s · %(what)s · enroll by %(by)s") % {
        "day": accepted,
        "what": first,
        "by": by,
    }


def _action_required(enrollment, gaps, may_edit, at) -> str:
    since = day(enrollment.status_since)
    if enrollment.is_late(at):
        return _too_late(enrollment)
    if not may_edit:
        return _("With your Incentives admin · since %(day)s") % {"day": since}
    if enrollment.submitted_at is None:
        return _to_submit(enrollment, gaps, since)
    if not gaps:
        return _("Your turn · since %(day)s · ready to submit") % {"day": since}
    what, more = _first_of(gaps)
    if more:
        return ngettext(
            "Your turn · since %(day)s · %(what)s, and %(count)d more thing",
            "Your turn · since %(day)s · %(what)s, and %(count)d more things",
            more,
        ) % {"day": since, "what": what, "count": more}
    return _("Your turn · since %(day)s · %(what)s") % {"day": since, "what": what}


def _to_submit(enrollment, gaps, since) -> str:
    """Never submitted: until when, beside what is missing."""
    words = {"day": since, "by": day(enrollment.enroll_by)}
    if not gaps:
        return (
            _("Your turn · since %(day)s · ready to submit · enroll by %(by)s") % words
        )
    what, more = _first_of(gaps)
    words |= {"what": what, "count": more}
    if more:
        return (
            ngettext(
                "Your turn · since %(day)s · %(what)s, and %(count)d more thing · "
                "enroll by %(by)s",
                "Your turn · since %(day)s · %(what)s, and %(count)d more things · "
                "enroll by %(by)s",
                more,
            )
            % words
        )
    return _("Your turn · since %(day)s · %(what)s · enroll by %(by)s") % words


def _first_of(gaps) -> tuple[str, int]:
    return str(gaps[0].sentence).rstrip("."), len(gaps) - 1


def _validating(enrollment, gaps, may_edit, at) -> str:
    since = day(enrollment.status_since)
    if enrollment.is_asked:
        asked = {"day": day(enrollment.asked_at)}
        if may_edit:
            return _("Your turn · waits for your answer since %(day)s") % asked
        return _(
            "With your Incentives admin · asked by the program owner on %(day)s"
        ) % (asked)
    if enrollment.is_held_by_stop:
        return _(
            "With the program owner · somebody at your company stopped the change of "
            "the bank account · it is checked with you"
        )
    if enrollment.is_held:
        return _(
            "With the program owner · the changed bank account is approved and in "
            "force from %(moment)s · nothing to do"
        ) % {"moment": moment(enrollment.held_until)}
    if enrollment.is_overdue(at):
        return _(
            "With the program owner · since %(day)s · overdue, an answer was promised "
            "by %(due)s"
        ) % {"day": since, "due": day(enrollment.due_at)}
    return _(
        "With the program owner · since %(day)s · usually answered within 2 days"
    ) % {"day": since}


def _enrolled(enrollment, gaps, may_edit, at) -> str:
    return _("Nothing to do · earns from %(start)s · until %(end)s") % {
        "start": day(enrollment.earns_from),
        "end": day(enrollment.terms.fiscal_year.ends_on),
    }


def _enrolling(enrollment, gaps, may_edit, at) -> str:
    return _("With your Incentives admin or the program owner · since %(day)s") % {
        "day": day(enrollment.status_since)
    }


def _declined(enrollment, gaps, may_edit, at) -> str:
    if enrollment.is_late(at):
        return _("Declined %(day)s · the last day to enroll was %(last)s") % {
            "day": day(enrollment.status_since),
            "last": day(enrollment.enroll_by),
        }
    return _("Declined %(day)s · can be taken back until %(last)s") % {
        "day": day(enrollment.status_since),
        "last": day(enrollment.enroll_by),
    }


def _ended(enrollment, gaps, may_edit, at) -> str:
    if not enrollment.end_reason:
        return _("Ended %(day)s") % {"day": day(enrollment.status_since)}
    return _ended_because(enrollment, enrollment.get_end_reason_display())


def _ended_because(enrollment: Enrollment, reason: str) -> str:
    return _("Ended %(day)s: %(reason)s") % {
        "day": day(enrollment.status_since),
        "reason": reason,
    }


def _no_line(enrollment, gaps, may_edit, at) -> str:
    return _("Since %(day)s") % {"day": day(enrollment.status_since)}


_LINES = {
    "invited": _invited,
    "action_required": _action_required,
    "validating": _validating,
    "enrolled": _enrolled,
    "enrolling": _enrolling,
    "declined": _declined,
    "expired": _ended,
    "discontinued": _ended,
    "inactive": _ended,
}
