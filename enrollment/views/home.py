"""Home: what needs this person now."""

from itertools import chain

from django.db.models import Count, Window
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import roles_here, signed_in
from accounts.addresses import address_of
from accounts.holders import given_by_roles
from accounts.location_choice import choose_location
from accounts.models import AccessRequest, Location
from accounts.reach import shown_coverage
from accounts.roles import Permission, roles_with
from enrollment.coming import coming_dates
from enrollment.forecast import found
from enrollment.models import Enrollment, FiscalCalendar
from enrollment.places import places_not_ready, readiness
from enrollment.rows import at_risk, next_year_rows, rows_by_key, under_way
from enrollment.states import EnrollmentStatus, Turn
from profiles.begun import to_go_on_with

# Of invitations, of what is somebody's turn, of what is with the program owner.
MOST_ROWS = 5
MOST_GAPS = 5
MOST_FORECASTS = 10
MOST_REQUESTS = 5
MOST_NOT_READY = 5


@signed_in("everybody's own page; each part asks through the scoped QuerySets")
@require_safe
def home(request):
    """Show invitations, then what is the person's turn, then dates and gaps."""
    user, company = request.user, request.company or None
    now = timezone.now()
    held = roles_here(request)
    location = choose_location(request)
    mine = Enrollment.objects.none()
    if held is not None:
        mine = Enrollment.objects.to_act_on(held, location=location)
    days = FiscalCalendar.objects.days_at(now)
    started = under_way(held, location=location, days=days.days, most=MOST_ROWS)
    foreseen = found(mine, days.coming)
    worst = at_risk(foreseen)[:MOST_FORECASTS]
    keys = {*worst, *chain.from_iterable(started.keys.values())}
    rows = rows_by_key(keys, held=held) if keys else []
    shown = {row.enrollment.pk: row for row in rows}
    to_open, turn, waiting = (
        [shown[key] for key in started.keys[whose] if key in shown]
        for whose in (Turn.NEW, Turn.YOU, Turn.THEM)
    )
    to_open.sort(key=lambda row: (row.enrollment.enroll_by, row.location.name))
    next_year = next_year_rows(
        foreseen,
        known=[shown[key].enrollment for key in worst if key in shown],
        years=days.coming,
    )
    to_answer = _requests(request)
    begun, parts, handed_in = to_go_on_with(user, company=company, at=now)
    to_do = turn or to_answer or begun or parts
    is_empty = not (to_open or to_do or waiting or next_year.rows)
    context = {
        "messages_to_open": [
            (
                address_of(
                    "enrollment:open_invitation", started.messages[row.enrollment.pk]
                ),
                row,
                readiness(row.gaps),
            )
            for row in to_open
        ],
        "message_count": started.counts[Turn.NEW],
        "your_turn": turn,
        "to_answer": to_answer,
        "begun": begun,
        "parts": parts,
        "handed_in": handed_in,
        "more_turns": started.counts[Turn.YOU] > len(turn),
        "turn_count": started.counts[Turn.YOU]
        + len(to_answer)
        + len(begun)
        + len(parts),
        "not_ready": _not_ready(request, now, location=location),
        "with_owner": waiting,
        "with_owner_count": started.counts[Turn.THEM],
        "next_year": next_year,
        "is_empty": is_empty,
        "dates": coming_dates(held, at=now, days=days.days, location=location),
        "may_subscribe": _holds(request, Permission.ENROLLMENT_EDIT),
        **_gaps(request, location=location),
    }
    if is_empty:
        has_incentive_role = _holds(request, Permission.ENROLLMENT_VIEW)
        context |= {
            "enrolled_count": mine.filter(status=EnrollmentStatus.ENROLLED).count()
            if has_incentive_role
            else 0,
            "has_incentive_role": has_incentive_role,
            "may_assign": _holds(request, Permission.ROLE_ASSIGN),
        }
    return render(request, "enrollment/home.html", context)


def _holds(request, permission: Permission) -> bool:
    """Whether a role of the reader carries the permission anywhere in the company."""
    held = roles_here(request)
    return held is not None and bool(held.anywhere & roles_with(permission))


def _requests(request) -> list[AccessRequest]:
    """The first requests for access that wait for the reader's answer."""
    held = roles_here(request)
    given = given_by_roles(held.anywhere) if held else frozenset()
    if not given:
        return []
    return list(
        AccessRequest.objects.where_held(held, Permission.ROLE_ASSIGN)
        .waiting()
        .filter(role__in=given)
        .select_related("user", "location", "program", "asked_by")
        .order_by("asked_at", "pk")[:MOST_REQUESTS]
    )


def _not_ready(request, now, *, location=None) -> list:
    """Locations whose next enrollment would lack something, for who can mend it."""
    if not _holds(request, Permission.PROFILE_EDIT):
        return []
    return places_not_ready(
        roles_here(request), location=location, at=now, most=MOST_NOT_READY
    )


def _gaps(request, *, location=None) -> dict:
    """For those who can appoint: the worst gaps, and how many there are (R6).

    The same locations as on the page of the gaps.
    """
    if not _holds(request, Permission.ROLE_ASSIGN):
        return {"gaps": [], "gap_count": 0}
    places = Location.objects.where_held(
        roles_here(request), Permission.ROLE_ASSIGN
    ).active()
    if location is not None:
        places = places.filter(pk=location.pk)
    gaps = places.gaps(request.company).annotate(of=Window(Count("pk")))[:MOST_GAPS]
    return {
        "gaps": [
            {"location": location, "coverage": shown_coverage(location.coverage)}
            for location in gaps
        ],
        "gap_count": gaps[0].of if gaps else 0,
    }
