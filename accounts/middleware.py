"""What every request carries: an id for the logs, the person's language and company."""

import uuid
from functools import partial

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import (
    Resolver404,
    get_script_prefix,
    resolve,
    reverse,
    set_script_prefix,
)
from django.utils import translation
from django.utils.functional import SimpleLazyObject

from accounts import access, proof, services, typed
from accounts.companies import (
    PARAMETER,
    CompanyNotNamed,
    arrive,
    companies_of,
    company_to_enter,
    current_company,
    in_company,
    named_in,
    without_company,
)
from accounts.devices import device_name
from accounts.logs import request_id
from accounts.origin import (
    Door,
    Origin,
    coming_from,
    fingerprint_of_session,
    network_of,
)


class RequestIdMiddleware:
    """Give each request an id that logs and audit events share."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.id = uuid.uuid4().hex
        token = request_id.set(request.id)
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response["X-Request-ID"] = request.id
        return response


class PlainAddressMiddleware:
    """Refuse a query with a NUL in it: nobody means it, no text in a table holds it.

    One place for every search, filter and page number, the admin's and the libraries'
    too.
    """

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        asked = request.GET.lists()
        if any("\0" in text for name, values in asked for text in (name, *values)):
            return HttpResponseBadRequest(render_to_string("400.html"))
        return self.get_response(request)


class CompanyMiddleware:
    """Take the company out of the address and put it into every address made.

    Only whoever belongs to several companies works under /c/<global PartnerID>/; there
    the pages are the same, for that company. A company that is none of theirs is no
    address at all, whether there is one or not (R16).
    """

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        prefix = get_script_prefix()
        request.named_company = None
        # The PartnerID an address names that is none of the person's companies.
        request.refused_company = ""
        request.companies = SimpleLazyObject(lambda: companies_of(request.user))
        request.company = SimpleLazyObject(lambda: current_company(request))
        try:
            return self._led(request) or self.get_response(request)
        finally:
            set_script_prefix(prefix)

    def process_exception(self, request, exception):
        """Lead to the company where the address names none, or not the object's."""
        if not isinstance(exception, CompanyNotNamed):
            return None
        path = without_company(request.get_full_path())
        if request.method in ("GET", "HEAD"):
            company = exception.company or company_to_enter(request)
            return redirect(in_company(company, path))
        # Whatever was to be done, it is not said in which company.
        ways = [
            {"company": company, "url": in_company(company, path)}
            for company in request.companies
        ]
        return render(
            request, "accounts/choose_company.html", {"ways": ways}, status=409
        )

    def _led(self, request):
        asked = request.path_info
        is_looked_at = request.method in ("GET", "HEAD")
        if named_in(asked) is None:
            return self._led_by_parameter(request) if is_looked_at else None
        if not request.user.is_authenticated:
            is_public = _is_public(without_company(asked))
            if is_looked_at and is_public:
                return redirect(without_company(request.get_full_path()))
            if is_looked_at or is_public:
                return redirect_to_login(request.get_full_path())
            # Led to sign in, too, once the token of its form was looked at.
            request.path_info = without_company(asked)
            return None
        rest = arrive(request, asked)
        if rest == asked:
            request.refused_company = named_in(asked)[0]
            return None
        if request.named_company is None and is_looked_at:
            return redirect(without_company(request.get_full_path()))
        request.path_info = rest
        return None

    def _led_by_parameter(self, request):
        """Follow an address of before, as older mails have them."""
        asked = request.GET.get(PARAMETER)
        if not asked or len(request.companies) < 2:
            return None
        for company in request.companies:
            if company.partner_id == asked:
                query = request.GET.copy()
                query.pop(PARAMETER)
                path = in_company(company, request.path_info)
                return redirect(f"{path}?{query.urlencode()}" if query else path)
        return None


