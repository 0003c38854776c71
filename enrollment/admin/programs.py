"""Records of programs' years and what they ask; terms are only looked at."""

from django.contrib import admin
from django.contrib.admin import TabularInline
from django.utils.translation import gettext_lazy

from accounts.admin_site import (
    AuditedMixin,
    LookedAtMixin,
    PortalModelAdmin,
    ReferenceMixin,
)
from enrollment.models import (
    Criterion,
    EarningType,
    FiscalCalendar,
    FiscalYear,
    ProgramTerms,
    Requirement,
)


class LookedAtInline(LookedAtMixin, TabularInline):
    """A line of a program's terms."""

    extra = 0


class EarningTypeInline(LookedAtInline):
    model = EarningType
    fields = ("kind", "share")


class RequirementInline(LookedAtInline):
    model = Requirement
    fields = ("position", "criterion", "at_least")


@admin.register(FiscalCalendar)
class FiscalCalendarAdmin(ReferenceMixin, PortalModelAdmin):
    list_display = ("name", "code", "time_zone")
    search_fields = ("name", "code")
    fields = ("code", "name", "name_sv", "time_zone")


@admin.register(FiscalYear)
class FiscalYearAdmin(ReferenceMixin, PortalModelAdmin):
    list_display = ("number", "calendar", "starts_on", "ends_on")
    list_filter = ("calendar",)
    list_select_related = ("calendar",)
    search_fields = ("number",)
    fields = ("calendar", "number", "starts_on", "ends_on")


@admin.register(ProgramTerms)
class ProgramTermsAdmin(LookedAtMixin, AuditedMixin, PortalModelAdmin):
    """What is in force; it is written in the program editor, and published there."""

    list_display = ("program", "fiscal_year", "is_open_to_all", "is_listed")
    list_filter = ("fiscal_year", "is_open_to_all", "is_listed")
    list_select_related = ("program", "fiscal_year")
    search_fields = ("program__name", "program__code")
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
