"""What people type about bank and tax profiles, and why reviewers return them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from django import forms
from django.core.exceptions import ValidationError
from django.forms.boundfield import BoundField
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Language, Location, PartnerAccount, User
from accounts.roles import Permission
from accounts.text import CleanCharField, CleanTextField, EmailField
from profiles import countries, currencies, reasons
from profiles.countries import CountrySchema, FieldSpec, FoundBank
from profiles.countries.fields import SECTIONS
from profiles.countries.pasting import MOST_PASTED
from profiles.models import (
    BankProfile,
    BankProfileDraft,
    Profile,
    ProfileVersion,
    ReturnReason,
    TaxProfileDraft,
)
from profiles.models import Section as PartSection
from profiles.services import NOTE_LENGTH, REASON_LENGTH
from profiles.services.catalog import WORDS
from profiles.wording import given_reasons

# So many answers still stand side by side; more fold into a list.
MOST_RADIOS = 4
NO_BREAK = "\N{NO-BREAK SPACE}"
# How wide a field for so many characters is drawn; wider ones fill the column.
WIDTHS = (("s", 16), ("m", 60))


def add_errors(form: forms.BaseForm, error: ValidationError) -> None:
    """Put a service's errors at the form's fields, and the others above them."""
    for field, errors in getattr(error, "error_dict", {"": error}).items():
        form.add_error(field if field in form.fields else None, errors)


# --- The first step: which country, which location ---------------------------------


class CountryForm(forms.Form):
    """In which country the bank is."""

    country = forms.ChoiceField(
        label=_("Country of the bank"),
        error_messages={
            "required": _("Choose a country from the list."),
            "invalid_choice": _("Choose a country from the list."),
        },
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["country"].choices = [
            ("", _("Choose a country")),
            *self.countries(),
        ]

    def countries(self) -> list[tuple[str, str]]:
        return countries.bank_countries()


class TaxCountryForm(CountryForm):
    """In which country the company is registered."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["country"].label = _("Country in which the company is registered")

    def countries(self) -> list[tuple[str, str]]:
        return countries.tax_countries()


class NeedsForm(forms.Form):
    """Of which countries somebody wants to know what is asked."""

    bank = forms.ChoiceField(label=_("Country of the bank"))
    tax = forms.ChoiceField(label=_("Country in which the company is registered"))

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["bank"].choices = countries.bank_countries()
        self.fields["tax"].choices = countries.tax_countries()


class TaxLocationForm(TaxCountryForm):
    """Which location, and in which country its company is registered."""

    location = forms.ModelChoiceField(
        Location.objects.none(),
        label=_("Location"),
        empty_label=_("Choose a location"),
        error_messages={
            "required": _("Choose a location."),
            "invalid_choice": _("Choose a location from the list."),
        },
    )

    field_order = ["location", "country"]

    def __init__(self, *args, user: User, company: PartnerAccount, **kwargs):
        super().__init__(*args, **kwargs)
        locations = editable_locations(user, company=company)
        self.fields["location"].queryset = locations
        if self.initial.get("location") is None and len(locations[:2]) == 1:
            self.initial["location"] = locations[0]


def editable_locations(user: User, *, company: PartnerAccount):
    """Return the locations whose profiles and defaults the person may change."""
    return (
        Location.objects.where_user_may(user, Permission.PROFILE_EDIT)
        .of_company(company)
        .active()
    )


# --- The second step: what the country asks -----------------------------------------


class TypedField(forms.CharField):
    """Takes what was typed as it is: the country's schema checks it, in one place."""

    def clean(self, value):
        return value or ""


class TypedChoiceField(forms.ChoiceField):
    """The same for answers to choose from."""

    def clean(self, value):
        return value or ""


@dataclass(frozen=True)
class AskedField:
    """A field as the page shows it: its form control, and what helps to answer."""

    field: BoundField
    spec: FieldSpec
    hint: str
    width: str
    reasons: tuple[reasons.ExplainedReason, ...]
    is_kept: bool

    @property
    def is_number(self) -> bool:
        return self.spec.is_secret or self.spec.identifies

    @property
    def asked_when(self) -> str:
        return self.spec.only_if[1] if self.spec.only_if else ""


