"""The bank profiles that new enrollments of a location begin with."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.access import recently_authenticated, requires
from accounts.location_choice import choose_location
from accounts.posting import posted
from accounts.roles import Permission
from profiles import countries, services
from profiles.forms import (
    DefaultBankProfileForm,
    add_errors,
)
from profiles.models import (
    DefaultBankProfile,
)
from profiles.views.around import data_of
from profiles.views.lists import tabs


@requires(Permission.PROFILE_EDIT)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
def defaults(request):
    """Show which locations have a default, and set one for those without (R50-R52)."""
    form = DefaultBankProfileForm(
        data_of(request), user=request.user, company=request.company
    )
    if request.method == "POST" and form.is_valid():
        try:
            moving = list(form.cleaned_data["moving"])
            rows = services.set_default_bank_profile(
                [*form.cleaned_data["locations"], *moving],
                moving=moving,
                seen=form.seen,
                bank_profile=form.cleaned_data["bank_profile"],
                currency=form.cleaned_data["currency"],
                by=request.user,
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(request, _defaults_set(rows))
            return redirect("profiles:defaults")
    rows = (
        DefaultBankProfile.objects.where_user_may(request.user, Permission.PROFILE_VIEW)
        .of_company(request.company)
        .select_related("location", "bank_profile")
        .order_by("location__name", "pk")
    )
    location = choose_location(request)
    if location is not None:
        rows = rows.filter(location=location)
    return render(
        request,
        "profiles/defaults.html",
        {
            "form": form,
            "bank_choices": _bank_choices(form),
            "rows": rows,
            "tabs": tabs(request, "defaults"),
        },
        status=422 if form.errors else 200,
    )


@requires(Permission.PROFILE_EDIT, on=DefaultBankProfile)
@recently_authenticated
@posted(instead=lambda default: "profiles:defaults")
def remove_default(request, default):
    """Take a location's default away; the location is offered again (R51)."""
    name = default.location.name
    try:
        services.remove_default_bank_profile(default, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("%(location)s has no default bank profile now.") % {"location": name},
        )
    return redirect("profiles:defaults")


def _bank_choices(form):
    """Each bank profile's radio, with what tells it from the others."""
    today = timezone.localdate()
    choices = []
    for option in form["bank_profile"]:
        profile = option.data["value"].instance
        version = profile.version_in_force or profile.candidate
        text = _("%(country)s · ending in %(end)s") % {
            "country": countries.country_name(version.country),
            "end": version.last4,
        }
        choices.append((option, text, profile.shown_statuses(today)[0]))
    return choices


def _defaults_set(rows) -> str:
    first = rows[0]
    names = ", ".join(row.location.name for row in rows)
    return _("%(profile)s in %(currency)s is the default of %(locations)s.") % {
        "profile": first.bank_profile.name,
        "currency": first.currency,
        "locations": names,
    }
