"""What operators write of programs: one form for each section of the editor.

Each gives `values`, as versions.SECTIONS names them, and begins with a draft's content.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.forms import BoundField
from django.utils.dateparse import parse_date
from django.utils.dates import MONTHS
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import IncentiveProgram
from accounts.templatetags.portal import full_day
from accounts.text import CleanCharField, CleanTextField
from enrollment.models import (
    Criterion,
    EarningType,
    FiscalYear,
    GuideFile,
    ProgramTerms,
)
from enrollment.models.terms import EarningsStart
from enrollment.versions import LABELS, tax_detail_choices
from profiles.country_names import COUNTRY_NAMES
from profiles.currencies import CURRENCIES
from profiles.papers import EXTENSIONS, MOST_MEGABYTES
from profiles.states import PayoutMethod

MOST_REQUIREMENTS = 30
BLANK_ROWS = 3
MOST_TEXT = 20_000


class CodesField(forms.CharField):
    """Codes typed with commas between them, in any case: "se, no"."""

    def __init__(self, *, known, **options):
        super().__init__(required=False, **options)
        self.known = known
        self.widget.attrs |= {"autocapitalize": "characters", "spellcheck": "false"}

    def prepare_value(self, value):
        return ", ".join(value) if isinstance(value, list | tuple) else value

    def clean(self, value) -> list[str]:
        typed = super().clean(value).upper().replace(",", " ").split()
        unknown = [code for code in dict.fromkeys(typed) if code not in self.known]
        if unknown:
            raise ValidationError(
                _("Not a code that is known here: %(codes)s."),
                code="unknown",
                params={"codes": ", ".join(unknown)[:80]},
            )
        return list(dict.fromkeys(typed))


def _day_field(**options) -> forms.DateField:
    return forms.DateField(
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": gettext_lazy("Enter a day, like 2027-12-31.")},
        **options,
    )


def _number_field(*, least: int, most: int, **options) -> forms.IntegerField:
    return forms.IntegerField(
        min_value=least,
        max_value=most,
        widget=forms.TextInput(attrs={"inputmode": "numeric"}),
        error_messages={"invalid": gettext_lazy("Enter a number, in digits.")},
        **options,
    )


def _text_field(name: str, **options) -> CleanTextField:
    return CleanTextField(
        label=LABELS[name],
        max_length=MOST_TEXT,
        widget=forms.Textarea(attrs={"rows": 12, "lang": name[-2:]}),
        **options,
    )


# --- The sections of the editor ---------------------------------------------------------


class SectionForm(forms.Form):
    """One section; `seen` says what it said when it was looked at."""

    seen = forms.CharField(max_length=64, widget=forms.HiddenInput)

    def __init__(self, *args, content: Mapping[str, Any], year: FiscalYear, **kwargs):
        self.content = content
        self.year = year
        super().__init__(*args, **kwargs)
        self.begin_with(content)

    def begin_with(self, content: Mapping[str, Any]) -> None:
        self.initial |= {name: content[name] for name in self.fields if name in content}

    @property
    def values(self) -> dict[str, Any]:
        return {
            name: value for name, value in self.cleaned_data.items() if name != "seen"
        }


class WhoForm(SectionForm):
    """Open to all or by criteria; which locations."""

    is_open_to_all = forms.TypedChoiceField(
        label=LABELS["is_open_to_all"],
        choices=[
            (
                "no",
                gettext_lazy("Locations that meet the requirements; they are invited"),
            ),
            ("yes", gettext_lazy("Every location; no requirements, nobody is invited")),
        ],
        coerce=lambda value: value == "yes",
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Choose who may enroll.")},
    )
    needs_agreement = forms.BooleanField(
        label=gettext_lazy("Only companies with an active partner agreement"),
        required=False,
    )
    is_listed = forms.BooleanField(
        label=gettext_lazy("Listed for partners who are not eligible"),
        help_text=gettext_lazy(
            "Without it, only invited locations learn that the program exists."
        ),
        required=False,
    )
    countries = CodesField(
        label=LABELS["countries"],
        known=COUNTRY_NAMES,
        help_text=gettext_lazy("Two letters each, like SE, NO. Empty: all countries."),
    )

    def begin_with(self, content):
        super().begin_with(content)
        self.initial["is_open_to_all"] = "yes" if content["is_open_to_all"] else "no"


class RequirementsForm(SectionForm):
    """Criteria and how much of each, in the order that partners read; empty rows go.

    "More rows" asks for some more without saving.
    """

    rows_count = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def begin_with(self, content):
        asked = content["requirements"]
        count = self._rows_asked_for(len(asked) + BLANK_ROWS)
        self.initial["rows_count"] = count
        known = list(Criterion.objects.order_by("code", "pk"))
        criteria = [(one.code, one.name) for one in known]
        numbers = {one.code for one in known if one.kind == Criterion.Kind.NUMBER}
        for number in range(count):
            self.fields[f"criterion_{number}"] = forms.ChoiceField(
                label=_("Criterion"),
                choices=[("", _("None")), *criteria],
                required=False,
            )
            self.fields[f"at_least_{number}"] = forms.DecimalField(
                label=_("At least"),
                required=False,
                min_value=0,
                max_digits=16,
                decimal_places=2,
                widget=forms.TextInput(attrs={"inputmode": "decimal"}),
                error_messages={"invalid": _("Enter a number, like 25000 or 0.5.")},
            )
        for number, one in enumerate(asked):
            self.initial[f"criterion_{number}"] = one["criterion"]
            if one["criterion"] in numbers:
                self.initial[f"at_least_{number}"] = _plain(one["at_least"])

    def _rows_asked_for(self, known: int) -> int:
        if not self.is_bound:
            return min(max(known, BLANK_ROWS), MOST_REQUIREMENTS)
        typed = self.data.get("rows_count", "")
        count = int(typed) if typed.isdecimal() and len(typed) < 4 else known
        count += BLANK_ROWS if "more" in self.data else 0
        return min(max(count, 1), MOST_REQUIREMENTS)

    @property
    def rows(self) -> list[tuple[BoundField, BoundField]]:
        count = self.initial["rows_count"]
        return [(self[f"criterion_{n}"], self[f"at_least_{n}"]) for n in range(count)]

    @property
    def wants_more(self) -> bool:
        return self.is_bound and "more" in self.data

    def with_more(self) -> "RequirementsForm":
        """The same with empty rows, everything typed kept, nothing found fault with."""
        typed = {name: self.data.get(name, "") for name in self.fields}
        form = type(self)(
            content=self.content | {"requirements": []}, year=self.year, initial={}
        )
        form.fields = self.fields
        form.initial = typed | {"rows_count": self.initial["rows_count"]}
        return form

    def clean(self):
        cleaned = super().clean()
        found: dict[str, int] = {}
        yes_or_no = set(
            Criterion.objects.filter(kind=Criterion.Kind.YES_NO).values_list(
                "code", flat=True
            )
        )
        for number in range(self.initial["rows_count"]):
            code = cleaned.get(f"criterion_{number}")
            at_least = cleaned.get(f"at_least_{number}")
            if not code:
                if at_least is not None:
                    self.add_error(
                        f"criterion_{number}", _("Choose what is asked for.")
                    )
                continue
            if code in found:
                self.add_error(
                    f"criterion_{number}",
                    _("This criterion is asked for above already."),
                )
            found[code] = number
            if at_least is None and f"at_least_{number}" not in self.errors:
                if code in yes_or_no:
                    cleaned[f"at_least_{number}"] = Decimal(1)
                else:
                    self.add_error(
                        f"at_least_{number}", _("Say how much of it is needed.")
                    )
        if found and self.content["is_open_to_all"]:
            self.add_error(
                None,
                _(
                    "A program that is open to all has no criteria. Change who may take "
                    "part first."
                ),
            )
        return cleaned

    @property
    def values(self):
        asked = []
        for number in range(self.initial["rows_count"]):
            if code := self.cleaned_data[f"criterion_{number}"]:
                at_least = self.cleaned_data[f"at_least_{number}"]
                asked.append({"criterion": code, "at_least": f"{at_least:.2f}"})
        # Words that a version keeps stay where nothing else is said.
        known = [
            {"criterion": one["criterion"], "at_least": one["at_least"]}
            for one in self.content["requirements"]
        ]
        return {
            "requirements": self.content["requirements"] if asked == known else asked
        }


def _plain(number: str) -> str:
    whole, _point, rest = number.partition(".")
    return whole if not rest.strip("0") else number


class EarningsForm(SectionForm):
    """The share of each way of paying; one left empty is not paid."""

    def begin_with(self, content):
        shares = dict(content["earning_types"])
        for kind in EarningType.Kind:
            self.fields[f"share_{kind.value}"] = _number_field(
                least=1, most=100, label=f"{kind.label}, %", required=False
            )
            self.initial[f"share_{kind.value}"] = shares.get(kind.value)

    @property
    def rows(self) -> list[BoundField]:
        return [self[f"share_{kind.value}"] for kind in EarningType.Kind]

    def clean(self):
        cleaned = super().clean()
        if not self.errors and sum(share for _kind, share in self._shares()) != 100:
            self.add_error(
                None, _("The shares of the earning types must be 100% in all.")
            )
        return cleaned

    def _shares(self) -> list[list]:
        shares = (
            [kind.value, self.cleaned_data[f"share_{kind.value}"]]
            for kind in EarningType.Kind
        )
        given = [one for one in shares if one[1]]
        return sorted(given, key=lambda one: (-one[1], one[0]))

    @property
    def values(self):
        return {"earning_types": self._shares()}


class PaymentForm(SectionForm):
    """Methods, currencies, banks, and what the tax profile must contain."""

    methods = forms.MultipleChoiceField(
        label=LABELS["methods"],
        choices=PayoutMethod.choices,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Choose at least one.")},
    )
    currencies = CodesField(
        label=LABELS["currencies"],
        known=CURRENCIES,
        help_text=gettext_lazy("Three letters each, like EUR, USD."),
    )
    pays_local_currency = forms.BooleanField(
        label=LABELS["pays_local_currency"], required=False
    )
    bank_countries = CodesField(
        label=LABELS["bank_countries"],
        known=COUNTRY_NAMES,
        help_text=gettext_lazy("Empty: all but the ones below."),
    )
    bank_countries_refused = CodesField(
        label=LABELS["bank_countries_refused"], known=COUNTRY_NAMES
    )
    required_tax_details = forms.MultipleChoiceField(
        label=LABELS["required_tax_details"],
        help_text=gettext_lazy(
            "Beyond what every tax profile has. Partners are asked for what they lack."
        ),
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )

    def begin_with(self, content):
        super().begin_with(content)
        known = dict(tax_detail_choices())
        others = [key for key in content["required_tax_details"] if key not in known]
        self.fields["required_tax_details"].choices = [
            *known.items(),
            *((key, key) for key in others),
        ]

    def clean(self):
        cleaned = super().clean()
        if not self.errors and not (
            cleaned["currencies"] or cleaned["pays_local_currency"]
        ):
            self.add_error("currencies", _("Name at least one currency it pays in."))
        both = set(cleaned.get("bank_countries", [])) & set(
            cleaned.get("bank_countries_refused", [])
        )
        if both:
            self.add_error(
                "bank_countries_refused",
                _("It cannot both pay and not pay to %(codes)s.")
                % {"codes": ", ".join(sorted(both))},
            )
        return cleaned


class DatesForm(SectionForm):
    """Until when to enroll, when an answer is promised, and what earns."""

    enroll_by = _day_field(
        label=LABELS["enroll_by"],
        required=False,
        help_text=gettext_lazy("Empty: the last day of the fiscal year."),
    )
    enroll_within_days = _number_field(
        least=1,
        most=366,
        label=LABELS["enroll_within_days"],
        required=False,
        help_text=gettext_lazy(
            "Counted from each invitation. With a last day too, the earlier one counts."
        ),
    )
    validation_hours = _number_field(
        least=1,
        most=720,
        label=gettext_lazy("Hours until a promised answer"),
        help_text=gettext_lazy("After Submit. 48 is usual."),
    )
    earnings_start = forms.ChoiceField(
        label=LABELS["earnings_start"],
        choices=EarningsStart.choices,
        widget=forms.RadioSelect,
    )

    def begin_with(self, content):
        super().begin_with(content)
        self.initial["enroll_by"] = parse_date(content["enroll_by"] or "")
        self.fields["enroll_by"].help_text = _(
            "Between %(first)s and %(last)s. Empty: the last of these days."
        ) % {
            "first": full_day(self.year.starts_on),
            "last": full_day(self.year.ends_on),
        }

    def clean_enroll_by(self) -> str | None:
        day: date | None = self.cleaned_data["enroll_by"]
        if day is None:
            return None
        if not self.year.contains(day):
            raise ValidationError(
                _("Choose a day of the fiscal year these terms are for.")
            )
        return day.isoformat()


class AgreementForm(SectionForm):
    """What partners agree to, in both languages."""

    agreement_version = CleanCharField(
        label=LABELS["agreement_version"],
        max_length=20,
        help_text=gettext_lazy(
            "A changed text needs another one: partners accept it anew."
        ),
    )
    agreement_text_en = _text_field("agreement_text_en")
    agreement_text_sv = _text_field("agreement_text_sv")


class SenderForm(SectionForm):
    """From whom mail about the program comes, and where its guide is."""

    sender_name = CleanCharField(
        label=LABELS["sender_name"],
        max_length=80,
        required=False,
        help_text=gettext_lazy(
            "The name only; the address stays. Empty: the one of all mail."
        ),
    )
    invitation_subject_en = CleanCharField(
        label=LABELS["invitation_subject_en"],
        max_length=60,
        required=False,
        help_text=gettext_lazy("Empty: the usual subject."),
    )
    invitation_subject_sv = CleanCharField(
        label=LABELS["invitation_subject_sv"],
        max_length=60,
        required=False,
        help_text=gettext_lazy("Empty: the usual subject."),
    )
    guide_url = forms.URLField(
        label=LABELS["guide_url"],
        required=False,
        assume_scheme="https",
        max_length=200,
        help_text=gettext_lazy("Where it is on the web; files are added beside it."),
    )

    def clean(self):
        cleaned = super().clean()
        one, other = "invitation_subject_en", "invitation_subject_sv"
        for name, twin in ((one, other), (other, one)):
            if cleaned.get(twin) and not cleaned.get(name) and name not in self.errors:
                self.add_error(name, _("Say it in both languages."))
        return cleaned


SECTION_FORMS: dict[str, type[SectionForm]] = {
    "who": WhoForm,
    "requirements": RequirementsForm,
    "earnings": EarningsForm,
    "payment": PaymentForm,
    "dates": DatesForm,
    "agreement": AgreementForm,
    "sender": SenderForm,
}


# --- Programs, years, criteria, calendars ----------------------------------------------


def year_label(year: FiscalYear) -> str:
    return _("%(year)s: %(first)s to %(last)s (%(calendar)s)") % {
        "year": year.number,
        "first": full_day(year.starts_on),
        "last": full_day(year.ends_on),
        "calendar": year.calendar.title,
    }


class YearField(forms.ModelChoiceField):
    """A fiscal year that can have terms."""

    def __init__(self, **options):
        super().__init__(
            FiscalYear.objects.none(),
            label=gettext_lazy("Fiscal year"),
            empty_label=None,
            error_messages={
                "required": gettext_lazy("Choose a fiscal year."),
                "invalid_choice": gettext_lazy("Choose a fiscal year from the list."),
            },
            **options,
        )

    def label_from_instance(self, obj) -> str:
        return year_label(obj)


class TermsField(forms.ModelChoiceField):
    """Terms that a draft can begin as a copy of."""

    def __init__(self, **options):
        super().__init__(
            ProgramTerms.objects.none(),
            label=gettext_lazy("Begin as a copy of"),
            empty_label=gettext_lazy("Nothing, begin empty"),
            required=False,
            **options,
        )

    def label_from_instance(self, obj) -> str:
        return _("%(program)s, fiscal year %(year)s") % {
            "program": obj.program.name,
            "year": obj.fiscal_year.number,
        }


class IdentityForm(forms.Form):
    """What a program is called and what it is, in two sentences."""

    name = CleanCharField(label=gettext_lazy("Name"), max_length=120)
    summary_en = CleanCharField(
        label=gettext_lazy("What it is, in English"),
        max_length=400,
        widget=forms.Textarea(attrs={"rows": 3, "lang": "en"}),
    )
    summary_sv = CleanCharField(
        label=gettext_lazy("What it is, in Swedish"),
        max_length=400,
        widget=forms.Textarea(attrs={"rows": 3, "lang": "sv"}),
    )


class AddProgramForm(IdentityForm):
    """A new program with its first year."""

    code = forms.RegexField(
        r"^[A-Z][A-Z0-9-]{1,19}$",
        label=gettext_lazy("Code"),
        help_text=gettext_lazy(
            "2 to 20 capital letters, digits and hyphens. It stays for good."
        ),
        error_messages={
            "invalid": gettext_lazy("Use 2 to 20 capital letters, digits and hyphens.")
        },
    )
    fiscal_year = YearField()
    copy_of = TermsField()
    field_order = ("code", "name", "summary_en", "summary_sv", "fiscal_year", "copy_of")

    def __init__(self, *args, years, terms, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["fiscal_year"].queryset = years
        self.fields["copy_of"].queryset = terms

    def clean_code(self) -> str:
        code = self.cleaned_data["code"]
        if IncentiveProgram.objects.filter(code=code).exists():
            raise ValidationError(_("Another program has this code."))
        return code


class BeginDraftForm(forms.Form):
    """Which year of a program is written, and what it begins as."""

    fiscal_year = YearField()
    copy_of = TermsField()

    def __init__(self, *args, years, terms, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["fiscal_year"].queryset = years
        self.fields["copy_of"].queryset = terms


class PublishForm(forms.Form):
    """What was looked at, and that it was."""

    seen = forms.CharField(max_length=64, widget=forms.HiddenInput)
    is_confirmed = forms.BooleanField(required=False)

    def __init__(self, *args, label: str = "", **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["is_confirmed"].label = label


class CriterionForm(forms.Form):
    """Something that can be measured, and what partners read of it."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        choices=Criterion.Kind.choices,
        widget=forms.RadioSelect,
        initial=Criterion.Kind.NUMBER,
    )
    unit = CleanCharField(
        label=gettext_lazy("Unit"),
        max_length=20,
        required=False,
        help_text=gettext_lazy("Like USD, people, points. Empty for yes or no."),
    )
    max_age_days = _number_field(
        least=1,
        most=3660,
        label=gettext_lazy("Days a value is good for"),
        required=False,
        help_text=gettext_lazy(
            "Older values are not known, never not met. Empty: no limit."
        ),
    )
    name_en = CleanCharField(label=gettext_lazy("Name in English"), max_length=120)
    name_sv = CleanCharField(label=gettext_lazy("Name in Swedish"), max_length=120)
    how_to_fix_en = CleanCharField(
        label=gettext_lazy("How to fix it, in English"),
        max_length=400,
        widget=forms.Textarea(attrs={"rows": 3, "lang": "en"}),
    )
    how_to_fix_sv = CleanCharField(
        label=gettext_lazy("How to fix it, in Swedish"),
        max_length=400,
        widget=forms.Textarea(attrs={"rows": 3, "lang": "sv"}),
    )


