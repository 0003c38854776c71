"""Records of programs' years and what they ask; terms are saved by their service."""

from django import forms
from django.contrib import admin
from django.contrib.admin import TabularInline
from django.core.exceptions import ValidationError
from django.forms.models import BaseInlineFormSet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin_site import AuditedMixin, PortalModelAdmin, ReferenceMixin
from enrollment import services
from enrollment.models import (
    Criterion,
    EarningType,
    FiscalCalendar,
    FiscalYear,
    ProgramTerms,
    Requirement,
)
from profiles.currencies import CURRENCIES
from profiles.states import PayoutMethod


class CodesField(forms.CharField):
    """Codes typed with commas between them, in any case: "se, no"."""

    def __init__(self, *, known=None, length, **options):
        super().__init__(required=False, **options)
        self.known = known
        self.length = length
        self.widget.attrs["class"] = "vTextField"

    def prepare_value(self, value):
        return ", ".join(value) if isinstance(value, list | tuple) else value

    def clean(self, value) -> list[str]:
        typed = super().clean(value).upper().replace(",", " ").split()
        for code in typed:
            is_code = len(code) == self.length and code.isascii() and code.isalpha()
            if not is_code or (self.known is not None and code not in self.known):
                raise ValidationError(
                    _("%(code)s is not a code that is known here."),
                    code="unknown",
                    params={"code": code},
                )
        return list(dict.fromkeys(typed))


class ProgramTermsForm(forms.ModelForm):
    """What a program asks in a year, with lists typed as people write them."""

    methods = forms.MultipleChoiceField(
        label=gettext_lazy("Payment methods"),
        choices=PayoutMethod.choices,
        widget=forms.CheckboxSelectMultiple,
    )
    currencies = CodesField(
        label=gettext_lazy("Currencies"),
        known=CURRENCIES,
        length=3,
        help_text=gettext_lazy("Three letters each, like EUR, USD."),
    )
    countries = CodesField(
        label=gettext_lazy("Countries"),
        length=2,
        help_text=gettext_lazy("Of the locations that may take part. Empty: all."),
    )
    bank_countries = CodesField(
        label=gettext_lazy("Countries of banks it pays to"),
        length=2,
        help_text=gettext_lazy("Empty: all but the ones below."),
    )
    bank_countries_refused = CodesField(
        label=gettext_lazy("Countries of banks it cannot pay to"), length=2
    )

    def clean(self):
        answers = super().clean()
        try:
            services.check_agreement_text(
                self.instance,
                version=answers.get("agreement_version", ""),
                texts=(
                    answers.get("agreement_text_en", ""),
                    answers.get("agreement_text_sv", ""),
                ),
            )
        except ValidationError as refusal:
            self.add_error(None, refusal)
        return answers


class LinesFormSet(BaseInlineFormSet):
    """Lines of a program's terms; what the service would refuse stands above them."""

    @property
    def lines(self) -> list[dict]:
        """What is left of the lines after those taken away."""
        return [
            form.cleaned_data
            for form in self.forms
            if form.cleaned_data and not form.cleaned_data.get("DELETE")
        ]

    def check_lines(self) -> None:
        """Raise what the service would."""
        raise NotImplementedError

    def clean(self):
        super().clean()
        if any(self.errors):
            return
        try:
            self.check_lines()
        except ValidationError as refusal:
            raise ValidationError(refusal.messages) from None


class EarningTypeFormSet(LinesFormSet):
    def check_lines(self) -> None:
        services.check_earning_types(self.instance, self.shares)

    @property
    def shares(self) -> dict[str, int]:
        return {line["kind"]: line["share"] for line in self.lines}


class RequirementFormSet(LinesFormSet):
    def check_lines(self) -> None:
        services.check_requirements(
            self.asked, is_open_to_all=self.instance.is_open_to_all
        )

    @property
    def asked(self) -> list[tuple]:
        lines = sorted(self.lines, key=lambda line: line["position"])
        return [(line["criterion"], line["at_least"]) for line in lines]


