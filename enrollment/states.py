"""The life of an enrollment: which status may follow which, and what people read.

Pure data. Sources: domain.md §2.1 and §2.2, decisions of §10; words of experience.md
§4.1. The veil "Enrolling" (R42) is never stored: it is what some readers see.
"""

from dataclasses import dataclass
from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from profiles.states import FOLLOWING


class EnrollmentStatus(models.TextChoices):
    """Where a location's participation in a program stands this year."""

    INVITED = "invited", _("Invited")
    DECLINED = "declined", _("Declined")
    ACTION_REQUIRED = "action_required", _("Action required")
    VALIDATING = "validating", _("Validating enrollment")
    ENROLLED = "enrolled", _("Enrolled")
    INELIGIBLE = "ineligible", _("Not eligible")
    INACTIVE = "inactive", _("Inactive")
    DISCONTINUED = "discontinued", _("Discontinued")
    EXPIRED = "expired", pgettext_lazy("enrollment status", "Expired")


class EndReason(models.TextChoices):
    """Why an enrollment ended."""

    NOT_ANSWERED = "not_answered", _("it was not submitted in time")
    PROGRAM_ENDED = "program_ended", _("the program ended")
    LOCATION_CLOSED = "location_closed", _("the location was closed")
    NO_AGREEMENT = "no_agreement", _("the company had no active agreement")
    NOT_ELIGIBLE = "not_eligible", _("the location was not eligible for the next year")
    CONTINUED = "continued", _("it continued in the next fiscal year")
    CONTINUED_WITH_GAPS = (
        "continued_with_gaps",
        _("it continued in the next fiscal year, where something is missing"),
    )
    YEAR_ENDED = "year_ended", _("the fiscal year ended")
    UNDONE = "undone", _("the year end was undone")


_ENDS = frozenset(
    {
        EnrollmentStatus.EXPIRED,
        EnrollmentStatus.INELIGIBLE,
        EnrollmentStatus.INACTIVE,
        EnrollmentStatus.DISCONTINUED,
    }
)

TRANSITIONS: dict[EnrollmentStatus, frozenset[EnrollmentStatus]] = {
    EnrollmentStatus.INVITED: _ENDS
    | {
        EnrollmentStatus.ACTION_REQUIRED,
        EnrollmentStatus.VALIDATING,
        EnrollmentStatus.DECLINED,
    },
    EnrollmentStatus.DECLINED: _ENDS | {EnrollmentStatus.INVITED},
    EnrollmentStatus.ACTION_REQUIRED: _ENDS
    | {EnrollmentStatus.VALIDATING, EnrollmentStatus.DECLINED},
    EnrollmentStatus.VALIDATING: _ENDS
    | {EnrollmentStatus.ENROLLED, EnrollmentStatus.ACTION_REQUIRED},
    EnrollmentStatus.ENROLLED: _ENDS
    | {EnrollmentStatus.VALIDATING, EnrollmentStatus.ACTION_REQUIRED},
    # Eligibility can be regained: back to where it was.
    EnrollmentStatus.INELIGIBLE: (_ENDS - {EnrollmentStatus.INELIGIBLE})
    | {
        EnrollmentStatus.INVITED,
        EnrollmentStatus.DECLINED,
        EnrollmentStatus.ACTION_REQUIRED,
        EnrollmentStatus.VALIDATING,
        EnrollmentStatus.ENROLLED,
    },
    EnrollmentStatus.INACTIVE: (_ENDS - {EnrollmentStatus.INACTIVE})
    | {EnrollmentStatus.INVITED},
    EnrollmentStatus.DISCONTINUED: frozenset({EnrollmentStatus.EXPIRED}),
    # A new invitation can be asked for (domain.md §10.4).
    EnrollmentStatus.EXPIRED: frozenset({EnrollmentStatus.INVITED}),
}

# The partner can still accept, choose profiles and submit.
EDITABLE = frozenset({EnrollmentStatus.INVITED, EnrollmentStatus.ACTION_REQUIRED})
# Under way or in force: what a program's end or a year's end closes.
OPEN = EDITABLE | {
    EnrollmentStatus.DECLINED,
    EnrollmentStatus.VALIDATING,
    EnrollmentStatus.ENROLLED,
}
# What a program's withdrawal ends (R67), and a location's closing: that somebody waits to
# be eligible again, too.
ENDS_WITH_PROGRAM = OPEN | {EnrollmentStatus.INELIGIBLE}
# Follows its profiles: their decisions and changes move it (R40, R41, R44, R54).
FOLLOWS_PROFILES = frozenset(map(EnrollmentStatus, FOLLOWING))
# Hidden from those who are not Incentives admins behind "Enrolling" (R42).
VEILED = frozenset({EnrollmentStatus.ACTION_REQUIRED, EnrollmentStatus.VALIDATING})


