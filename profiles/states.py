"""The life of a profile's version: which status may follow which. Pure data.

Source: domain.md §3.2 and §2.1. A revision of an approved profile is a new version,
pending beside the approved one, which stays in force until the new one is approved.
"""

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _


class ProfileStatus(models.TextChoices):
    """Where one version of a bank or tax profile stands."""

    PENDING = "pending", _("Pending validation")
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
            ProfileStatus.APPROVED,
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
CANDIDATE = (ProfileStatus.PENDING, ProfileStatus.ACTION_REQUIRED)
# Everything but history.
CURRENT = (*CANDIDATE, ProfileStatus.APPROVED)

# Statuses of enrollments, which lie above this app: those that use their profiles, and
# the one that a new version sends back to validation (R44, R53). A declined enrollment
# uses nothing: taken up again, it asks for what is gone.
USING = frozenset({"invited", "action_required", "validating", "enrolled"})
IN_FORCE = "enrolled"


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
        ShownStatus("approved", ProfileStatus.APPROVED.label, "done", "check"),
        ShownStatus(
            "action_required", ProfileStatus.ACTION_REQUIRED.label, "you", "returned"
        ),
        ShownStatus("replaced", ProfileStatus.REPLACED.label, "idle", "dash"),
        ShownStatus("expired", ProfileLabel.EXPIRED.label, "stop", "ended"),
        ShownStatus("archived", ProfileLabel.ARCHIVED.label, "idle", "archive"),
        # Beside a version in force.
        ShownStatus("new_pending", _("New version pending"), "them", "clock"),
        ShownStatus("new_returned", _("New version returned"), "you", "returned"),
    )
}
