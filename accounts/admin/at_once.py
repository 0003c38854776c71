"""What Global admins do to many at once: give a role after a preview, end roles."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.core import signing
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import QuerySet
from django.http import HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts import proof, services
from accounts.access import ask_again, is_global_admin
from accounts.admin_site import of_own_companies
from accounts.holders import gaps_left_by
from accounts.models import (
    IncentiveProgram,
    Location,
    PartnerAccount,
    RoleAssignment,
    scope_words,
)
from accounts.previews import coverage_rows, differences, done_words, preview_rows
from accounts.roles import PROVED_ROLES, Role
from accounts.rows import gap_warnings
from accounts.scoping import today

SALT = "accounts.admin.at_once"
EVERYWHERE, SOME = "everywhere", "some"


class IncentivesAdminForm(forms.Form):
    """Where the people chosen become Incentives admins; the service judges it."""

    partner_account = forms.ModelChoiceField(
        label=gettext_lazy("Company"), queryset=PartnerAccount.objects.none()
    )
    width = forms.ChoiceField(
        label=gettext_lazy("Where"),
        choices=(
            (EVERYWHERE, gettext_lazy("The whole company")),
            (SOME, gettext_lazy("Only these locations")),
        ),
        widget=forms.RadioSelect,
    )
    location = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Locations"),
        queryset=Location.objects.none(),
        required=False,
    )
    program = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Programs"),
        queryset=IncentiveProgram.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None ticked: every program there."),
    )
    ends_on = forms.DateField(
        label=gettext_lazy("Last day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=gettext_lazy("Empty: no end."),
    )

    def __init__(self, *args, user, site, **options):
        super().__init__(*args, **options)
        self.companies = of_own_companies(PartnerAccount.objects.all(), user)
        self.fields["partner_account"].queryset = self.companies
        self.fields["location"].queryset = of_own_companies(
            Location.objects.active(), user
        )
        self.fields["location"].widget = AutocompleteSelectMultiple(
            RoleAssignment._meta.get_field("location"), site
        )
        self.fields["location"].widget.choices = self.fields["location"].choices
        self.fields["program"].queryset = IncentiveProgram.objects.known_to(
            *self.companies
        )
        if len(self.companies) == 1:
            del self.fields["partner_account"]

    def clean(self) -> dict[str, Any]:
        answers = super().clean()
        width, places = answers.get("width"), answers.get("location")
        if width == SOME and "location" not in self.errors and not places:
            self.add_error("location", _("Choose at least one location."))
        if width == EVERYWHERE and places:
            self.add_error(
                "width", _("Leave out the locations, or choose only these locations.")
            )
        return answers

    @property
    def answers(self) -> dict[str, Any]:
        """What the service is asked for, besides the people."""
        typed = self.cleaned_data
        return {
            "account": typed.get("partner_account") or self.companies[0],
            "role": Role.INCENTIVES_ADMIN,
            "locations": typed["location"],
            "programs": typed["program"],
            "ends_on": typed["ends_on"],
        }

    def add_refusal(self, refusal: ValidationError) -> None:
        """Show what the service said at the field it is about, if there is one."""
        if not hasattr(refusal, "error_dict"):
            self.add_error(None, refusal)
            return
        for name, errors in refusal.error_dict.items():
            self.add_error(name if name in self.fields else None, errors)


class AtOnceMixin:
    """A list with actions, for Global admins of companies only."""

    def back_to_list(self, request) -> HttpResponseRedirect:
        """Lead to the list, or home whoever just ended the role that opens it."""
        if is_global_admin(request.user) or request.user.is_staff:
            return HttpResponseRedirect(
                reverse(
                    f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
                )
            )
        return redirect("home")

    def has_partner_door_permission(self, request) -> bool:
        """Asked by Django for an action's `permissions`."""
        return not request.user.is_staff

    def get_action_choices(self, request, default_choices=None):
        return super().get_action_choices(
            request, default_choices or [("", _("Choose an action"))]
        )

    def response_action(self, request, queryset):
        """Refuse what is no key before the database is asked."""
        for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
            if not (key.isascii() and key.isdigit() and len(key) < 19):
                raise BadRequest("A key of a row is a number.")
        return super().response_action(request, queryset)

    def action_page(self, request, template: str, context: dict, *, status: int = 200):
        """A page between an action and its doing."""
        page = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "action": request.POST["action"],
            "checkbox": ACTION_CHECKBOX_NAME,
            "list_url": request.get_full_path(),
        }
        return TemplateResponse(
            request, f"admin/accounts/{template}", page | context, status=status
        )


