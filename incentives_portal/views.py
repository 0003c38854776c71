"""Pages that belong to no app: language, health, and errors on the way in."""

from django.conf import settings
from django.db import connection
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import check_for_language
from django.views.decorators.http import require_GET, require_POST

from accounts.access import public
from accounts.middleware import language_cookie
from accounts.services import choose_language


@public("a machine asks whether the portal lives; says nothing else")
@require_GET
def healthz(request):
    """Answer 200 when the database answers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok", content_type="text/plain")


@public("the language can be chosen before sign-in")
@require_POST
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


def csrf_failure(request, reason=""):
    """Say what happened in words: the form was too old or came from elsewhere."""
    return render(request, "403_csrf.html", status=403)
