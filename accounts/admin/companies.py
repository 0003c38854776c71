"""Records of companies, their locations, and the identity of programs."""

from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy

from accounts import services
from accounts.admin.role_inlines import RolesAtLocationInline
from accounts.admin.setting_up import SetUpMixin
from accounts.admin_site import PartnerDoorMixin, PortalModelAdmin, ReferenceMixin
from accounts.models import IncentiveProgram, Location, PartnerAccount
from accounts.text import normalize_domain


class EmailDomainsForm(forms.ModelForm):
    """Domains as addresses carry them."""

    def clean_email_domains(self) -> list[str]:
        domains = self.cleaned_data["email_domains"] or []
        return [normalize_domain(domain) for domain in domains]


@admin.register(PartnerAccount)
class PartnerAccountAdmin(SetUpMixin, PortalModelAdmin):
    form = EmailDomainsForm
    list_display = ("name", "partner_id", "country", "created_at")
    list_filter = ("must_migrate",)
    search_fields = ("name", "legal_name", "partner_id")
    fields = ("partner_id", "name", "legal_name", "country", "email_domains")

    def get_fields(self, request, obj=None):
        if obj is None:
            return self.fields
        return (*self.fields, "must_migrate", "migrated_at", "created_at")

    def create(self, **answers) -> PartnerAccount:
        return services.create_partner_account(**answers)


@admin.register(Location)
class LocationAdmin(PartnerDoorMixin, SetUpMixin, PortalModelAdmin):
    list_display = ("name", "partner_id", "country", "partner_account", "closed_at")
    list_filter = (("closed_at", admin.EmptyFieldListFilter),)
    list_select_related = ("partner_account",)
    search_fields = ("name", "partner_id", "partner_account__name")
    autocomplete_fields = ("partner_account",)
    fields = (
        "partner_account",
        "partner_id",
        "name",
        "legal_name",
        "country",
        "street",
        "postcode",
        "city",
    )
    inlines = (RolesAtLocationInline,)

    def get_fields(self, request, obj=None):
        if obj is None:
            return self.fields
        return ("company", *self.fields[1:], "closed_at", "created_at")

    def get_readonly_fields(self, request, obj=None):
        return ("company",) if obj is not None else ()

    @admin.display(description=gettext_lazy("company"))
    def company(self, location):
        return location.partner_account.name

    def get_inlines(self, request, obj):
        return self.inlines if obj is not None else ()

    def create(self, *, partner_account, **answers) -> Location:
        return services.add_location(partner_account, **answers)


@admin.register(IncentiveProgram)
class IncentiveProgramAdmin(ReferenceMixin, PortalModelAdmin):
    """What a program asks in a year stands in its terms."""

    list_display = ("name", "code", "discontinued_at")
    list_filter = (("discontinued_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "code")
    fields = ("code", "name", "summary_en", "summary_sv", "discontinued_at")
    readonly_fields = ("discontinued_at",)
