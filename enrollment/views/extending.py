"""Asking the program owner for more time to enroll a location."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.access import requires
from accounts.roles import Permission
from accounts.typed import keeps_typed, refilled
from enrollment import services
from enrollment.forms import ExtensionForm
from enrollment.models import Enrollment


@requires(Permission.ENROLLMENT_EDIT, on=Enrollment)
@require_http_methods(["GET", "HEAD", "POST"])
@keeps_typed
def ask_extension(request, enrollment):
    """Ask for a later last day, with a reason."""
    enrollment = Enrollment.objects.for_pages().get(pk=enrollment.pk)
    reason = services.why_not_asking(enrollment, at=timezone.now())
    if reason or enrollment.extension_requests.filter(answered_at=None).exists():
        messages.info(request, reason or _("More time was asked for already."))
        return redirect(enrollment)
    form = refilled(request, ExtensionForm(request.POST or None))
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                services.ask_for_extension(
                    enrollment, text=form.cleaned_data["text"], by=request.user
                )
            except ValidationError as error:
                form.add_error(None, error)
            else:
                messages.success(
                    request,
                    _("Sent. The answer comes by mail. What you filled in is kept."),
                )
                return redirect(enrollment)
    context = {"enrollment": enrollment, "form": form}
    return render(request, "enrollment/ask_extension.html", context, status=status)
