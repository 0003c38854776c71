"""Incentives: every program at every location in scope, and why one is not eligible."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import itemgetter

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import requires, roles_here, signed_in
from accounts.location_choice import choose_location
from accounts.roles import Permission
from accounts.safe_csv import csv_lines
from accounts.stretches import AFTER, BEFORE, Stretch, stretch_of
from enrollment import services
from enrollment.forms import OverviewFilter
from enrollment.models import (
    ProgramAtLocation,
    ProgramTerms,
    ShownTerms,
)
from enrollment.overview import KEY, Chosen
from enrollment.rows import Row, hidden_places, overview_rows, places_by_key
from enrollment.views.posting import leading_to, posted

ROWS_PER_PAGE = 25
# Of the table that is exported: so many rows are read at once.
ROWS_AT_ONCE = 500
# Of the table of both: so many programs as the company has stand beside each location.
CELLS_PER_PAGE = 72
FEWEST_LOCATIONS = 5
SORTS = {
    "name": ("location_name",),
    "-name": ("-location_name",),
    "program": ("program_name",),
    "-program": ("-program_name",),
    "status": ("status_order",),
    "-status": ("-status_order",),
}


led_to_overview = leading_to("enrollment:overview")


@dataclass(frozen=True)
class Asked:
    """What an address asks the Overview for, and the frame its rows are read in."""

    form: OverviewFilter
    chosen: Chosen
    now: datetime
    terms: ShownTerms

    def rows(self, places: Iterable[ProgramAtLocation]) -> list[Row]:
        """What a page says of some of them."""
        return overview_rows(
            places, terms=self.terms, at=self.now, years=self.terms.days.coming
        )


@requires(Permission.ENROLLMENT_VIEW)
@require_safe
def overview(request):
    """List programs by program or by location, or as a table of both.

    Filters, search and order are in the address.
    """
    asked, view = asked_of(request), request.GET.get("view")
    by_location = view == "location"
    context = {
        "view": view if view in ("location", "matrix") else "program",
        "by_location": by_location,
        "filter": asked.form,
        "is_filtered": any(asked.form.cleaned_data.values()),
        "hidden_count": _hidden(request, asked),
    }
    if view == "matrix":
        return render(
            request, "enrollment/matrix.html", context | _matrix(request, asked)
        )
    sort = request.GET.get("sort", "")
    group = "location_name" if by_location else "program_name"
    default = "program" if by_location else "name"
    order = dict.fromkeys(
        (group, *SORTS.get(sort, SORTS[default]), "location_name", "program_name")
    )
    # The group's own name says nothing more; by a name it is either way around.
    order = [name for name in order if name[0] == "-" or f"-{name}" not in order] + [
        "pk"
    ]
    choice = getattr(request, "location_choice", None)
    has_many = choice is not None and choice.has_more
    page = stretch_of(
        request,
        asked.chosen.keys,
        order=order,
        size=ROWS_PER_PAGE,
        values_of=partial(asked.chosen.edge, order=tuple(order)),
        key_of=itemgetter(0),
        # Few locations are one question's.
        groups={} if by_location or not has_many else _programs_of(asked.chosen),
    )
    rows = asked.rows(places_by_key(page.rows, held=asked.chosen.held))
    return render(
        request,
        "enrollment/overview.html",
        context
        | {
            "page": page,
            "groups": _groups(rows, asked.chosen, by_location=by_location),
            "has_guides": any(row.terms.guide_url for row in rows),
            "sort": sort or default,
            "name_sort": "program" if by_location else "name",
            **_to_enroll(page, rows),
        },
    )


def _hidden(request, asked: Asked) -> int:
    """How many rows of the company its reader does not see; the first page says it."""
    if request.GET.keys() & {AFTER, BEFORE}:
        return 0
    return hidden_places(roles_here(request), terms=asked.terms).count()


def _programs_of(chosen: Chosen) -> dict[str, dict[str, int]]:
    """The programs by name, with their terms: one program's alone can be looked for."""
    return {
        name: {"terms": keys[0]} if len(keys) == 1 else {}
        for name, keys in chosen.programs.items()
    }


def _to_enroll(page: Stretch, rows) -> dict:
    """How many rows of the page its reader can enroll together, and whether of all."""
    return {
        "to_enroll": sum(row.is_to_enroll for row in rows),
        "is_whole": page.is_whole,
    }


def asked_of(request) -> Asked:
    """The rows that somebody may see, as far as the address leaves them."""
    now = timezone.now()
    terms = ProgramTerms.objects.shown(now)
    whole = Chosen.whole(
        roles_here(request), terms=terms, location=choose_location(request)
    )
    countries, sees, is_large = whole.kinds()
    form = OverviewFilter(request.GET, countries=countries, sees=sees)
    form.is_valid()  # What it does not offer is left out; it has no errors.
    chosen = whole.narrowed(
        form.cleaned_data,
        terms=terms,
        is_by_status="status" in request.GET.get("sort", ""),
        is_large=is_large,
    )
    return Asked(form, chosen, now, terms)


def _locations_beside(programs: int) -> int:
    """How many locations a page of the table of both has: about as many cells on each."""
    return min(max(CELLS_PER_PAGE // max(programs, 1), FEWEST_LOCATIONS), ROWS_PER_PAGE)


def _matrix(request, asked: Asked) -> dict:
    """Locations down, programs across: one cell says where each stands."""
    chosen = asked.chosen
    page = stretch_of(
        request,
        chosen.locations,
        order=("name", "pk"),
        size=_locations_beside(len(chosen.programs or asked.terms.named)),
        values_of=chosen.location,
        key_of=itemgetter(1),
    )
    rows = asked.rows(chosen.at([key for _name, key in page.rows]))
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
        **_to_enroll(page, rows),
    }


@requires(Permission.ENROLLMENT_VIEW)
@require_safe
def export_overview(request):
    """Write what the Overview shows as a table, all of its pages."""
    asked = asked_of(request)
    keys = list(
        asked.chosen.places.order_by("program_name", "location_name", "pk").values_list(
            *KEY
        )
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
    for start in range(0, len(keys), ROWS_AT_ONCE):
        known = places_by_key(
            keys[start : start + ROWS_AT_ONCE], held=asked.chosen.held
        )
        for row in asked.rows(known):
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


def _groups(rows: list[Row], chosen: Chosen, *, by_location: bool) -> list[dict]:
    """Group neighboring rows; the count is of all that was found, filtered or not."""
    name = "location" if by_location else "terms"
    counts = chosen.counts(name, list({getattr(row, name).pk for row in rows}))
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
                "total": counts[key][0],
                "enrolled": counts[key][1],
            }
        )
    return groups
