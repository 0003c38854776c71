"""Which location a list is narrowed to: the address says it (experience.md P16).

The choice stands in ?loc= as a PartnerID, so that a link shows the same to whoever may
see it; a location that the reader may not know is no choice, as if it were not there.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import F, Q, QuerySet

from accounts.access import roles_here
from accounts.models import Location
from accounts.prepared import prepared
from accounts.roles import Permission
from accounts.scoping import HeldRoles

PARAMETER = "loc"
# The menu shows so many; more are found by typing.
MOST_LISTED = 8


@dataclass(frozen=True)
class LocationOption:
    """One location in the switcher."""

    location: Location
    url: str
    is_current: bool


@dataclass(frozen=True)
class LocationChoice:
    """What the switcher shows on a page that can be narrowed to a location."""

    chosen: Location | None
    # What was asked for and is none of the locations that the reader may know.
    unknown: str
    listed: list[LocationOption]
    has_more: bool
    all_url: str
    # What else the address asks for, for the form that finds one.
    kept: list[tuple[str, str]]


def choose_location(request) -> Location | None:
    """Return the location that the address narrows a list to, if any.

    From here on the page has the switcher, and the ways in the navigation keep the
    choice. A location of another company, a hidden and a missing one are all none.
    """
    if not request.company:
        return None
    held = roles_here(request)
    mine = Location.objects.where_held(held, Permission.LOCATION_VIEW)
    active = _listed(held.shape).ask(**held.given)
    asked = request.GET.get(PARAMETER, "").strip()[:120]
    # Closed ones are not offered; a link to their history still works.
    found = mine.filter(Q(partner_id=asked) | Q(name__iexact=asked))
    chosen = (
        found.order_by(F("closed_at").asc(nulls_first=True), "pk").first()
        if asked
        else None
    )
    if len(active) < 2 and chosen is None:
        return None
    request.location_choice = LocationChoice(
        chosen=chosen,
        unknown="" if chosen else asked,
        listed=[
            LocationOption(one, _address(request, one), one == chosen)
            for one in active[:MOST_LISTED]
        ],
        has_more=len(active) > MOST_LISTED,
        all_url=_address(request, None),
        kept=[(key, value) for key, value in _query(request) if key != PARAMETER],
    )
    return chosen


@prepared
def _listed(held: HeldRoles) -> QuerySet[Location]:
    mine = Location.objects.where_held(held, Permission.LOCATION_VIEW)
    return mine.active().order_by("name", "pk")[: MOST_LISTED + 1]


def keeping_location(request, url: str) -> str:
    """Return the address of another list, narrowed to the same location."""
    choice = getattr(request, "location_choice", None)
    if choice is None or choice.chosen is None:
        return url
    return f"{url}?{urlencode({PARAMETER: choice.chosen.partner_id})}"


def _query(request) -> list[tuple[str, str]]:
    return [
        (key, value)
        for key, values in request.GET.lists()
        for value in values
        if key not in ("page", "before", "after")
    ]


def _address(request, location: Location | None) -> str:
    query = [(key, value) for key, value in _query(request) if key != PARAMETER]
    if location is not None:
        query.append((PARAMETER, location.partner_id))
    return f"?{urlencode(query)}" if query else request.path
