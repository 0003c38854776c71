"""One profile in the place of another, wherever it is used; each view calls a service."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from accounts.access import recently_authenticated, requires
from accounts.roles import Permission
from enrollment import services
from enrollment.forms import ReplaceProfileForm
from enrollment.payout import replacement_choices
from profiles.forms import add_errors
from profiles.models import BankProfile, TaxProfile


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
def replace_bank(request, profile):
    """Pay to another bank profile wherever this one is used (R53)."""
    return _replace(request, profile)


@requires(Permission.PROFILE_EDIT, on=TaxProfile)
@require_http_methods(["GET", "HEAD", "POST"])
def replace_tax(request, profile):
    """Use another tax profile of the location wherever this one is used (R53)."""
    return _replace(request, profile)


def _replace(request, profile):
    archive_url = reverse(f"profiles:archive_{profile.part}", kwargs={"pk": profile.pk})
    posted = request.POST if request.method == "POST" else None
    form = ReplaceProfileForm(posted, profile=profile)
    if request.method == "POST" and form.is_valid():
        replacement = form.cleaned_data["replacement"]
        try:
            count = services.replace_profile(
                profile, replacement=replacement, by=request.user
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(request, _replaced(replacement, count))
            return redirect(archive_url)
    impact = profile.change_impact()
    sent_back = {one.enrollment for one in impact.sent_back}
    uses = profile.uses_by_name()
    return render(
        request,
        "enrollment/replace_profile.html",
        {
            "profile": profile,
            "form": form,
            "choices": replacement_choices(form, profile),
            "impact": impact,
            "uses": uses,
            "others": [one for one in uses if one.enrollment not in sent_back],
            "defaults": (
                profile.defaults.select_related("location").order_by("location__name")
                if profile.part == "bank"
                else []
            ),
            "archive_url": archive_url,
        },
        status=422 if form.errors else 200,
    )


def _replaced(replacement, count: int) -> str:
    return (
        ngettext(
            "%(name)s is used by %(count)d enrollment instead.",
            "%(name)s is used by %(count)d enrollments instead.",
            count,
        )
        % {"name": replacement.name, "count": count}
        if count
        else _("%(name)s is used instead.") % {"name": replacement.name}
    )
