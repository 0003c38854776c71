"""Records of what was done, and of mail on its way."""

from django.contrib import admin

from accounts.admin_site import PortalModelAdmin
from accounts.models import AuditEvent, OutgoingEmail


@admin.register(AuditEvent)
class AuditEventAdmin(PortalModelAdmin):
    """Written once and chained; `audit_verify` recomputes the chains."""

    list_display = (
        "at",
        "action",
        "actor",
        "actor_name",
        "partner_account",
        "object_type",
        "object_id",
    )
    list_filter = ("action",)
    list_select_related = ("actor", "partner_account")
    search_fields = ("object_id", "partner_account__partner_id", "actor__email")
    ordering = ("-pk",)
    fields = (
        "at",
        "action",
        "actor",
        "actor_name",
        "on_behalf_of",
        "partner_account",
        "person",
        "location",
        "object_type",
        "object_id",
        "before",
        "after",
        "reason",
        "door",
        "door_name",
        "place",
        "device",
        "session_hash",
        "request_id",
        "chain",
        "seq",
        "hash",
    )


@admin.register(OutgoingEmail)
class OutgoingEmailAdmin(PortalModelAdmin):
    """Where each mail is on its way; its bodies are its reader's."""

    list_display = ("subject", "to_address", "status", "attempts", "created_at")
    list_filter = ("status", "name", "language")
    search_fields = ("to_address",)
    ordering = ("-created_at", "pk")
    fields = (
        "name",
        "subject",
        "to_user",
        "to_address",
        "language",
        "status",
        "attempts",
        "last_error",
        "created_at",
        "next_attempt_at",
        "sent_at",
    )

    def get_queryset(self, request):
        return super().get_queryset(request).defer("body_text", "body_html")
