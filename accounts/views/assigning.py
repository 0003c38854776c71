"""Giving a role to people: asked, shown as what it would do, given as it was shown."""

from django.contrib import messages
from django.core import signing
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts import services
from accounts.access import requires, roles_here
from accounts.forms import ROLE_TEXTS, AssignRoleForm
from accounts.holders import given_by_roles
from accounts.models import scope_words
from accounts.previews import coverage_rows, differences, done_words, preview_rows
from accounts.roles import COMPANY_WIDE_ROLES, Permission, Role

SALT = "accounts.assign"
# Buttons that lead to the form again, with everything typed.
BACK_TO_FORM = ("find", "change")


@requires(Permission.ROLE_ASSIGN)
@require_http_methods(["GET", "HEAD", "POST"])
def assign(request):
    """Give people a role in all the places chosen, if it is what they were shown."""
    if request.method != "POST":
        return _assign_page(request, _form(request, initial=_answers(request.GET)))
    form = _form(request, data=request.POST)
    seen = _seen(request)
    if seen is None:
        return _previewed(request, form, status=422)
    try:
        plan = _asked(request, form, services.give_roles, seen=seen)
    except services.PlanChanged as changed:
        return _preview_page(request, form, changed.plan, seen=seen, status=422)
    if plan is None:
        return _assign_page(request, form, status=422)
    messages.success(request, done_words(plan))
    return redirect("accounts:people")


@requires(Permission.ROLE_ASSIGN)
@require_http_methods(["GET", "HEAD", "POST"])
def preview(request):
    """Say in words what a role would let people do; nothing is changed."""
    if request.method != "POST":
        return redirect("accounts:assign")
    if any(name in request.POST for name in BACK_TO_FORM):
        return _assign_page(request, _form(request, initial=_answers(request.POST)))
    return _previewed(request, _form(request, data=request.POST))


def _form(request, *, data=None, initial=None) -> AssignRoleForm:
    return AssignRoleForm(
        data,
        initial=initial,
        company=request.company,
        given=given_by_roles(roles_here(request).anywhere),
    )


def _answers(asked) -> dict:
    """The answers an address or a form carries, from a gap, a person, or a preview."""
    names = ("role", "width", "depth", "ends_on", "find_person", "find_location")
    initial = {name: asked[name] for name in names if name in asked}
    initial |= {name: asked.getlist(name) for name in ("person", "location", "program")}
    initial.setdefault("role", Role.INCENTIVES_ADMIN.value)
    if initial["location"]:
        initial.setdefault("width", AssignRoleForm.SOME)
    return initial


def _seen(request) -> list[str] | None:
    """The lines of the preview that was agreed to; None without one of ours."""
    try:
        return signing.loads(request.POST.get("seen", ""), salt=SALT)
    except signing.BadSignature:
        return None


def _asked(request, form, service, **options):
    """Ask a service what the form says; None when the form or the service refuses."""
    if not form.is_valid():
        return None
    try:
        return service(
            form.cleaned_data["person"],
            account=request.company,
            by=request.user,
            **form.answers,
            **options,
        )
    except services.PlanChanged:
        raise
    except ValidationError as error:
        form.add_refusal(error)
        return None


def _previewed(request, form, *, status=200):
    plan = _asked(request, form, services.plan_roles)
    if plan is None:
        return _assign_page(request, form, status=422)
    return _preview_page(request, form, plan, status=status)


def _assign_page(request, form, *, status=200):
    return render(request, "accounts/assign.html", {"form": form}, status=status)


def _preview_page(request, form, plan, *, seen=None, status=200):
    """What the plan does; what differs from what was seen before, if anything was."""
    coverage, more = coverage_rows(plan)
    context = {
        "form": form,
        "plan": plan,
        "role": plan.role.label,
        "places": [scope_words(*scope) for scope in plan.scopes],
        "duty": ROLE_TEXTS[plan.role] if plan.role in COMPANY_WIDE_ROLES else "",
        "rows": preview_rows(plan),
        "coverage": coverage,
        "more_coverage": more,
        "changes_coverage": plan.role not in COMPANY_WIDE_ROLES,
        "gives_oneself": any(
            step.user == request.user and not step.is_kept for step in plan.steps
        ),
        "differences": differences(seen, plan.lines) if seen is not None else [],
        "seen": signing.dumps(plan.lines, salt=SALT, compress=True),
    }
    return render(request, "accounts/preview.html", context, status=status)
