"""From the mail's button and from the home message to the enrollment."""

from django.http import Http404
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts.access import requires
from accounts.companies import path_in
from accounts.roles import Permission
from enrollment import services
from enrollment.models import Enrollment, Invitation
from enrollment.rows import enrollment_rows
from enrollment.views.posting import posted


@requires(Permission.ENROLLMENT_EDIT, on=Invitation)
@require_safe
def get_started(request, invitation):
    """Lead from the mail to the enrollment; a choice when the mail named several.

    Grants nothing and changes no invitation: mail scanners open this address too (R20,
    R21). That its addressee came, signed in, is noted for the sender (O4).
    """
    if request.method == "GET" and invitation.user_id == request.user.pk:
        services.note_link_opened(invitation)
    together = Enrollment.objects.where_user_may(
        request.user, Permission.ENROLLMENT_EDIT
    ).filter(invitations__user=invitation.user, invitations__email=invitation.email_id)
    elsewhere = _elsewhere(request, together)
    together = together.of_company(request.company)
    if invitation.email_id is None or (together.count() < 2 and not elsewhere):
        return redirect(invitation.enrollment)
    return render(
        request,
        "enrollment/get_started.html",
        {
            "invitation": invitation,
            "program": invitation.enrollment.terms.program,
            "rows": enrollment_rows(
                together.order_by("location__name", "pk"), user=request.user
            ),
            "elsewhere": elsewhere,
        },
    )


def _elsewhere(request, together) -> list[dict]:
    """Other companies of the person that the same mail invited: their names only."""
    invited = set(
        together.order_by().values_list("location__partner_account", flat=True)
    )
    return [
        {"company": company, "url": path_in(company, "home")}
        for company in request.companies
        if company.pk in invited and company != request.company
    ]


@requires(Permission.ENROLLMENT_EDIT, on=Invitation)
@posted
def open_invitation(request, invitation):
    """Open the enrollment from home; the message is gone for this person (R23)."""
    if invitation.user_id != request.user.pk:
        raise Http404
    services.open_invitation(invitation)
    return redirect(invitation.enrollment)
