"""Everybody's own account: language, second factors, roles held, sessions."""

from allauth.account.views import PasswordResetFromKeyView
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import translation
from django.utils.translation import get_language_info
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import known_browsers, proof, services
from accounts.access import confirmation_methods, is_own_path, signed_in
from accounts.directory import linked_tenants
from accounts.posting import posted
from accounts.rows import (
    company_rows,
    factor_rows,
    held_rows,
    recovery_codes_row,
    session_rows,
)
from accounts.signin_forms import EndSessionForm

OWN = "shows and changes nothing but the person's own account"
SETTLED = "after_second_factor"


class NewPasswordView(PasswordResetFromKeyView):
    """Sets a new password by the link of a mail.

    Who reads the person's mail is the person: from here they can sign in, whatever
    others tried meanwhile (T6).
    """

    def form_valid(self, form):
        response = super().form_valid(form)
        known_browsers.remember(response, self.request, self.reset_user)
        return response


@signed_in(OWN, also_operators=True)
@require_safe
def account(request):
    """Show how the person signs in, what they may do, and where they are signed in."""
    factors = proof.second_factors_of(request.user)
    context = {
        "factors": factor_rows(factors),
        "has_app": any(row.is_app for row in factor_rows(factors)),
        "codes": recovery_codes_row(request.user),
        "is_needed": proof.needs_second_factor(request.user),
        "held": held_rows(request.user),
        "directories": company_rows(request.user),
        "sessions": session_rows(
            UserSession.objects.purge_and_list(request.user),
            current_key=request.session.session_key,
        ),
    }
    return render(request, "accounts/account.html", context)


@signed_in(OWN, also_operators=True)
@require_safe
def second_factor(request):
    """The wall: say why a second factor is asked for, and lead to it and back."""
    target = request.GET.get(REDIRECT_FIELD_NAME, "")
    if not is_own_path(target):
        target = reverse("home")
    is_renewal = proof.is_renewal_due(request)
    if proof.is_proved(request) and not is_renewal:
        return redirect(target)
    request.session[SETTLED] = target
    context = {
        "factors": proof.second_factors_of(request.user),
        "is_renewal": is_renewal,
        "confirm_url": next(iter(confirmation_methods(request.user)), ""),
        "target": target,
    }
    return render(request, "accounts/second_factor.html", context)


@signed_in(OWN, also_operators=True)
@require_safe
def settled(request):
    """Lead to where a second factor was asked for, else to the account."""
    target = request.session.pop(SETTLED, "")
    return redirect(target if is_own_path(target) else "own:account")


@signed_in(OWN, also_operators=True)
@require_safe
def language(request):
    """Offer another language, in that language: where a mail's own link leads.

    Looking changes nothing (experience.md §6.1); the button does.
    """
    offered = request.GET.get("to", "")
    if offered not in dict(settings.LANGUAGES):
        offered = next(
            code for code, _name in settings.LANGUAGES if code != request.LANGUAGE_CODE
        )
    with translation.override(offered):
        response = render(
            request,
            "accounts/language.html",
            {"offered": offered, "name": get_language_info(offered)["name_local"]},
        )
    response.headers["Content-Language"] = offered
    return response


@signed_in(OWN, also_operators=True)
@require_safe
def sign_in_again(request):
    """For whom only signing in anew proves who they are: their company asks them."""
    target = request.GET.get(REDIRECT_FIELD_NAME, "")
    context = {
        "target": target if is_own_path(target) else reverse("own:account"),
        "has_company": linked_tenants(request.user).active().exists(),
    }
    return render(request, "accounts/sign_in_again.html", context)


@signed_in(OWN, also_operators=True)
@posted(instead=lambda: "own:account")
def end_session(request):
    """Sign out one other place."""
    sessions = UserSession.objects.filter(user=request.user)
    form = EndSessionForm(request.POST, sessions=sessions)
    if form.is_valid():
        services.sign_out_elsewhere(form.cleaned_data["session"], by=request.user)
    # One that is not there any more is what was asked for.
    messages.success(request, _("You are signed out there."))
    return redirect("own:account")


@signed_in(OWN, also_operators=True)
@posted(instead=lambda: "own:account")
def end_sessions(request):
    """Sign out everywhere, here too."""
    services.sign_out_everywhere(request.user, by=request.user)
    request.session.flush()
    messages.success(request, _("You are signed out everywhere."))
    return redirect("home")
