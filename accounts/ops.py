"""Operators: mail that did not arrive, and what was done in every company."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import services
from accounts.access import operator_requires
from accounts.activity import narrowed, query_of, trail_page, trail_table
from accounts.forms import AuditFilterForm
from accounts.models import (
    AuditEvent,
    OutgoingEmail,
    UndeliverableAddress,
    User,
)
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
    waiting = OutgoingEmail.objects.waiting()
    context = {
        "page": Paginator(undelivered, PAGE_SIZE).get_page(request.GET.get("page")),
        "may_resend": request.user.has_perm(RESEND),
        "waiting_count": waiting.count(),
        "waiting_since": waiting.order_by("created_at")
        .values_list("created_at", flat=True)
        .first(),
        "sender_problems": sender_problems(),
        "bad_addresses": UndeliverableAddress.objects.order_by("-noted_at", "pk")[
            :PAGE_SIZE
        ],
        "bad_count": UndeliverableAddress.objects.count(),
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


@operator_requires(RESEND, on=UndeliverableAddress)
@posted(instead=lambda address: "ops:mail")
def try_address(request, address):
    """Let mail go to an address again that it came back from."""
    services.try_address_again(address, by=request.user)
    messages.success(
        request,
        _("Mail goes to %(address)s again.") % {"address": address.address},
    )
    return redirect("ops:mail")


@operator_requires("accounts.view_auditevent")
@require_safe
def audit(request):
    """List what was done in every company, newest first (experience.md O8)."""
    events, form = _events_asked_for(request)
    context = {
        "filters": form,
        "has_errors": bool(form.errors),
        "trail": trail_page(request, events, key="pk", company=None),
        "export_url": f"{reverse('ops:export_audit')}?{urlencode(query_of(request.GET))}",
    }
    return render(request, "ops/audit.html", context)


@operator_requires("accounts.view_auditevent")
@require_safe
def export_audit(request):
    """Write what the list shows as a table, all of its pages."""
    events, form = _events_asked_for(request)
    if form.is_bound and not form.is_valid():
        return redirect(f"{reverse('ops:audit')}?{urlencode(query_of(request.GET))}")
    return trail_table(events, key="pk", company=None, language=request.LANGUAGE_CODE)


def _events_asked_for(request):
    form = AuditFilterForm(request.GET or None)
    events = narrowed(AuditEvent.objects.all(), form, people=User.objects.all())
    return events, form
