"""Incentives: every program at every location in scope, and why one is not eligible."""

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet, Value
from django.http import StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import requires, roles_here, signed_in
from accounts.location_choice import choose_location
from accounts.roles import Permission
from accounts.safe_csv import csv_lines
from enrollment import services
from enrollment.forms import OverviewFilter
from enrollment.models import FiscalCalendar, ProgramAtLocation
from enrollment.models.terms import CalendarDays
from enrollment.rows import (
    hidden_places,
    is_to_enroll,
    kinds_of_places,
    overview_places,
    overview_rows,
    places_about,
    places_by_key,
    places_of_turn,
)
from enrollment.states import VEILED, EnrollmentStatus
from enrollment.views.posting import leading_to, posted

ROWS_PER_PAGE = 100
# Of the table of both; so many programs as the company has stand beside each.
LOCATIONS_PER_PAGE = 25
# What a row is found by again.
KEY = ("pk", "location_id", "terms_id")
SORTS = {
    "name": ("location__name",),
    "-name": ("-location__name",),
    "program": ("program__name",),
    "-program": ("-program__name",),
    "status": ("status_order",),
    "-status": ("-status_order",),
}


led_to_overview = leading_to("enrollment:overview")


@dataclass(frozen=True)
class Asked:
    """What an address asks the Overview for, and the frame its rows are read in."""

    form: OverviewFilter
    # In the person's scope, at the chosen location; and what the filters leave of them.
    whole: QuerySet[ProgramAtLocation]
    places: QuerySet[ProgramAtLocation]
    now: datetime
    days: CalendarDays


@requires(Permission.ENROLLMENT_VIEW)
@require_safe
def overview(request):
    """List programs by program or by location, or as a table of both.

    Filters, search and order are in the address.
    """
    asked, view = asked_of(request), request.GET.get("view")
    by_location = view == "location"
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "view": view if view in ("location", "matrix") else "program",
        "by_location": by_location,
        "filter": asked.form,
        "is_filtered": any(asked.form.cleaned_data.values()),
        "query": query.urlencode(),
        "hidden_count": hidden_places(
            roles_here(request), days=asked.days.days
        ).count(),
    }
    if view == "matrix":
        return render(
            request, "enrollment/matrix.html", context | _matrix(request, asked)
        )
    sort = request.GET.get("sort", "")
    group = "location__name" if by_location else "program__name"
    default = "program" if by_location else "name"
    order = SORTS.get(sort, SORTS[default])
    ordered = asked.places.order_by(
        group, *order, "location__name", "program__name", "pk"
    )
    counts = _counts(asked, of="pk")
    page = _Counted(
        ordered.values_list(*KEY), ROWS_PER_PAGE, total=counts["total"]
    ).get_page(request.GET.get("page"))
    rows = overview_rows(
        places_by_key(asked.places, page), at=asked.now, years=asked.days.coming
    )
    return render(
        request,
        "enrollment/overview.html",
        context
        | {
            "page": page,
            "groups": _groups(rows, asked.whole, by_location=by_location),
            **_to_enroll(counts, rows),
            "has_guides": any(row.terms.guide_url for row in rows),
            "sort": sort or default,
            "name_sort": "program" if by_location else "name",
        },
    )


class _Counted(Paginator):
    """Pages of rows that were counted with something else in one question."""

    def __init__(self, *args, total: int, **kwargs):
        super().__init__(*args, **kwargs)
        self.count = total


def _counts(asked: Asked, *, of: str) -> dict[str, int]:
    """Count what there are pages of, and what its reader can enroll together.

    One row of values: aggregate() would hold each part of the question against all that
    is told of a row, which takes longer than all the rest of the page.
    """
    counted = (
        asked.places.order_by()
        .values(all=Value(1))
        .annotate(
            total=Count(of, distinct=of != "pk"),
            to_enroll=Count("pk", filter=is_to_enroll(asked.days.days)),
        )
    )
    # Where Django knows that there is nothing, it does not ask.
    return next(iter(counted), {"total": 0, "to_enroll": 0})


def _to_enroll(counts: dict[str, int], rows) -> dict:
    """How many rows of the page, and of all pages, their reader can enroll together."""
    return {
        "to_enroll": sum(row.is_to_enroll for row in rows),
        "all_to_enroll": counts["to_enroll"],
        "most_together": services.MOST_TOGETHER,
    }


