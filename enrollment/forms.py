"""What partners choose while enrolling; each form narrows its own choices."""

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.text import CleanCharField
from enrollment.models import EarningType, Enrollment
from enrollment.states import SHOWN, VEILED
from profiles.currencies import CURRENCIES
from profiles.models import BankProfile, TaxProfile


class ChooseBankProfileForm(forms.Form):
    """One of the company's bank profiles, for all earning types or one (R32)."""

    bank_profile = forms.ModelChoiceField(
        BankProfile.objects.none(),
        label=_("Bank profile"),
        widget=forms.RadioSelect,
        empty_label=None,
        error_messages={
            "required": _("Choose a bank profile."),
            "invalid_choice": _("Choose a bank profile of your company."),
        },
    )
    earning_type = forms.ModelChoiceField(
        EarningType.objects.none(),
        label=_("Use it for"),
        required=False,
        empty_label=_("All earning types"),
    )

    def __init__(self, *args, enrollment: Enrollment, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["bank_profile"].queryset = (
            BankProfile.objects.in_use()
            .of_company(enrollment.location.partner_account)
            .with_status()
            .with_versions()
        )
        types = enrollment.terms.earning_types.all()
        self.fields["earning_type"].queryset = types
        if len(types) < 2:
            del self.fields["earning_type"]


class ChooseTaxProfileForm(forms.Form):
    """One of the location's tax profiles (R31)."""

    tax_profile = forms.ModelChoiceField(
        TaxProfile.objects.none(),
        label=_("Tax profile"),
        widget=forms.RadioSelect,
        empty_label=None,
        error_messages={
            "required": _("Choose a tax profile."),
            "invalid_choice": _("Choose a tax profile of this location."),
        },
    )

    def __init__(self, *args, enrollment: Enrollment, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["tax_profile"].queryset = (
            TaxProfile.objects.in_use()
            .filter(location=enrollment.location)
            .with_status()
            .with_versions()
        )


class ChooseCurrencyForm(forms.Form):
    """A currency that both the program and the bank accept."""

    currency = forms.ChoiceField(
        label=_("Currency"),
        error_messages={
            "required": _("Choose a currency."),
            "invalid_choice": _("Choose a currency from the list."),
        },
    )

    def __init__(self, *args, accepted: list[str], **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["currency"].choices = [
            (code, f"{code} – {CURRENCIES.get(code, code)}") for code in accepted
        ]


class DeclineForm(forms.Form):
    """Why the invitation is declined; nobody has to say."""

    reason = CleanCharField(
        label=_("Why? (you do not have to say)"), required=False, max_length=400
    )


class OverviewFilter(forms.Form):
    """What the Overview shows; all of it is in the address.

    It offers what this reader can meet in the rows (R42); anything else in the
    address counts as "All". `sees` says whether progress is seen: in some rows, in
    none, or both.
    """

    status = forms.ChoiceField(label=_("Status"), required=False)
    country = forms.ChoiceField(label=_("Country"), required=False)

    def __init__(self, data, *, countries: list[str], sees: set[bool]):
        super().__init__(data)
        hidden = set() if True in sees else set(VEILED)
        if False not in sees:
            hidden.add("enrolling")
        self.fields["status"].choices = [
            ("", _("All")),
            *(
                (shown.code, shown.label)
                for shown in SHOWN.values()
                if shown.code not in hidden
            ),
        ]
        self.fields["country"].choices = [
            ("", _("All")),
            *((code, code) for code in countries),
        ]
        self.data = {
            name: data.get(name)
            for name, field in self.fields.items()
            if data.get(name) in dict(field.choices)
        }
