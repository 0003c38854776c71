"""Colleagues who lost every second factor: an admin vouches for them, or says no."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import services
from accounts.access import recently_authenticated, requires
from accounts.holders import vouchers_of
from accounts.models import FactorReset, ResetState
from accounts.posting import posted
from accounts.reset_forms import NoResetForm, VouchForm
from accounts.roles import Permission
from accounts.waiting import reset_row


def _page_of(asked: FactorReset) -> str:
    return reverse("accounts:lost_factor", kwargs={"pk": asked.pk})


@requires(Permission.ROLE_ASSIGN, on=FactorReset)
@require_safe
def lost_factor(request, asked):
    """Show who asks, what to make sure of, and how far it has come."""
    return _page(request, asked)


@requires(Permission.ROLE_ASSIGN, on=FactorReset)
@recently_authenticated
@posted(instead=_page_of)
def vouch(request, asked):
    """Say that it is the person who asks."""
    form = VouchForm(request.POST)
    if not form.is_valid():
        return _page(request, asked, vouch_form=form, status=422)
    try:
        services.vouch_for_person(
            asked, evidence=form.cleaned_data["evidence"], by=request.user
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("Noted. Now the program owner decides."))
    return redirect(_page_of(asked))


@requires(Permission.ROLE_ASSIGN, on=FactorReset)
@posted(instead=_page_of)
def decline_reset(request, asked):
    """Say that it is not the person, or that nothing is to be reset."""
    form = NoResetForm(request.POST, auto_id="decline_%s")
    if not form.is_valid():
        return _page(request, asked, decline_form=form, status=422)
    try:
        services.decline_factor_reset(
            asked, reason=form.cleaned_data["reason"], by=request.user
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("Declined. %(person)s reads why.") % {"person": asked.user.full_name},
        )
    return redirect(_page_of(asked))


def _page(request, asked, *, vouch_form=None, decline_form=None, status=200):
    asked = FactorReset.objects.for_pages().get(pk=asked.pk)
    is_open = FactorReset.objects.open().filter(pk=asked.pk).exists()
    helpers = vouchers_of(asked)
    may_help = is_open and request.user in helpers
    context = {
        "asked": asked,
        "row": reset_row(asked),
        "is_open": is_open,
        "is_own": asked.user_id == request.user.pk,
        "helpers": helpers,
        "may_vouch": may_help and asked.state == ResetState.WAITING,
        "may_decline": may_help,
        "vouch_form": vouch_form or VouchForm(),
        "decline_form": decline_form or NoResetForm(auto_id="decline_%s"),
        "has_errors": status != 200,
    }
    return render(request, "accounts/factor_reset.html", context, status=status)
