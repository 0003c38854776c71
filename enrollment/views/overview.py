"""Incentives: every program at every location in scope, and why one is not eligible."""

from itertools import groupby

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import requires, roles_here, signed_in
from accounts.location_choice import choose_location
from accounts.roles import Permission
from enrollment import services
from enrollment.changes import amount
from enrollment.forms import OverviewFilter
from enrollment.models import FiscalCalendar, ProgramAtLocation, RequirementCheck
from enrollment.models.overview import CheckState
from enrollment.rows import hidden_places, overview_places, overview_rows
from enrollment.states import VEILED, EnrollmentStatus
from enrollment.views.posting import posted
from enrollment.wording import source_name

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
    now = timezone.now()
    by_location = request.GET.get("view") == "location"
    days = FiscalCalendar.objects.days_at(now)
    places = overview_places(request.user, company=request.company, days=days.days)
    location = choose_location(request)
    if location is not None:
        places = places.filter(location=location)
    # The rows' countries, and whether their progress is seen, in one question.
    kinds = set(
        places.order_by().values_list("location__country", "sees_progress").distinct()
    )
    form = OverviewFilter(
        request.GET,
        countries=sorted({country for country, _sees in kinds}),
        sees={sees for _country, sees in kinds},
    )
    whole, places = places, _filtered(places, form)
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
    rows = overview_rows(page, at=now, years=days.coming)
    return render(
        request,
        "enrollment/overview.html",
        {
            "page": page,
            "groups": _groups(rows, whole, by_location=by_location),
            "by_location": by_location,
            "has_guides": any(place.terms.guide_url for place in page),
            "filter": form,
            "is_filtered": any(form.cleaned_data.values()),
            "sort": sort or default,
            "name_sort": "program" if by_location else "name",
            "query": query.urlencode(),
            "hidden_count": hidden_places(roles_here(request), days=days.days).count(),
        },
    )


@signed_in("an old address of the Overview, which asks for itself (R71)")
@require_safe
def old_overview(request):
    """Lead the older way Incentives, Overview to the same page (R71)."""
    return redirect("enrollment:overview")


@requires(Permission.REQUIREMENT_VIEW, on=ProgramAtLocation)
@require_safe
def why(request, place):
    """List each requirement as met, not met or not known, with its numbers (R60)."""
    checks = list(
        RequirementCheck.objects.filter(location=place.location, terms=place.terms)
        .as_of(place.terms.today())
        .select_related("criterion")
        .order_by("position", "pk")
    )
    return render(
        request,
        "enrollment/why.html",
        {
            "place": place,
            "checks": [_shown_check(check) for check in checks],
            "sees_enrollments": ProgramAtLocation.objects.where_user_may(
                request.user, Permission.ENROLLMENT_VIEW
            )
            .filter(pk=place.pk)
            .exists(),
            "met": sum(check.state == CheckState.MET for check in checks),
            "first_unmet": next(
                (check for check in checks if check.state != CheckState.MET), None
            ),
        },
    )


def _shown_check(check: RequirementCheck) -> dict:
    """One requirement with what is needed and what is known, in words."""
    is_met, criterion = check.state == CheckState.MET, check.criterion
    if criterion is not None and criterion.kind == criterion.Kind.NUMBER:
        needed = amount(check.needed, criterion.unit)
        yours = "" if check.value is None else amount(check.value, criterion.unit)
    else:
        needed = _("yes")
        is_known = check.state != CheckState.UNKNOWN
        yours = (_("yes") if is_met else _("no")) if is_known else ""
    return {
        "state": check.state,
        "criterion": criterion,
        "needed": needed,
        "yours": yours,
        "valid_from": check.valid_from,
        "source": source_name(check.source),
    }


@requires(Permission.ENROLLMENT_EDIT, on=ProgramAtLocation)
@posted
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


def _filtered(places, form: OverviewFilter):
    """Narrow by what is chosen; the veil holds in filters too (R42)."""
    form.is_valid()  # What it does not offer is left out; it has no errors.
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


def _groups(rows, whole, *, by_location: bool):
    """Group neighboring rows; the count is of the whole group, filtered or not."""
    name = "location" if by_location else "terms"
    counts = {
        counted[name]: counted
        for counted in whole.filter(
            **{f"{name}__in": {getattr(row, name).pk for row in rows}}
        )
        .order_by()
        .values(name)
        .annotate(
            total=Count("pk"),
            enrolled=Count(
                "pk", filter=Q(enrollment__status=EnrollmentStatus.ENROLLED)
            ),
        )
        .values(name, "total", "enrolled")
    }
    groups = []
    for key, members in groupby(rows, key=lambda row: getattr(row, name).pk):
        members = list(members)
        groups.append(
            {
                "rows": members,
                "location": members[0].location,
                "program": members[0].program,
                "year": members[0].terms.fiscal_year,
                "terms": members[0].terms,
                "enrolled": counts[key]["enrolled"],
                "total": counts[key]["total"],
            }
        )
    return groups
