"""Lists of people: who works for the company in which role, and where one is missing."""

from collections import defaultdict
from dataclasses import dataclass

from django.core.paginator import Paginator
from django.db.models import Count, Exists, F, OuterRef, Q, Window
from django.db.models.functions import RowNumber
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import requires
from accounts.forms import PeopleFilterForm, PlacesFilterForm
from accounts.models import IncentiveProgram, Membership, RoleAssignment
from accounts.roles import INCENTIVE_ROLES, Permission, roles_with
from accounts.rows import MOST_NAMED, gap_row, person_rows
from accounts.views.around import around, locations_to_cover

PAGE_SIZE = 25
# Roles of one person in the list; the person's own page has all of them.
MOST_ROLES = 4


@requires(Permission.PERSON_VIEW)
@require_safe
def people(request):
    """List everybody of the company with the roles they hold now."""
    frame = around(request, "people")
    filters = PeopleFilterForm(request.GET or None, company=request.company)
    members = (
        Membership.objects.where_user_may(request.user, Permission.PERSON_VIEW)
        .of_company(request.company)
        .current()
        .select_related("user", "added_by")
        .order_by("user__full_name", "user_id")
    )
    page = page_of(request, _chosen(members, filters))
    context = {
        "filters": filters,
        "is_filtered": filters.is_bound and any(filters.cleaned_data.values()),
        "page": page,
        "query": query_without_page(request),
        "rows": person_rows(
            page,
            _first_roles(request, [member.user_id for member in page]),
            company=request.company,
            given=frame["given"],
        ),
    }
    return render(request, "accounts/people.html", context | frame)


@requires(Permission.ROLE_ASSIGN)
@require_safe
def gaps(request):
    """List every location with who can enroll it, worst first (R6)."""
    filters = PlacesFilterForm(request.GET or None)
    locations = _found(locations_to_cover(request), filters)
    locations = locations.with_coverage(request.company)
    page = page_of(request, locations.order_by("coverage", "name", "pk"))
    places = [location.pk for location in page]
    admins = _holders(request, roles_with(Permission.ENROLLMENT_EDIT))
    named = [*_first_everywhere(admins), *_first_at(admins, places)]
    looking = INCENTIVE_ROLES - roles_with(Permission.ENROLLMENT_EDIT)
    readers = list(_first_at(_holders(request, looking), places))
    numbers = _numbers_at(admins, places, reader=request.user)
    covered: dict[int, set[int]] = {}
    there = admins.filter(location__in=places).exclude(program=None)
    for place, program in (
        there.order_by().values_list("location", "program").distinct()
    ):
        covered.setdefault(place, set()).add(program)
    programs = list(IncentiveProgram.objects.known_to(request.company))
    context = {
        "filters": filters,
        "is_filtered": filters.is_bound and any(filters.cleaned_data.values()),
        "page": page,
        "query": query_without_page(request),
        "rows": [
            gap_row(
                location,
                sorted(named, key=lambda one: (one.user.full_name, one.user_id)),
                people=numbers[None].people + numbers[location.pk].people,
                programs=programs,
                covered=covered.get(location.pk, ()),
                readers=readers,
                is_mine=numbers[None].is_mine or numbers[location.pk].is_mine,
            )
            for location in page
        ],
    }
    return render(request, "accounts/gaps.html", context | around(request, "gaps"))


def page_of(request, rows, *, size: int = PAGE_SIZE):
    """The page of a list that the address asks for."""
    return Paginator(rows, size).get_page(request.GET.get("page"))


def query_without_page(request) -> str:
    """What the address asks for besides the page."""
    query = request.GET.copy()
    query.pop("page", None)
    return query.urlencode()


def _chosen(members, filters):
    """The members the filters leave; a filter that cannot be understood is none."""
    if not filters.is_bound:
        return members
    filters.is_valid()
    asked = filters.cleaned_data
    for word in asked.get("q", "").split():
        members = members.filter(
            Q(user__full_name__icontains=word) | Q(user__email__icontains=word)
        )
    roles = RoleAssignment.objects.live().filter(
        user=OuterRef("user"), partner_account=OuterRef("partner_account")
    )
    if asked.get("role"):
        roles = roles.filter(role=asked["role"])
    if asked.get("location"):
        roles = roles.filter(Q(location=None) | Q(location=asked["location"]))
    if asked.get("place"):
        roles = roles.filter(
            Q(location__name__icontains=asked["place"])
            | Q(location__partner_id__startswith=asked["place"])
        )
    if asked.get("program"):
        roles = roles.filter(Q(program=None) | Q(program=asked["program"]))
    narrows = any(asked.get(name) for name in ("role", "location", "place", "program"))
    return members.filter(Exists(roles)) if narrows else members


def _first_roles(request, people):
    """The first roles of each person, widest first, and how many each has."""
    order = (
        F("location__name").asc(nulls_first=True),
        F("role").asc(),
        F("program__name").asc(nulls_first=True),
        F("pk").asc(),
    )
    return (
        RoleAssignment.objects.where_user_may(request.user, Permission.PERSON_VIEW)
        .of_company(request.company)
        .live()
        .filter(user__in=people)
        .annotate(
            position=Window(RowNumber(), partition_by=F("user"), order_by=order),
            held_in_all=Window(Count("pk"), partition_by=F("user")),
        )
        .filter(position__lte=MOST_ROLES)
        .select_related("location", "program", "granted_by")
        .order_by("user_id", "position")
    )


@dataclass(frozen=True)
class Number:
    """How many people a place has, and whether the reader is one of them."""

    people: int = 0
    is_mine: bool = False


def _numbers_at(admins, places, *, reader) -> dict[int | None, Number]:
    """Who is there for all programs: at each place, and (None) in the whole company.

    Those of the whole company count there only.
    """
    admins = admins.filter(program=None).order_by()
    wide = admins.filter(location=None)
    here = admins.filter(location__in=places).exclude(user__in=wide.values("user"))
    counted = (
        admins.filter(Q(pk__in=wide) | Q(pk__in=here))
        .values("location")
        .annotate(
            people=Count("user", distinct=True),
            own=Count("pk", filter=Q(user=reader)),
        )
    )
    numbers = {
        row["location"]: Number(row["people"], row["own"] > 0) for row in counted
    }
    return defaultdict(Number, numbers)


def _holders(request, roles):
    """Who holds one of some roles in the company now."""
    held = RoleAssignment.objects.live().of_company(request.company)
    return held.filter(role__in=roles)


def _found(locations, filters):
    """The locations with all the words, in the name or as PartnerID."""
    if not filters.is_valid():
        return locations
    for word in filters.cleaned_data["q"].split():
        locations = locations.filter(
            Q(name__icontains=word) | Q(partner_id__startswith=word)
        )
    return locations


def _first_everywhere(admins):
    """The first people by name who can enroll every location."""
    rows = admins.filter(location=None).select_related("user", "program")
    return rows.order_by("user__full_name", "user_id")[: MOST_NAMED + 1]


def _first_at(admins, places):
    """The first people by name at each location, those for all programs first."""
    return (
        admins.filter(location__in=places)
        .annotate(
            position=Window(
                RowNumber(),
                partition_by=F("location"),
                order_by=(
                    F("program").asc(nulls_first=True),
                    F("user__full_name").asc(),
                    F("pk").asc(),
                ),
            )
        )
        .filter(position__lte=2 * MOST_NAMED + 1)
        .select_related("user", "program")
        .order_by("location", "position")
    )