class Outcome(models.TextChoices):
    """What a fiscal year's end means for an enrollment (domain.md §10.2)."""

    PROGRAM_ENDED = "program_ended", _("Ends: the program ends")
    NO_AGREEMENT = "no_agreement", _("Ends: no active agreement")
    NOT_ELIGIBLE = "not_eligible", _("Ends: not eligible")
    ENROLLED = "enrolled", _("Continues as Enrolled")
    AT_RISK = "at_risk", _("Continues, but something is missing")
    VALIDATING = "validating", _("Continues; validation goes on")
    ACTION_REQUIRED = "action_required", _("Continues; action is required")
    UNANSWERED = "unanswered", _("Ends: the invitation was not answered")
    OVER = "over", _("Ends: it was not in force")


class RenewalMail(models.TextChoices):
    """The mail that a fiscal year's end causes for an enrollment, by its template."""

    CONTINUED = "renewal_done", _("Summary: what continued, and what needs you")
    ENDED = "renewal_ended", _("Enrollment ended, with the reason")


@dataclass(frozen=True)
class Renewal:
    """How an enrollment ends, and the status of its row in the next year, if any.

    `mail` is what the people of the enrollment are sent because of it, if anything.
    """

    ends_as: EndReason
    renews_as: EnrollmentStatus | None = None
    mail: RenewalMail | None = None


RENEWALS: dict[Outcome, Renewal] = {
    Outcome.PROGRAM_ENDED: Renewal(EndReason.PROGRAM_ENDED, mail=RenewalMail.ENDED),
    Outcome.NO_AGREEMENT: Renewal(EndReason.NO_AGREEMENT, mail=RenewalMail.ENDED),
    Outcome.NOT_ELIGIBLE: Renewal(EndReason.NOT_ELIGIBLE, mail=RenewalMail.ENDED),
    Outcome.ENROLLED: Renewal(
        EndReason.CONTINUED, EnrollmentStatus.ENROLLED, RenewalMail.CONTINUED
    ),
    Outcome.AT_RISK: Renewal(
        EndReason.CONTINUED_WITH_GAPS,
        EnrollmentStatus.ACTION_REQUIRED,
        RenewalMail.CONTINUED,
    ),
    Outcome.VALIDATING: Renewal(
        EndReason.CONTINUED, EnrollmentStatus.VALIDATING, RenewalMail.CONTINUED
    ),
    Outcome.ACTION_REQUIRED: Renewal(
        EndReason.CONTINUED_WITH_GAPS,
        EnrollmentStatus.ACTION_REQUIRED,
        RenewalMail.CONTINUED,
    ),
    Outcome.UNANSWERED: Renewal(EndReason.NOT_ANSWERED),
    Outcome.OVER: Renewal(EndReason.YEAR_ENDED),
}


class Turn(StrEnum):
    """Whose turn it is: the color and the words of the turn rail."""

    NEW = "new"
    YOU = "you"
    THEM = "them"
    DONE = "done"
    STOP = "stop"
    IDLE = "idle"


@dataclass(frozen=True)
class ShownStatus:
    """What a reader sees: icon and words, and whose turn it is."""

    code: str
    label: str
    turn: Turn
    icon: str


SHOWN: dict[str, ShownStatus] = {
    status.code: status
    for status in (
        ShownStatus("open", _("Open to all"), Turn.IDLE, "open"),
        ShownStatus("eligible", _("Eligible"), Turn.THEM, "clock"),
        ShownStatus("enrolling", _("Enrolling"), Turn.THEM, "clock"),
        ShownStatus("invited", EnrollmentStatus.INVITED.label, Turn.NEW, "mail"),
        ShownStatus("declined", EnrollmentStatus.DECLINED.label, Turn.IDLE, "ban"),
        ShownStatus(
            "action_required", EnrollmentStatus.ACTION_REQUIRED.label, Turn.YOU, "alert"
        ),
        ShownStatus(
            "validating", EnrollmentStatus.VALIDATING.label, Turn.THEM, "clock"
        ),
        ShownStatus("enrolled", EnrollmentStatus.ENROLLED.label, Turn.DONE, "check"),
        ShownStatus("ineligible", EnrollmentStatus.INELIGIBLE.label, Turn.IDLE, "dash"),
        ShownStatus("inactive", EnrollmentStatus.INACTIVE.label, Turn.IDLE, "pause"),
        ShownStatus(
            "discontinued", EnrollmentStatus.DISCONTINUED.label, Turn.IDLE, "archive"
        ),
        ShownStatus("expired", EnrollmentStatus.EXPIRED.label, Turn.STOP, "ended"),
    )
}

# Laid over Enrolled: the next year ends it, or finds something missing.
AT_RISK = ShownStatus("at_risk", _("Enrolled, needs attention"), Turn.YOU, "alert")
# Of a year that is over, until the year end has carried it over or ended it.
BETWEEN_YEARS = ShownStatus("between_years", _("Year end"), Turn.THEM, "clock")

# The order in which "by status" sorts: what needs the partner first.
STATUS_ORDER = (
    "action_required",
    "invited",
    "open",
    "enrolling",
    "validating",
    "eligible",
    "enrolled",
    "declined",
    "ineligible",
    "expired",
    "inactive",
    "discontinued",
)


def shown_status(status: str, *, sees_progress: bool) -> ShownStatus:
    """Return what a reader sees; without the right, progress is "Enrolling" (R42)."""
    if status in VEILED and not sees_progress:
        return SHOWN["enrolling"]
    return SHOWN[status]
