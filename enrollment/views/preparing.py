"""Preparing an enrollment without the role: a colleague fills in, an admin sends."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect

from accounts.access import requires
from accounts.roles import Permission
from enrollment import services
from enrollment.models import Enrollment
from enrollment.views.posting import posted


@requires(Permission.ENROLLMENT_VIEW, on=Enrollment)
@posted
def prepare(request, enrollment):
    """Begin to fill in the bank or the tax details for whoever may submit."""
    try:
        part = services.prepare_enrollment(
            enrollment, section=request.POST.get("section", ""), by=request.user
        )
    except ValidationError as refusal:
        messages.error(request, " ".join(refusal.messages))
        return redirect(enrollment)
    return redirect("profiles:part", pk=part.pk)
