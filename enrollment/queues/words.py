"""What queues are filtered by, how old a row is, and how far its parts are."""

from datetime import datetime, timedelta

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from profiles.states import SHOWN, ShownStatus

# Up to three days an age is told in hours, because the promise is 48 of them.
TOLD_IN_HOURS = timedelta(hours=72)

PARTS = {"bank": _("Bank"), "tax": _("Tax")}

# Whose claim, whose turn, and what to look at twice, as the queue is filtered by them.
CLAIMS = {"mine": _("Mine"), "free": _("Nobody's"), "others": _("Somebody else's")}

TURNS = {
    "ours": _("Ours"),
    "asked": _("Partner asked"),
    "answered": _("Partner answered"),
    "escalated": _("Escalated"),
}

RISKS = {
    "change": _("Change of an account in force"),
    "elsewhere": _("Number at another company"),
}

ASKED = ShownStatus("asked", _("Partner asked"), "you", "question")

VALIDATED = ShownStatus("validated", _("Validated"), "done", "check")

TO_CONFIRM = ShownStatus("to_confirm", _("To be confirmed"), "them", "clock")

SECONDED = SHOWN["seconded"]


def age(since: datetime, at: datetime) -> str:
    """Return how long something has waited: "31 hours", "8 days"."""
    waited = max(at - since, timedelta())
    if waited < timedelta(hours=1):
        minutes = waited // timedelta(minutes=1)
        return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {
            "count": minutes
        }
    if waited < TOLD_IN_HOURS:
        hours = waited // timedelta(hours=1)
        return ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours}
    return ngettext("%(count)d day", "%(count)d days", waited.days) % {
        "count": waited.days
    }
