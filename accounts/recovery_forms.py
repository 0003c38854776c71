"""What is typed about recovery: by who asks, and by the operators who decide."""

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.forms import RefusableForm
from accounts.text import CleanTextField


class RecoveryForm(RefusableForm):
    """What happened to the company's admins."""

    reason = CleanTextField(
        label=_("What happened"),
        help_text=_(
            "Who the last admin was, and since when nobody answers. Your colleagues and "
            "the program owner read this. Leave out account and tax numbers."
        ),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say what happened.")},
    )


class EvidenceForm(RefusableForm):
    """What an operator checked."""

    evidence = CleanTextField(
        label=_("What you checked"),
        help_text=_(
            "Which documents and records, of which day, and whom you called on which "
            "known number. No document itself."
        ),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say what you checked, and how.")},
    )


class NoRecoveryForm(RefusableForm):
    """Why somebody is not appointed."""

    reason = CleanTextField(
        label=_("Why not"),
        help_text=_("The person reads this."),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say why. The person reads it.")},
    )
