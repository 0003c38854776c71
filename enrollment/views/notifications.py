"""Notifications: opened invitations, and every mail sent to this person."""

from django.core.paginator import Paginator
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import owned, signed_in
from accounts.companies import CompanyNotNamed, in_company
from accounts.models import OutgoingEmail
from enrollment import notices
from enrollment.models import Invitation


@signed_in("everybody's own messages, asked for by addressee")
@require_safe
def notifications(request):
    """List mails and opened invitations, newest first, of the company worked in."""
    opened = (
        Invitation.objects.visible_to(request.user)
        .of_company(request.company or None)
        .addressed_to(request.user)
        .filter(opened_at__isnull=False)
    )
    mails = OutgoingEmail.objects.addressed_to(request.user)
    for company in _others(request):
        mails = mails.exclude(about_url__startswith=in_company(company, "/"))
    kinds = {
        "opened": notices.keys_of_opened(opened),
        "mail": notices.keys_of_mails(mails),
    }
    tab = request.GET.get("tab", "")
    tab = tab if tab in kinds else ""
    keys = kinds[tab] if tab else notices.together(*kinds.values())
    page = Paginator(keys, 50).get_page(request.GET.get("page"))
    page.object_list = notices.notices_of(page.object_list)
    context = {"page": page, "tab": tab, "tabs": _tabs(tab)}
    return render(request, "enrollment/notifications.html", context)


def _tabs(current: str) -> list[dict]:
    labels = {
        "": _("All"),
        "opened": _("Opened invitations"),
        "mail": _("Mail sent to me"),
    }
    return [
        {
            "label": label,
            "url": f"?tab={tab}" if tab else "?",
            "is_current": tab == current,
        }
        for tab, label in labels.items()
    ]


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
