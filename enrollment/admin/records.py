"""Records of enrollments, measured values and agreements."""

from django.contrib import admin
from django.contrib.admin import TabularInline
from django.utils.translation import gettext_lazy

from accounts.admin_site import (
    AuditedMixin,
    LookedAtMixin,
    PortalModelAdmin,
    ReferenceMixin,
)
from enrollment import services
from enrollment.models import (
    Agreement,
    Enrollment,
    EnrollmentEvent,
    MeasuredValue,
    ValueImport,
)


class EventInline(LookedAtMixin, TabularInline):
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
class EnrollmentAdmin(PortalModelAdmin):
    """Enrollments move by what people do on their pages, never here.

    The newest program first, in the order of an index: sorting a million is no page's.
    """

    list_display = ("reference", "location", "program", "year", "status", "invited_at")
    list_filter = ("status", "terms__fiscal_year")
    list_select_related = ("location", "terms__program", "terms__fiscal_year")
    search_fields = (
        "location__name",
        "location__partner_id",
        "location__partner_account__name",
        "terms__program__code",
    )
    ordering = ("-terms_id", "-status", "-pk")
    sortable_by = ()
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
class MeasuredValueAdmin(PortalModelAdmin):
    list_display = ("location", "criterion", "value", "measured_on", "source")
    list_filter = ("criterion",)
    list_select_related = ("location", "criterion")
    search_fields = ("location__name", "location__partner_id")
    ordering = ("-measured_on", "pk")


@admin.register(ValueImport)
class ValueImportAdmin(PortalModelAdmin):
    """Files that were read: `import_eligibility` reads them."""

    list_display = ("imported_at", "imported_by", "accepted", "changed", "rejected")
    list_select_related = ("imported_by",)
    ordering = ("-imported_at", "-pk")
    fields = (*list_display, "file_hash")


@admin.register(Agreement)
class AgreementAdmin(ReferenceMixin, AuditedMixin, PortalModelAdmin):
    """Recorded and terminated through the services; what was terminated stays so."""

    list_display = ("partner_account", "starts_on", "ends_on", "terminated_on")
    list_filter = (("terminated_on", admin.EmptyFieldListFilter),)
    list_select_related = ("partner_account",)
    search_fields = ("partner_account__name", "partner_account__partner_id")
    autocomplete_fields = ("partner_account",)
    ordering = ("-starts_on", "pk")
    fields = ("partner_account", "starts_on", "ends_on", "terminated_on")

    def get_fields(self, request, obj=None):
        return self.fields if obj is not None else self.fields[:3]

    def get_readonly_fields(self, request, obj=None):
        if obj is None:
            return ()
        return self.fields if obj.terminated_on else self.fields[:2]

    def save_model(self, request, obj, form, change) -> None:
        ends_on = form.cleaned_data.get("ends_on")
        terminated_on = form.cleaned_data.get("terminated_on")
        if not change or "ends_on" in form.changed_data:
            saved = services.record_agreement(
                obj.partner_account,
                starts_on=obj.starts_on,
                ends_on=ends_on,
                by=request.user,
            )
            obj.__dict__.update(saved.__dict__)
        if terminated_on:
            services.end_agreement(obj, on=terminated_on, by=request.user)
