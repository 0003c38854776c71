"""Pages that belong to no app: language, health, and errors on the way in and within."""

import sys

from allauth.core.internal import ratelimit
from django.conf import settings
from django.db import connection
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseRedirect,
)
from django.middleware.csrf import CsrfViewMiddleware, get_token
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import check_for_language
from django.utils.translation import gettext as _
from django.views import defaults
from django.views.decorators.http import require_GET

from accounts.access import Hidden, NotAllowed, OperatorNotAllowed, public
from accounts.companies import company_of_frame
from accounts.middleware import language_cookie
from accounts.posting import posted
from accounts.refusals import Refusal, ended_roles, operator_refusal, refusal_for
from accounts.roles import Permission
from accounts.services import choose_language
from accounts.time_limits import trouble_of


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


def nowhere() -> str:
    """Say to whom no company belongs what would change it."""
    return _(
        "You belong to no company here. A Global admin or Account admin of your company "
        "can invite you."
    )


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
    """Say which role is missing where, who has it and who can give it (R7, R15)."""
    refusal = None
    if isinstance(exception, OperatorNotAllowed):
        refusal = operator_refusal(exception.permission)
    elif isinstance(exception, NotAllowed) and exception.company is not None:
        refusal = refusal_for(
            request.user,
            exception.permission,
            company=exception.company,
            row=exception.row,
        )
    elif isinstance(exception, NotAllowed):
        refusal = Refusal(nowhere(), lists=[])
    return render(request, "403.html", {"refusal": refusal}, status=403)


def not_found(request, exception=None):
    """Say that there is no such page; to whom a role ended, which and who can give it.

    Whether there is what was asked for, it says to nobody (R16).
    """
    ended = None
    if isinstance(exception, Hidden) and exception.wanted in set(Permission):
        company = company_of_frame(request)
        ended = company and ended_roles(
            request.user,
            Permission(exception.wanted),
            on=exception.model,
            company=company,
        )
    return render(request, "404.html", {"ended": ended}, status=404)


# Seconds after which it may be tried again.
AGAIN_AFTER = 10


def server_error(request):
    """Say what the database could not do just now (503); everything else is our fault.

    Asks the database nothing. What was typed goes with the button that tries again,
    numbers too (docs/adr/0007), but for passwords, codes to sign in with and files.
    """
    trouble = trouble_of(sys.exc_info()[1])
    if trouble is None:
        return defaults.server_error(request)
    is_sent = request.method == "POST"
    context = {
        "trouble": trouble.value,
        "path": request.get_full_path(),
        "is_sent": is_sent,
        "typed": _typed_in_our_form(request) if is_sent else None,
        "has_files": is_sent and bool(request.FILES),
        "csrf_token": get_token(request),
    }
    response = HttpResponse(render_to_string("503.html", context), status=503)
    response["Retry-After"] = str(AGAIN_AFTER)
    # What lies around the view may not have been asked: it holds what was typed.
    response["Cache-Control"] = "no-store"
    response["X-Frame-Options"] = "DENY"
    return response


class _FormCheck(CsrfViewMiddleware):
    """Tells whether a form of ours was sent, and shows no page where it was none."""

    def _reject(self, request, reason):
        return reason


def _is_of_operators(path: str) -> bool:
    try:
        return resolve(path).app_names[:1] in (["ops"], ["admin"])
    except Resolver404:
        return False


def _typed_in_our_form(request: HttpRequest) -> list[tuple[str, str]] | None:
    """Return what was sent by a form of ours, name by name; None with a secret in it.

    What another site made a browser send gets no button that sends it with our token.
    """
    if _FormCheck(server_error).process_view(request, server_error, (), {}):
        return None
    # A one-time or recovery code is `code` in every form; operators call criteria so.
    secret = () if _is_of_operators(request.path_info) else ("code",)
    if any("password" in name or name in secret for name in request.POST):
        return None
    return [
        (name, value)
        for name, values in request.POST.lists()
        for value in values
        if name != "csrfmiddlewaretoken"
    ]
