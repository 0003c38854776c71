"""Campaigns as operators see them: how far each has come, and what of every mail.

Reads what the run wrote down; decides nothing.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import MailStatus, OutgoingEmail, User
from accounts.time_limits import at_length
from enrollment.audience import comes_back, people_of
from enrollment.models import (
    Campaign,
    CampaignRecipient,
    CampaignStatus,
    CampaignStep,
    Enrollment,
    Invitation,
)
from enrollment.states import EnrollmentStatus, ShownStatus, Turn

SHOWN_CAMPAIGNS: dict[str, ShownStatus] = {
    status: ShownStatus(status, status.label, turn, icon)
    for status, turn, icon in (
        (CampaignStatus.DRAFT, Turn.YOU, "edit"),
        (CampaignStatus.SCHEDULED, Turn.YOU, "clock"),
        (CampaignStatus.RUNNING, Turn.THEM, "refresh"),
        (CampaignStatus.PAUSED, Turn.STOP, "pause"),
        (CampaignStatus.STOPPED, Turn.STOP, "ban"),
        (CampaignStatus.FINISHED, Turn.DONE, "check-circle"),
    )
}

# What became of a mail, as the log lists and chooses it; each mail is one of them.
OUTCOMES: dict[str, Promise] = {
    "waiting": gettext_lazy("Waiting"),
    "again": gettext_lazy("Tried again"),
    "delivered": gettext_lazy("Delivered"),
    "bounced": gettext_lazy("Came back"),
    "failed": gettext_lazy("Could not be delivered"),
    "canceled": gettext_lazy("Not sent"),
}
_TURNS = {
    "waiting": (Turn.IDLE, "clock"),
    "again": (Turn.YOU, "refresh"),
    "delivered": (Turn.DONE, "check"),
    "bounced": (Turn.STOP, "returned"),
    "failed": (Turn.STOP, "warning"),
    "canceled": (Turn.IDLE, "dash"),
}
_STATUS = "email__status"
_TRIED = Q(**{_STATUS: MailStatus.QUEUED, "email__attempts__gt": 0})
_CONDITIONS: dict[str, Q] = {
    "waiting": Q(email__status__in=[MailStatus.HELD, MailStatus.SENDING])
    | Q(**{_STATUS: MailStatus.QUEUED, "email__attempts": 0}),
    "again": _TRIED | Q(**{_STATUS: MailStatus.UNKNOWN}),
    "delivered": Q(**{_STATUS: MailStatus.SENT, "email__bounced_at": None}),
    "bounced": Q(**{_STATUS: MailStatus.SENT, "email__bounced_at__isnull": False}),
    "failed": Q(**{_STATUS: MailStatus.FAILED}),
    "canceled": Q(**{_STATUS: MailStatus.CANCELED}),
}


@dataclass(frozen=True)
class Progress:
    """How far a campaign is: people by what became of their mail, and what followed."""

    people: int
    outcomes: dict[str, int]
    opened: int
    locations: int
    answered: int
    enrolled: int
    # Of those that could not be delivered: not where mail comes back from.
    resendable: int

    @property
    def done(self) -> int:
        """Mails that left, or were given up; not those that a stop kept back."""
        not_yet = ("waiting", "again", "canceled")
        return self.people - sum(self.outcomes[code] for code in not_yet)

    @property
    def rows(self) -> list[tuple[str, Promise, int]]:
        return [
            (code, OUTCOMES[code], number) for code, number in self.outcomes.items()
        ]


# Its page asks again every few seconds.
@at_length(15)
def progress_of(campaign: Campaign) -> Progress:
    """Count a campaign's mails and what came of its invitations, in two questions."""
    opened = Invitation.objects.filter(
        email=OuterRef("email"), link_opened_at__isnull=False
    )
    counted = campaign.recipients.order_by().aggregate(
        all=Count("pk"),
        opened=Count("pk", filter=Q(Exists(opened))),
        resendable=Count(
            "pk",
            filter=_CONDITIONS["failed"] & ~Q(comes_back("email__")),
        ),
        **{code: Count("pk", filter=which) for code, which in _CONDITIONS.items()},
    )
    invited = Enrollment.objects.filter(
        terms=campaign.terms_id, invited_at=campaign.began_at
    )
    followed = invited.order_by().aggregate(
        all=Count("pk"),
        answered=Count("pk", filter=Q(accepted_at__isnull=False)),
        enrolled=Count("pk", filter=Q(status=EnrollmentStatus.ENROLLED)),
    )
    return Progress(
        people=counted["all"],
        outcomes={code: counted[code] for code in OUTCOMES},
        opened=counted["opened"],
        locations=followed["all"],
        answered=followed["answered"],
        enrolled=followed["enrolled"],
        resendable=counted["resendable"],
    )