@admin.action(
    description=gettext_lazy("Make Incentives admin for…"), permissions=["partner_door"]
)
def make_incentives_admin(records: AtOnceMixin, request, people: QuerySet):
    """Ask where, show what it would do, and do it if that is still so (R3, R4)."""
    people = list(people.order_by("full_name", "pk")[: services.MOST_AT_ONCE + 1])
    if request.POST.get("step") not in ("preview", "give"):
        form = _form(records, request, initial=_as_initial(request.POST))
        return _where_page(records, request, people, form)
    form = _form(records, request, data=request.POST)
    if not form.is_valid():
        return _where_page(records, request, people, form, status=422)
    seen, ask = _seen(request), services.plan_roles
    if seen is not None:
        ask = partial(services.give_roles, seen=seen)
    try:
        plan = ask(people, by=request.user, **form.answers)
    except services.PlanChanged as changed:
        return _preview_page(
            records, request, form, changed.plan, seen=seen, status=422
        )
    except ValidationError as refusal:
        form.add_refusal(refusal)
        return _where_page(records, request, people, form, status=422)
    if seen is None:
        return _preview_page(records, request, form, plan)
    records.message_user(request, done_words(plan), messages.SUCCESS)
    return None


@admin.action(description=gettext_lazy("End roles"), permissions=["partner_door"])
def end_roles(records: AtOnceMixin, request, assignments: QuerySet):
    """Say what ending the roles means, then end all of them or none."""
    assignments = list(
        assignments.select_related("user", "partner_account", "location", "program")[
            : services.MOST_AT_ONCE + 1
        ]
    )
    refusal, status = None, 200
    try:
        if request.POST.get("step") == "end":
            if _are_proved(assignments) and not proof.is_fresh(request):
                return ask_again(request)
            ended = services.revoke_roles(assignments, by=request.user)
            records.message_user(request, _ended_words(ended), messages.SUCCESS)
            return records.back_to_list(request)
        services.check_revoking(*assignments, by=request.user)
    except ValidationError as error:
        refusal = " ".join(error.messages)
        status = 422 if "step" in request.POST else 200
    held = [one for one in assignments if not one.is_over(today())]
    context = {
        "title": _("End roles"),
        "assignments": assignments,
        "refusal": refusal,
        "warnings": [] if refusal else gap_warnings(gaps_left_by(*held)),
        "is_self": any(one.user == request.user for one in assignments),
    }
    return records.action_page(
        request, "roleassignment/end_roles.html", context, status=status
    )


def _are_proved(assignments: list[RoleAssignment]) -> bool:
    return not PROVED_ROLES.isdisjoint(Role(one.role) for one in assignments)


def _ended_words(ended: list[RoleAssignment]) -> str:
    return ngettext(
        "%(count)d role has ended.", "%(count)d roles have ended.", len(ended)
    ) % {"count": len(ended)}


def _form(records: AtOnceMixin, request, **answers) -> IncentivesAdminForm:
    return IncentivesAdminForm(
        answers.pop("data", None), user=request.user, site=records.admin_site, **answers
    )


def _as_initial(typed) -> dict[str, Any]:
    """What was typed before, to be shown again and changed."""
    names = ("partner_account", "width", "ends_on")
    initial = {"width": SOME} | {name: typed[name] for name in names if name in typed}
    return initial | {name: typed.getlist(name) for name in ("location", "program")}


def _seen(request) -> list[str] | None:
    """The lines of the preview that was agreed to; None without one of ours."""
    if request.POST["step"] != "give":
        return None
    try:
        return signing.loads(request.POST.get("seen", ""), salt=SALT)
    except signing.BadSignature:
        return None


def _where_page(records, request, people, form, *, status=200) -> TemplateResponse:
    context = {"title": _("Make Incentives admin for…"), "people": people, "form": form}
    return records.action_page(
        request, "make_incentives_admin.html", context, status=status
    )


def _preview_page(records, request, form, plan, *, seen=None, status=200):
    """What the plan does; what differs from what was seen before, if anything was."""
    coverage, more = coverage_rows(plan)
    context = {
        "title": _("Check and assign"),
        "form": form,
        "plan": plan,
        "people": plan.people,
        "role": plan.role.label,
        "places": [scope_words(*scope) for scope in plan.scopes],
        "rows": preview_rows(plan),
        "coverage": coverage,
        "more_coverage": more,
        "gives_oneself": any(
            step.user == request.user and not step.is_kept for step in plan.steps
        ),
        "differences": differences(seen, plan.lines) if seen is not None else [],
        "seen": signing.dumps(plan.lines, salt=SALT, compress=True),
    }
    return records.action_page(request, "check_and_assign.html", context, status=status)
