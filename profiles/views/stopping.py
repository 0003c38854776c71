"""Stopping a change of an account: "This was not us" (security.md §6.2)."""

from django import forms
from django.core.exceptions import ValidationError
from django.http import Http404
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import public, requires
from accounts.link_tokens import fingerprint_of
from accounts.roles import Permission
from profiles import services
from profiles.emails import shown_account
from profiles.forms import (
    add_errors,
)
from profiles.models import (
    BankProfile,
    BankProfileVersion,
)
from profiles.views.around import may_edit

# And between opening the contact's link and stopping: the token's fingerprint.
_OPENED = "bank_change_to_stop"


@requires(Permission.PROFILE_KNOW, on=BankProfile)
@require_http_methods(["GET", "HEAD", "POST"])
def stop_change(request, profile):
    """Say what is to change, as the mail did; stop it."""
    version = (
        profile.versions.exclude(usable_from=None)
        .select_related("submitted_by")
        .order_by("-number")
        .first()
    )
    if request.method == "POST" and version is not None:
        form = _stop(version, by=request.user)
        if form is None:
            return redirect("profiles:stop_change", pk=profile.pk)
    else:
        form = forms.Form()
    return _change_page(request, version, form, profile=profile)


@public("the link only leads to the page; it shows nothing and changes nothing")
@require_safe
def stop_link(request, token):
    """Remember which link was opened and leave the token behind (T4)."""
    fingerprint = fingerprint_of(token)
    if not BankProfileVersion.objects.filter(stop_sha256=fingerprint).exists():
        raise Http404
    request.session[_OPENED] = fingerprint
    response = redirect("profiles:stop_by_link")
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response


@public("says what the contact's mail said; stops only what its link was about")
@require_http_methods(["GET", "HEAD", "POST"])
def stop_by_link(request):
    """Let the previous contact, who has no account here, stop the change."""
    version = None
    if fingerprint := request.session.get(_OPENED):
        version = (
            BankProfileVersion.objects.filter(stop_sha256=fingerprint)
            .select_related("profile__partner_account", "submitted_by")
            .first()
        )
    if request.method == "POST" and version is not None:
        form = _stop(version, by=None)
        if form is None:
            return redirect("profiles:stop_by_link")
    else:
        form = forms.Form()
    return _change_page(request, version, form, profile=None)


def _stop(version, *, by):
    """Stop a change; return the form that says why it cannot be, or None."""
    try:
        services.stop_change(version, by=by)
    except ValidationError as error:
        form = forms.Form({})
        form.full_clean()
        add_errors(form, error)
        return form
    return None


def _change_page(request, version, form, *, profile):
    """`profile` is None for the contact, who reads no more than the mail said."""
    before = version.account_before if version is not None else None
    templates = {True: "profiles/stop_change.html", False: "profiles/stop_by_link.html"}
    response = render(
        request,
        templates[profile is not None],
        {
            "form": form,
            "profile": profile,
            "version": version,
            "company": version.profile.account if version else None,
            "old": shown_account(before) if before else None,
            "new": shown_account(version) if version else None,
            "is_holder_only": bool(
                before and before.blind_index == version.blind_index
            ),
            "may_edit": profile is not None
            and not profile.is_archived
            and may_edit(request.user, profile),
        },
        status=422 if form.errors else 200,
    )
    response["Cache-Control"] = "no-store"
    return response
