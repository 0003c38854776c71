"""Roles in words, and as lists beside a person or a place."""

from django.contrib import admin
from django.contrib.admin import TabularInline
from django.db.models import F
from django.forms import BaseInlineFormSet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin_site import LookedAtMixin, PartnerDoorMixin
from accounts.models import RoleAssignment, scope_words

MOST_ROLES = 100


class RoleWordsMixin:
    """Columns of a role in words, without links to what a Global admin cannot open."""

    @admin.display(description=gettext_lazy("company"))
    def company(self, assignment):
        return assignment.partner_account.name

    @admin.display(description=gettext_lazy("where"), ordering="location__name")
    def place(self, assignment):
        return scope_words(assignment.location, assignment.program)

    @admin.display(description=gettext_lazy("given by"))
    def given_by(self, assignment):
        giver = assignment.granted_by
        if giver is None or giver.is_staff:
            return _("the program owner")
        return giver.full_name


class FirstRoles(BaseInlineFormSet):
    """The first rows of a list that may be thousands long; there is a page with all."""

    def get_queryset(self):
        if not hasattr(self, "_first"):
            self._first = super().get_queryset()[:MOST_ROLES]
        return self._first


class RoleInline(PartnerDoorMixin, LookedAtMixin, RoleWordsMixin, TabularInline):
    """The roles held at a place or by a person, as a list to look at."""

    model = RoleAssignment
    formset = FirstRoles
    extra = 0
    can_delete = False
    show_change_link = True
    # Those that hold come first, then what ended last.
    ordering = (F("revoked_at").desc(nulls_first=True), "pk")
    verbose_name_plural = gettext_lazy("roles, the ended ones too; the first 100")

    def get_queryset(self, request):
        return (
            super()
            .get_queryset(request)
            .select_related("user", "location", "program", "partner_account")
        )


class RolesOfPersonInline(RoleInline):
    fk_name = "user"
    fields = ("role", "company", "place", "ends_on", "revoked_at")
    readonly_fields = ("company", "place")


class RolesAtLocationInline(RoleInline):
    fields = ("user", "role", "place", "ends_on", "revoked_at")
    readonly_fields = ("place",)