class OfTermsInline(TabularInline):
    """A line of a program's terms; whoever changes the terms may take it away."""

    extra = 0

    def has_delete_permission(self, request, obj=None) -> bool:
        return request.user.has_perm("enrollment.change_programterms")


class EarningTypeInline(OfTermsInline):
    """How the program pays; no way of paying is added once somebody was invited."""

    model = EarningType
    formset = EarningTypeFormSet
    fields = ("kind", "share")

    def has_add_permission(self, request, obj=None) -> bool:
        is_in_use = obj is not None and obj.enrollments.exists()
        return not is_in_use and super().has_add_permission(request, obj)


class RequirementInline(OfTermsInline):
    model = Requirement
    formset = RequirementFormSet
    fields = ("position", "criterion", "at_least")


@admin.register(FiscalCalendar)
class FiscalCalendarAdmin(ReferenceMixin, PortalModelAdmin):
    list_display = ("name", "code", "time_zone")
    search_fields = ("name", "code")
    fields = ("code", "name", "time_zone")


@admin.register(FiscalYear)
class FiscalYearAdmin(ReferenceMixin, PortalModelAdmin):
    list_display = ("number", "calendar", "starts_on", "ends_on")
    list_filter = ("calendar",)
    list_select_related = ("calendar",)
    search_fields = ("number",)
    fields = ("calendar", "number", "starts_on", "ends_on")


@admin.register(ProgramTerms)
class ProgramTermsAdmin(ReferenceMixin, AuditedMixin, PortalModelAdmin):
    """Saved whole by services.define_program_terms, which keeps its rules."""

    form = ProgramTermsForm
    list_display = ("program", "fiscal_year", "is_open_to_all", "is_listed")
    list_filter = ("fiscal_year", "is_open_to_all", "is_listed")
    list_select_related = ("program", "fiscal_year")
    search_fields = ("program__name", "program__code")
    autocomplete_fields = ("program",)
    inlines = (EarningTypeInline, RequirementInline)
    fieldsets = (
        (None, {"fields": ("program", "fiscal_year", "guide_url")}),
        (
            gettext_lazy("Who may take part"),
            {
                "fields": (
                    "is_open_to_all",
                    "is_listed",
                    "needs_agreement",
                    "countries",
                    "enroll_by",
                    "enroll_within_days",
                )
            },
        ),
        (
            gettext_lazy("How it pays"),
            {
                "fields": (
                    "methods",
                    "currencies",
                    "pays_local_currency",
                    "bank_countries",
                    "bank_countries_refused",
                    "required_tax_details",
                    "earnings_start",
                )
            },
        ),
        (
            gettext_lazy("What partners agree to"),
            {
                "fields": (
                    "agreement_version",
                    "agreement_text_en",
                    "agreement_text_sv",
                )
            },
        ),
    )

    def get_readonly_fields(self, request, obj=None):
        return ("program", "fiscal_year") if obj is not None else ()

    def save_model(self, request, obj, form, change) -> None:
        """Wait for the lines: the terms and they are saved in one step."""

    def save_related(self, request, form, formsets, change) -> None:
        whose = {
            "program": form.instance.program,
            "fiscal_year": form.instance.fiscal_year,
        }
        earning_types, requirements = formsets
        defined = services.define_program_terms(
            **form.cleaned_data | whose,
            earning_types=earning_types.shares.items(),
            requirements=requirements.asked,
            by=request.user,
        )
        # What follows speaks of the form's own: the page shown next and its message.
        form.instance.__dict__.update(defined.__dict__)

    def construct_change_message(self, request, form, formsets, add=False) -> str:
        """Leave it to the audit trail."""
        return ""


@admin.register(Criterion)
class CriterionAdmin(ReferenceMixin, PortalModelAdmin):
    list_display = ("code", "name_en", "kind", "unit", "max_age_days")
    list_filter = ("kind",)
    search_fields = ("code", "name_en", "name_sv")
    fields = (
        "code",
        "kind",
        "unit",
        "max_age_days",
        "name_en",
        "name_sv",
        "how_to_fix_en",
        "how_to_fix_sv",
    )
