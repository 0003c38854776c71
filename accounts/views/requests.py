"""Access: asked for from a page that refused, given or declined by an admin."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import services
from accounts.access import requires, roles_here, signed_in
from accounts.holders import (
    appointers,
    given_by_roles,
    needs_recovery,
    roles_given_by,
)
from accounts.models import (
    AccessRequest,
    FactorReset,
    RecoveryRequest,
    RequestState,
)
from accounts.posting import posted
from accounts.request_forms import AccessRequestForm, DeclineForm
from accounts.roles import Permission, Role
from accounts.typed import keeps_typed, refilled
from accounts.views.around import around
from accounts.waiting import own_request_rows, request_rows

PAGE_SIZE = 25
# Requests to answer on one page, the oldest; the others come up as these are answered.
MOST_WAITING = 50


def _list_with(request_row) -> str:
    """The list a request stands in."""
    return reverse("accounts:requests")


@signed_in("everybody asks for themselves; the service asks who may ask for what")
@require_http_methods(["GET", "HEAD", "POST"])
@keeps_typed
def request_access(request):
    """Ask for a role; what the page that refused knows is filled in."""
    company = request.company or None
    if company is None:
        return render(request, "accounts/request_access.html", {"company": None})
    if request.method != "POST":
        asked = request.GET
        initial = {
            name: asked[name]
            for name in ("role", "location", "program")
            if name in asked
        }
        form = AccessRequestForm(initial=initial, company=company)
        return _ask_page(request, refilled(request, form))
    form = AccessRequestForm(request.POST, company=company)
    if form.is_searching:
        return _ask_page(request, form.unchecked(company=company))
    if not form.is_valid():
        return _ask_page(request, form, status=422)
    try:
        asked = services.request_access(company, by=request.user, **form.answers)
    except ValidationError as error:
        form.add_refusal(error)
        return _ask_page(request, form, status=422)
    messages.success(
        request,
        _("You have asked for the role %(role)s: %(place)s. The answer comes by mail.")
        % {"role": Role(asked.role).label, "place": asked.where},
    )
    return redirect("accounts:request_access")


@requires(Permission.ROLE_ASSIGN)
@require_safe
def requests(request):
    """List what people of the company ask for, the oldest first, then the answers."""
    held = roles_here(request)
    mine = AccessRequest.objects.where_held(held, Permission.ROLE_ASSIGN)
    mine = mine.select_related("user", "location", "program", "answered_by", "asked_by")
    waiting = list(mine.waiting().order_by("asked_at", "pk")[: MOST_WAITING + 1])
    answered = mine.exclude(state=RequestState.WAITING).order_by("-answered_at", "pk")
    page = Paginator(answered, PAGE_SIZE).get_page(request.GET.get("page"))
    given = given_by_roles(held.anywhere)
    context = {
        "recovery": RecoveryRequest.objects.of_company(request.company)
        .open()
        .select_related("user")
        .first(),
        "resets": FactorReset.objects.where_held(held, Permission.ROLE_ASSIGN)
        .open()
        .select_related("user")
        .order_by("asked_at", "pk"),
        "waiting": request_rows(
            waiting[:MOST_WAITING], given=given, company=request.company
        ),
        "has_more_waiting": len(waiting) > MOST_WAITING,
        "page": page,
        "answered": request_rows(page, given=given, company=request.company),
    }
    return render(
        request, "accounts/requests.html", context | around(request, "requests")
    )


@requires(Permission.ROLE_ASSIGN, on=AccessRequest)
@posted(instead=_list_with)
def grant_access(request, asked):
    """Give what was asked for."""
    try:
        services.grant_access(asked, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("%(person)s has the role %(role)s: %(place)s.")
            % {
                "person": asked.user.full_name,
                "role": Role(asked.role).label,
                "place": asked.where,
            },
        )
    return redirect(_list_with(asked))


@requires(Permission.ROLE_ASSIGN, on=AccessRequest)
@require_http_methods(["GET", "HEAD", "POST"])
@keeps_typed
def decline_access(request, asked):
    """Ask why not, then decline."""
    form = DeclineForm(request.POST if request.method == "POST" else None)
    if request.method != "POST":
        return _decline_page(request, asked, refilled(request, form))
    if not form.is_valid():
        return _decline_page(request, asked, form, status=422)
    try:
        services.decline_access(
            asked, reason=form.cleaned_data["reason"], by=request.user
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("Declined. %(person)s reads why.") % {"person": asked.user.full_name},
        )
    return redirect(_list_with(asked))


def _ask_page(request, form, *, status=200):
    company = request.company
    given = roles_given_by(request.user, company)
    own = (
        AccessRequest.objects.filter(user=request.user)
        .of_company(company)
        .select_related("location", "program", "answered_by")
        .order_by("-asked_at", "pk")
    )
    context = {
        "company": company,
        "form": form,
        "rows": own_request_rows(own[:PAGE_SIZE]),
        "gives_every_role": Role.GLOBAL_ADMIN in given,
        "gives_some_roles": bool(given),
        "needs_recovery": needs_recovery(request.user, company),
        "recovery_url": reverse("accounts:recovery"),
        "appointers": [one for one in appointers(company) if one != request.user],
    }
    return render(request, "accounts/request_access.html", context, status=status)


def _decline_page(request, asked, form, *, status=200):
    (row,) = request_rows(
        [asked],
        given=roles_given_by(request.user, asked.partner_account),
        company=asked.partner_account,
    )
    context = {"form": form, "row": row, "list_url": _list_with(asked)}
    return render(request, "accounts/decline_access.html", context, status=status)
