"""Roles: the list, giving one, ending one."""

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import services
from accounts.access import recently_authenticated
from accounts.admin.at_once import AtOnceMixin, end_roles
from accounts.admin.role_inlines import RoleWordsMixin
from accounts.admin_site import (
    AuditedMixin,
    PartnerDoorMixin,
    PortalModelAdmin,
    is_partner_door,
    may_set_up,
    of_own_companies,
    people_of_own_companies,
)
from accounts.holders import (
    gaps_left_by,
)
from accounts.models import (
    IncentiveProgram,
    Location,
    PartnerAccount,
    RoleAssignment,
    User,
    scope_words,
)
from accounts.roles import Role
from accounts.rows import gap_warnings
from accounts.scoping import today

# Locations in a filter.
MOST_PLACES = 50


class HoldsNowFilter(admin.SimpleListFilter):
    """Roles that hold now, unless asked for others."""

    title = gettext_lazy("status")
    parameter_name = "holds"

    def lookups(self, request, model_admin):
        return (("ended", _("Ended")), ("all", _("All")))

    def choices(self, changelist):
        everything, *others = super().choices(changelist)
        return [everything | {"display": _("Holds now")}, *others]

    def queryset(self, request, queryset):
        live = RoleAssignment.objects.live().values("pk")
        if self.value() == "all":
            return queryset
        if self.value() == "ended":
            return queryset.exclude(pk__in=live)
        return queryset.filter(pk__in=live)


class FewPlacesFilter(admin.RelatedOnlyFieldListFilter):
    """Locations to filter by where they fit a list; the search finds them too."""

    def field_choices(self, field, request, model_admin):
        places = of_own_companies(Location.objects.all(), request.user)
        if len(places.values_list("pk")[: MOST_PLACES + 1]) > MOST_PLACES:
            return []
        return super().field_choices(field, request, model_admin)


class GiveRoleForm(forms.ModelForm):
    """A role as services.assign_role gives it; what it would refuse stands here."""

    giver: User

    class Meta:
        model = RoleAssignment
        fields = ("partner_account", "user", "role", "location", "program", "ends_on")

    def clean(self):
        # Not Django's: giving what is held already is no fault, it changes nothing.
        answers = self.cleaned_data
        if {"partner_account", "user", "role"} <= answers.keys():
            location, program = answers.get("location"), answers.get("program")
            try:
                services.check_roles(
                    answers["user"],
                    role=answers["role"],
                    account=answers["partner_account"],
                    locations=[location] if location else [],
                    programs=[program] if program else [],
                    ends_on=answers.get("ends_on"),
                    by=self.giver,
                )
            except ValidationError as refusal:
                self.add_error(None, refusal)
        return answers


