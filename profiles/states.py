"""The life of a profile's version: which status may follow which. Pure data.

Source: domain.md §3.2 and §2.1. A revision of an approved profile is a new version,
pending beside the approved one, which stays in force until the new one is approved.
"""

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
