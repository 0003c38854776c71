"""The road back for whoever has lost every second factor (T7).

Asking is bound to the session that has shown the password and waits for the second step;
stopping to the link of the mail, for whoever reads the person's mail is the person.
"""

from allauth.account.internal.decorators import login_stage_required
from allauth.mfa.stages import AuthenticateStage
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import services
from accounts.access import public
from accounts.holders import vouchers_for
from accounts.link_tokens import fingerprint_of
from accounts.models import FactorReset, PartnerAccount, ResetState
from accounts.reset_forms import LostFactorForm
from accounts.waiting import reset_row

# What the session keeps: the token's fingerprint, never the token.
OPENED = "factor_reset"


@public("for whoever has shown the password; without that it leads to signing in")
@login_stage_required(stage=AuthenticateStage.key, redirect_urlname="account_login")
@require_http_methods(["GET", "HEAD", "POST"])
def ask(request):
    """Say whom to ask for help; ask for a reset of one's second factors."""
    user = request._login_stage.login.user
    companies = _companies(user)
    form = LostFactorForm(
        request.POST if request.method == "POST" else None, companies=companies
    )
    if request.method != "POST":
        return _ask_page(request, user, form)
    if not form.is_valid():
        return _ask_page(request, user, form, status=422)
    try:
        services.request_factor_reset(
            form.company, reason=form.cleaned_data["reason"], by=user
        )
    except ValidationError as error:
        form.add_refusal(error)
        return _ask_page(request, user, form, status=422)
    messages.success(request, _("You have asked for help. We wrote you a mail."))
    return redirect("lost:ask")


@public("the link only leads to the page; it shows nothing and changes nothing")
@require_safe
def link(request, token):
    """Remember which link was opened and leave the token behind (T4)."""
    fingerprint = fingerprint_of(token)
    if not FactorReset.objects.filter(token_sha256=fingerprint).exists():
        raise Http404
    request.session[OPENED] = fingerprint
    response = redirect("lost:stop")
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response


@public("names nobody; stops only what the link of the mail was about")
@require_http_methods(["GET", "HEAD", "POST"])
def stop(request):
    """Ask whether it was them; stop what was asked for in the person's name."""
    opened = _opened(request)
    if request.method == "POST" and opened is not None:
        try:
            services.stop_factor_reset(opened)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        return redirect("lost:stop")
    is_open = (
        opened is not None and FactorReset.objects.open().filter(pk=opened.pk).exists()
    )
    context = {"reset": opened, "is_open": is_open, "states": ResetState}
    return render(request, "accounts/stop_reset.html", context)


def _opened(request) -> FactorReset | None:
    """The request whose link was opened in this browser."""
    fingerprint = request.session.get(OPENED)
    if fingerprint is None:
        return None
    return FactorReset.objects.filter(token_sha256=fingerprint).first()


def _companies(user) -> list[PartnerAccount]:
    if user.is_staff:
        return []
    return list(PartnerAccount.objects.with_member(user).order_by("name", "pk"))


def _ask_page(request, user, form, *, status=200):
    own = FactorReset.objects.filter(user=user).select_related("partner_account")
    last = own.order_by("-asked_at", "pk").first()
    is_open = last is not None and own.open().filter(pk=last.pk).exists()
    context = {
        "form": form,
        "open": reset_row(last) if is_open else None,
        "last": None if is_open or last is None else reset_row(last),
        "helpers": [
            {"company": company, "people": vouchers_for(user, company)}
            for company in _companies(user)
        ],
        "is_for_operators": user.is_staff,
    }
    response = render(request, "accounts/lost_factor.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response