class PresenceMiddleware:
    """End a session that is too old; ask who it is after a long pause (T8).

    What was typed before the pause is kept, as for any proof that is asked for. A page
    that looks again by itself is no use of the session.
    """

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if not request.user.is_authenticated:
            return self.get_response(request)
        if proof.is_over(request):
            logout(request)
            if request.method in ("GET", "HEAD"):
                return redirect_to_login(access.way_back(request))
            return self.get_response(request)
        if not proof.has_paused(request):
            if not proof.is_looked_at_again(request):
                self._note(request)
                access.show_again(request)
        elif not access.is_on_the_way(request):
            if request.method in ("GET", "HEAD"):
                return access.ask_again(request)
            request.is_sent_after_pause = True
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        """Keep what was sent for after the proof, once its form's token was looked at.

        That happens before views only: what another site sends is not kept (T10).
        """
        if getattr(request, "is_sent_after_pause", False):
            return access.ask_again(request)
        return None

    def _note(self, request):
        if proof.stamp_use(request):
            services.note_presence(
                request.user,
                session_key=request.session.session_key,
                user_agent=request.headers.get("User-Agent", ""),
                place=get_adapter().get_client_ip(request),
            )


class SignInMiddleware(LoginRequiredMiddleware):
    """Lead whoever is not signed in there; what they sent is kept, not taken."""

    def handle_no_permission(self, request, view_func):
        if request.method == "POST":
            typed.keep(request, view_func)
        return super().handle_no_permission(request, view_func)


class RenewalMiddleware:
    """Let nobody pass whose second factors were reset and who set up no new one (T7)."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if (
            request.user.is_authenticated
            and proof.is_renewal_due(request)
            and not access.is_on_the_way(request)
            and request.path not in map(reverse, access.SETTING_UP_FACTORS)
        ):
            return access.lead_to_factor(request)
        return self.get_response(request)


class PersonMiddleware:
    """Speak the signed-in person's language; let no browser keep a page of anybody's.

    Pages before sign-in are not kept either: the one that sets a new password is among
    them. Whoever signs out leaves nothing behind that was kept anyway (ASVS 14.3.1).
    """

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        was_signed_in = request.user.is_authenticated
        if was_signed_in:
            translation.activate(request.user.language)
            request.LANGUAGE_CODE = request.user.language
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        if was_signed_in and SESSION_KEY not in request.session:
            response.headers["Clear-Site-Data"] = '"cache"'
        if request.user.is_authenticated:
            response.headers.setdefault("Content-Language", request.user.language)
        return response


def _is_public(path: str) -> bool:
    """Whether an address is for people who are not signed in: to sign in, say."""
    try:
        view = resolve(path).func
    except Resolver404:
        return False
    return not getattr(view, "login_required", True)


def language_cookie(response, language: str) -> None:
    """Remember a language in the browser, for the pages before sign-in."""
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=365 * 24 * 60 * 60,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
        samesite=settings.LANGUAGE_COOKIE_SAMESITE,
    )


class OriginMiddleware:
    """Say where a request comes from, for the trail; write its refusals at its end.

    They are written when the answer has been sent: the time it took to answer says
    nothing of whether there was something to refuse (R16).
    """

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        here = Origin(
            door=Door.WEB,
            place=network_of(_address_of(request)),
            device=device_name(request.headers.get("User-Agent", "")),
            request_id=request.id,
            session=lambda: fingerprint_of_session(request.session.session_key),
        )
        with coming_from(here):
            if request.refused_company and not request.user.is_staff:
                access.note_refused_company(request, request.refused_company)
            response = self.get_response(request)
        if here.refused:
            response._resource_closers.append(partial(services.write_refusals, here))
        return response

    def process_exception(self, request, exception) -> None:
        """Note what a view refuses; the answer is made elsewhere."""
        if isinstance(exception, Http404 | PermissionDenied):
            access.note_refused_request(request, exception)


def _address_of(request) -> str:
    try:
        return get_adapter().get_client_ip(request)
    except PermissionDenied:
        return ""
