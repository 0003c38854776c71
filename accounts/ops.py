"""Operators: mail that did not arrive, and sending it again."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import services
from accounts.access import operator_requires
from accounts.models import MailStatus, OutgoingEmail
from accounts.posting import posted
from accounts.sender import sender_problems

PAGE_SIZE = 50
RESEND = "accounts.resend_outgoingemail"


@operator_requires("accounts.view_outgoingemail")
@require_safe
def mail(request):
    """List mails that were given up or are being tried again; bodies are not shown."""
    undelivered = (
        OutgoingEmail.objects.undelivered()
        .defer("body_text", "body_html")
        .select_related("to_user")
        .order_by("-created_at", "pk")
    )
    waiting = OutgoingEmail.objects.filter(status=MailStatus.QUEUED)
    context = {
        "page": Paginator(undelivered, PAGE_SIZE).get_page(request.GET.get("page")),
        "may_resend": request.user.has_perm(RESEND),
        "waiting_count": waiting.count(),
        "waiting_since": waiting.order_by("created_at")
        .values_list("created_at", flat=True)
        .first(),
        "sender_problems": sender_problems(),
    }
    return render(request, "ops/mail.html", context)


@operator_requires(RESEND, on=OutgoingEmail)
@posted(instead=lambda email: "ops:mail")
def resend(request, email):
    """Put a mail that was given up back in line."""
    was_given_up = email.is_given_up
    services.resend_email(email, by=request.user)
    if was_given_up:
        text = _("The mail to %(address)s is on its way again.")
    else:
        text = _("The mail to %(address)s was not given up; nothing was changed.")
    messages.success(request, text % {"address": email.to_address})
    return redirect("ops:mail")
