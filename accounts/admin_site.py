"""The admin site: operators, and Global admins for people and roles of their company.

What every app's admin.py builds on is here; the records themselves are in them.
"""

from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import REDIRECT_FIELD_NAME, get_permission_codename
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import (
    ImproperlyConfigured,
    PermissionDenied,
    ValidationError,
)
from django.db import models
from django.db.models import QuerySet
from django.http import Http404, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import HiddenPage, is_global_admin, wall
from accounts.companies import CompanyNotNamed
from accounts.models import AuditEvent, Membership, PartnerAccount, User
from accounts.operators import RECORDS
from accounts.roles import Role
from accounts.scoping import ScopedQuerySet
from accounts.stretches import CappedPaginator
from accounts.text import CleanCharField, CleanTextField, EmailField

# Addresses of Django's admin that this one does without: any object by its number.
LEFT_OUT = frozenset({"view_on_site"})

# All that there is for a company's Global admin; no other page of the admin exists.
PARTNER_PAGES = frozenset(
    {
        *("index", "app_list", "autocomplete", "jsi18n", "login", "logout"),
        *("password_change", "password_change_done"),
        *(
            f"accounts_{model}_{page}"
            for model in ("user", "location", "roleassignment")
            for page in ("changelist", "change", "history")
        ),
        *(f"accounts_roleassignment_{page}" for page in ("add", "delete")),
    }
)


def is_partner_door(request) -> bool:
    """Whether a company's Global admin stands at the door, asked once a request."""
    if not hasattr(request, "is_partner_door"):
        request.is_partner_door = is_global_admin(request.user)
    return request.is_partner_door


def may_set_up(request) -> bool:
    """Whether the operator may add companies, places and people."""
    return (
        request.user.is_active and request.user.is_staff and request.user.is_superuser
    )


def of_own_companies(rows: ScopedQuerySet, user) -> ScopedQuerySet:
    """Rows of the companies the person is Global admin of (domain.md §10.6).

    In a company that the address names, of that one alone.
    """
    rows = rows.where_roles(frozenset({Role.GLOBAL_ADMIN}), user=user)
    working_in = getattr(user, "working_in", None)
    return rows.of_company(working_in.pk) if working_in else rows


def _keep_to_company(request) -> None:
    """Lead a Global admin who belongs to several companies to one of theirs."""
    if request.named_company is None and len(request.companies) > 1:
        own = of_own_companies(PartnerAccount.objects.all(), request.user)
        raise CompanyNotNamed(own.order_by("name", "pk").first())


def people_of_own_companies(user) -> QuerySet[User]:
    """People who belong to those companies, the inactive too."""
    members = of_own_companies(Membership.objects.filter(ended_at=None), user)
    return User.objects.filter(pk__in=members.values("user_id"))


class PortalAutocomplete(AutocompleteJsonView):
    """Answers only for fields of forms that this person may fill in."""

    def has_perm(self, request, obj=None) -> bool:
        form = self.admin_site._registry.get(self.source_field.model)
        return (
            form is not None
            and self.source_field.name in form.get_autocomplete_fields(request)
            and (
                form.has_add_permission(request) or form.has_change_permission(request)
            )
            and super().has_perm(request, obj)
        )

    def serialize_result(self, obj, to_field_name) -> dict[str, str]:
        """Name each row so that two of the same name can be told apart."""
        result = super().serialize_result(obj, to_field_name)
        return result | {"text": self.model_admin.choice_label(obj)}


