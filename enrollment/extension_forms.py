"""What an operator answers who is asked for more time."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.text import CleanTextField


class AnswerExtensionForm(forms.Form):
    """Until when, if at all, and what the partner reads."""

    GRANTED, KEPT = "granted", "kept"

    outcome = forms.ChoiceField(
        label=_("Outcome"),
        choices=[(GRANTED, _("Give more time")), (KEPT, _("The last day stays"))],
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose what becomes of it.")},
    )
    until = forms.DateField(
        label=_("New last day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=_("Only when you give more time."),
        error_messages={"invalid": _("Enter a day, like 2027-12-31.")},
    )
    answer = CleanTextField(
        label=_("Answer"),
        max_length=400,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("The partner reads it on their page and by mail."),
        error_messages={"required": _("Write an answer.")},
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        wants = data.get("outcome") == self.GRANTED
        if wants and not data.get("until") and "until" not in self.errors:
            self.add_error("until", _("Choose the new last day."))
        return data

    @property
    def chosen(self) -> dict[str, Any]:
        """What services.answer_extension() takes."""
        data = self.cleaned_data
        is_granted = data["outcome"] == self.GRANTED
        return {
            "until": data["until"] if is_granted else None,
            "answer": data["answer"],
        }
