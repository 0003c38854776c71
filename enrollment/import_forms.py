"""What operators choose and write when they import measured values."""

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.text import CleanTextField
from enrollment import value_files
from enrollment.models import DisputeOutcome, ValueImport


class UploadForm(forms.Form):
    """The file that comes in."""

    file = forms.FileField(
        label=_("CSV file"),
        help_text=_("UTF-8, at most 200 MB. One line for each location and criterion."),
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
        error_messages={
            "required": _("Choose a file."),
            "empty": _("The file is empty."),
        },
    )


class ColumnsForm(forms.Form):
    """Which column of a file is which field."""

    delimiter = forms.ChoiceField(
        choices=list(value_files.DELIMITERS.items()), widget=forms.HiddenInput
    )

    def __init__(self, *args, first: value_files.FirstRows, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["delimiter"].initial = first.delimiter
        columns = [
            (str(index), f"{index + 1}: {name or '–'}")
            for index, name in enumerate(first.header)
        ]
        for name, label in value_files.FIELDS.items():
            is_needed = name not in value_files.OPTIONAL
            self.fields[name] = forms.ChoiceField(
                label=label,
                required=is_needed,
                choices=[("", _("Choose a column") if is_needed else "–"), *columns],
                initial=str(first.columns.get(name, "")),
                error_messages={"required": _("Choose the column of this field.")},
            )

    @property
    def columns(self) -> dict[str, int]:
        """The number of each field's column."""
        return {
            name: int(self.cleaned_data[name])
            for name in value_files.FIELDS
            if self.cleaned_data.get(name)
        }


class ReleaseForm(forms.Form):
    """Why a held import is right as it is."""

    reason = CleanTextField(
        label=_("Why it is right as it is"),
        max_length=400,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("It stands here and in the audit trail."),
        error_messages={"required": _("Say why this import is right as it is.")},
    )


class ApplyForm(forms.Form):
    """From which day the values count."""

    effective_on = forms.DateField(
        label=_("Effective from"),
        help_text=_("Today, or a day within the next three months."),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, *args, value_import: ValueImport, **kwargs):
        super().__init__(*args, **kwargs)
        day = value_import.effective_on
        self.fields["effective_on"].initial = max(
            day or timezone.localdate(), timezone.localdate()
        )


class AnswerForm(forms.Form):
    """What becomes of a disputed requirement, and what the partner reads of it."""

    outcome = forms.ChoiceField(
        label=_("Outcome"),
        choices=DisputeOutcome.choices,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose what becomes of it.")},
    )
    answer = CleanTextField(
        label=_("Answer"),
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("The partner reads it on their page and by mail."),
        error_messages={"required": _("Write an answer.")},
    )
