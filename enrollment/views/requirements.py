"""Why a program is open to a location or not, and disputing what is known of it."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import requires
from accounts.roles import Permission
from accounts.typed import keeps_typed, refilled
from enrollment import services
from enrollment.changes import amount, reached
from enrollment.forms import DisputeForm
from enrollment.models import (
    ProgramAtLocation,
    RequirementCheck,
    RequirementDispute,
    ValueImport,
)
from enrollment.models.overview import CheckState
from enrollment.wording import source_name

# The partner agreement, which is a requirement without a key.
AGREEMENT = "agreement"


@requires(Permission.REQUIREMENT_VIEW, on=ProgramAtLocation)
@require_safe
def why(request, place):
    """List each requirement as met, not met or not known, with its numbers (R60)."""
    checks = _checks(place)
    newest: dict[str, RequirementDispute] = {}
    disputes = RequirementDispute.objects.filter(
        location=place.location, terms=place.terms
    ).select_related("asked_by")
    for dispute in disputes.order_by("asked_at", "pk"):
        newest[str(dispute.requirement_id or AGREEMENT)] = dispute
    shown = [_shown_check(check) for check in checks]
    for one in shown:
        one["dispute"] = newest.get(one["key"])
    return render(
        request,
        "enrollment/why.html",
        {
            "place": place,
            "checks": shown,
            "sees_enrollments": ProgramAtLocation.objects.where_user_may(
                request.user, Permission.ENROLLMENT_VIEW
            )
            .filter(pk=place.pk)
            .exists(),
            "met": sum(check.state == CheckState.MET for check in checks),
            "missing": [one for one in shown if one["state"] == CheckState.UNMET],
            "unknown": [
                one["name"] for one in shown if one["state"] == CheckState.UNKNOWN
            ],
            "first_unmet": next(
                (check for check in checks if check.state != CheckState.MET), None
            ),
            "updated_at": ValueImport.objects.filter(status="applied")
            .order_by("-applied_at")
            .values_list("applied_at", flat=True)
            .first(),
        },
    )


@requires(Permission.REQUIREMENT_VIEW, on=ProgramAtLocation)
@require_http_methods(["GET", "HEAD", "POST"])
@keeps_typed
def dispute(request, place):
    """Ask the program owner to look again at one requirement."""
    wanted = request.GET.get("requirement", "")
    check = next((one for one in _checks(place) if _key(one) == wanted), None)
    if check is None or check.state == CheckState.MET:
        return redirect("enrollment:why", pk=place.pk)
    form = refilled(request, DisputeForm(request.POST or None))
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                services.dispute_requirement(
                    place,
                    requirement=check.requirement,
                    text=form.cleaned_data["text"],
                    by=request.user,
                )
            except ValidationError as error:
                form.add_error(None, error)
            else:
                messages.success(
                    request, _("Sent. The answer comes by mail and stands here.")
                )
                return redirect("enrollment:why", pk=place.pk)
    context = {"place": place, "check": _shown_check(check), "form": form}
    return render(request, "enrollment/dispute.html", context, status=status)


def _checks(place) -> list[RequirementCheck]:
    return list(
        RequirementCheck.objects.filter(location=place.location, terms=place.terms)
        .as_of(place.terms.today())
        .select_related("criterion", "requirement")
        .order_by("position", "pk")
    )


def _key(check: RequirementCheck) -> str:
    return str(check.requirement_id or AGREEMENT)


def _shown_check(check: RequirementCheck) -> dict:
    """One requirement with what is needed and what is known, in words."""
    criterion = check.criterion
    needed, yours, so_far = _("yes"), "", ""
    if criterion is not None and criterion.kind == criterion.Kind.NUMBER:
        needed = amount(check.needed, criterion.unit)
        if check.value is not None:
            yours = amount(check.value, criterion.unit)
            so_far = reached(check.value, check.needed, criterion.unit)
    elif check.state != CheckState.UNKNOWN:
        yours = _("yes") if check.state == CheckState.MET else _("no")
    return {
        "key": _key(check),
        "name": criterion.name if criterion else _("Active partner agreement"),
        "state": check.state,
        "criterion": criterion,
        "needed": needed,
        "yours": yours,
        "reached": so_far,
        "valid_from": check.valid_from,
        "source": source_name(check.source),
    }
