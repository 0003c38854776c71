"""People: who works for the company in which role, who is missing, and who may act."""

from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Exists, F, OuterRef, Q
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import services
from accounts.access import (
    requires,
)
from accounts.companies import PARAMETER
from accounts.forms import AssignRoleForm, PeopleFilterForm
from accounts.holders import (
    gaps_left_by,
    givers_of,
    holds_anywhere,
    roles_given_by,
)
from accounts.models import Membership, RoleAssignment, scope_words
from accounts.reach import (
    reach_of,
)
from accounts.roles import Permission, Role, roles_with
from accounts.rows import gap_row, gap_warnings, person_rows, places_named, role_row
from accounts.scoping import today
from accounts.views.around import around, locations_to_cover, typed

PAGE_SIZE = 25


@requires(Permission.PERSON_VIEW)
@require_safe
def people(request):
    """List everybody of the company with the roles they hold now."""
    filters = PeopleFilterForm(request.GET or None, company=request.company)
    members = (
        Membership.objects.where_user_may(request.user, Permission.PERSON_VIEW)
        .of_company(request.company)
        .current()
        .select_related("user")
        .order_by("user__full_name", "user_id")
    )
    page = _page(request, _chosen(members, filters))
    context = {
        "filters": filters,
        "is_filtered": filters.is_bound and any(filters.cleaned_data.values()),
        "page": page,
        "query": _query_without_page(request),
        "rows": person_rows(
            page,
            _live_roles(request, [member.user_id for member in page]),
            company=request.company,
            given=roles_given_by(request.user, request.company),
        ),
    }
    return render(request, "accounts/people.html", context | around(request, "people"))


@requires(Permission.ROLE_ASSIGN)
@require_safe
def gaps(request):
    """List every location with who can enroll it, worst first (R6)."""
    locations = locations_to_cover(request).with_coverage()
    page = _page(request, locations.order_by("coverage", "name", "pk"))
    admins = list(
        RoleAssignment.objects.live()
        .of_company(request.company)
        .filter(
            Q(location=None) | Q(location__in=[location.pk for location in page]),
            role__in=roles_with(Permission.ENROLLMENT_EDIT),
        )
        .select_related("user", "program")
        .order_by("user__full_name", "user_id", "program__name")
    )
    context = {
        "page": page,
        "query": _query_without_page(request),
        "rows": [gap_row(location, admins, reader=request.user) for location in page],
    }
    return render(request, "accounts/gaps.html", context | around(request, "gaps"))


@requires(Permission.ROLE_ASSIGN)
@require_http_methods(["GET", "HEAD", "POST"])
def assign(request):
    """Give a person a role in all the places chosen, or in none (R3, R4)."""
    if request.method != "POST":
        form = AssignRoleForm(initial=_prefilled(request), company=request.company)
        return _assign_page(request, form)
    form = AssignRoleForm(request.POST, company=request.company)
    given = _asked(request, form, services.assign_roles)
    if given is None:
        return _assign_page(request, form, status=422)
    places = [scope_words(one.location, one.program) for one in given]
    messages.success(
        request,
        _("%(person)s has the role %(role)s: %(places)s.")
        % {
            "person": given[0].user.full_name,
            "role": Role(given[0].role).label,
            "places": places_named(places, separator="; "),
        },
    )
    return redirect("accounts:people")


@requires(Permission.ROLE_ASSIGN)
@require_http_methods(["GET", "HEAD", "POST"])
def preview(request):
    """Say in words what a role would let a person do; nothing is changed."""
    if request.method != "POST":
        return redirect("accounts:assign")
    form = AssignRoleForm(request.POST, company=request.company)
    scopes = _asked(request, form, services.check_roles)
    if scopes is None:
        return _assign_page(request, form, status=422)
    person, role = form.cleaned_data["person"], form.answers["role"]
    held = list(_live_roles(request, [person.pk]))
    wanted = [
        RoleAssignment(role=role, location=location, program=program)
        for location, program in scopes
    ]
    context = {
        "form": form,
        "chosen": person,
        "is_self": person == request.user,
        "role": role.label,
        "ends_on": form.cleaned_data["ends_on"],
        "places": [scope_words(*scope) for scope in scopes],
        "held": [role_row(one, given=frozenset()) for one in held],
        "reach": reach_of([*held, *wanted]),
        "change_url": f"{reverse('accounts:assign')}?{typed(request)}",
    }
    return render(request, "accounts/preview.html", context)


