"""One bank profile: its page, its versions, its whole number, put away."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import (
    sensitive_variables,
)
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import recently_authenticated, requires
from accounts.posting import posted
from accounts.roles import Permission
from profiles import services
from profiles.forms import (
    ShowNumberForm,
    add_errors,
)
from profiles.models import (
    BankProfile,
)
from profiles.views.around import archive_page, compare_page, profile_page
from profiles.wording import (
    whole_numbers,
)

# What the session keeps between asking for a number and showing it: of which profile.
_SHOWN = "number_to_show"


@requires(Permission.PROFILE_VIEW, on=BankProfile)
@require_safe
def bank(request, profile):
    """Show a bank profile: what is in force, what is waiting, and its history."""
    return profile_page(request, profile, "profiles/bank_profile.html")


@requires(Permission.PROFILE_VIEW, on=BankProfile)
@require_safe
def compare_bank(request, profile):
    """Show what differs between two versions of a bank profile, numbers masked."""
    return compare_page(request, profile)


@requires(Permission.PROFILE_VIEW, on=BankProfile)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables()
def show_bank_number(request, profile):
    """Ask why, then show the whole numbers, this once."""
    if request.method != "POST":
        if request.method == "GET" and request.session.pop(_SHOWN, "") == str(
            profile.pk
        ):
            return _numbers_page(request, profile)
        return _ask_why_page(request, profile, ShowNumberForm())
    form = ShowNumberForm(request.POST)
    if not form.is_valid():
        return _ask_why_page(request, profile, form, status=422)
    try:
        services.show_bank_number(profile, by=request.user, **form.cleaned_data)
    except ValidationError as error:
        add_errors(form, error)
        return _ask_why_page(request, profile, form, status=422)
    # The session keeps which profile, never the number.
    request.session[_SHOWN] = str(profile.pk)
    return redirect("profiles:show_bank_number", pk=profile.pk)


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
def archive_bank(request, profile):
    """Put a bank profile away, after asking."""
    return archive_page(request, profile, then="profiles:list")


@requires(Permission.PROFILE_EDIT, on=BankProfile)
@recently_authenticated
@posted(instead=lambda profile: profile)
def withdraw_bank(request, profile):
    """Take a new version back; the one in force stays."""
    version = profile.candidate
    if version is not None:
        try:
            services.withdraw_change(version, by=request.user)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            messages.success(
                request, _("The new version is withdrawn. The one in force stays.")
            )
    return redirect(profile)


def _ask_why_page(request, profile, form, *, status=200):
    return render(
        request,
        "profiles/show_number.html",
        {"profile": profile, "form": form, "most": services.MOST_SHOWN_A_DAY},
        status=status,
    )


def _numbers_page(request, profile):
    versions = profile.versions.current_first()
    context = {
        "profile": profile,
        "shown": [
            {"version": version, "numbers": whole_numbers(version)}
            for version in versions
        ],
    }
    return render(request, "profiles/whole_number.html", context)
