"""Recovery: asked of the program owner when nobody in the company can give roles."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts import services
from accounts.access import requires, signed_in
from accounts.holders import givers_of, needs_recovery, roles_given_by
from accounts.models import RecoveryRequest
from accounts.posting import posted
from accounts.recovery_forms import RecoveryForm
from accounts.roles import Permission, Role
from accounts.typed import keeps_typed, refilled


@signed_in("a person's own request; whoever can give roles in the company sees it too")
@require_http_methods(["GET", "HEAD", "POST"])
@keeps_typed
def recovery(request):
    """Ask the program owner for a Global admin; say what becomes of it."""
    company = request.company or None
    if company is None:
        return render(request, "accounts/recovery.html", {"company": None})
    form = RecoveryForm(request.POST if request.method == "POST" else None)
    form = refilled(request, form)
    if request.method != "POST" or not form.is_valid():
        return _page(request, form, status=422 if request.method == "POST" else 200)
    try:
        services.request_recovery(
            company, reason=form.cleaned_data["reason"], by=request.user
        )
    except ValidationError as error:
        form.add_refusal(error)
        return _page(request, form, status=422)
    messages.success(
        request, _("The program owner has your request. Now send the evidence.")
    )
    return redirect("accounts:recovery")


@requires(Permission.ROLE_ASSIGN, on=RecoveryRequest)
@posted(instead=lambda asked: "accounts:recovery")
def stop_recovery(request, asked):
    """Say that the company has an admin after all."""
    try:
        services.stop_recovery(asked, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("Stopped. Nobody is appointed; %(person)s is told.")
            % {"person": asked.user.full_name},
        )
    return redirect("accounts:recovery")


def _page(request, form, *, status=200):
    company, reader = request.company, request.user
    open_one = (
        RecoveryRequest.objects.of_company(company)
        .open()
        .select_related("user", "partner_account")
        .first()
    )
    last = (
        RecoveryRequest.objects.of_company(company)
        .filter(user=reader)
        .exclude(answered_at=None)
        .select_related("answered_by")
        .order_by("-asked_at", "pk")
        .first()
    )
    context = {
        "company": company,
        "form": form,
        "open": open_one,
        "is_mine": open_one is not None and open_one.user_id == reader.pk,
        "may_stop": Role.GLOBAL_ADMIN in roles_given_by(reader, company),
        "last": last,
        "is_guest": not company.welcomes(reader.email),
        "is_needed": needs_recovery(reader, company),
        "givers": [
            one for one in givers_of(Role.GLOBAL_ADMIN, company) if one != reader
        ],
        "domains": company.email_domains,
    }
    return render(request, "accounts/recovery.html", context, status=status)
