"""Activity: what was done in the company; for those without the right, their own part."""

from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts.access import signed_in, wall
from accounts.activity import narrowed, query_of, trail_page, trail_table
from accounts.forms import ActivityFilterForm
from accounts.holders import appointers, holds_anywhere
from accounts.location_choice import choose_location
from accounts.models import AuditEvent, User
from accounts.roles import Permission

REASON = "Global and Account admins read all of their company, others their own part"
KEY = "seq"


@signed_in(REASON)
@require_safe
def activity(request):
    """List what was done, newest first (experience.md P18)."""
    if not request.company:
        return render(request, "accounts/activity.html", {"trail": None})
    events, form, is_own_part = _asked(request)
    if not is_own_part and (at_the_wall := wall(request)):
        return at_the_wall
    context = {
        "filters": form,
        "has_errors": bool(form.errors),
        "trail": trail_page(request, events, key=KEY, company=request.company),
        "is_own_part": is_own_part,
        "appointers": appointers(request.company) if is_own_part else [],
        "export_url": _with_query(request, "activity:export"),
    }
    return render(request, "accounts/activity.html", context)


@signed_in(REASON)
@require_safe
def export(request):
    """Write what the list shows as a table, all of its pages."""
    if not request.company:
        return redirect("activity:list")
    events, form, is_own_part = _asked(request)
    if not is_own_part and (at_the_wall := wall(request)):
        return at_the_wall
    if form.is_bound and not form.is_valid():
        return redirect(_with_query(request, "activity:list"))
    return trail_table(
        events,
        key=KEY,
        company=request.company,
        language=request.LANGUAGE_CODE,
    )


def _asked(request):
    """The events that somebody may read, as far as the filters leave them."""
    company = request.company
    is_own_part = not holds_anywhere(request.user, Permission.ACTIVITY_VIEW, company)
    events = AuditEvent.objects.of_chain(company)
    if is_own_part:
        events = events.of_person(request.user)
    else:
        events = events.where_user_may(request.user, Permission.ACTIVITY_VIEW)
    location = choose_location(request)
    if location is not None:
        events = events.filter(location=location)
    form = ActivityFilterForm(
        request.GET or None, company=company, is_own_part=is_own_part
    )
    # Whoever is not of the company cannot be looked for, and so not be found out.
    people = User.objects.filter(memberships__partner_account=company)
    return narrowed(events, form, people=people), form, is_own_part


def _with_query(request, name: str) -> str:
    query = urlencode(query_of(request.GET))
    return f"{reverse(name)}?{query}" if query else reverse(name)