class AddCriterionForm(CriterionForm):
    """A new one."""

    code = forms.SlugField(
        label=gettext_lazy("Code"),
        max_length=40,
        help_text=gettext_lazy(
            "Files of measured values name it by this code, like cloud-revenue."
        ),
    )
    field_order = ("code", *CriterionForm.base_fields)

    def clean_code(self) -> str:
        code = self.cleaned_data["code"]
        if Criterion.objects.filter(code=code).exists():
            raise ValidationError(_("Another criterion has this code."))
        return code


class CalendarForm(forms.Form):
    """What a rhythm of years is called."""

    name = CleanCharField(
        label=gettext_lazy("Name in English"),
        max_length=80,
        help_text=gettext_lazy("For example “July to June”."),
    )
    name_sv = CleanCharField(
        label=gettext_lazy("Name in Swedish"),
        max_length=80,
        help_text=gettext_lazy("For example “juli till juni”."),
    )


class AddCalendarForm(CalendarForm):
    """A new one; July to June unless something else is chosen."""

    code = forms.SlugField(
        label=gettext_lazy("Code"),
        max_length=20,
        help_text=gettext_lazy(
            "It stands in names of files and on the command line, and stays."
        ),
    )
    first_month = forms.TypedChoiceField(
        label=gettext_lazy("First month"),
        choices=list(MONTHS.items()),
        coerce=int,
        initial=7,
        help_text=gettext_lazy("A year is named by the year it ends in."),
    )
    time_zone = forms.ChoiceField(
        label=gettext_lazy("Time zone"),
        initial="UTC",
        help_text=gettext_lazy("In which its days are counted."),
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        zones = sorted(one for one in available_timezones() if "/" in one)
        self.fields["time_zone"].choices = [(one, one) for one in ("UTC", *zones)]


class GuideForm(forms.Form):
    """A guide of a program's year, as a file."""

    fiscal_year = YearField()
    language = forms.ChoiceField(
        label=gettext_lazy("Language"), choices=GuideFile.Language.choices
    )
    title = CleanCharField(
        label=gettext_lazy("Title"),
        max_length=120,
        help_text=gettext_lazy("As partners read it in the list of resources."),
    )
    file = forms.FileField(
        label=gettext_lazy("File"),
        allow_empty_file=True,
        widget=forms.FileInput(attrs={"accept": ",".join(EXTENSIONS)}),
        error_messages={
            "required": gettext_lazy("Choose a file."),
            "invalid": gettext_lazy("Choose a file."),
        },
    )

    def __init__(self, *args, years, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["fiscal_year"].queryset = years
        self.fields["file"].help_text = _("PDF, PNG or JPEG, at most %(most)d MB.") % {
            "most": MOST_MEGABYTES
        }
