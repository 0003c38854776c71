"""The link of an invitation: from the mail to the page that accepts it.

The address with the token only leads on: it leaves a mark in the browser's session, so
that the token stands in no later address, form or referrer. Looking changes nothing.
"""

from allauth.core.internal import ratelimit
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from accounts import services
from accounts.access import public, signed_in
from accounts.companies import path_in
from accounts.forms import JoinForm
from accounts.link_tokens import fingerprint_of
from accounts.models import ColleagueInvitation, InvitationState
from accounts.posting import posted

# What the session keeps: the token's fingerprint, never the token.
OPENED = "invitation"


@public("the link only leads to the page; it grants nothing and changes nothing")
@require_safe
def link(request, token):
    """Remember which link was opened and leave the token behind (T4)."""
    fingerprint = fingerprint_of(token)
    if not ColleagueInvitation.objects.filter(token_sha256=fingerprint).exists():
        raise Http404
    request.session[OPENED] = fingerprint
    response = redirect("joining:invitation")
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response


@public("names are shown to the signed-in person it is for; others see how to sign in")
@require_safe
def invitation(request):
    """Show the invitation to whom it is for, a neutral page to everybody else."""
    return _page(request, _opened(request))


@signed_in("accepts only what is addressed to oneself; the service asks whether it is")
@posted(instead=lambda: "joining:invitation")
def accept(request):
    """Accept the invitation whose link was opened here."""
    opened = _opened(request)
    if opened is None:
        return redirect("joining:invitation")
    try:
        accepted = services.accept_invitation(opened, by=request.user)
    except ValidationError as error:
        is_somebody_elses = error.code == "wrong_person"
        return _page(
            request,
            opened,
            refusal=" ".join(error.messages),
            status=403 if is_somebody_elses else 422,
        )
    request.session.pop(OPENED, None)
    company = accepted.partner_account
    sentence = (
        _("You belong to %(company)s now, with the role %(role)s.")
        if accepted.role
        else _("You belong to %(company)s now, without a role. You can ask for one.")
    )
    messages.success(
        request, sentence % {"company": company.name, "role": accepted.offered}
    )
    return redirect(path_in(company, "home"))


@public("somebody new has no account yet; the link and the address prove who it is")
@sensitive_post_parameters("password")
@posted(instead=lambda: "joining:invitation")
def join(request):
    """Make the account of somebody new, who signs in with it next."""
    opened = _opened(request)
    if opened is None or request.user.is_authenticated:
        return redirect("joining:invitation")
    form = JoinForm(request.POST)
    # Counted before it is known to be wrong; what was no guess is taken back.
    attempt = ratelimit.consume(
        request, app="allauth.account", action="join_failed", key=str(opened.pk)
    )
    if attempt is None:
        form.add_error(None, _("Too many wrong answers. Wait an hour, then try again."))
        return _page(request, opened, form=form, status=429)
    if not form.is_valid():
        attempt.rollback()
        return _page(request, opened, form=form, status=422)
    try:
        services.join_by_invitation(
            opened, language=request.LANGUAGE_CODE, **form.cleaned_data
        )
    except ValidationError as error:
        if not _is_wrong_address(error):
            attempt.rollback()
        opened.refresh_from_db()
        form.add_refusal(error)
        return _page(request, opened, form=form, status=422)
    attempt.rollback()
    request.session.pop(OPENED, None)
    messages.success(request, _("Your account is ready. Sign in to begin."))
    return redirect("account_login")


def _is_wrong_address(error: ValidationError) -> bool:
    by_field = getattr(error, "error_dict", {})
    return any(one.code == "wrong_person" for one in by_field.get("email", ()))


def _opened(request) -> ColleagueInvitation | None:
    """The invitation whose link was opened in this browser."""
    fingerprint = request.session.get(OPENED)
    if fingerprint is None:
        return None
    return (
        ColleagueInvitation.objects.select_related("partner_account", "created_by")
        .filter(token_sha256=fingerprint)
        .first()
    )


def _page(request, opened, *, form=None, refusal="", status=200):
    if opened is None:
        return render(request, "accounts/no_invitation.html")
    user = request.user
    if not user.is_authenticated:
        context = {
            "form": form or JoinForm(),
            "ended": _why_ended(opened),
            "is_accepted": opened.state == InvitationState.ACCEPTED,
            "is_replaced": opened.state == InvitationState.REPLACED,
            "sign_in_url": (
                f"{reverse('account_login')}?next={reverse('joining:invitation')}"
            ),
        }
        return render(request, "accounts/join.html", context, status=status)
    if user.is_staff or user.email != opened.email:
        return render(request, "accounts/not_for_you.html", status=status)
    context = {
        "company": opened.partner_account,
        "inviter": opened.created_by,
        "role": opened.offered,
        "has_role": bool(opened.role),
        "places": [
            place.where for place in opened.places.select_related("location", "program")
        ],
        "ends_on": opened.ends_on,
        "works_until": opened.expires_at,
        "is_accepted": opened.state == InvitationState.ACCEPTED,
        "refusal": refusal or _why_not(opened),
    }
    return render(request, "accounts/invitation.html", context, status=status)


def _why_ended(opened) -> str:
    """Why the link no longer works, in words that name nobody; empty while it does."""
    try:
        services.check_open(opened)
    except ValidationError as error:
        return " ".join(error.messages)
    return ""


def _why_not(opened) -> str:
    """Why the person it is for cannot accept it; empty when they can."""
    try:
        services.check_acceptance(opened)
    except ValidationError as error:
        return " ".join(error.messages)
    return ""
