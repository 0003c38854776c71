"""Operators: people who lost every second factor, and who says that it is them."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import services
from accounts.access import operator_requires, recently_authenticated
from accounts.forms import without_fields
from accounts.holders import needs_operators, vouchers_of
from accounts.models import FactorReset, PartnerAccount, ResetState
from accounts.posting import posted
from accounts.reset_forms import NoResetForm, VouchForm
from accounts.waiting import reset_row

VIEW = "accounts.view_factorreset"


def _page_of(asked: FactorReset) -> str:
    return reverse("ops:lost_factor", kwargs={"pk": asked.pk})


@operator_requires(VIEW, on=FactorReset)
@require_safe
def lost_factor(request, asked):
    """Show one: who asks, who can vouch for them, and the next step."""
    return _page(request, asked)


@operator_requires(services.DECIDE_RESET, on=FactorReset)
@recently_authenticated
@posted(instead=_page_of)
def vouch(request, asked):
    """Say that it is the person, where nobody in a company can."""
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
        messages.success(request, _("Noted. Another operator resets."))
    return redirect(_page_of(asked))


@operator_requires(services.DECIDE_RESET, on=FactorReset)
@recently_authenticated
@posted(instead=_page_of)
def reset_factors(request, asked):
    """Remove the person's second factors."""
    try:
        services.reset_second_factors(asked, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("Reset. %(person)s is signed out everywhere and was told what to do.")
            % {"person": asked.user.full_name},
        )
    return redirect(_page_of(asked))


@operator_requires(services.DECIDE_RESET, on=FactorReset)
@posted(instead=_page_of)
def decline(request, asked):
    """Say no, and why; the form stands on the request's page."""
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
    is_own = asked.user_id == request.user.pk
    may_decide = is_open and not is_own and request.user.has_perm(services.DECIDE_RESET)
    is_vouched = asked.state == ResetState.VOUCHED
    has_had_time = timezone.now() >= asked.decided_from
    is_own_word = asked.vouched_by_id == request.user.pk
    may_vouch = may_decide and not is_vouched and needs_operators(asked)
    if vouch_form and not may_vouch:
        without_fields(vouch_form)
    context = {
        "asked": asked,
        "row": reset_row(asked),
        "companies": PartnerAccount.objects.with_member(asked.user).order_by("name"),
        "helpers": vouchers_of(asked),
        "is_for_operators": needs_operators(asked),
        "is_open": is_open,
        "is_own": is_own,
        "is_own_word": is_own_word,
        "has_had_time": has_had_time,
        "may_decide": may_decide,
        "may_vouch": may_vouch,
        "may_reset": may_decide and is_vouched and has_had_time and not is_own_word,
        "vouch_form": vouch_form or VouchForm(),
        "decline_form": decline_form or NoResetForm(auto_id="decline_%s"),
        "has_errors": status != 200,
    }
    return render(request, "ops/lost_factor.html", context, status=status)