@admin.register(RoleAssignment)
class RoleAssignmentAdmin(
    AtOnceMixin,
    PartnerDoorMixin,
    AuditedMixin,
    RoleWordsMixin,
    PortalModelAdmin,
):
    """Roles: Global admins give and end those of their companies.

    The program owner's superusers give and end the role Global admin only: to set a
    company up, and when its last one has left.
    """

    list_display = (
        "person",
        "role",
        "place",
        "company",
        "ends_on",
        "given_by",
        "granted_at",
        "revoked_at",
    )
    list_select_related = (
        "user",
        "partner_account",
        "location",
        "program",
        "granted_by",
    )
    search_fields = (
        "user__full_name",
        "user__email",
        "location__name",
        "location__partner_id",
    )
    ordering = ("user__full_name", "user_id", "pk")
    fields = ("partner_account", "user", "role", "location", "program", "ends_on")
    fields_shown = (
        "company",
        "user",
        "role",
        "place",
        "ends_on",
        "given_by",
        "granted_at",
    )
    actions = (end_roles,)
    delete_confirmation_template = "admin/accounts/roleassignment/end_role.html"

    @admin.display(description=gettext_lazy("person"), ordering="user__full_name")
    def person(self, assignment):
        return format_html("{}<br>{}", assignment.user.full_name, assignment.user.email)

    @admin.display(description=gettext_lazy("end"))
    def end_role(self, assignment):
        if assignment.is_over(today()):
            return ""
        url = reverse("admin:accounts_roleassignment_delete", args=[assignment.pk])
        return format_html('<a href="{}">{}</a>', url, _("End role"))

    def get_list_display(self, request):
        if request.user.is_staff:
            return self.list_display
        left_out = {"granted_at", "revoked_at"}
        return (*(one for one in self.list_display if one not in left_out), "end_role")

    def get_list_filter(self, request):
        if request.user.is_staff:
            return (HoldsNowFilter, "role")
        own = admin.RelatedOnlyFieldListFilter
        return (
            HoldsNowFilter,
            "role",
            ("location", FewPlacesFilter),
            ("program", own),
            ("partner_account", own),
        )

    def get_fields(self, request, obj=None):
        if obj is not None:
            return (*self.fields_shown, "revoked_at")
        if request.user.is_staff:
            return ("partner_account", "user", "role")
        return self.fields

    def get_readonly_fields(self, request, obj=None):
        return self.fields_shown if obj is not None else ()

    def get_autocomplete_fields(self, request):
        if request.user.is_staff:
            return ("partner_account", "user")
        return ("user", "location")

    def has_add_permission(self, request) -> bool:
        return is_partner_door(request) or may_set_up(request)

    def has_delete_permission(self, request, obj=None) -> bool:
        """Whether the role may be ended here; nothing is ever deleted."""
        if obj is not None and obj.revoked_at is not None:
            return False
        if may_set_up(request):
            return obj is None or obj.role == Role.GLOBAL_ADMIN
        return is_partner_door(request)

    def formfield_for_foreignkey(self, db_field, request, **options):
        user = request.user
        choices = {
            "partner_account": PartnerAccount.objects.all(),
            "user": User.objects.filter(is_staff=False),
        }
        if not user.is_staff:
            companies = of_own_companies(PartnerAccount.objects.all(), user)
            choices = {
                "partner_account": companies,
                "user": people_of_own_companies(user),
                "location": of_own_companies(Location.objects.active(), user),
                "program": IncentiveProgram.objects.known_to(*companies),
            }
        options["queryset"] = choices[db_field.name]
        return super().formfield_for_foreignkey(db_field, request, **options)

    def formfield_for_choice_field(self, db_field, request, **options):
        if request.user.is_staff:
            role = Role.GLOBAL_ADMIN
            options["choices"] = [(role.value, role.label)]
        return super().formfield_for_choice_field(db_field, request, **options)

    def get_changeform_initial_data(self, request) -> dict:
        initial = super().get_changeform_initial_data(request)
        companies = of_own_companies(PartnerAccount.objects.all(), request.user)[:2]
        if len(companies) == 1:
            initial.setdefault("partner_account", companies[0].pk)
        return initial

    def get_form(self, request, obj=None, change=False, **options):
        form = super().get_form(request, obj, change, form=GiveRoleForm, **options)
        return type(form.__name__, (form,), {"giver": request.user})

    def save_model(self, request, obj, form, change) -> None:
        given = services.assign_role(
            obj.user,
            role=obj.role,
            account=obj.partner_account,
            location=obj.location,
            program=obj.program,
            ends_on=obj.ends_on,
            by=request.user,
        )
        obj.__dict__.update(given.__dict__)

    @method_decorator(recently_authenticated)
    def add_view(self, request, form_url="", extra_context=None):
        """Giving the role that gives all others asks for a fresh proof (T1)."""
        return super().add_view(request, form_url, extra_context)

    def change_view(self, request, object_id, form_url="", extra_context=None):
        assignment = self.get_object(request, unquote(object_id))
        words = {"subtitle": self.sentence(assignment)} if assignment else {}
        return super().change_view(
            request, object_id, form_url, (extra_context or {}) | words
        )

    def delete_model(self, request, obj) -> None:
        services.revoke_role(obj, by=request.user)

    @method_decorator(recently_authenticated)
    def delete_view(self, request, object_id, extra_context=None):
        """Say what ending a role means, then end it; refusals become messages."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except ValidationError as refusal:
            return self.refused(request, refusal)

    def get_deleted_objects(self, objs, request):
        return [], {}, set(), []

    def render_delete_form(self, request, context):
        assignment, refusal = context["object"], ""
        try:
            services.check_revoking(assignment, by=request.user)
        except ValidationError as error:
            refusal = " ".join(error.messages)
        context |= {
            "refusal": refusal,
            "is_self": assignment.user == request.user,
            "title": _("End role"),
            "holder": assignment.user.full_name,
            "role": Role(assignment.role).label,
            "place": scope_words(assignment.location, assignment.program),
            "warnings": gap_warnings(gaps_left_by(assignment)),
        }
        return super().render_delete_form(request, context)

    def response_add(self, request, obj, post_url_continue=None):
        self.message_user(request, self.sentence(obj))
        return self.back_to_list(request)

    def response_delete(self, request, obj_display, obj_id):
        obj = RoleAssignment.objects.get(pk=obj_id)
        self.message_user(request, self.sentence(obj))
        return self.back_to_list(request)

    def sentence(self, assignment) -> str:
        """What is true of the role now."""
        words = {
            "person": assignment.user.full_name,
            "role": Role(assignment.role).label,
            "place": scope_words(assignment.location, assignment.program),
        }
        if not assignment.is_over(today()):
            return _("%(person)s has the role %(role)s: %(place)s.") % words
        return _("%(person)s no longer has the role %(role)s: %(place)s.") % words
