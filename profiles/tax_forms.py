"""What people fill in at each step of a tax profile: one page each, nothing lost."""

from dataclasses import replace

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from profiles import countries
from profiles.countries.tax_forms import DocumentKind
from profiles.drafting import Step, needed_of
from profiles.forms import DetailsForm, NameField, add_errors, held_of
from profiles.models import TaxProfileDraft
from profiles.papers import EXTENSIONS, MOST_BYTES


class TaxStepForm(DetailsForm):
    """One step's fields. What other steps said is known; numbers are kept, not shown."""

    def __init__(self, *args, step: Step, draft: TaxProfileDraft, **kwargs):
        self.step = step
        fields = tuple(
            spec
            for spec in step.schema.fields
            if spec in step.specs or spec.key in step.known
        )
        super().__init__(
            *args,
            schema=replace(step.schema, fields=fields),
            specs=step.specs,
            required=step.required,
            held=held_of(draft, {**draft.details, **draft.setup}),
            **kwargs,
        )

    def clean(self):
        cleaned = forms.Form.clean(self)
        try:
            countries.validate(
                self.schema, {**self.step.known, **self.details}, required=self.required
            )
        except ValidationError as error:
            add_errors(self, error)
        return cleaned


class TaxCompanyForm(TaxStepForm):
    """The profile's name, the country, and the company's name and address."""

    country = forms.ChoiceField(
        label=_("Country in which the company is registered"),
        error_messages={
            "required": _("Choose a country from the list."),
            "invalid_choice": _("Choose a country from the list."),
        },
    )
    name = NameField()

    def __init__(self, *args, draft: TaxProfileDraft, **kwargs):
        super().__init__(*args, draft=draft, **kwargs)
        self.fields["country"].choices = countries.tax_countries()
        self.initial["country"] = draft.country
        if draft.profile is not None:
            del self.fields["name"]
        else:
            self.initial["name"] = draft.name or draft.location.legal_name

    @property
    def has_other_country(self) -> bool:
        """Whether another country was chosen: its fields are asked instead."""
        chosen = self.data.get("country", self.initial["country"])
        known = dict(self.fields["country"].choices)
        return chosen in known and chosen != self.initial["country"]


class DocumentDateField(forms.DateField):
    """The day that stands on a document."""

    def __init__(self, **options):
        super().__init__(
            label=_("Day on the document"),
            help_text=_("When it was signed or issued."),
            widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            error_messages={
                "invalid": _("Enter a day, like 2027-12-31."),
                "required": _("Enter the day on the document."),
            },
            **options,
        )


class DocumentFileField(forms.FileField):
    """A file as it came; the service looks at its content."""

    def __init__(self, **options):
        super().__init__(
            label=_("File"),
            allow_empty_file=True,
            widget=forms.FileInput(attrs={"accept": ",".join(EXTENSIONS)}),
            error_messages={
                "required": _("Choose a file."),
                "invalid": _("Choose a file."),
            },
            **options,
        )


class TaxDocumentForm(forms.Form):
    """One document: what it is, its day, the file."""

    kind = forms.ChoiceField(
        label=_("Kind of document"),
        error_messages={
            "required": _("Choose what kind of document this is."),
            "invalid_choice": _("Choose what kind of document this is."),
        },
    )
    dated_on = DocumentDateField()
    file = DocumentFileField()

    def __init__(self, *args, draft: TaxProfileDraft, **kwargs):
        super().__init__(*args, **kwargs)
        needed = needed_of(draft)
        today = timezone.localdate()
        have = {
            one.kind
            for one in draft.documents.without_content()
            if not one.is_ending(today)
        }
        kinds: list[DocumentKind] = [*needed.documents, *needed.optional]
        self.fields["kind"].choices = [(one.key, one.label) for one in kinds]
        first = next((one.key for one in kinds if one.key not in have), "")
        self.initial["kind"] = first
        self.fields["file"].help_text = _(
            "PDF, PNG or JPEG, at most %(most)d MB. Every corner visible, every line "
            "sharp; a photo by phone will do."
        ) % {"most": MOST_BYTES // (1024 * 1024)}


class ConfirmForm(forms.Form):
    """That the sender may speak for the company."""

    is_authorized = forms.BooleanField(
        label=_("I am authorized to give these tax details for the company."),
        error_messages={"required": _("Confirm that you may send this.")},
    )
