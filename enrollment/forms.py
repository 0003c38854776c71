"""What partners choose while enrolling; each form narrows its own choices."""

from collections.abc import Collection, Mapping

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.forms import RefusableForm
from accounts.models import User
from accounts.text import CleanCharField, CleanTextField
from accounts.widgets import PlainSelect
from enrollment.eligibility import why_not_paid_to
from enrollment.models import EarningType, Enrollment
from enrollment.states import SHOWN, VEILED
from profiles.countries import all_countries
from profiles.currencies import CURRENCIES
from profiles.models import BankProfile, Profile, TaxProfile
from profiles.states import ProfileStatus


class RefusingRadioSelect(forms.RadioSelect):
    """Radios of which some are shown and cannot be chosen: their values in `refused`."""

    refused: Collection = ()

    def create_option(self, name, value, label, selected, index, **kwargs):
        is_refused = getattr(value, "value", value) in self.refused
        option = super().create_option(
            name, value, label, selected and not is_refused, index, **kwargs
        )
        if is_refused:
            option["attrs"]["disabled"] = True
        return option


class ForEarningTypesForm(forms.Form):
    """A choice for one of several earning types, or the same for all of them.

    Which one stands in the address of its page; where there is one alone, nothing is
    asked. `earning_type` is None where the choice is for all.
    """

    earning_type = forms.ModelChoiceField(
        EarningType.objects.none(), required=False, widget=forms.HiddenInput
    )
    same_for_all = forms.BooleanField(
        label=_("Use the same for all earning types"), required=False
    )

    def ask_for(self, types: list[EarningType]) -> None:
        """Ask whether it is for one or for all, if there are several."""
        self.fields["earning_type"].queryset = EarningType.objects.filter(
            pk__in=[one.pk for one in types]
        )
        if len(types) < 2:
            del self.fields["earning_type"], self.fields["same_for_all"]
        elif len(types) == 2:
            self.fields["same_for_all"].label = _("Use the same for both")

    def clean(self) -> dict:
        """Let the tick speak before the earning type that the page was about."""
        cleaned = super().clean()
        if cleaned.pop("same_for_all", False):
            cleaned["earning_type"] = None
        return cleaned


class ChooseBankProfileForm(ForEarningTypesForm):
    """One of the company's bank profiles, for all earning types or one (R32).

    All are shown; `refusals` says of some, by key, why they cannot be chosen.
    """

    bank_profile = forms.ModelChoiceField(
        BankProfile.objects.none(),
        label=_("Bank profile"),
        widget=RefusingRadioSelect,
        empty_label=None,
        error_messages={
            "required": _("Choose a bank profile."),
            "invalid_choice": _("Choose a bank profile of your company."),
        },
    )

    def __init__(
        self, *args, enrollment: Enrollment, types: list[EarningType], **kwargs
    ):
        super().__init__(*args, **kwargs)
        self.ask_for(types)
        field = self.fields["bank_profile"]
        field.queryset = (
            BankProfile.objects.in_use()
            .of_company(enrollment.location.partner_account_id)
            .with_some_uses()
            .with_versions()
        )
        # The field's own copy: the page shows the rows that were asked for here.
        self.profiles = field.queryset
        self.refusals = {
            profile.pk: refusal
            for profile in self.profiles
            if (refusal := why_not_paid_to(profile, terms=enrollment.terms))
        }
        field.widget.refused = self.refusals

    def clean_bank_profile(self) -> BankProfile:
        """Refuse what is shown as impossible and was sent all the same."""
        profile = self.cleaned_data["bank_profile"]
        if profile.pk in self.refusals:
            raise forms.ValidationError(self.refusals[profile.pk], code="refused")
        return profile


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
        self.fields["tax_profile"].queryset = TaxProfile.objects.in_use().filter(
            location=enrollment.location_id
        )


