"""Second factors: allauth's pages where they fit, our own where it knows another rule."""

import json
from datetime import timedelta
from urllib.parse import urlencode

from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.internal import auth as webauthn
from allauth.mfa.webauthn.views import (
    AddWebAuthnView,
    LoginWebAuthnView,
    ReauthenticateWebAuthnView,
    RemoveWebAuthnView,
)
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import proof
from accounts.access import is_own_path, signed_in
from accounts.rows import recovery_codes_row
from accounts.signin_forms import RemoveFactorForm

OWN = "shows nothing but the person's own recovery codes"
# Codes are shown to the session that made them, for as long as saving them may take.
SHOWN_FOR = timedelta(minutes=10)


class TryAgainMixin:
    """Leads whose passkey was refused back to the page, which still knows the way."""

    page = ""

    def form_invalid(self, form) -> HttpResponse:
        _say_why(self.request, form)
        address = reverse(self.page)
        target = self.request.POST.get(REDIRECT_FIELD_NAME, "")
        if is_own_path(target):
            address += "?" + urlencode({REDIRECT_FIELD_NAME: target})
        return redirect(address)


class SignInByPasskeyView(TryAgainMixin, LoginWebAuthnView):
    """Signs in with a passkey alone."""

    page = "account_login"


class SecondStepView(AuthenticateView):
    """Asks for a code or a passkey after the password."""

    def form_invalid(self, form) -> HttpResponse:
        """Say why a passkey was refused too."""
        if form is not self.webauthn_form:
            return super().form_invalid(form)
        _say_why(self.request, form)
        return redirect("mfa_authenticate")


def _say_why(request, form) -> None:
    """Say why a passkey was refused; its field is nothing that anybody fills in."""
    for error in form.errors.as_data().get("credential", []):
        if error.code in ("required", "invalid"):
            words = _("No passkey was used. Try again, or use the other way.")
        else:
            words = " ".join(error.messages)
        messages.error(request, words)


class ProveByPasskeyView(TryAgainMixin, ReauthenticateWebAuthnView):
    """Asks for a passkey before something that matters."""

    page = "mfa_reauthenticate_webauthn"


class AddPasskeyView(AddWebAuthnView):
    """Adds a passkey that can be used without a password."""

    def get_context_data(self, **context):
        context = super(AddWebAuthnView, self).get_context_data(**context)
        if proof.passkey_host(self.request):
            options = webauthn.begin_registration(self.request.user, True)
            context["options"] = json.dumps(options)
        return context | {"is_possible": bool(proof.passkey_host(self.request))}


class RemovePasskeyView(RemoveWebAuthnView):
    """Removes a passkey, unless the policy asks for this last one."""

    form_class = RemoveFactorForm
    success_url = reverse_lazy("own:account")

    def get_form_kwargs(self):
        # What keeps it from being removed is said before anybody tries.
        return {"data": {}, "authenticator": self.object}


@signed_in(OWN, also_operators=True)
@require_safe
def recovery_codes(request):
    """Show the codes once, to who made them; later only how many are left."""
    authenticator = _codes(request)
    context = {
        "codes": recovery_codes_row(request.user),
        "shown": _shown(request, authenticator),
    }
    return render(request, "mfa/recovery_codes/index.html", context)


@signed_in(OWN, also_operators=True)
@require_safe
def download_recovery_codes(request):
    """Send the codes as a file while they are shown."""
    shown = _shown(request, _codes(request))
    if not shown:
        raise Http404
    text = render(
        request, "mfa/recovery_codes/download.txt", {"shown": shown}
    ).content.decode()
    return HttpResponse(
        text,
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="recovery-codes.txt"'},
    )


def _codes(request) -> Authenticator:
    return get_object_or_404(
        Authenticator, user=request.user, type=Authenticator.Type.RECOVERY_CODES
    )


def _shown(request, codes: Authenticator) -> list[str]:
    is_own = request.session.get(proof.CODES_MADE) == codes.pk
    is_new = timezone.now() - codes.created_at < SHOWN_FOR
    return codes.wrap().get_unused_codes() if is_own and is_new else []
