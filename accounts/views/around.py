"""What the pages about people share: their tabs, and the way back to a form."""

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.access import roles_here
from accounts.holders import appointers, given_by_roles
from accounts.location_choice import keeping_location
from accounts.models import (
    AccessRequest,
    ColleagueInvitation,
    Location,
    PartnerAccount,
    RequestState,
)
from accounts.roles import Permission, roles_with


def around(request, current: str, *, gap_count: int | None = None) -> dict:
    """The tabs with what waits behind them; who can give roles where one gives none.

    `gap_count` is for the page that has counted the gaps itself.
    """
    held = roles_here(request)
    given = given_by_roles(held.anywhere)
    if not given:
        return {
            "may_assign": False,
            "may_invite": bool(held.anywhere & roles_with(Permission.PERSON_EDIT)),
            "given": given,
            "appointers": appointers(request.company),
        }
    waiting = numbers_here(request)
    if gap_count is None:
        gap_count = count_gaps(request)
    to_answer = 0
    if waiting["requests"]:
        # Which of them somebody still needs is asked where there are any.
        to_answer = _requests_to_answer(request).waiting().count()
    tabs = (
        ("people", _("People"), None),
        ("gaps", _("Gaps"), gap_count),
        ("requests", _("Requests"), to_answer),
        ("invitations", _("Invitations"), waiting["invitations"]),
    )
    if held.anywhere & roles_with(Permission.PROVISIONING_EDIT):
        tabs += (("provisioning", _("Provisioning"), None),)
    return {
        "may_assign": True,
        "may_invite": True,
        "given": given,
        "gap_count": gap_count,
        "tabs": [
            {
                "label": label,
                "url": _address(request, name),
                "is_current": name == current,
                "count": count,
            }
            for name, label, count in tabs
        ],
    }


def numbers_here(request) -> dict:
    """What the tabs count besides the gaps, in one question, asked once for a page.

    `everywhere` are up to two people who can enroll every location: what else there
    is to ask about gaps depends on them.
    """
    known = getattr(request, "_numbers_here", None)
    if known is None:
        held = roles_here(request)
        invitations = ColleagueInvitation.objects.where_held(
            held, Permission.ROLE_ASSIGN
        ).open_at(timezone.now())
        everywhere = Location.objects.enrollers_everywhere(request.company)
        known = request._numbers_here = (
            PartnerAccount.objects.filter(pk=request.company.pk)
            .values(
                requests=_number_of(_requests_to_answer(request)),
                invitations=_number_of(invitations),
                everywhere=ArraySubquery(everywhere.distinct()[:2]),
            )
            .get()
        )
    return known


def count_gaps(request) -> int:
    """How many of the company's locations fewer than two people can enroll (R6)."""
    everywhere = numbers_here(request)["everywhere"]
    is_covered = Location.objects.is_covered(request.company, everywhere=everywhere)
    return locations_to_cover(request).exclude(is_covered).count()


def _address(request, name: str) -> str:
    """The list behind a tab; those about locations keep the one that is chosen."""
    url = reverse(f"accounts:{name}")
    return keeping_location(request, url) if name in ("people", "gaps") else url


def locations_to_cover(request):
    """The company's locations that people are needed for."""
    held = roles_here(request)
    return Location.objects.where_held(held, Permission.ROLE_ASSIGN).active()


def _requests_to_answer(request):
    """Requests nobody has answered, needed still or not, that the reader may answer."""
    held = roles_here(request)
    return AccessRequest.objects.where_held(held, Permission.ROLE_ASSIGN).filter(
        state=RequestState.WAITING, role__in=given_by_roles(held.anywhere)
    )


def _number_of(rows: QuerySet) -> Coalesce:
    """How many rows of the company, inside another question."""
    counted = rows.order_by().values("partner_account").annotate(number=Count("pk"))
    return Coalesce(Subquery(counted.values("number")), 0)


def typed(request) -> str:
    """What was typed, for the way back to the form."""
    answers = request.POST.copy()
    answers.pop("csrfmiddlewaretoken", None)
    return answers.urlencode()
