"""What is typed about lost second factors: by who lost them, and by who helps."""

from collections.abc import Sequence

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.forms import RefusableForm
from accounts.models import PartnerAccount
from accounts.text import CleanTextField


class LostFactorForm(RefusableForm):
    """What happened; and of several companies, whose admins know the person."""

    company_chosen = forms.ChoiceField(
        label=_("Whose admins know you?"),
        widget=forms.RadioSelect,
        error_messages={
            "required": _("Choose a company."),
            "invalid_choice": _("Choose a company."),
        },
    )
    reason = CleanTextField(
        label=_("What happened"),
        help_text=_(
            "Who helps you reads this. They call you on a number that they know: leave "
            "out telephone numbers, passwords and codes."
        ),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say what happened.")},
    )

    def __init__(self, *args, companies: Sequence[PartnerAccount], **options):
        super().__init__(*args, **options)
        self._companies = {str(company.pk): company for company in companies}
        if len(companies) > 1:
            self.fields["company_chosen"].choices = [
                (key, company.name) for key, company in self._companies.items()
            ]
        else:
            del self.fields["company_chosen"]

    @property
    def company(self) -> PartnerAccount | None:
        """The company whose admins are asked; None where there is none."""
        chosen = self.cleaned_data.get("company_chosen")
        if chosen:
            return self._companies[chosen]
        return next(iter(self._companies.values()), None)


class VouchForm(RefusableForm):
    """How somebody made sure that it is the person who asks."""

    evidence = CleanTextField(
        label=_("How you made sure"),
        help_text=_(
            "Where you met, or on which number known before you called, and when. "
            "Whoever resets reads this; it stays in the trail."
        ),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say how you made sure.")},
    )


class NoResetForm(RefusableForm):
    """Why nothing is reset."""

    reason = CleanTextField(
        label=_("Why not"),
        help_text=_("The person reads this."),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say why. The person reads it.")},
    )
