"""Partner pages: home, the Overview, the steps of an enrollment, notifications."""

from enrollment.views.batches import (
    batch,
    begin_batch,
    export_batch,
    submit_batch,
)
from enrollment.views.calendar import (
    calendar,
    calendar_file,
    end_calendar,
    new_calendar,
)
from enrollment.views.enrolling import (
    accept,
    ask_for_details,
    choose_bank,
    choose_currency,
    choose_tax,
    decline,
    detail,
    profiles,
    recall,
    receipt,
    reconsider,
    submit,
)
from enrollment.views.extending import ask_extension
from enrollment.views.handing_over import hand_over
from enrollment.views.history import past
from enrollment.views.home import home
from enrollment.views.invitations import get_started, open_invitation
from enrollment.views.locations import (
    add,
    ask_closing,
    keep,
    location,
    locations,
)
from enrollment.views.notifications import notification, notifications
from enrollment.views.overview import (
    export_overview,
    old_overview,
    overview,
    start,
)
from enrollment.views.preparing import prepare
from enrollment.views.program import program
from enrollment.views.replacing import replace_bank, replace_tax
from enrollment.views.requirements import dispute, why
from enrollment.views.terms import guide, terms

__all__ = [
    "accept",
    "add",
    "ask_closing",
    "ask_extension",
    "ask_for_details",
    "batch",
    "begin_batch",
    "calendar",
    "calendar_file",
    "choose_bank",
    "choose_currency",
    "choose_tax",
    "decline",
    "detail",
    "dispute",
    "end_calendar",
    "export_batch",
    "export_overview",
    "get_started",
    "guide",
    "hand_over",
    "home",
    "keep",
    "location",
    "locations",
    "new_calendar",
    "notification",
    "notifications",
    "old_overview",
    "open_invitation",
    "overview",
    "past",
    "prepare",
    "profiles",
    "program",
    "recall",
    "receipt",
    "reconsider",
    "replace_bank",
    "replace_tax",
    "start",
    "submit",
    "submit_batch",
    "terms",
    "why",
]
