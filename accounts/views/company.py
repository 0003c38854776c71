"""Signing in through one's company: asked by address, answered once, never by e-mail."""

import logging
import time

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.core.internal import ratelimit
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import openid, services
from accounts.access import (
    is_own_path,
    proved_elsewhere,
    public,
    recently_authenticated,
    signed_in,
)
from accounts.directory import linked_tenants
from accounts.identities import Identity, SignInRefused
from accounts.models import CompanyTenant, User
from accounts.posting import posted
from accounts.rows import company_refusal
from accounts.signin_forms import CompanyForm, TenantForm

logger = logging.getLogger(__name__)

OWN = "changes nothing but how the person themself signs in"
LOGIN, CONNECT, PROVE = "login", "connect", "prove"
# What the browser is about to ask, between the form and the way out of this site.
_WAITING = "company_sign_in"
# How long that may take: it is the next request.
WAITS_FOR = 60
# Refusals before a directory answered, or that it gave no answer: not in the trail.
UNHEARD = frozenset({"state", "cancelled", "provider"})


@public("who signs in through their company is not signed in yet")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request):
    """Ask for the address, whose domain says which directory is asked."""
    target = _target(request, request.POST or request.GET)
    form = CompanyForm(request.POST or None)
    if request.method == "POST":
        if _is_too_often(request):
            return ratelimit.respond_429(request)
        if form.is_valid():
            return _on_the_way(
                request,
                form.tenant,
                process=LOGIN,
                address=form.cleaned_data["email"],
                target=target,
            )
    context = {
        "form": form,
        "target_name": REDIRECT_FIELD_NAME,
        "target": target,
    }
    return render(
        request, "accounts/company.html", context, status=422 if form.errors else 200
    )


@public("leads out to the directory that a form asked for just before")
@require_safe
def go(request):
    """Leave for the directory by a page of its own.

    A form may send nobody off this site (form-action), so the way out is a link that the
    browser follows by itself.
    """
    waiting = request.session.pop(_WAITING, None)
    tenant = waiting and _tenant(waiting["tenant"])
    if not tenant or time.time() - waiting["at"] > WAITS_FOR:
        return redirect(
            "own:account" if request.user.is_authenticated else "company:sign_in"
        )
    if waiting["process"] != LOGIN and waiting["person"] != request.user.pk:
        return redirect("company:sign_in")
    try:
        url = openid.question_for(
            tenant,
            request,
            process=waiting["process"],
            person=waiting["person"],
            address=waiting["address"],
            target=waiting["target"],
        )
    except SignInRefused as refusal:
        return _refused(request, tenant, refusal)
    response = render(request, "accounts/company_go.html", {"url": url})
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response


@public("a directory sends people back here; the session knows what was asked")
@require_safe
def callback(request, pk):
    """Take a directory's answer: sign in, connect, or prove, as was asked."""
    if _is_too_often(request):
        return ratelimit.respond_429(request)
    tenant = _tenant(pk)
    if tenant is None:
        raise Http404
    identity = None
    try:
        asked, identity = openid.answer_of(tenant, request)
        return ANSWERED[asked["process"]](request, tenant, identity, asked)
    except SignInRefused as refusal:
        return _refused(request, tenant, refusal, identity)


@signed_in(OWN)
@posted(instead=lambda: "own:account")
@recently_authenticated
def connect(request):
    """Begin to connect one's account with the one in the company's directory."""
    tenants = CompanyTenant.objects.active().of_member(request.user)
    form = TenantForm(request.POST, tenants=tenants)
    if not form.is_valid():
        messages.error(request, _("Your company has no sign-in with Microsoft here."))
        return redirect("own:account")
    return _on_the_way(
        request,
        form.cleaned_data["tenant"],
        process=CONNECT,
        address=request.user.email,
        target=reverse("own:account"),
    )


@signed_in(OWN)
@posted(instead=lambda: "own:account")
@recently_authenticated
def disconnect(request):
    """Let the company's directory no longer sign the person in."""
    form = TenantForm(request.POST, tenants=linked_tenants(request.user))
    if form.is_valid():
        try:
            services.disconnect_sign_in(form.cleaned_data["tenant"], by=request.user)
        except ValidationError as refusal:
            messages.error(request, " ".join(refusal.messages))
            return redirect("own:account")
    # One that is not there any more is what was asked for.
    messages.success(request, _("Microsoft no longer signs you in here."))
    return redirect("own:account")


@signed_in(OWN)
@posted(instead=lambda: "own:account")
def prove(request):
    """Let the company's directory ask the person anew who they are."""
    tenant = linked_tenants(request.user).active().first()
    if tenant is None:
        return redirect("own:sign_in_again")
    return _on_the_way(
        request,
        tenant,
        process=PROVE,
        address=request.user.email,
        target=_target(request, request.POST),
    )


