"""A person's calendar to subscribe to: its address, and the file behind it."""

from hashlib import sha256
from urllib.parse import urlsplit

from allauth.core.internal import ratelimit
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import public, signed_in
from accounts.companies import site_path
from accounts.link_tokens import fingerprint_of
from accounts.posting import posted
from enrollment import services
from enrollment.coming import calendar_of, roles_to_act
from enrollment.models import CalendarFeed

# A calendar program need not ask again before.
_FRESH_FOR = 60 * 60


@signed_in("one's own calendar; asked for by its owner")
@require_safe
def calendar(request):
    """Show the address of one's own calendar, and how to end it."""
    feed = CalendarFeed.objects.live().filter(user=request.user).first()
    context = {
        "feed": feed,
        "url": _url_of(feed),
        "may_subscribe": bool(roles_to_act(request.user)),
    }
    if context["url"]:
        parts = urlsplit(context["url"])
        context["subscribe_url"] = parts._replace(scheme="webcal").geturl()
    return render(request, "enrollment/calendar.html", context)


@signed_in("makes the address of one's own calendar")
@posted(instead=lambda: "enrollment:calendar")
def new_calendar(request):
    """Make the address of one's own calendar; a former one opens nothing any more."""
    had_one = CalendarFeed.objects.live().filter(user=request.user).exists()
    try:
        services.make_calendar_feed(request.user, by=request.user)
    except ValidationError as refusal:
        messages.error(request, " ".join(refusal.messages))
        return redirect("enrollment:calendar")
    messages.success(
        request,
        _("Your calendar has a new address. The old one opens nothing any more.")
        if had_one
        else _("Your calendar has an address now."),
    )
    return redirect("enrollment:calendar")


@signed_in("ends the address of one's own calendar")
@posted(instead=lambda: "enrollment:calendar")
def end_calendar(request):
    """End the address of one's own calendar at once."""
    services.end_calendar_feed(request.user, by=request.user)
    messages.success(request, _("The address opens nothing any more."))
    return redirect("enrollment:calendar")


@public("the secret in the address is the credential; it opens one person's own dates")
@require_safe
def calendar_file(request, token: str):
    """Return a person's dates as a calendar file, in the person's language.

    Whoever has no role any more has no calendar, and a wrong address opens none: the
    answer is the same.
    """
    now = timezone.now()
    fingerprint = fingerprint_of(token)
    feed = (
        CalendarFeed.objects.live()
        .select_related("user")
        .filter(secret_sha256=fingerprint)
        .first()
    )
    if not _is_within_limits(request, feed):
        answer = HttpResponse(status=429, headers={"Retry-After": "3600"})
        return _kept_private(answer)
    text = None
    if feed is not None:
        with translation.override(feed.user.language):
            text = calendar_of(feed.user, at=now)
    if text is None:
        return _kept_private(HttpResponse(status=404))
    services.note_calendar_read(feed, at=now)
    etag = f'"{sha256(text.encode()).hexdigest()}"'
    answer = get_conditional_response(request, etag=etag) or HttpResponse(
        text,
        content_type="text/calendar; charset=utf-8",
        headers={"Content-Disposition": 'inline; filename="incentives.ics"'},
    )
    answer["ETag"] = etag
    answer["Cache-Control"] = f"private, max-age={_FRESH_FOR}"
    answer["Content-Language"] = feed.user.language
    return _kept_private(answer)


def _is_within_limits(request, feed: CalendarFeed | None) -> bool:
    """Whether it was not read too often, nor guessed at (security.md T19)."""
    action = "calendar_read" if feed else "calendar_failed"
    usage = ratelimit.consume(
        request,
        app="allauth.account",
        action=action,
        key=str(feed.pk) if feed else "",
        limit_get=True,
    )
    return usage is not None


def _kept_private(answer: HttpResponse) -> HttpResponse:
    answer["Referrer-Policy"] = "no-referrer"
    answer["X-Robots-Tag"] = "noindex, nofollow"
    return answer


def _url_of(feed: CalendarFeed | None) -> str:
    """Return the address, if there is one and a key that makes it."""
    try:
        token = feed.token if feed else ""
    except ValueError:
        token = ""
    if not token:
        return ""
    return settings.PUBLIC_BASE_URL + site_path("enrollment:calendar_file", token=token)
