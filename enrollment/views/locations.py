"""Locations: where the company is, who works there, what is missing there."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import F, Q
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import requires, roles_here
from accounts.holders import held_in, holds_anywhere, roles_given_by
from accounts.models import (
    AuditAction,
    AuditEvent,
    Location,
    Membership,
    RoleAssignment,
)
from accounts.posting import posted
from accounts.roles import Permission, roles_with
from accounts.rows import gap_row, role_row
from accounts.services import (
    add_location,
    ask_for_closing,
    check_closing,
    withdraw_closing,
)
from accounts.typed import keeps_typed, refilled
from enrollment import services
from enrollment.forms import AddLocationForm, LocationsFilter, ReasonForm
from enrollment.models import Enrollment, ProgramTerms
from enrollment.places import place_rows
from enrollment.rows import enrollment_rows, overview_places, overview_rows
from profiles.countries import country_name
from profiles.models import DefaultBankProfile, TaxProfile

ROWS_PER_PAGE = 25
# People with a role at one location, and of the company beside it, on its page.
MOST_ROLES = 25
MOST_EVENTS = 10


@requires(Permission.LOCATION_VIEW)
@require_safe
def locations(request):
    """List the locations in the person's scope with what is missing at each."""
    filters = LocationsFilter(request.GET)
    is_closed = request.GET.get("view") == "closed"
    mine = Location.objects.where_user_may(
        request.user, Permission.LOCATION_VIEW
    ).of_company(request.company)
    shown = mine.filter(closed_at__isnull=not is_closed)
    filters.is_valid()
    words = filters.cleaned_data.get("q", "").split()
    for word in words:
        shown = shown.filter(
            Q(name__icontains=word)
            | Q(city__icontains=word)
            | Q(partner_id__startswith=word)
        )
    page = Paginator(
        shown.with_coverage(request.company).order_by("name", "pk"), ROWS_PER_PAGE
    ).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    company = request.company
    context = {
        "page": page,
        "rows": place_rows(page, user=request.user, at=timezone.now()),
        "filters": filters,
        "is_filtered": bool(words),
        "is_closed": is_closed,
        "query": query.urlencode(),
        "tabs": _tabs(mine, is_closed=is_closed),
        "hidden_count": Location.objects.active()
        .hidden_from(roles_here(request), Permission.LOCATION_VIEW)
        .count(),
        "may_add": holds_anywhere(request.user, Permission.LOCATION_EDIT, company),
        "sees_enrollments": holds_anywhere(
            request.user, Permission.ENROLLMENT_VIEW, company
        ),
    }
    return render(request, "enrollment/locations.html", context)


@requires(Permission.LOCATION_VIEW, on=Location)
@require_safe
def location(request, location):
    """Show one location: where it is, who can act there, what is enrolled there."""
    return render(request, "enrollment/location.html", _page(request, location))


