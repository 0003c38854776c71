"""Incentives: every program at every location in scope, and why one is not eligible."""

from itertools import groupby

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import requires, signed_in
from accounts.models import Location
from accounts.roles import Permission
from enrollment import services
from enrollment.forms import OverviewFilter
from enrollment.models import ProgramAtLocation, RequirementCheck
from enrollment.models.overview import CheckState
from enrollment.rows import overview_places, overview_rows
from enrollment.states import VEILED

ROWS_PER_PAGE = 100
SORTS = {
    "name": ("location__name",),
    "-name": ("-location__name",),
    "program": ("program__name",),
    "-program": ("-program__name",),
    "status": ("status_order",),
    "-status": ("-status_order",),
}


@requires(Permission.ENROLLMENT_VIEW)
@require_safe
def overview(request):
    """List programs by program or by location; filters and order are in the address."""
    today = timezone.localdate()
    by_location = request.GET.get("view") == "location"
    places = overview_places(request.user, company=request.company, on=today)
    form = OverviewFilter(request.GET, countries=_countries(request))
    places = _filtered(places, form)
    sort = request.GET.get("sort", "")
    group = "location__name" if by_location else "program__name"
    default = "program" if by_location else "name"
    order = SORTS.get(sort, SORTS[default])
    page = Paginator(
        places.order_by(group, *order, "location__name", "program__name", "pk"),
        ROWS_PER_PAGE,
    ).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    return render(
        request,
        "enrollment/overview.html",
        {
            "page": page,
            "groups": _groups(overview_rows(page, on=today), by_location=by_location),
            "by_location": by_location,
            "has_guides": any(place.terms.guide_url for place in page),
            "filter": form,
            "is_filtered": any(request.GET.get(name) for name in ("status", "country")),
            "sort": sort or default,
            "name_sort": "program" if by_location else "name",
            "query": query.urlencode(),
        },
    )


@signed_in("an old address of the Overview, which asks for itself (R71)")
@require_safe
def old_overview(request):
    """Lead the older way Incentives, Overview to the same page (R71)."""
    return redirect("enrollment:overview")


@requires(Permission.ENROLLMENT_VIEW, on=ProgramAtLocation)
@require_safe
def why(request, place):
    """List each requirement as met, not met or not known, with its numbers (R60)."""
    today = timezone.localdate()
    checks = list(
        RequirementCheck.objects.filter(location=place.location, terms=place.terms)
        .as_of(today)
        .select_related("criterion")
        .order_by("position", "pk")
    )
    return render(
        request,
        "enrollment/why.html",
        {
            "place": place,
            "checks": checks,
            "met": sum(check.state == CheckState.MET for check in checks),
            "first_unmet": next(
                (check for check in checks if check.state != CheckState.MET), None
            ),
        },
    )


@requires(Permission.ENROLLMENT_EDIT, on=ProgramAtLocation)
@require_POST
def start(request, place):
    """Begin an enrollment in a program that is open to all (R26)."""
    try:
        enrollment = services.start_open_enrollment(
            place.location, terms=place.terms, by=request.user
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("enrollment:overview")
    return redirect(enrollment)


def _countries(request) -> list[str]:
    return list(
        Location.objects.where_user_may(request.user, Permission.ENROLLMENT_VIEW)
        .of_company(request.company)
        .order_by("country")
        .values_list("country", flat=True)
        .distinct()
    )


def _filtered(places, form: OverviewFilter):
    """Narrow by what is chosen; the veil holds in filters too (R42)."""
    if not form.is_valid():
        return places
    status = form.cleaned_data["status"]
    if status == "enrolling":
        places = places.filter(status__in=VEILED, sees_progress=False)
    elif status in VEILED:
        places = places.filter(status=status, sees_progress=True)
    elif status:
        places = places.filter(status=status)
    if form.cleaned_data["country"]:
        places = places.filter(location__country=form.cleaned_data["country"])
    return places


def _groups(rows, *, by_location: bool):
    """Group neighboring rows; the count says how many are enrolled."""
    key = (lambda row: row.location.pk) if by_location else (lambda row: row.terms.pk)
    groups = []
    for _key, members in groupby(rows, key=key):
        members = list(members)
        groups.append(
            {
                "rows": members,
                "location": members[0].location,
                "program": members[0].program,
                "year": members[0].terms.fiscal_year,
                "terms": members[0].terms,
                "enrolled": sum(
                    row.standing.status.code == "enrolled" for row in members
                ),
            }
        )
    return groups