# --- What follows an answer ------------------------------------------------------------


def _sign_in(
    request: HttpRequest, tenant: CompanyTenant, identity: Identity, asked: dict
) -> HttpResponse:
    user = services.sign_in_by_tenant(
        tenant, identity, language=request.LANGUAGE_CODE[:2]
    )
    if request.user.is_authenticated and request.user.pk != user.pk:
        get_adapter().logout(request)
    _record(request, user, tenant, identity)
    target = asked.get("next") or reverse("home")
    login = Login(
        user=user,
        redirect_url=target,
        signal_kwargs={"company_sign_in": tenant.provider_id},
    )
    if not identity.has_second_factor:
        # Whoever has a second factor here is asked for it.
        return perform_login(request, login)
    adapter = get_adapter()
    adapter.login(request, user)
    return adapter.post_login(
        request,
        user,
        email_verification=login.email_verification,
        redirect_url=login.redirect_url,
        signal_kwargs=login.signal_kwargs,
        signup=login.signup,
        email=login.email,
    )


def _connect(
    request: HttpRequest, tenant: CompanyTenant, identity: Identity, asked: dict
) -> HttpResponse:
    _refuse_another(request, asked)
    try:
        services.connect_sign_in(tenant, identity, by=request.user)
    except ValidationError as refusal:
        messages.error(request, " ".join(refusal.messages))
    else:
        messages.success(
            request,
            _("Connected: from now on you can sign in with Microsoft as %(name)s.")
            % {"name": next(iter(identity.addresses), identity.full_name)},
        )
    return redirect("own:account")


def _prove(
    request: HttpRequest, tenant: CompanyTenant, identity: Identity, asked: dict
) -> HttpResponse:
    _refuse_another(request, asked)
    linked = linked_tenants(request.user, oid=identity.oid)
    if not linked.filter(pk=tenant.pk).exists():
        raise SignInRefused("another_person")
    if time.time() - identity.proved_at > settings.ACCOUNT_REAUTHENTICATION_TIMEOUT:
        # The directory knew the browser, or does not tell when it asked.
        raise SignInRefused("not_asked")
    services.sign_in_by_tenant(tenant, identity)
    _record(request, request.user, tenant, identity)
    return proved_elsewhere(request, asked.get("next") or reverse("home"))


ANSWERED = {LOGIN: _sign_in, CONNECT: _connect, PROVE: _prove}


# --- Steps in common -------------------------------------------------------------------


def _on_the_way(
    request: HttpRequest,
    tenant: CompanyTenant,
    *,
    process: str,
    address: str,
    target: str,
) -> HttpResponse:
    request.session[_WAITING] = {
        "tenant": tenant.provider_id,
        "process": process,
        "person": request.user.pk,
        "address": address,
        "target": target,
        "at": time.time(),
    }
    return redirect("company:go")


def _record(
    request: HttpRequest, user: User, tenant: CompanyTenant, identity: Identity
) -> None:
    record_authentication(
        request,
        user,
        "socialaccount",
        provider=tenant.provider_id,
        uid=identity.oid,
        proved_at=identity.proved_at,
        has_second_factor=identity.has_second_factor,
    )


def _refuse_another(request: HttpRequest, asked: dict) -> None:
    """Whoever asked is still signed in, and nobody else."""
    if not request.user.is_authenticated or request.user.pk != asked["person"]:
        raise SignInRefused("another_person")


def _refused(
    request: HttpRequest,
    tenant: CompanyTenant,
    refusal: SignInRefused,
    identity: Identity | None = None,
) -> HttpResponse:
    logger.warning(
        "Company sign-in refused: %s",
        refusal,
        extra={"company_tenant": tenant.provider_id, "reason": refusal.reason},
    )
    if refusal.reason not in UNHEARD:
        services.note_refused_sign_in(tenant, refusal, identity)
    context = {"refusal": company_refusal(refusal.reason, tenant=tenant)}
    return render(request, "accounts/company_refused.html", context, status=403)


def _tenant(pk: object) -> CompanyTenant | None:
    tenants = CompanyTenant.objects.active().select_related("partner_account")
    return tenants.filter(pk=pk).first()


def _target(request: HttpRequest, asked) -> str:
    target = asked.get(REDIRECT_FIELD_NAME, "")
    return target if is_own_path(target) else reverse("home")


def _is_too_often(request: HttpRequest) -> bool:
    return not ratelimit.consume(
        request, app="allauth.account", action="company_sign_in"
    )
