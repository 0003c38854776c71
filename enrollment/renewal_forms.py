"""What operators choose and write at the year end."""

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import IncentiveProgram
from accounts.text import CleanTextField
from enrollment.models import RenewalPlan, SetAside
from enrollment.states import Outcome


class PlanRowsForm(forms.Form):
    """Which rows of a plan are listed; all of it is in the address."""

    outcome = forms.ChoiceField(label=_("Outcome"), required=False)
    reason = forms.ChoiceField(label=_("Why"), required=False)
    program = forms.ModelChoiceField(
        IncentiveProgram.objects.none(),
        label=_("Program"),
        required=False,
        empty_label=_("All programs"),
    )
    company = forms.CharField(
        label=_("Company or a PartnerID"),
        required=False,
        max_length=120,
        widget=forms.SearchInput,
    )
    changed = forms.BooleanField(
        label=_("Changed since the rehearsal before"), required=False
    )

    def __init__(self, *args, plan: RenewalPlan, reasons: dict[str, str], **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["outcome"].choices = [
            ("", _("All outcomes")),
            *((one.value, one.label) for one in Outcome if one.value in plan.outcomes),
        ]
        self.fields["reason"].choices = [("", _("All reasons")), *reasons.items()]
        self.fields["program"].queryset = (
            IncentiveProgram.objects.filter(terms__succession__fiscal_year=plan.into)
            .distinct()
            .order_by("name", "pk")
        )
        self.fields["program"].label_from_instance = lambda program: program.name
        if plan.compared_with is None:
            del self.fields["changed"]
        self.full_clean()

    @property
    def chosen(self) -> dict[str, object]:
        """What was chosen; nonsense chooses nothing."""
        return {name: one for name, one in self.cleaned_data.items() if one}


class ApproveForm(forms.Form):
    """The digest of the plan that was looked at."""

    digest = forms.CharField(max_length=64, widget=forms.HiddenInput)


class DecideForm(forms.Form):
    """Which enrollments set aside are decided, how, and why.

    `rows` are those that can be ticked, `alike` all of a kind.
    """

    rows = forms.ModelMultipleChoiceField(
        SetAside.objects.none(),
        required=False,
        error_messages={
            "invalid_choice": _("One of them was decided meanwhile. Look again."),
        },
    )
    alike = forms.BooleanField(required=False)
    apply = forms.TypedChoiceField(
        choices=[("yes", "yes"), ("no", "no")],
        coerce=lambda value: value == "yes",
        error_messages={"required": _("Choose to carry them out or to leave them.")},
    )
    reason = CleanTextField(
        label=_("Reason"),
        max_length=400,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("It stands in the report and in the audit trail."),
        error_messages={"required": _("Say why.")},
    )

    def __init__(self, *args, undecided=None, **kwargs):
        super().__init__(*args, **kwargs)
        if undecided is not None:
            self.fields["rows"].queryset = undecided

    def clean(self):
        cleaned = super().clean()
        is_any = cleaned.get("rows") or cleaned.get("alike")
        if not is_any and "rows" not in self.errors:
            self.add_error("rows", _("Tick the enrollments to decide."))
        return cleaned


class UndoForm(forms.Form):
    """Why a year end has to be undone; the second operator reads it."""

    reason = CleanTextField(
        label=_("Why it has to be undone"),
        max_length=400,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("The operator who approves it reads this; it stays in the trail."),
        error_messages={"required": _("Say why this year end has to be undone.")},
    )
