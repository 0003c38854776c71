"""Pages that belong to no app: language, health, and errors on the way in."""

from allauth.core.internal import ratelimit
from django.conf import settings
from django.db import connection
from django.http import (
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseRedirect,
)
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import check_for_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts.access import (
    NotAllowed,
    public,
)
from accounts.holders import (
    appointers,
    holds_anywhere,
    people_with,
)
from accounts.middleware import language_cookie
from accounts.posting import posted
from accounts.roles import Permission
from accounts.services import choose_language


@public("a machine asks whether the portal lives; says nothing else")
@require_GET
def healthz(request):
    """Answer 200 when the database answers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok", content_type="text/plain")


@public("the language can be chosen before sign-in")
@posted(instead=lambda: "home")
def set_language(request):
    """Remember the language: in the browser, and for mails if somebody is signed in."""
    language = request.POST.get("language", "")
    target = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts=None):
        target = reverse("home")
    response = HttpResponseRedirect(target)
    if language in dict(settings.LANGUAGES) and check_for_language(language):
        language_cookie(response, language)
        if request.user.is_authenticated:
            choose_language(request.user, language=language)
    return response


def bad_request(request, exception=None):
    """Say so in both languages: the request may be too broken to tell whose it is."""
    return HttpResponseBadRequest(render_to_string("400.html"))


def csrf_failure(request, reason=""):
    """Say what happened in words: the form was too old or came from elsewhere."""
    return render(request, "403_csrf.html", status=403)


def too_many(request):
    """Say when one can try again: when the longest limit of this page is over."""
    name = request.resolver_match.url_name if request.resolver_match else ""
    rates = ratelimit.get_rates(
        app="allauth.account", action=(name or "").removeprefix("account_")
    )
    seconds = int(max((rate.duration for rate in rates), default=60))
    response = render(request, "429.html", {"is_long": seconds > 60}, status=429)
    response["Retry-After"] = str(seconds)
    return response


def forbidden(request, exception=None):
    """Say which right is missing and who has it or can give it (R7, R15)."""
    context = {"exception": None, "people": [], "sentence": ""}
    if isinstance(exception, NotAllowed) and exception.company is not None:
        context |= _who_helps(request, exception)
    elif isinstance(exception, NotAllowed):
        context["exception"] = _("You belong to no company here.")
    return render(request, "403.html", context, status=403)


def _who_helps(request, exception: NotAllowed) -> dict:
    company, row = exception.company, exception.row
    able = people_with(exception.permission, company=company, row=row)
    if row is None or not able:
        return {
            "exception": _missing_right(exception) % {"company": company.name},
            "sentence": _("These people can give somebody the role:"),
            "people": [one for one in appointers(company) if one != request.user],
            "can_appoint": holds_anywhere(
                request.user, Permission.ROLE_ASSIGN, company
            ),
        }
    return {
        "exception": _("You can see this but not do it: your roles do not include it."),
        "sentence": _("These people can:"),
        "people": able,
        "can_appoint": holds_anywhere(request.user, Permission.ROLE_ASSIGN, company),
    }


def _missing_right(exception: NotAllowed) -> str:
    """Name the role that is missing; on a row, say that nobody holds it."""
    if exception.row is not None:
        return _(
            "Only an Incentives admin can do this, and %(company)s has none here yet."
        )
    if exception.permission in (Permission.PERSON_VIEW, Permission.ROLE_ASSIGN):
        return _("This is for Global admins and Account admins of %(company)s.")
    if exception.permission == Permission.ENROLLMENT_VIEW:
        return _("You have no incentives role in %(company)s yet.")
    return _("This is for Incentives admins of %(company)s.")
