"""Records of people."""

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy

from accounts import services
from accounts.admin.at_once import AtOnceMixin, make_incentives_admin
from accounts.admin.role_inlines import RolesOfPersonInline
from accounts.admin.setting_up import SetUpMixin
from accounts.admin_site import (
    PartnerDoorMixin,
    PortalModelAdmin,
    people_of_own_companies,
)
from accounts.models import AuditEvent, PartnerAccount, User


class AddPersonForm(forms.ModelForm):
    """A new person, or somebody known who joins a company."""

    partner_account = forms.ModelChoiceField(
        label=gettext_lazy("Company"),
        queryset=PartnerAccount.objects.all(),
        help_text=gettext_lazy("Somebody known already joins it and stays unchanged."),
    )

    class Meta:
        model = User
        fields = ("email", "full_name", "language")

    def clean(self):
        # Not Django's: it would refuse an address that is known, which may join.
        return self.cleaned_data


@admin.register(User)
class UserAdmin(AtOnceMixin, PartnerDoorMixin, SetUpMixin, PortalModelAdmin):
    list_display = ("full_name", "email", "language", "is_active", "date_joined")
    search_fields = ("full_name", "email")
    ordering = ("full_name", "pk")
    inlines = (RolesOfPersonInline,)
    actions = (make_incentives_admin,)
    shown = ("full_name", "email", "language", "is_active", "date_joined")
    shown_to_operators = ("is_staff", "is_superuser", "groups", "last_login")

    def of_partner(self, rows, user):
        return rows & people_of_own_companies(user)

    def choice_label(self, obj) -> str:
        return f"{obj.full_name} ({obj.email})"

    def get_list_filter(self, request):
        return ("is_active", "is_staff") if request.user.is_staff else ("is_active",)

    def get_fields(self, request, obj=None):
        if obj is None:
            return ("partner_account", "email", "full_name", "language")
        if request.user.is_staff:
            return (*self.shown, *self.shown_to_operators)
        return self.shown

    def get_inlines(self, request, obj):
        return self.inlines if obj is not None else ()

    def get_form(self, request, obj=None, change=False, **options):
        if obj is None:
            options |= {"form": AddPersonForm}
        return super().get_form(request, obj, change, **options)

    def create(self, *, partner_account, **answers) -> User:
        # Only superusers get here, and the form tells them that somebody known joins.
        return services.add_person(partner_account, joins_existing=True, **answers)

    def audit_events(self, obj):
        """What was given to this person and taken from them."""
        return AuditEvent.objects.filter(
            Q(after__person=obj.pk) | Q(before__person=obj.pk)
        )
