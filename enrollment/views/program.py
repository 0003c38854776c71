"""One program: what it is, what it asks and pays, its guides, and where one stands."""

from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import requires, roles_here
from accounts.location_choice import choose_location
from accounts.roles import Permission
from enrollment.history import lately
from enrollment.models import ProgramAtLocation, ProgramTerms
from enrollment.offers import offer_of
from enrollment.program_rows import shown_guides
from enrollment.rows import overview_places, overview_rows
from enrollment.versions import promise_words

MOST_LOCATIONS = 50
MOST_STEPS = 10


@requires(Permission.ENROLLMENT_VIEW, on=ProgramAtLocation)
@require_safe
def program(request, place):
    """Show a program's year, and the location the address names first among its own."""
    now = timezone.now()
    choose_location(request)
    # The one the address names, and the others of the reader's scope.
    terms = ProgramTerms.objects.shown(now)
    places = overview_places(roles_here(request), terms=terms).filter(
        terms=place.terms_id
    )
    shown = list(places.order_by("location_name", "pk")[: MOST_LOCATIONS + 1])
    if all(one.pk != place.pk for one in shown):
        shown = [*places.filter(pk=place.pk), *shown[:MOST_LOCATIONS]]
    rows = overview_rows(
        shown[:MOST_LOCATIONS], terms=terms, at=now, years=terms.days.coming
    )
    chosen = next((row for row in rows if row.location.pk == place.location_id), None)
    return render(
        request,
        "enrollment/program.html",
        {
            "place": place,
            "program": place.program,
            "chosen": chosen,
            "others": [row for row in rows if row is not chosen],
            "sees_requirements": any(
                one.pk == place.pk and one.sees_requirements for one in shown
            ),
            "has_more": len(shown) > MOST_LOCATIONS,
            "steps": lately(
                request.user,
                company=request.company,
                terms=place.terms_id,
                most=MOST_STEPS,
            ),
            "promise": promise_words(place.terms.validation_hours),
            "guides": shown_guides(program=place.program, year=place.terms.fiscal_year),
            **offer_of(place, on=place.terms.fiscal_year.calendar.day_at(now)),
        },
    )