class ReplaceProfileForm(forms.Form):
    """Another profile of the same company or location, in force.

    All are shown; `refusals` says of some, by key, why they cannot be chosen.
    """

    replacement = forms.ModelChoiceField(
        BankProfile.objects.none(),
        label=_("Replace with"),
        widget=RefusingRadioSelect,
        empty_label=None,
        error_messages={
            "required": _("Choose a profile."),
            "invalid_choice": _("Choose a profile from the list."),
        },
    )

    def __init__(self, *args, profile: Profile, **kwargs):
        super().__init__(*args, **kwargs)
        owner = "partner_account" if profile.part == "bank" else "location"
        field = self.fields["replacement"]
        field.queryset = (
            type(profile)
            .objects.in_use()
            .filter(
                **{owner: getattr(profile, owner)},
                versions__status=ProfileStatus.APPROVED,
            )
            .exclude(pk=profile.pk)
            .with_versions()
            .order_by("name", "pk")
        )
        # The field's own copy: the page shows the rows that were asked for here.
        self.profiles = field.queryset

    def refuse(self, refusals: Mapping[object, str]) -> None:
        """Show of some why they cannot be chosen; the service refuses them itself."""
        self.refusals = refusals
        self.fields["replacement"].widget.refused = refusals


class ChooseCurrencyForm(ForEarningTypesForm):
    """A currency that both the program and the bank accept.

    `types` are the earning types it is asked for; where others are paid to another
    bank, they are asked for on their own.
    """

    currency = forms.ChoiceField(
        label=_("Currency"),
        error_messages={
            "required": _("Choose a currency."),
            "invalid_choice": _("Choose a currency from the list."),
        },
    )

    def __init__(
        self, *args, accepted: list[str], types: list[EarningType] = (), **kwargs
    ):
        super().__init__(*args, **kwargs)
        self.ask_for(types)
        if types:
            del self.fields["same_for_all"]
        self.fields["currency"].choices = [
            (code, f"{code} – {CURRENCIES.get(code, code)}") for code in accepted
        ]


class DeclineForm(forms.Form):
    """Why the invitation is declined; nobody has to say."""

    reason = CleanCharField(
        label=_("Why? (you do not have to say)"), required=False, max_length=400
    )


class HandOverForm(RefusableForm):
    """To whom an invitation is handed over: somebody suggested, or by address."""

    invitations = forms.MultipleChoiceField(
        label=_("What to hand over"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one location.")},
    )
    to = forms.ChoiceField(
        label=_("To whom"),
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose a colleague.")},
    )
    email = forms.EmailField(
        label=_("E-mail address of another colleague"), required=False
    )
    note = CleanTextField(
        label=_("A word for your colleague"),
        required=False,
        max_length=400,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args, invitations, first, suggested, **kwargs):
        super().__init__(*args, **kwargs)
        self.suggested = {str(one.person.pk): one.person for one in suggested}
        self.fields["invitations"].choices = [
            (str(one.pk), one.enrollment.location.name) for one in invitations
        ]
        self.fields["invitations"].initial = [str(one.pk) for one in invitations]
        if len(invitations) == 1:
            del self.fields["invitations"]
        self.fields["to"].choices = [
            (
                str(one.person.pk),
                one.person.full_name
                if one.can_act
                else _("%(name)s (needs the role first)")
                % {"name": one.person.full_name},
            )
            for one in suggested
        ] + [("other", _("Another colleague, by e-mail address"))]
        if not suggested:
            self.fields["to"].initial = "other"

    def clean(self) -> dict:
        """Ask for the address where nobody suggested was chosen."""
        cleaned = super().clean()
        is_other = cleaned.get("to") == "other"
        if is_other and not cleaned.get("email") and "email" not in self.errors:
            self.add_error("email", _("Enter the address of your colleague."))
        return cleaned

    def colleague(self) -> User:
        """Return whom it is handed over to.

        Raises ValidationError when there is nobody with the address; that somebody is
        not of the company is the service's to say, in the same words.
        """
        chosen = self.cleaned_data["to"]
        if chosen in self.suggested:
            return self.suggested[chosen]
        address = User.objects.normalize_email(self.cleaned_data["email"])
        person = User.objects.filter(email=address, is_active=True).first()
        if person is None:
            stranger = ValidationError(
                _("Nobody of your company has this address."), code="stranger"
            )
            raise ValidationError({"email": stranger})
        return person


class OverviewFilter(forms.Form):
    """What the Overview shows; all of it is in the address.

    `q` is looked for in programs, locations, PartnerIDs and people.

    It offers what this reader can meet in the rows (R42); anything else in the
    address counts as "All". `sees` says whether progress is seen: in some rows, in
    none, or both.
    """

    q = forms.CharField(
        label=_("Program, location, PartnerID or person"),
        required=False,
        widget=forms.SearchInput,
    )
    status = forms.ChoiceField(label=_("Status"), required=False, widget=PlainSelect)
    turn = forms.ChoiceField(
        label=_("Turn"),
        required=False,
        widget=PlainSelect,
        choices=[
            ("", _("All")),
            ("you", _("Your turn")),
            ("them", _("With the program owner")),
            ("none", _("Nothing to do")),
        ],
    )
    country = forms.ChoiceField(label=_("Country"), required=False, widget=PlainSelect)
    pays = forms.ChoiceField(
        label=_("Earning type"),
        required=False,
        widget=PlainSelect,
        choices=[("", _("All")), *EarningType.Kind.choices],
    )

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
            if name != "q" and data.get(name) in dict(field.choices)
        } | {"q": " ".join(data.get("q", "").replace("\0", "").split())[:120]}


