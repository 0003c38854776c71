"""The life of a profile's version: which status may follow which. Pure data.

Source: domain.md §3.2 and §2.1. A revision of an approved profile is a new version,
pending beside the approved one, which stays in force until the new one is approved and,
where it changes the account, its cooling-off is over (docs/adr/0010).

APPROVED is "in force", and nothing else is: pages, pins and database views all ask for
that one status, and the clock sets it when the cooling-off is over.
"""

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _


class ProfileStatus(models.TextChoices):
    """Where one version of a bank or tax profile stands."""

    PENDING = "pending", _("Pending validation")
    # Approved by two, and not usable before its cooling-off is over (security.md T1).
    COOLING = "cooling", _("Approved, in force later")
    # Somebody said that it was not them: nobody can approve it.
    STOPPED = "stopped", _("Stopped")
    APPROVED = "approved", _("Approved")
    ACTION_REQUIRED = "action_required", _("Action required")
    REPLACED = "replaced", _("Replaced")


class ProfileLabel(models.TextChoices):
    """What is shown beside the versions' own statuses."""

    EXPIRED = "expired", _("Expired")
    ARCHIVED = "archived", _("Archived")


class PayoutMethod(models.TextChoices):
    """How a program pays (domain.md §3.2, §3.3)."""

    BANK_TRANSFER = "bank_transfer", _("Bank transfer")
    CREDIT_NOTE = "credit_note", _("Credit note")


TRANSITIONS: dict[ProfileStatus, frozenset[ProfileStatus]] = {
    ProfileStatus.PENDING: frozenset(
        {
            ProfileStatus.COOLING,
            ProfileStatus.STOPPED,
            ProfileStatus.APPROVED,
            ProfileStatus.ACTION_REQUIRED,
            ProfileStatus.REPLACED,
        }
    ),
    ProfileStatus.COOLING: frozenset(
        {
            ProfileStatus.STOPPED,
            ProfileStatus.APPROVED,
            ProfileStatus.ACTION_REQUIRED,
            ProfileStatus.REPLACED,
        }
    ),
    # Released, it is where it was before.
    ProfileStatus.STOPPED: frozenset(
        {
            ProfileStatus.PENDING,
            ProfileStatus.COOLING,
            ProfileStatus.ACTION_REQUIRED,
            ProfileStatus.REPLACED,
        }
    ),
    ProfileStatus.APPROVED: frozenset(
        {ProfileStatus.ACTION_REQUIRED, ProfileStatus.REPLACED}
    ),
    ProfileStatus.ACTION_REQUIRED: frozenset({ProfileStatus.REPLACED}),
    ProfileStatus.REPLACED: frozenset(),
}

# Waiting or returned: what the next decision or the next change is about.
CANDIDATE = (
    ProfileStatus.PENDING,
    ProfileStatus.COOLING,
    ProfileStatus.STOPPED,
    ProfileStatus.ACTION_REQUIRED,
)
# Candidates that no operator has to validate: time or a release is waited for.
HELD = (ProfileStatus.COOLING, ProfileStatus.STOPPED)
# A change that can still be stopped (security.md §6.2).
STOPPABLE = (ProfileStatus.PENDING, ProfileStatus.COOLING)
# Everything but history.
CURRENT = (*CANDIDATE, ProfileStatus.APPROVED)

# Statuses of enrollments, which lie above this app: those that use their profiles, and
# the one that a new version sends back to validation (R44, R53). A declined enrollment
# uses nothing: taken up again, it asks for what is gone.
USING = frozenset({"invited", "action_required", "validating", "enrolled"})
IN_FORCE = "enrolled"
# Those that follow a profile's versions, once submitted (R40, R41, R44).
FOLLOWING = frozenset({"action_required", "validating", "enrolled"})


@dataclass(frozen=True)
class ShownStatus:
    """What a reader sees as a chip: words, icon, and whose turn it is."""

    code: str
    label: str
    turn: str
    icon: str


SHOWN: dict[str, ShownStatus] = {
    status.code: status
    for status in (
        ShownStatus("pending", ProfileStatus.PENDING.label, "them", "clock"),
        # Pending, and the partner's turn: in words that both sides read.
        ShownStatus("asked", _("Open question"), "you", "question"),
        ShownStatus("cooling", ProfileStatus.COOLING.label, "them", "clock"),
        ShownStatus("stopped", ProfileStatus.STOPPED.label, "stop", "ban"),
        # For operators: one of two approvals is given.
        ShownStatus("seconded", _("Second approval needed"), "them", "people"),
        ShownStatus("approved", ProfileStatus.APPROVED.label, "done", "check"),
        ShownStatus(
            "action_required", ProfileStatus.ACTION_REQUIRED.label, "you", "returned"
        ),
        ShownStatus("replaced", ProfileStatus.REPLACED.label, "idle", "dash"),
        ShownStatus("expired", ProfileLabel.EXPIRED.label, "stop", "ended"),
        ShownStatus("archived", ProfileLabel.ARCHIVED.label, "idle", "archive"),
        # Beside a version in force.
        ShownStatus("new_pending", _("New version pending"), "them", "clock"),
        ShownStatus("new_asked", _("Question about new version"), "you", "question"),
        ShownStatus("new_cooling", _("New version approved"), "them", "clock"),
        ShownStatus("new_stopped", _("New version stopped"), "stop", "ban"),
        ShownStatus("new_returned", _("New version returned"), "you", "returned"),
    )
}
