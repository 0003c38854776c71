"""What the pages about people share: their tabs, and the way back to a form."""

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.holders import appointers, given_by_roles, roles_held_by
from accounts.models import AccessRequest, ColleagueInvitation, Location
from accounts.roles import Permission, roles_with


def around(request, current: str) -> dict:
    """The tabs with what waits behind them; who can give roles where one gives none."""
    held = roles_held_by(request.user, request.company)
    given = given_by_roles(held)
    if not given:
        return {
            "may_assign": False,
            "given": given,
            "appointers": appointers(request.company),
        }
    gap_count = locations_to_cover(request).gaps(request.company).count()
    open_invitations = (
        ColleagueInvitation.objects.where_user_may(request.user, Permission.ROLE_ASSIGN)
        .of_company(request.company)
        .open_at(timezone.now())
    )
    to_answer = (
        AccessRequest.objects.where_user_may(request.user, Permission.ROLE_ASSIGN)
        .of_company(request.company)
        .waiting()
        .filter(role__in=given)
    )
    tabs = (
        ("people", _("People"), None),
        ("gaps", _("Gaps"), gap_count),
        ("requests", _("Requests"), to_answer.count()),
        ("invitations", _("Invitations"), open_invitations.count()),
    )
    if held & roles_with(Permission.PROVISIONING_EDIT):
        tabs += (("provisioning", _("Provisioning"), None),)
    return {
        "may_assign": True,
        "given": given,
        "gap_count": gap_count,
        "tabs": [
            {
                "label": label,
                "url": reverse(f"accounts:{name}"),
                "is_current": name == current,
                "count": count,
            }
            for name, label, count in tabs
        ],
    }


def locations_to_cover(request):
    """The company's locations that people are needed for."""
    return (
        Location.objects.where_user_may(request.user, Permission.ROLE_ASSIGN)
        .of_company(request.company)
        .active()
    )


def typed(request) -> str:
    """What was typed, for the way back to the form."""
    answers = request.POST.copy()
    answers.pop("csrfmiddlewaretoken", None)
    return answers.urlencode()