class LocationsFilter(forms.Form):
    """Which locations a list shows; lives in the address."""

    q = forms.CharField(
        label=_("Name, city or PartnerID"),
        required=False,
        max_length=120,
        widget=forms.SearchInput,
    )


class AddLocationForm(forms.Form):
    """What a company says of a new location."""

    partner_id = forms.CharField(
        label=_("PartnerID"),
        max_length=10,
        help_text=_("The location's own number, 5 to 10 digits, not the global one."),
        widget=forms.TextInput(attrs={"inputmode": "numeric"}),
        error_messages={"required": _("Enter the location's PartnerID.")},
    )
    name = CleanCharField(
        label=_("Name"),
        max_length=120,
        help_text=_("What you call it among yourselves, like Göteborg."),
        error_messages={"required": _("Enter a name.")},
    )
    legal_name = CleanCharField(
        label=_("Legal entity"),
        max_length=200,
        error_messages={"required": _("Enter the name of the legal entity.")},
    )
    street = CleanCharField(
        label=_("Street address"),
        max_length=200,
        error_messages={"required": _("Enter the street address.")},
    )
    postcode = CleanCharField(label=_("Postcode"), max_length=20, required=False)
    city = CleanCharField(
        label=_("City"),
        max_length=120,
        error_messages={"required": _("Enter the city.")},
    )
    country = forms.ChoiceField(
        label=_("Country"),
        choices=lambda: [("", _("Choose a country")), *all_countries()],
        error_messages={
            "required": _("Choose a country."),
            "invalid_choice": _("Choose a country from the list."),
        },
    )


class ReasonForm(forms.Form):
    """Why something is asked for, done or declined, in the writer's words."""

    reason = CleanTextField(
        label=_("Reason"),
        max_length=400,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say why.")},
    )
    # What was shown when the button was pressed.
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_reason(self) -> str:
        """In one line, as it is kept."""
        return " ".join(self.cleaned_data["reason"].split())


class ExtensionForm(forms.Form):
    """Why a partner needs more time to enroll."""

    text = CleanTextField(
        label=_("Why do you need more time?"),
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("Say what is missing, and by when you will have it."),
        error_messages={"required": _("Say why you need more time.")},
    )


class DisputeForm(forms.Form):
    """What a partner says is wrong of what is known of a requirement."""

    text = CleanTextField(
        label=_("What is wrong?"),
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_(
            "Say which value is right, of which day, and where the program owner can "
            "see it."
        ),
        error_messages={"required": _("Say what is wrong.")},
    )