@requires(Permission.LOCATION_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
@keeps_typed
def add(request):
    """Add a location to the company."""
    company = request.company
    if request.method != "POST":
        form = AddLocationForm(
            initial={"legal_name": company.legal_name, "country": company.country}
        )
        return _add_page(request, refilled(request, form))
    form = AddLocationForm(request.POST)
    if not form.is_valid():
        return _add_page(request, form, status=422)
    try:
        added = add_location(company, **form.cleaned_data, by=request.user)
    except ValidationError as error:
        form.add_error(None, error)
        return _add_page(request, form, status=422)
    messages.success(request, _("%(location)s was added.") % {"location": added.name})
    return redirect(added)


@requires(Permission.LOCATION_EDIT, on=Location)
@require_http_methods(["GET", "HEAD", "POST"])
@keeps_typed
def ask_closing(request, location):
    """Say what closing would end; ask the program owner to do it."""
    if request.method != "POST":
        return _ask_page(request, location, refilled(request, ReasonForm()))
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return _ask_page(request, location, form, status=422)
    try:
        ask_for_closing(location, reason=form.cleaned_data["reason"], by=request.user)
    except ValidationError as error:
        form.add_error(None, error)
        return _ask_page(request, location, form, status=422)
    messages.success(
        request,
        _("The program owner was asked to close %(location)s.")
        % {"location": location.name},
    )
    return redirect(location)


@requires(Permission.LOCATION_EDIT, on=Location)
@posted(instead=lambda location: location)
def keep(request, location):
    """Take the wish to close a location back."""
    withdraw_closing(location, by=request.user)
    messages.success(
        request, _("%(location)s stays open.") % {"location": location.name}
    )
    return redirect(location)


def _page(request, location) -> dict:
    user, company, now = request.user, location.partner_account, timezone.now()
    covered = Location.objects.with_coverage(company).for_pages().get(pk=location.pk)
    (row,) = place_rows([covered], user=user, at=now)
    admins = (
        RoleAssignment.objects.live()
        .of_company(company)
        .filter(
            Q(location=None) | Q(location=location),
            role__in=roles_with(Permission.ENROLLMENT_EDIT),
        )
        .select_related("user", "program")
        .order_by("user__full_name", "user_id", "program__name")
    )
    may = {
        name: _may(user, permission, location)
        for name, permission in (
            ("sees_enrollments", Permission.ENROLLMENT_VIEW),
            ("sees_profiles", Permission.PROFILE_VIEW),
            ("sees_people", Permission.PERSON_VIEW),
            ("may_assign", Permission.ROLE_ASSIGN),
            ("may_edit", Permission.LOCATION_EDIT),
        )
    }
    return may | {
        "location": covered,
        "company": company,
        "country": country_name(covered.country),
        "row": row,
        "who": gap_row(covered, admins),
        "why_not_closing": _why_not_closing(covered),
        "enrollments": (
            _enrollment_rows(user, covered, now) if may["sees_enrollments"] else []
        ),
        "profiles": _profiles(user, covered) if may["sees_profiles"] else None,
        "people": _people(user, covered) if may["sees_people"] else None,
        "events": _events(user, covered) if may["sees_people"] else [],
    }


def _may(user, permission, location) -> bool:
    # Roles of people do not end at a location: whoever sees them sees them anywhere.
    if permission in (Permission.PERSON_VIEW, Permission.ROLE_ASSIGN):
        return holds_anywhere(user, permission, location.partner_account)
    return (
        Location.objects.where_user_may(user, permission)
        .filter(pk=location.pk)
        .exists()
    )


def _enrollment_rows(user, location, now):
    """This year's programs here; at a closed location everything that ever was."""
    if location.is_closed:
        kept = Enrollment.objects.where_user_may(user, Permission.ENROLLMENT_VIEW)
        return enrollment_rows(
            kept.filter(location=location).order_by("-status_since", "pk"), user=user
        )
    terms = ProgramTerms.objects.shown(now)
    places = overview_places(held_in(user, location.partner_account), terms=terms)
    return overview_rows(
        places.filter(location=location).order_by("program_name", "pk"),
        terms=terms,
        at=now,
    )


def _profiles(user, location) -> dict:
    """The location's default bank profile and its tax profiles, by name."""
    today = timezone.localdate()
    default = (
        DefaultBankProfile.objects.where_user_may(user, Permission.PROFILE_VIEW)
        .filter(location=location)
        .select_related("bank_profile")
        .prefetch_related("bank_profile__versions")
        .first()
    )
    taxes = (
        TaxProfile.objects.where_user_may(user, Permission.PROFILE_VIEW)
        .filter(location=location)
        .with_versions()
        .order_by("name", "pk")
    )
    if not location.is_closed:
        taxes = taxes.in_use()
    return {
        "default": default,
        "default_statuses": (
            default.bank_profile.shown_statuses(today) if default else []
        ),
        "taxes": [
            {"profile": profile, "statuses": profile.shown_statuses(today)}
            for profile in taxes
        ],
    }


def _people(user, location) -> dict:
    """Who holds a role at this location, and who holds one that reaches it."""
    company = location.partner_account
    given = roles_given_by(user, company)
    live = (
        RoleAssignment.objects.where_user_may(user, Permission.PERSON_VIEW)
        .of_company(company)
        .live()
        .select_related("user", "location", "program", "granted_by")
        .order_by(
            F("location").asc(nulls_last=True), "user__full_name", "user_id", "role"
        )
    )
    here = live.filter(Q(location=location) | Q(location=None))
    shown = list(here[: MOST_ROLES + 1])
    members = dict(
        Membership.objects.current()
        .of_company(company)
        .filter(user__in=[one.user_id for one in shown])
        .values_list("user", "pk")
    )
    return {
        "rows": [
            {
                "person": one.user,
                "member": members.get(one.user_id),
                "role": role_row(one, given=given),
            }
            for one in shown[:MOST_ROLES]
        ],
        "has_more": len(shown) > MOST_ROLES,
    }


def _events(user, location) -> list[AuditEvent]:
    """What was done to the location, the latest first."""
    return list(
        AuditEvent.objects.where_user_may(user, Permission.PERSON_VIEW)
        .filter(
            object_type=location._meta.label_lower,
            object_id=str(location.pk),
            partner_account=location.partner_account,
        )
        .exclude(action=AuditAction.ACCESS_DENIED)
        .select_related("actor")
        .order_by("-pk")[:MOST_EVENTS]
    )


def _why_not_closing(location) -> str:
    try:
        check_closing(location)
    except ValidationError as error:
        return " ".join(error.messages)
    return ""


def _add_page(request, form, *, status=200):
    return render(
        request, "enrollment/add_location.html", {"form": form}, status=status
    )


def _ask_page(request, location, form, *, status=200):
    plan = services.plan_closing(location)
    context = {
        "location": location,
        "form": form,
        "why_not": _why_not_closing(location),
        # Their number only: admins see no enrollments (R15).
        "enrollment_count": len(plan.enrollments),
        "roles": [role_row(one, given=frozenset()) for one in plan.roles],
        "plan": plan,
    }
    return render(request, "enrollment/ask_closing.html", context, status=status)


def _tabs(mine, *, is_closed: bool) -> list[dict]:
    counted = mine.order_by()
    return [
        {
            "label": pgettext("locations", "Open"),
            "url": "?",
            "is_current": not is_closed,
            "count": counted.filter(closed_at=None).count(),
        },
        {
            "label": pgettext("locations", "Closed"),
            "url": "?view=closed",
            "is_current": is_closed,
            "count": counted.exclude(closed_at=None).count(),
        },
    ]