class PortalAdminSite(AdminSite):
    """Signs in through the portal's own sign-in; one door, one set of rate limits."""

    site_header = gettext_lazy("Partner Incentives: records")
    site_title = gettext_lazy("Records")
    index_title = gettext_lazy("Records")
    enable_nav_sidebar = False

    def __init__(self, name: str = "admin"):
        super().__init__(name)
        # Nothing is deleted; actions are named by the records that have them.
        self.disable_action("delete_selected")

    def register(self, model_or_iterable, admin_class=None, **options) -> None:
        """Take only records on the list that keep the rules below.

        Those that packages bring along stay out. Raises ImproperlyConfigured for one of
        ours that is not on the list with its reason.
        """
        if admin_class is None or not issubclass(admin_class, PortalModelAdmin):
            return
        models = model_or_iterable
        for model in models if isinstance(models, list | tuple) else [models]:
            if model._meta.label_lower not in RECORDS:
                raise ImproperlyConfigured(
                    f"{model._meta.label} is not among the RECORDS of operators.py."
                )
        super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request) -> bool:
        """Operators, and whoever is Global admin of a company (domain.md §10.6)."""
        return request.user.is_active and (
            request.user.is_staff or is_partner_door(request)
        )

    def admin_view(self, view, cacheable=False):
        """Tell nobody else who is signed in that there is an admin site.

        Those who know stand before the same wall as everywhere (T7, ASVS 6.3.4).
        """
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def guarded(request, *args, **kwargs):
            if not request.user.is_authenticated:
                return inner(request, *args, **kwargs)
            page = request.resolver_match.url_name
            if page is None and not request.user.is_staff:
                # Django's page for addresses that are none: nothing was refused.
                raise Http404
            if not self.has_permission(request):
                raise HiddenPage
            if not request.user.is_staff and page not in PARTNER_PAGES:
                raise HiddenPage
            _keep_to_company(request)
            return wall(request) or inner(request, *args, **kwargs)

        return guarded

    def get_urls(self) -> list:
        return [
            pattern
            for pattern in super().get_urls()
            if getattr(pattern, "name", None) not in LEFT_OUT
        ]

    @login_not_required
    def login(self, request, extra_context=None):
        """Lead to the portal's sign-in; there is no other."""
        index = reverse("admin:index", current_app=self.name)
        if not request.user.is_authenticated:
            return redirect_to_login(request.GET.get(REDIRECT_FIELD_NAME) or index)
        if not self.has_permission(request):
            raise Http404
        return HttpResponseRedirect(index)

    def password_change(self, request, extra_context=None):
        """Lead to the portal's own page, with its rate limits and notices."""
        return redirect("account_change_password")

    def password_change_done(self, request, extra_context=None):
        return redirect("account_change_password")

    def get_app_list(self, request, app_label=None) -> SimpleLazyObject:
        """Say which records there are where a page shows it: most pages do not."""
        listed = super().get_app_list
        return SimpleLazyObject(lambda: listed(request, app_label))

    def autocomplete_view(self, request):
        return PortalAutocomplete.as_view(admin_site=self)(request)