def left_failed_and_rest(
    campaign: Campaign, progress: Progress
) -> tuple[int, int, int]:
    """Count the mails of a stopped campaign that had left, those that could not be
    delivered, and the people without one.

    Also those it had not come to when it was stopped.
    """
    failed = progress.outcomes["failed"]
    tried = progress.people - progress.outcomes["canceled"]
    rest = max(progress.people, campaign.people_count) - tried
    return tried - failed, failed, rest


@dataclass(frozen=True)
class LogRow:
    """One person of a campaign: what became of their mail, and when."""

    recipient: CampaignRecipient
    status: ShownStatus
    at: datetime | None
    note: str
    opened_at: datetime | None


def recipients_of(
    campaign: Campaign, *, outcome: str = "", words: str = ""
) -> QuerySet[CampaignRecipient]:
    """Return a campaign's recipients, of one outcome or of a name or address."""
    rows = campaign.recipients.select_related("user", "email").defer(
        "email__body_text", "email__body_html"
    )
    if outcome:
        rows = rows.filter(_CONDITIONS[outcome])
    for word in words.split():
        rows = rows.filter(
            Q(user__full_name__icontains=word) | Q(email__to_address__icontains=word)
        )
    return rows.order_by("pk")


def log_rows(recipients: list[CampaignRecipient]) -> list[LogRow]:
    """Say of each recipient what became of the mail; one question more in all."""
    opened = dict(
        Invitation.objects.filter(
            email__in=[row.email_id for row in recipients],
            link_opened_at__isnull=False,
        )
        .order_by("-link_opened_at", "pk")
        .values_list("email", "link_opened_at")
    )
    return [
        LogRow(
            recipient=row,
            status=_shown(outcome := _outcome_of(row.email)),
            at=_moment_of(row.email, outcome),
            note=row.email.last_error if outcome != "delivered" else "",
            opened_at=opened.get(row.email_id),
        )
        for row in recipients
    ]


def _outcome_of(email: OutgoingEmail) -> str:
    match email.status:
        case MailStatus.SENT:
            return "bounced" if email.bounced_at else "delivered"
        case MailStatus.FAILED:
            return "failed"
        case MailStatus.CANCELED:
            return "canceled"
        case MailStatus.UNKNOWN:
            return "again"
        case MailStatus.QUEUED if email.attempts:
            return "again"
    return "waiting"


def _moment_of(email: OutgoingEmail, outcome: str) -> datetime | None:
    match outcome:
        case "delivered":
            return email.sent_at
        case "bounced":
            return email.bounced_at
        case "again":
            return email.next_attempt_at
    return None


def _shown(outcome: str) -> ShownStatus:
    turn, icon = _TURNS[outcome]
    return ShownStatus(outcome, OUTCOMES[outcome], turn, icon)


def found_people(campaign: Campaign, words: str, *, at: datetime) -> QuerySet[User]:
    """Return the recipients a campaign would have, by a part of a name or address."""
    today = campaign.terms.fiscal_year.calendar.day_at(at)
    people = people_of(campaign, on=today)
    for word in words.split():
        people = people.filter(Q(full_name__icontains=word) | Q(email__icontains=word))
    return people.order_by("full_name", "pk")


def step_words(campaign: Campaign) -> str:
    """Say what a campaign that runs is at."""
    return {
        CampaignStep.LOCATIONS: _("Locations are being invited."),
        CampaignStep.PEOPLE: _("The mails are being addressed."),
        CampaignStep.ADMINS: _("Admins are told where nobody can enroll."),
        CampaignStep.MAILS: _("The mails are leaving."),
    }[CampaignStep(campaign.step)]


def forced_look(html: str, look: str) -> str:
    """Return a mail's HTML as it looks in a light or a dark mail program."""
    asked = "@media (prefers-color-scheme: dark)"
    if look == "dark":
        return html.replace(asked, "@media all").replace(
            "color-scheme: light dark", "color-scheme: dark"
        )
    return html.replace(asked, "@media not all").replace(
        "color-scheme: light dark", "color-scheme: light"
    )
