"""Notifications: opened invitations, and every mail sent to this person."""

from django.core.paginator import Paginator
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import owned, signed_in
from accounts.companies import CompanyNotNamed, in_company
from accounts.models import OutgoingEmail
from enrollment.models import Invitation


@signed_in("everybody's own messages, asked for by addressee")
@require_safe
def notifications(request):
    """List opened invitations and mails, newest first, of the company worked in."""
    tab = "opened" if request.GET.get("tab") == "opened" else "mail"
    opened = (
        Invitation.objects.visible_to(request.user)
        .of_company(request.company or None)
        .addressed_to(request.user)
        .filter(opened_at__isnull=False)
        .select_related(
            "enrollment__location",
            "enrollment__terms__program",
            "enrollment__terms__fiscal_year",
        )
        .order_by("-opened_at", "pk")
    )
    mails = OutgoingEmail.objects.addressed_to(request.user).defer(
        "body_text", "body_html"
    )
    for company in _others(request):
        mails = mails.exclude(about_url__startswith=in_company(company, "/"))
    rows = opened if tab == "opened" else mails.order_by("-created_at", "pk")
    return render(
        request,
        "enrollment/notifications.html",
        {"tab": tab, "page": Paginator(rows, 50).get_page(request.GET.get("page"))},
    )


@owned(on=OutgoingEmail)
@require_safe
def notification(request, email):
    """Show one mail as it was sent to this person, in the company it is about."""
    for company in request.companies if len(request.companies) > 1 else ():
        is_about = email.about_url.startswith(in_company(company, "/"))
        if is_about and request.named_company != company:
            raise CompanyNotNamed(company)
    return render(request, "enrollment/notification.html", {"email": email})


def _others(request):
    """The person's companies besides the one worked in."""
    company = request.company or None
    return [other for other in request.companies if other != company]