@requires(Permission.ROLE_ASSIGN, on=RoleAssignment)
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request, assignment):
    """Say what ending a role means, then end it."""
    if request.method != "POST":
        return _revoke_page(request, assignment)
    try:
        services.revoke_role(assignment, by=request.user)
    except ValidationError as error:
        return _revoke_page(request, assignment, refusal=error, status=422)
    messages.success(
        request,
        _("%(person)s no longer has the role %(role)s: %(place)s.")
        % {
            "person": assignment.user.full_name,
            "role": Role(assignment.role).label,
            "place": scope_words(assignment.location, assignment.program),
        },
    )
    company = assignment.partner_account
    may_stay = holds_anywhere(request.user, Permission.PERSON_VIEW, company)
    return redirect(_people_url(company) if may_stay else "home")


def _page(request, rows):
    return Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))


def _query_without_page(request) -> str:
    query = request.GET.copy()
    query.pop("page", None)
    return query.urlencode()


def _people_url(company) -> str:
    return f"{reverse('accounts:people')}?{urlencode({PARAMETER: company.partner_id})}"


def _live_roles(request, people):
    """The roles people hold in the company now, widest first."""
    return (
        RoleAssignment.objects.where_user_may(request.user, Permission.PERSON_VIEW)
        .of_company(request.company)
        .live()
        .filter(user__in=people)
        .select_related("location", "program", "granted_by")
        .order_by(
            F("location__name").asc(nulls_first=True), "role", "program__name", "pk"
        )
    )


def _chosen(members, filters):
    """The members the filters leave; a filter that cannot be understood is none."""
    if not filters.is_bound:
        return members
    filters.is_valid()
    for word in filters.cleaned_data.get("q", "").split():
        members = members.filter(
            Q(user__full_name__icontains=word) | Q(user__email__icontains=word)
        )
    roles = RoleAssignment.objects.live().filter(
        user=OuterRef("user"), partner_account=OuterRef("partner_account")
    )
    role, location = (filters.cleaned_data.get(name) for name in ("role", "location"))
    if role:
        roles = roles.filter(role=role)
    if location:
        roles = roles.filter(Q(location=None) | Q(location=location))
    return members.filter(Exists(roles)) if role or location else members


def _prefilled(request) -> dict:
    """The answers an address carries, from a gap, a person, or an earlier preview."""
    asked = request.GET
    initial = {
        name: asked[name]
        for name in ("person", "role", "width", "depth", "ends_on")
        if name in asked
    }
    initial |= {name: asked.getlist(name) for name in ("location", "program")}
    initial.setdefault("role", Role.INCENTIVES_ADMIN.value)
    if initial["location"]:
        initial.setdefault("width", AssignRoleForm.SOME)
    return initial


def _asked(request, form, service):
    """Ask a service what the form says; None when the form or the service refuses."""
    if not form.is_valid():
        return None
    try:
        return service(
            form.cleaned_data["person"],
            account=request.company,
            by=request.user,
            **form.answers,
        )
    except ValidationError as error:
        form.add_refusal(error)
        return None


def _assign_page(request, form, *, status=200):
    return render(request, "accounts/assign.html", {"form": form}, status=status)


def _revoke_page(request, assignment, *, refusal=None, status=200):
    """What ending this role would do, or why the reader cannot end it."""
    if refusal is None:
        try:
            services.check_revoking(assignment, by=request.user)
        except ValidationError as error:
            refusal = error
    company = assignment.partner_account
    role = Role(assignment.role)
    is_over = assignment.is_over(today())
    context = {
        "assignment": assignment,
        "row": role_row(assignment, given=roles_given_by(request.user, company)),
        "is_self": assignment.user == request.user,
        "is_over": is_over,
        "refusal": " ".join(refusal.messages) if refusal else "",
        "people_url": _people_url(company),
        "left": [] if is_over else gap_warnings(gaps_left_by(assignment)),
        "givers": givers_of(role, company),
    }
    return render(request, "accounts/revoke.html", context, status=status)