@dataclass(frozen=True)
class Section:
    """Fields that belong together, under their heading."""

    title: Promise
    fields: list[AskedField]


@dataclass(frozen=True)
class Held:
    """What a draft holds, in the way a form takes it: numbers are kept, not shown."""

    country: str
    details: dict[str, str]
    returned: list[dict[str, str]]

    @property
    def is_returned(self) -> bool:
        return bool(self.returned)


def held_of(
    draft: BankProfileDraft | TaxProfileDraft, details: Mapping[str, str]
) -> Held:
    """Return what a draft holds, with the reasons that are not mended yet."""
    version = draft.profile.current_version if draft.profile else None
    returned = version.returned if version is not None and version.is_returned else []
    return Held(
        country=draft.country,
        details=dict(details),
        returned=[
            row
            for row in returned
            if details.get(row["field"], "")
            in ("", version.details.get(row["field"], ""))
        ],
    )


class DetailsForm(forms.Form):
    """A country's fields. What was typed is shown again after an error, all of it.

    `held` is the version to start from: everything but its numbers is filled in. A
    number is shown masked and kept when its field stays empty, so that who mends one
    field types one field; a number that was returned is typed anew. `required` names
    fields that may not stay empty (R55).
    """

    def __init__(
        self,
        *args,
        schema: CountrySchema,
        specs: Collection[FieldSpec] | None = None,
        required: Collection[str] = (),
        held: ProfileVersion | Held | None = None,
        typed: Mapping[str, str] | None = None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.schema = schema
        self.specs = tuple(schema.fields if specs is None else specs)
        self.required = tuple(required)
        self.held = held
        for spec in self.specs:
            self.fields[spec.key] = self._field(spec)
            if held is not None and held.country == schema.country:
                self.initial[spec.key] = _prefilled(spec, held) or spec.default
            elif spec.default:
                self.initial[spec.key] = spec.default
        # What is in the form and not sent: shown again, not judged yet.
        self.initial |= typed or {}

    def _field(self, spec: FieldSpec) -> forms.Field:
        is_required = spec.is_required or spec.key in self.required
        if self._kept(spec):
            is_required = False
        if not spec.choices:
            attrs = {"autocomplete": spec.autocomplete, "inputmode": spec.inputmode}
            if spec.is_secret or spec.identifies:
                attrs |= {"spellcheck": "false", "autocapitalize": "characters"}
            elif spec.inputmode == "email":
                attrs |= {"spellcheck": "false", "autocapitalize": "none"}
            return TypedField(
                label=spec.label,
                required=is_required,
                widget=forms.TextInput(attrs=attrs),
            )
        if len(spec.choices) <= MOST_RADIOS:
            widget, choices = forms.RadioSelect(), spec.choices
        else:
            widget, choices = forms.Select(), (("", _("Choose")), *spec.choices)
        return TypedChoiceField(
            label=spec.label, required=is_required, widget=widget, choices=choices
        )

    def clean(self):
        cleaned = super().clean()
        try:
            countries.validate(self.schema, self.details, required=self.required)
        except ValidationError as error:
            add_errors(self, error)
        return cleaned

    @property
    def details(self) -> dict[str, str]:
        """The country's fields as typed, for a service to normalize and store."""
        return {
            spec.key: self.cleaned_data.get(spec.key) or self._kept(spec)
            for spec in self.specs
        }

    def _kept(self, spec: FieldSpec) -> str:
        """The number in the version to start from, of the same country, or nothing.

        A number that was returned is what has to be mended: it is typed anew.
        """
        if self.held is None or self.held.country != self.schema.country:
            return ""
        is_returned = any(one.field == spec.key for one in given_reasons(self.held))
        if is_returned or not spec.is_secret:
            return ""
        return self.held.details.get(spec.key, "")

    def sections(self) -> list[Section]:
        """The fields in the order they are asked, under their headings."""
        found = {}
        for spec in self.specs:
            found.setdefault(spec.section, []).append(self._asked(spec))
        return [Section(SECTIONS[name], fields) for name, fields in found.items()]

    def _asked(self, spec: FieldSpec) -> AskedField:
        width = next((name for name, most in WIDTHS if spec.max_length <= most), "")
        return AskedField(
            field=self[spec.key],
            spec=spec,
            hint=" ".join(self._hints(spec)),
            width=width,
            reasons=tuple(
                reason
                for reason in given_reasons(self.held)
                if reason.field == spec.key
            ),
            is_kept=bool(self._kept(spec)),
        )

    def _hints(self, spec: FieldSpec) -> Iterator[str]:
        if spec.hint:
            yield str(spec.hint)
        is_number = spec.is_secret or spec.identifies
        if is_number and spec.example and spec.example not in str(spec.hint):
            yield _("Example: %(example)s.") % {"example": spec.example}
        kept = self._kept(spec)
        if kept:
            yield (
                _("Now: %(number)s. Leave it empty to keep it.")
                % {"number": spec.masked(kept).replace(" ", NO_BREAK)}
            )


def _prefilled(spec: FieldSpec, held: ProfileVersion | Held) -> str:
    value = held.details.get(spec.key, "")
    if spec.is_secret or not value:
        return ""
    return value if spec.choices else spec.formatter(value)


class NameField(CleanCharField):
    """The name by which a profile is chosen from a list."""

    def __init__(self, **options):
        super().__init__(
            max_length=80,
            label=_("Profile name"),
            help_text=_("How your company calls it in lists. Not the account number."),
            error_messages={"required": _("Enter a profile name")},
            **options,
        )
        self.widget.attrs["autocomplete"] = "off"


def _refuse_taken_name(profile: Profile) -> None:
    """Say at the name's own field that it is taken (R47)."""
    try:
        profile.refuse_taken_name()
    except ValidationError as error:
        raise ValidationError(error.message_dict["name"]) from None


class NewBankProfileForm(CountryForm):
    """How a new bank profile is called, and in which country the bank is."""

    name = NameField()

    field_order = ["name", "country"]

    def __init__(self, *args, company: PartnerAccount, **kwargs):
        super().__init__(*args, **kwargs)
        self.company = company

    def clean_name(self):
        name = self.cleaned_data["name"]
        _refuse_taken_name(BankProfile(partner_account=self.company, name=name))
        return name


class PasteForm(forms.Form):
    """A line of a bank letter, to be read into the fields; it is kept nowhere."""

    pasted = forms.CharField(
        label=_("Paste a line from your bank's letter"),
        help_text=_(
            "The fields are filled in from it. Nothing is saved until you have compared "
            "them."
        ),
        required=False,
        max_length=MOST_PASTED,
        widget=forms.Textarea(
            attrs={"rows": 2, "autocomplete": "off", "spellcheck": "false"}
        ),
    )


class CheckBankForm(forms.Form):
    """What somebody confirms before a bank profile is sent."""

    is_own_bank = forms.BooleanField(
        error_messages={"required": _("Confirm the bank, or change the number above.")},
    )
    is_authorized = forms.BooleanField(
        label=_("I am authorised to give this account for my company"),
        error_messages={"required": _("Confirm that you are authorised.")},
    )

    def __init__(self, *args, found: FoundBank | None, **kwargs):
        super().__init__(*args, **kwargs)
        if found is None:
            del self.fields["is_own_bank"]
        else:
            self.fields["is_own_bank"].label = _("The account is at %(bank)s") % {
                "bank": found.name
            }


class CompleteTaxProfileForm(DetailsForm):
    """Only what a program needs beyond what a tax profile has already (R55)."""

    def clean(self):
        cleaned = forms.Form.clean(self)
        details = {**self.held.details, **self.details}
        try:
            countries.validate(self.schema, details, required=self.required)
        except ValidationError as error:
            add_errors(self, error)
        return cleaned


# --- Default bank profiles -----------------------------------------------------------


# Longer is no key of a row.
MOST_DIGITS = 19


class DefaultBankProfileForm(forms.Form):
    """A bank profile and a currency for the next enrollments of several locations."""

    bank_profile = forms.ModelChoiceField(
        BankProfile.objects.none(),
        label=_("Bank profile"),
        widget=forms.RadioSelect,
        empty_label=None,
        error_messages={
            "required": _("Choose a bank profile."),
            "invalid_choice": _("Choose a bank profile from the list."),
        },
    )
    currency = forms.ChoiceField(
        label=_("Currency"),
        help_text=_(
            "A bank converts what is not the account's own currency at its own rate and "
            "may charge for it, or sends it back."
        ),
        error_messages={
            "required": _("Choose a currency."),
            "invalid_choice": _("Choose a currency from the list."),
        },
    )
    locations = forms.ModelMultipleChoiceField(
        Location.objects.none(),
        label=_("Locations"),
        widget=forms.CheckboxSelectMultiple,
        required=False,
        error_messages={
            "invalid_choice": _("Choose locations from the list."),
            "invalid_pk_value": _("Choose locations from the list."),
        },
    )
    # Those with a default, said with it instead of left out.
    moving = forms.ModelMultipleChoiceField(
        Location.objects.none(),
        label=_("Move here"),
        help_text=_("They have a default, which this one takes the place of."),
        widget=forms.CheckboxSelectMultiple,
        required=False,
        error_messages={
            "invalid_choice": _("Choose locations from the list."),
            "invalid_pk_value": _("Choose locations from the list."),
        },
    )

    def __init__(self, *args, user: User, company: PartnerAccount, **kwargs):
        super().__init__(*args, **kwargs)
        profiles = (
            BankProfile.objects.where_user_may(user, Permission.PROFILE_VIEW)
            .of_company(company)
            .in_use()
            .with_versions()
        )
        self.fields["bank_profile"].queryset = profiles
        self.fields["currency"].choices = _currency_choices(profiles)
        locations = editable_locations(user, company=company)
        self.fields["locations"].queryset = locations
        # Locations with a default are not offered (R51). One that got its default
        # meanwhile is named by the service.
        self.fields["locations"].choices = [
            (location.pk, str(location))
            for location in locations.filter(default_bank_profile=None)
        ]
        taken = locations.exclude(default_bank_profile=None).select_related(
            "default_bank_profile__bank_profile"
        )
        self.fields["moving"].queryset = locations
        self.fields["moving"].choices = [(one.pk, _with_default(one)) for one in taken]
        # What is moved from where, as the page says it.
        self.shown = " ".join(
            f"{one.pk}:{one.default_bank_profile.bank_profile_id}" for one in taken
        )

    @property
    def seen(self) -> dict[int, str]:
        """Which profile each location had when the page was looked at."""
        pairs = (word.partition(":") for word in self.data.get("seen", "").split())
        return {
            int(location): profile
            for location, _colon, profile in pairs
            if location.isdecimal() and len(location) < MOST_DIGITS
        }

    def clean(self) -> dict:
        """Ask for at least one location (R50)."""
        cleaned = super().clean()
        has_errors = "locations" in self.errors or "moving" in self.errors
        if not (cleaned.get("locations") or cleaned.get("moving") or has_errors):
            asked = (
                name for name in ("locations", "moving") if self.fields[name].choices
            )
            self.add_error(next(asked, None), _("Choose at least one location."))
        return cleaned

    @property
    def has_choices(self) -> bool:
        """Whether there is a bank profile, and a location to choose it for."""
        has_locations = (
            self.fields["locations"].choices or self.fields["moving"].choices
        )
        return bool(has_locations) and bool(self.fields["bank_profile"].queryset)


def _with_default(location: Location) -> str:
    default = location.default_bank_profile
    return _("%(location)s, now %(profile)s in %(currency)s") % {
        "location": location,
        "profile": default.bank_profile.name,
        "currency": default.currency,
    }


def _currency_choices(profiles) -> list:
    usual = dict.fromkeys(
        code
        for profile in profiles
        for version in profile.versions.all()[:1]
        for code in currencies.default_currencies(version.country)
    )
    named = [(code, f"{code} – {name}") for code, name in currencies.CURRENCIES.items()]
    first = [pair for pair in named if pair[0] in usual]
    # Where no bank takes any other, none is offered.
    takes_others = any(
        not version.takes_only_local
        for profile in profiles
        for version in profile.versions.all()[:1]
    )
    others = [pair for pair in named if pair[0] not in usual and takes_others]
    return [
        ("", _("Choose a currency")),
        (_("Usual for your banks"), first),
        (_("Others"), others),
    ]


# --- Why somebody reads a whole number -----------------------------------------------------


class ShowNumberForm(forms.Form):
    """Why a whole number has to be read."""

    reason = CleanCharField(
        label=_("What do you need it for?"),
        help_text=_("Goes into the audit trail and to your company's admins by mail."),
        max_length=REASON_LENGTH,
        error_messages={"required": _("Say what you need it for.")},
    )


class CheckChangeForm(forms.Form):
    """How an operator made sure that the company wants a stopped change."""

    evidence = CleanTextField(
        label=_("How you made sure"),
        help_text=_(
            "Whom you called, on which number, since when we know it. No account numbers."
        ),
        max_length=NOTE_LENGTH,
        error_messages={"required": _("Say how you made sure.")},
        widget=forms.Textarea(attrs={"rows": 3}),
    )


# --- What a reviewer asks before deciding a version -----------------------------------


class QuestionForm(forms.Form):
    """A question to the partner, about one field or the whole profile."""

    field = forms.ChoiceField(label=_("What it is about"), required=False)
    text = CleanTextField(
        label=_("Your question"),
        help_text=_(
            "Goes to the partner as you write it, by mail too: no account or tax "
            "numbers."
        ),
        max_length=NOTE_LENGTH,
        error_messages={"required": _("Write what you want to know.")},
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args, version: ProfileVersion, **kwargs):
        super().__init__(*args, **kwargs)
        keys = countries.field_keys(
            version.country, version.part, version=version.schema_version
        )
        self.fields["field"].choices = [
            ("", _("The whole profile")),
            *(
                (key, countries.field_label(version.country, version.part, key))
                for key in keys
                if not (key == "document" and version.part == "bank")
            ),
        ]


class EscalationForm(forms.Form):
    """What the operators who give second approvals should look at."""

    text = CleanTextField(
        label=_("What you want their word on"),
        help_text=_("The partner does not see it. No account or tax numbers."),
        max_length=NOTE_LENGTH,
        error_messages={"required": _("Write what you want their word on.")},
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class AnswerForm(forms.Form):
    """The answer to a question."""

    answer = CleanTextField(
        label=_("Your answer"),
        help_text=_("No account or tax numbers: they belong in the profile alone."),
        max_length=NOTE_LENGTH,
        error_messages={"required": _("Write your answer.")},
        widget=forms.Textarea(attrs={"rows": 3}),
    )


# --- Why a reviewer returns a version --------------------------------------------------


class ReasonForm(forms.Form):
    """One reason, bound to the field it is about, in the catalogue's or own words."""

    reason = forms.ChoiceField(
        label=_("What is wrong"),
        required=False,
        error_messages={"invalid_choice": _("Choose a reason from the list.")},
    )
    note = CleanTextField(
        label=_("What the partner should do"),
        help_text=_(
            "Goes to the partner as you write it, by mail too: no account or tax "
            "numbers."
        ),
        max_length=NOTE_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args, version: ProfileVersion, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["reason"].choices = [
            ("", _("Choose a reason")),
            *_reasons_by_field(version),
        ]

    def clean(self):
        cleaned = super().clean()
        if cleaned.get("note") and not cleaned.get("reason") and not self.errors:
            self.add_error("reason", _("Choose the reason that your words explain."))
        return cleaned

    @property
    def returned(self) -> dict[str, str]:
        """The reason as the service takes it; empty when none was chosen."""
        if not self.cleaned_data.get("reason"):
            return {}
        field, _sign, code = self.cleaned_data["reason"].partition(":")
        return {"field": field, "code": code, "note": self.cleaned_data["note"]}


class CatalogForm(forms.Form):
    """One reason of the catalog, in both languages."""

    code = CleanCharField(
        label=_("Code"),
        help_text=_("Capital letters, like DOC_TOO_OLD. It stays for good."),
        max_length=40,
        error_messages={"required": _("Give the reason a code.")},
    )
    parts = forms.MultipleChoiceField(
        label=_("For"),
        choices=[("bank", _("Bank profiles")), ("tax", _("Tax profiles"))],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose bank, tax or both.")},
    )
    title_en = CleanCharField(label=_("Title, English"), max_length=120)
    title_sv = CleanCharField(label=_("Title, Swedish"), max_length=120)
    text_en = CleanCharField(label=_("What is wrong, English"), max_length=300)
    text_sv = CleanCharField(label=_("What is wrong, Swedish"), max_length=300)
    remedy_en = CleanCharField(label=_("What to do, English"), max_length=300)
    remedy_sv = CleanCharField(label=_("What to do, Swedish"), max_length=300)
    example = CleanCharField(
        label=_("Example"),
        help_text=_("The same in every language, and invented."),
        max_length=120,
        required=False,
    )
    field_keys = forms.MultipleChoiceField(
        label=_("Fields it can be about"),
        help_text=_("None: any field."),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args, reason: ReturnReason | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        fields = reasons.known_fields("bank") | reasons.known_fields("tax")
        self.fields["field_keys"].choices = sorted(
            ((key, str(label)) for key, label in fields.items()),
            key=lambda row: row[1].casefold(),
        )
        if reason is not None:
            del self.fields["code"]
        for name in WORDS:
            field = self.fields[name]
            if field.required:
                field.error_messages["required"] = _("Say it in both languages.")


def _reasons_by_field(version: ProfileVersion) -> list:
    """The reasons at their fields; about documents of tax profiles only."""
    part = version.part
    known = reasons.reasons_for(part)
    groups = []
    for field in countries.field_keys(
        version.country, part, version=version.schema_version
    ):
        if field == "document" and part == "bank":
            continue
        label = countries.field_label(version.country, part, field)
        fitting = [reason for reason in known if reason.fits(field)]
        groups.append(
            (
                label,
                [
                    (f"{field}:{reason.code}", _reason_label(reason, label))
                    for reason in fitting
                ],
            )
        )
    return groups


def _reason_label(reason: ReturnReason, label) -> str:
    """What fits any field names its field: a closed list shows no group."""
    if reason.field_keys:
        return reason.title
    return _("%(field)s: %(reason)s") % {"field": label, "reason": reason.title}


# --- Parts that colleagues fill in ----------------------------------------------------


class AskColleagueForm(forms.Form):
    """Whom to ask for bank or tax details, and what for."""

    section = forms.ChoiceField(
        label=_("What to fill in"),
        choices=PartSection.choices,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose bank or tax details.")},
    )
    full_name = CleanCharField(
        label=_("Full name"),
        max_length=120,
        error_messages={"required": _("Enter the name.")},
    )
    email = EmailField(
        label=_("E-mail address"),
        help_text=_("The link works for this address alone."),
        error_messages={"required": _("Enter the e-mail address.")},
    )
    language = forms.ChoiceField(label=_("Language"), choices=Language.choices)
    note = CleanCharField(
        label=_("A word for your colleague"), required=False, max_length=400
    )


class NoteForm(forms.Form):
    """A word for whoever checks what was filled in."""

    note = CleanCharField(
        label=_("A word for whoever checks it"), required=False, max_length=400
    )


class NameAndNoteForm(forms.Form):
    """How the profile that is made of it is called."""

    name = NameField()
