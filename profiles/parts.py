"""Parts of profiles that wait for somebody: to be filled in, or to be checked."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet
from django.urls import reverse

from accounts.models import Location, User
from accounts.prepared import Given
from accounts.roles import Permission
from profiles.models import PartState, PreparedPart

MOST_SHOWN = 20
_TO_CHECK = Q(state=PartState.FILLED, location__closed_at=None)


@dataclass(frozen=True)
class WaitingPart:
    """A part as whoever has to act on it is reminded of it: nothing of what was typed."""

    part: PreparedPart
    is_to_check: bool
    url: str


def keys_of_parts() -> QuerySet[PreparedPart]:
    """What the person Given was asked to fill in anywhere, and checks in the company.

    To be prepared with `person`, `email`, `company` and `at`, the moment.
    """
    parts = PreparedPart.objects.with_covered(
        Permission.PROFILE_EDIT, user=Given("person"), name="may_check"
    )
    to_fill = Q(email=Given("email"), state=PartState.OPEN, expires_at__gt=Given("at"))
    to_check = _TO_CHECK & Q(may_check=True, location__partner_account=Given("company"))
    return parts.filter(to_fill | to_check).order_by("expires_at", "pk")[:MOST_SHOWN]


def waiting_parts(keys: Collection[UUID]) -> list[WaitingPart]:
    """Return the parts of some keys as whoever acts on them is reminded of them."""
    if not keys:
        return []
    found = PreparedPart.objects.filter(pk__in=keys).for_pages()
    return [_waiting(part) for part in found.order_by("expires_at", "pk")]


def keys_of_parts_handed_in() -> QuerySet[PreparedPart]:
    """What the person Given filled in lately for whomever, whatever came of it.

    As long as it could have waited to be checked. To be prepared with `person` and
    `since`, the moment WAITS ago.
    """
    found = PreparedPart.objects.filter(
        filled_by=Given("person"), filled_at__gt=Given("since")
    )
    return found.order_by("-filled_at", "pk")[:MOST_SHOWN]


def parts_handed_in(keys: Collection[UUID]) -> list[PreparedPart]:
    """Return the parts of some keys, those handed in last first."""
    if not keys:
        return []
    found = PreparedPart.objects.filter(pk__in=keys).for_pages()
    return list(found.order_by("-filled_at", "pk"))


def parts_to_check(user: User, *, location: Location) -> list[WaitingPart]:
    """Return what was filled in for a location and waits for this person to check it."""
    parts = PreparedPart.objects.where_user_may(user, Permission.PROFILE_EDIT)
    found = parts.filter(_TO_CHECK, location=location).for_pages()
    return [_waiting(part) for part in found.order_by("filled_at", "pk")[:MOST_SHOWN]]


def _waiting(part: PreparedPart) -> WaitingPart:
    is_to_check = part.state == PartState.FILLED
    page = "profiles:check_part" if is_to_check else "profiles:part"
    return WaitingPart(part, is_to_check, reverse(page, kwargs={"pk": part.pk}))