def asked_of(request) -> Asked:
    """The rows that somebody may see, as far as the address leaves them."""
    now = timezone.now()
    days = FiscalCalendar.objects.days_at(now)
    held = roles_here(request)
    places = overview_places(held, days=days.days)
    location = choose_location(request)
    if location is not None:
        places = places.filter(location=location)
    countries, sees = kinds_of_places(places, held=held)
    form = OverviewFilter(request.GET, countries=countries, sees=sees)
    return Asked(form, places, _filtered(places, form, days), now, days)


def _matrix(request, asked: Asked) -> dict:
    """Locations down, programs across: one cell says where each stands."""
    counts = _counts(asked, of="location")
    page = _Counted(
        asked.places.order_by("location__name", "location_id")
        .values_list("location_id", flat=True)
        .distinct(),
        LOCATIONS_PER_PAGE,
        total=counts["total"],
    ).get_page(request.GET.get("page"))
    rows = overview_rows(
        asked.places.filter(location__in=list(page)).order_by(
            "location__name", "location_id", "program__name", "-terms_id"
        ),
        at=asked.now,
        years=asked.days.coming,
    )
    programs = dict(sorted({row.program.name: row.program for row in rows}.items()))
    lines = []
    for _key, members in groupby(rows, key=lambda row: row.location.pk):
        cells = {row.program.pk: row for row in members}
        lines.append(
            {
                "location": next(iter(cells.values())).location,
                "cells": [cells.get(program.pk) for program in programs.values()],
            }
        )
    return {
        "page": page,
        "programs": list(programs.values()),
        "lines": lines,
        **_to_enroll(counts, rows),
    }


@requires(Permission.ENROLLMENT_VIEW)
@require_safe
def export_overview(request):
    """Write what the Overview shows as a table, all of its pages."""
    asked = asked_of(request)
    keys = list(
        asked.places.order_by("program__name", "location__name", "pk").values_list(*KEY)
    )
    response = StreamingHttpResponse(
        _spoken_lines(asked, keys, language=request.LANGUAGE_CODE),
        content_type="text/csv; charset=utf-8",
    )
    name = f"incentives-{timezone.localdate(asked.now).isoformat()}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _spoken_lines(asked: Asked, keys: list[tuple], *, language: str):
    """The table's lines in one language, whoever is answered between them."""
    with translation.override(language):
        header = [
            _("Program"),
            _("Code"),
            _("Fiscal year"),
            _("Location"),
            _("PartnerID"),
            _("Country"),
            _("Status"),
            _("Turn"),
            _("Earning clock"),
            _("Last day to enroll"),
            _("Earns from"),
            _("Program guide"),
        ]
    lines = csv_lines(header, _cells(asked, keys))
    while True:
        with translation.override(language):
            line = next(lines, None)
        if line is None:
            return
        yield line


def _cells(asked: Asked, keys: list[tuple]):
    for start in range(0, len(keys), ROWS_PER_PAGE):
        known = places_by_key(asked.whole, keys[start : start + ROWS_PER_PAGE])
        for row in overview_rows(known, at=asked.now, years=asked.days.coming):
            one = row.enrollment
            yield [
                row.program.name,
                row.program.code,
                row.terms.fiscal_year.number,
                row.location.name,
                row.location.partner_id,
                row.location.country,
                row.standing.status.label,
                row.standing.line,
                row.standing.clock.line if row.standing.clock else "",
                one.enroll_by.isoformat() if one and one.is_editable else "",
                one.earns_from.isoformat() if one and one.earns_from else "",
                row.terms.guide_url,
            ]


@signed_in("an old address of the Overview, which asks for itself (R71)")
@require_safe
def old_overview(request):
    """Lead the older way Incentives, Overview to the same page (R71)."""
    return redirect("enrollment:overview")


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


def _filtered(places, form: OverviewFilter, days: CalendarDays):
    """Narrow by what is chosen; the veil holds in filters too (R42)."""
    form.is_valid()  # What it does not offer is left out; it has no errors.
    asked = form.cleaned_data
    status = asked["status"]
    if status == "enrolling":
        places = places.filter(status__in=VEILED, sees_progress=False)
    elif status in VEILED:
        places = places.filter(status=status, sees_progress=True)
    elif status:
        places = places.filter(status=status)
    if asked["country"]:
        places = places.filter(location__country=asked["country"])
    if asked["pays"]:
        places = places.filter(terms__earning_types__kind=asked["pays"])
    if asked["q"]:
        places = places_about(places, asked["q"])
    if asked["turn"]:
        places = places_of_turn(
            places, asked["turn"], days=days.days, years=days.coming
        )
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
