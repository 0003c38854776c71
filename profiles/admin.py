"""Records of bank and tax profiles to look at: who sent and decided what, no numbers.

No group of operators may open them; validation has its own pages, where details are
shown to those who decide.
"""

from django.contrib import admin
from django.contrib.admin import TabularInline

from accounts.admin_site import LookedAtMixin, PortalModelAdmin
from profiles.models import (
    BankProfile,
    BankProfileVersion,
    DefaultBankProfile,
    TaxProfile,
    TaxProfileVersion,
)

# Never `details` (sealed), never `blind_index` (a fingerprint of the number).
SHOWN = (
    "number",
    "status",
    "country",
    "submitted_at",
    "submitted_by",
    "decided_at",
    "decided_by",
)


class VersionInline(LookedAtMixin, TabularInline):
    """The versions of a profile, newest first, without what is sealed."""

    extra = 0
    can_delete = False
    exclude = ("details", "blind_index")
    fields = SHOWN
    ordering = ("-number",)

    def get_queryset(self, request):
        return (
            super()
            .get_queryset(request)
            .defer("details", "blind_index")
            .select_related("submitted_by", "decided_by")
        )


class BankVersionInline(VersionInline):
    model = BankProfileVersion
    fields = (*SHOWN, "seconded_at", "seconded_by")


class TaxVersionInline(VersionInline):
    model = TaxProfileVersion
    fields = (*SHOWN, "expires_on")


@admin.register(BankProfile)
class BankProfileAdmin(PortalModelAdmin):
    list_display = ("name", "partner_account", "created_at", "archived_at")
    list_filter = (("archived_at", admin.EmptyFieldListFilter),)
    list_select_related = ("partner_account",)
    search_fields = ("name", "partner_account__name", "partner_account__partner_id")
    fields = (
        "name",
        "partner_account",
        "created_at",
        "created_by",
        "archived_at",
        "archived_by",
    )
    inlines = (BankVersionInline,)


@admin.register(TaxProfile)
class TaxProfileAdmin(PortalModelAdmin):
    list_display = ("name", "location", "created_at", "archived_at")
    list_filter = (("archived_at", admin.EmptyFieldListFilter),)
    list_select_related = ("location",)
    search_fields = ("name", "location__name", "location__partner_id")
    fields = (
        "name",
        "location",
        "created_at",
        "created_by",
        "archived_at",
        "archived_by",
    )
    inlines = (TaxVersionInline,)


@admin.register(DefaultBankProfile)
class DefaultBankProfileAdmin(PortalModelAdmin):
    list_display = ("location", "bank_profile", "currency", "set_at", "set_by")
    list_filter = ("currency",)
    list_select_related = ("location", "bank_profile", "set_by")
    search_fields = ("location__name", "location__partner_id")
    fields = ("location", "bank_profile", "currency", "set_at", "set_by")
