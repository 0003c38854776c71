"""Lists of people: who works for the company in which role, and where one is missing."""

from django.core.paginator import Paginator
from django.db.models import Count, Exists, F, OuterRef, Q, Window
from django.db.models.functions import RowNumber
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import requires
from accounts.forms import PeopleFilterForm
from accounts.models import IncentiveProgram, Membership, RoleAssignment
from accounts.roles import Permission, roles_with
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
    locations = locations_to_cover(request).with_coverage()
    page = page_of(request, locations.order_by("coverage", "name", "pk"))
    places = [location.pk for location in page]
    admins = (
        RoleAssignment.objects.live()
        .of_company(request.company)
        .filter(role__in=roles_with(Permission.ENROLLMENT_EDIT))
    )
    named = [*_first_everywhere(admins), *_first_at(admins, places)]
    covered: dict[int, set[int]] = {}
    there = admins.filter(location__in=places).exclude(program=None)
    for place, program in there.order_by().values_list("location", "program"):
        covered.setdefault(place, set()).add(program)
    own = set(
        admins.filter(user=request.user, program=None)
        .order_by()
        .values_list("location", flat=True)
    )
    programs = list(IncentiveProgram.objects.known_to(request.company))
    context = {
        "page": page,
        "query": query_without_page(request),
        "rows": [
            gap_row(
                location,
                sorted(named, key=lambda one: (one.user.full_name, one.user_id)),
                programs=programs,
                covered=covered.get(location.pk, ()),
                is_mine=bool(own & {None, location.pk}),
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
