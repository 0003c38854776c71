"""Records of programs' years and what they ask, and of enrollments to look at."""

from django import forms
from django.contrib import admin
from django.contrib.admin import TabularInline
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin_site import PortalModelAdmin, ReadOnlyMixin
from enrollment.models import (
    Agreement,
    Criterion,
    EarningType,
    Enrollment,
    EnrollmentEvent,
    FiscalCalendar,
    FiscalYear,
    MeasuredValue,
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
        year = answers.get("fiscal_year") or getattr(self.instance, "fiscal_year", None)
        enroll_by = answers.get("enroll_by")
        if year and enroll_by and not year.starts_on <= enroll_by <= year.ends_on:
            self.add_error(
                "enroll_by", _("Choose a day of the fiscal year these terms are for.")
            )
        return answers


class OfTermsInline(TabularInline):
    """A line of a program's terms; whoever changes the terms may take it away."""

    extra = 0

    def has_delete_permission(self, request, obj=None) -> bool:
        return request.user.has_perm("enrollment.change_programterms")


class EarningTypeInline(OfTermsInline):
    """How the program pays; no way of paying is added once somebody was invited."""

    model = EarningType
    fields = ("kind", "share")

    def has_add_permission(self, request, obj=None) -> bool:
        is_in_use = obj is not None and obj.enrollments.exists()
        return not is_in_use and super().has_add_permission(request, obj)


class RequirementInline(OfTermsInline):
    model = Requirement
    fields = ("position", "criterion", "at_least")


@admin.register(FiscalCalendar)
class FiscalCalendarAdmin(PortalModelAdmin):
    list_display = ("name", "code", "time_zone")
    search_fields = ("name", "code")
    fields = ("code", "name", "time_zone")


@admin.register(FiscalYear)
class FiscalYearAdmin(PortalModelAdmin):
    list_display = ("number", "calendar", "starts_on", "ends_on")
    list_filter = ("calendar",)
    list_select_related = ("calendar",)
    search_fields = ("number",)
    fields = ("calendar", "number", "starts_on", "ends_on")


@admin.register(ProgramTerms)
class ProgramTermsAdmin(PortalModelAdmin):
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


@admin.register(Criterion)
class CriterionAdmin(PortalModelAdmin):
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


class EventInline(ReadOnlyMixin, TabularInline):
    """The steps of an enrollment's history, to look at."""

    model = EnrollmentEvent
    extra = 0
    can_delete = False
    fields = ("at", "code", "from_status", "to_status", "by", "note")
    ordering = ("-at", "-pk")

    def has_view_permission(self, request, obj=None) -> bool:
        return request.user.has_perm("enrollment.view_enrollment")

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("by")


@admin.register(Enrollment)
class EnrollmentAdmin(ReadOnlyMixin, PortalModelAdmin):
    """Enrollments move by what people do on their pages, never here."""

    list_display = ("reference", "location", "program", "year", "status", "invited_at")
    list_filter = ("status", ("terms__fiscal_year", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("location", "terms__program", "terms__fiscal_year")
    search_fields = (
        "location__name",
        "location__partner_id",
        "location__partner_account__name",
        "terms__program__code",
    )
    ordering = ("-invited_at", "pk")
    inlines = (EventInline,)
    fields = (
        "reference",
        "location",
        "program",
        "year",
        "status",
        "status_since",
        "invited_at",
        "enroll_by",
        "accepted_at",
        "accepted_by",
        "agreement_version",
        "submitted_at",
        "submitted_by",
        "enrolled_at",
        "earns_from",
        "end_reason",
    )
    readonly_fields = ("reference", "program", "year")

    @admin.display(description=gettext_lazy("program"))
    def program(self, enrollment):
        return enrollment.terms.program

    @admin.display(description=gettext_lazy("fiscal year"))
    def year(self, enrollment):
        return enrollment.terms.fiscal_year


@admin.register(MeasuredValue)
class MeasuredValueAdmin(ReadOnlyMixin, PortalModelAdmin):
    list_display = ("location", "criterion", "value", "measured_on", "source")
    list_filter = ("criterion",)
    list_select_related = ("location", "criterion")
    search_fields = ("location__name", "location__partner_id")
    ordering = ("-measured_on", "pk")


@admin.register(Agreement)
class AgreementAdmin(ReadOnlyMixin, PortalModelAdmin):
    list_display = ("partner_account", "starts_on", "ends_on", "terminated_on")
    list_filter = (("terminated_on", admin.EmptyFieldListFilter),)
    list_select_related = ("partner_account",)
    search_fields = ("partner_account__name", "partner_account__partner_id")
    ordering = ("-starts_on", "pk")