class RecordsList(ChangeList):
    """A list of records whose rows lead back to the same page and filters of it.

    The list says that once, and looks up once where its records are. Left to each row,
    Django looks each row's own address up among all of the portal's, which takes as long
    as the rest of the row.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._led_back_by, self.preserved_filters = self.preserved_filters, ""
        # What stands before a record's key and after it.
        self._around: list[str] = []

    def url_for_result(self, result) -> str:
        key = getattr(result, self.pk_attname)
        if not isinstance(key, int | UUID):
            # What an address may have to quote.
            address = super().url_for_result(result)
        else:
            self._around = self._around or super().url_for_result(result).rsplit(
                str(key), 1
            )
            address = str(key).join(self._around)
        return f"{address}?{self._led_back_by}" if self._led_back_by else address


class PortalModelAdmin(ModelAdmin):
    """What every record keeps: for operators only, looked at, never deleted.

    Whoever changes one here has a mixin that says so.

    Text is cleaned as everywhere else; what a service refuses becomes a message.
    """

    view_on_site = False
    actions = None
    list_per_page = 50
    show_full_result_count = False
    paginator = CappedPaginator
    formfield_overrides = {
        models.CharField: {"form_class": CleanCharField},
        models.SlugField: {},
        models.URLField: {"assume_scheme": "https"},
        models.EmailField: {"form_class": EmailField},
        models.TextField: {"form_class": CleanTextField, "max_length": 20_000},
    }

    def get_changelist(self, request, **kwargs) -> type[ChangeList]:
        return RecordsList

    def has_module_permission(self, request) -> bool:
        return request.user.is_staff and super().has_module_permission(request)

    def has_view_permission(self, request, obj=None) -> bool:
        return request.user.is_staff and super().has_view_permission(request, obj)

    def has_add_permission(self, request) -> bool:
        return False

    def has_change_permission(self, request, obj=None) -> bool:
        return False

    def has_delete_permission(self, request, obj=None) -> bool:
        return False

    def choice_label(self, obj) -> str:
        """How the record is named among the choices of another record's form."""
        return str(obj)

    def lookup_allowed(self, lookup, value, request=None) -> bool:
        """Only the filters shown: an address asks nothing about other columns."""
        for shown in self.get_list_filter(request):
            shown = shown[0] if isinstance(shown, tuple) else shown
            name = getattr(shown, "parameter_name", shown)
            if lookup == name or lookup.startswith(f"{name}__"):
                return super().lookup_allowed(lookup, value, request)
        return False

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ValidationError as refusal:
            return self.refused(request, refusal)

    def refused(self, request, refusal: ValidationError) -> HttpResponseRedirect:
        """Say what a service refused, on the page it was asked from."""
        for sentence in refusal.messages:
            self.message_user(request, sentence, messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())

    def _get_obj_does_not_exist_redirect(self, request, opts, object_id):
        """Out of reach answers as missing does (R16)."""
        raise Http404


class ReferenceMixin:
    """A record that operators add and change here whose group may."""

    def has_add_permission(self, request) -> bool:
        return _may(request, "add", self.opts)

    def has_change_permission(self, request, obj=None) -> bool:
        return _may(request, "change", self.opts)


def _may(request, verb: str, opts) -> bool:
    name = f"{opts.app_label}.{get_permission_codename(verb, opts)}"
    return request.user.is_staff and request.user.has_perm(name)


class LookedAtMixin:
    """Rows beside a record that are looked at here and changed elsewhere."""

    def has_add_permission(self, request, *args) -> bool:
        return False

    def has_change_permission(self, request, obj=None) -> bool:
        return False

    def has_delete_permission(self, request, obj=None) -> bool:
        return False


class AuditedMixin:
    """A record whose history is the audit trail, not the admin's own log."""

    def audit_events(self, obj: models.Model) -> QuerySet:
        """What was done to this record."""
        return AuditEvent.objects.filter(
            object_type=obj._meta.label_lower, object_id=str(obj.pk)
        )

    def history_view(self, request, object_id, extra_context=None):
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            raise Http404
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        events = self.audit_events(obj).select_related("actor").order_by("-pk")
        if not request.user.is_staff:
            events = of_own_companies(events, request.user)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": _("History: %s") % obj,
            "events": events[:200],
            "object": obj,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/audit_history.html", context)

    def log_addition(self, request, obj, message) -> None:
        """The service wrote the audit event."""

    def log_change(self, request, obj, message) -> None:
        """The service wrote the audit event."""

    def log_deletions(self, request, queryset) -> None:
        """The service wrote the audit event."""


class PartnerDoorMixin:
    """A record that Global admins see too: rows of their own companies, no others."""

    def of_partner(self, rows: QuerySet, user) -> QuerySet:
        """The rows a Global admin reaches."""
        return of_own_companies(rows, user)

    def get_queryset(self, request) -> QuerySet:
        rows = super().get_queryset(request)
        if request.user.is_staff:
            return rows
        return self.of_partner(rows, request.user)

    def has_module_permission(self, request) -> bool:
        return is_partner_door(request) or super().has_module_permission(request)

    def has_view_permission(self, request, obj=None) -> bool:
        return is_partner_door(request) or super().has_view_permission(request, obj)
