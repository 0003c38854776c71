"""Home: what needs this person now."""

from django.db.models import Count, Q, Window
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import roles_here, signed_in
from accounts.holders import given_by_roles
from accounts.location_choice import choose_location
from accounts.models import AccessRequest, Location
from accounts.reach import shown_coverage
from accounts.roles import Permission, roles_with
from enrollment.clock import clock_for
from enrollment.coming import coming_dates
from enrollment.eligibility import gaps_of, payout_at
from enrollment.models import Enrollment, FiscalCalendar, Invitation
from enrollment.models.terms import on_its_day
from enrollment.places import places_not_ready, readiness
from enrollment.rows import enrollment_rows, next_year_rows
from enrollment.states import EnrollmentStatus, Turn
from profiles.begun import begun_by
from profiles.parts import parts_waiting

CALENDAR = "terms__fiscal_year__calendar"
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
    mine = Enrollment.objects.where_user_may(
        user, Permission.ENROLLMENT_EDIT
    ).of_company(company)
    location = choose_location(request)
    if location is not None:
        mine = mine.filter(location=location)
    days = FiscalCalendar.objects.days_at(now)
    is_over = on_its_day(
        days.days, CALENDAR, lambda day: Q(terms__fiscal_year__ends_on__lt=day)
    )
    under_way = enrollment_rows(
        mine.filter(
            Q(
                status__in=[
                    EnrollmentStatus.ACTION_REQUIRED,
                    EnrollmentStatus.VALIDATING,
                ]
            )
            | Q(status=EnrollmentStatus.INVITED, accepted_at__isnull=False)
            # What the year end has not reached, and nobody decided to leave.
            | Q(is_over, status=EnrollmentStatus.ENROLLED)
        ).order_by("status_since", "pk"),
        user=user,
    )
    waiting = [row for row in under_way if row.standing.turn == Turn.THEM]
    turn = [row for row in under_way if row.standing.turn == Turn.YOU]
    to_open = _invitations(user, company, now, location=location)
    next_year = next_year_rows(mine, years=days.coming, most=MOST_FORECASTS)
    to_answer = _requests(request)
    begun = begun_by(user, company=company)
    parts = parts_waiting(user, company=company, at=now)
    to_do = turn or to_answer or begun or parts
    is_empty = not (to_open or to_do or waiting or next_year.rows)
    context = {
        "messages_to_open": to_open,
        "your_turn": turn,
        "to_answer": to_answer,
        "begun": begun,
        "parts": parts,
        "turn_count": len(turn) + len(to_answer) + len(begun) + len(parts),
        "not_ready": _not_ready(request, now, location=location),
        "with_owner": waiting,
        "next_year": next_year,
        "is_empty": is_empty,
        "dates": coming_dates(
            mine,
            reader=user,
            company=company,
            at=now,
            days=days.days,
            location=location,
        ),
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


def _invitations(user, company, now, *, location=None):
    """The messages the person has not selected yet, each with what is missing.

    An invitation that was accepted is somebody's turn, no longer a message.
    """
    mine = Invitation.objects.visible_to(user).of_company(company)
    if location is not None:
        mine = mine.filter(enrollment__location=location)
    invitations = list(
        mine.addressed_to(user)
        .unopened()
        .filter(
            enrollment__status=EnrollmentStatus.INVITED, enrollment__accepted_at=None
        )
        .select_related(
            "enrollment__location__partner_account",
            "enrollment__terms__program",
            "enrollment__terms__fiscal_year__calendar",
        )
        .order_by("enrollment__enroll_by", "enrollment__location__name", "pk")
    )
    payouts = payout_at([one.enrollment for one in invitations], at=now)
    return [
        {
            "invitation": invitation,
            "enrollment": invitation.enrollment,
            "location": invitation.enrollment.location,
            "program": invitation.enrollment.terms.program,
            "year": invitation.enrollment.terms.fiscal_year,
            "clock": clock_for(invitation.enrollment, at=now),
            "readiness": readiness(gaps_of(payouts[invitation.enrollment_id])),
            "gaps": gaps_of(payouts[invitation.enrollment_id]),
        }
        for invitation in invitations
        if not invitation.enrollment.is_late(now)
    ]


def _not_ready(request, now, *, location=None) -> list:
    """Locations whose next enrollment would lack something, for who can mend it."""
    if not _holds(request, Permission.PROFILE_EDIT):
        return []
    places = Location.objects.where_held(roles_here(request), Permission.PROFILE_EDIT)
    if location is not None:
        places = places.filter(pk=location.pk)
    return places_not_ready(places, at=now, most=MOST_NOT_READY)


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
