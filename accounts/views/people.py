"""Lists of people: who works for the company in which role, and where one is missing."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, groupby, islice

from django.core.paginator import Paginator
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery, Window
from django.db.models.functions import RowNumber
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import requires, roles_here
from accounts.forms import PeopleFilterForm, PlacesFilterForm
from accounts.location_choice import choose_location
from accounts.models import (
    Coverage,
    IncentiveProgram,
    Location,
    Membership,
    RoleAssignment,
)
from accounts.roles import INCENTIVE_ROLES, Permission, roles_with
from accounts.rows import MOST_CANDIDATES, MOST_NAMED, gap_row, person_rows
from accounts.views.around import around, locations_to_cover, numbers_here

PAGE_SIZE = 25
# Roles of one person in the list; the person's own page has all of them.
MOST_ROLES = 4
USUAL_ROLES = 8 * PAGE_SIZE
# Whose place in the list the address names.
AFTER, BEFORE = "after", "before"


@requires(Permission.PERSON_VIEW)
@require_safe
def people(request):
    """List everybody of the company with the roles they hold now."""
    location = choose_location(request)
    frame = around(request, "people")
    filters = PeopleFilterForm(request.GET or None, company=request.company)
    members = (
        Membership.objects.where_held(roles_here(request), Permission.PERSON_VIEW)
        .current()
        .select_related("user", "added_by")
    )
    if location is not None:
        members = members.filter(Exists(_roles_reaching(location)))
    page = _by_name(request, _chosen(members, filters))
    roles, numbers = _first_roles(request, [one.user_id for one in page.members])
    context = {
        "filters": filters,
        "is_filtered": filters.is_bound and any(filters.cleaned_data.values()),
        "page": page,
        "rows": person_rows(
            page.members,
            roles,
            numbers,
            company=request.company,
            given=frame["given"],
        ),
    }
    return render(request, "accounts/people.html", context | frame)


@requires(Permission.ROLE_ASSIGN)
@require_safe
def gaps(request):
    """List every location with who can enroll it, worst first (R6)."""
    company = request.company
    filters = PlacesFilterForm(request.GET or None)
    everywhere = numbers_here(request)["everywhere"]
    locations = locations_to_cover(request)
    is_covered = Location.objects.is_covered(company, everywhere=everywhere)
    is_found, location = _found(filters), choose_location(request)
    if location is not None:
        is_found &= Q(pk=location.pk)
    numbers = locations.aggregate(
        found=Count("pk", filter=is_found), gaps=Count("pk", filter=~is_covered)
    )
    shown = (
        locations.filter(is_found)
        .with_coverage(company, everywhere=everywhere)
        .order_by("coverage", "name", "pk")
    )
    page = page_of(request, shown, count=numbers["found"])
    rows = list(page)
    is_partly = any(row.coverage == Coverage.SOME_PROGRAMS for row in rows)
    wide, more_wide = _first_everywhere(request) if everywhere else ([], 0)
    here = _first_at(request, rows, wide)
    enrolling = roles_with(Permission.ENROLLMENT_EDIT)
    is_mine = bool(roles_here(request).everywhere & enrolling)
    programs = list(IncentiveProgram.objects.known_to(company)) if is_partly else []
    context = {
        "filters": filters,
        "is_filtered": filters.is_bound and any(filters.cleaned_data.values()),
        "page": page,
        "query": query_without_page(request),
        "rows": [
            gap_row(
                location,
                _by_person([*wide, *here[location.pk].of(enrolling)]),
                people=len(wide) + more_wide + here[location.pk].people,
                programs=programs,
                covered={one.program_id for one in here[location.pk].of(enrolling)},
                readers=here[location.pk].of(INCENTIVE_ROLES - enrolling),
                is_mine=is_mine or here[location.pk].is_mine,
            )
            for location in rows
        ],
    }
    frame = around(request, "gaps", gap_count=numbers["gaps"])
    return render(request, "accounts/gaps.html", context | frame)


@dataclass(frozen=True)
class PageByName:
    """Some members in the order of their names, and the addresses before and after."""

    members: list[Membership]
    previous: str
    next: str


def _by_name(request, members) -> PageByName:
    """The page of people after, or before, the one the address names.

    The last page is as fast as the first, and nobody is counted.
    """
    after, before = (_number(request.GET.get(name)) for name in (AFTER, BEFORE))
    is_back = after is None and before is not None
    edge = before if is_back else after
    found = list(_beside(request, members, edge, is_back)[: PAGE_SIZE + 1])
    if edge is not None and not found:
        # Nobody is there any more, or the address names nobody: begin again.
        is_back, edge = False, None
        found = list(_beside(request, members, edge, is_back)[: PAGE_SIZE + 1])
    has_more, found = len(found) > PAGE_SIZE, found[:PAGE_SIZE]
    if is_back:
        found.reverse()
    has_next = is_back or has_more
    has_previous = has_more if is_back else edge is not None
    return PageByName(
        members=found,
        previous=_place_in_list(request, BEFORE, found[0]) if has_previous else "",
        next=_place_in_list(request, AFTER, found[-1]) if has_next else "",
    )


def _beside(request, members, edge: int | None, is_back: bool):
    """The members after somebody by name, or before them, nearest first."""
    order = ("user__full_name", "user_id")
    if edge is not None:
        # Who has left meanwhile still has a name to go on from.
        name = Membership.objects.of_company(request.company).filter(user=edge)
        name = Subquery(name.values("user__full_name")[:1])
        side = "lt" if is_back else "gt"
        members = members.filter(
            Q(**{f"user__full_name__{side}": name}) | Q(**{f"user_id__{side}": edge}),
            **{f"user__full_name__{side}e": name},
        )
    return members.order_by(*(f"-{one}" if is_back else one for one in order))


def _place_in_list(request, name: str, member: Membership) -> str:
    query = request.GET.copy()
    for place in (AFTER, BEFORE, "page"):
        query.pop(place, None)
    query[name] = member.user_id
    return f"?{query.urlencode()}"


def _number(text: str | None) -> int | None:
    is_number = text is not None and text.isascii() and text.isdigit()
    return int(text) if is_number and len(text) < 19 else None


def page_of(request, rows, *, size: int = PAGE_SIZE, count: int | None = None):
    """The page of a list that the address asks for; `count` if it is known."""
    paginator = Paginator(rows, size)
    if count is not None:
        paginator.count = count
    return paginator.get_page(request.GET.get("page"))


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


def _first_roles(
    request, people: list[int]
) -> tuple[Iterable[RoleAssignment], Mapping[int, int]]:
    """The first roles of each person, widest first, and how many each has.

    Asking for all of them is cheaper, unless people have very many.
    """
    roles = (
        RoleAssignment.objects.where_held(roles_here(request), Permission.PERSON_VIEW)
        .live()
        .filter(user__in=people)
        .select_related("location", "program", "granted_by")
    )
    order = (
        F("location__name").asc(nulls_first=True),
        F("role").asc(),
        F("program__name").asc(nulls_first=True),
        F("pk").asc(),
    )
    all_of_them = list(roles.order_by("user_id", *order)[: USUAL_ROLES + 1])
    if len(all_of_them) <= USUAL_ROLES:
        numbers = Counter(one.user_id for one in all_of_them)
        held = groupby(all_of_them, key=lambda one: one.user_id)
        first = chain.from_iterable(islice(mine, MOST_ROLES) for _user, mine in held)
        return first, numbers
    first = list(
        roles.annotate(
            position=Window(RowNumber(), partition_by=F("user"), order_by=order),
            held_in_all=Window(Count("pk"), partition_by=F("user")),
        )
        .filter(position__lte=MOST_ROLES)
        .order_by("user_id", "position")
    )
    return first, {one.user_id: one.held_in_all for one in first}


@dataclass(frozen=True)
class Here:
    """Who holds an incentive role at one location: the first of them, and how many."""

    holders: list[RoleAssignment]
    # For all programs, besides those of the whole company.
    people: int = 0
    is_mine: bool = False

    def of(self, roles) -> list[RoleAssignment]:
        return [one for one in self.holders if one.role in roles]


def _holders(request, roles):
    """Who holds one of some roles in the company now."""
    held = RoleAssignment.objects.where_held(
        roles_here(request), Permission.ROLE_ASSIGN
    )
    return held.live().filter(role__in=roles).order_by()


def _roles_reaching(location):
    """The live roles of a member that hold at a location."""
    return (
        RoleAssignment.objects.live()
        .filter(
            Q(location=None) | Q(location=location),
            user=OuterRef("user"),
            partner_account=OuterRef("partner_account"),
        )
        .order_by()
    )


def _found(filters) -> Q:
    """All the words, in a location's name or at the front of its PartnerID."""
    words = filters.cleaned_data["q"].split() if filters.is_valid() else []
    hits = (Q(name__icontains=word) | Q(partner_id__startswith=word) for word in words)
    return Q(*hits) if words else Q(pk__isnull=False)


def _first_everywhere(request) -> tuple[list[RoleAssignment], int]:
    """The first people by name who can enroll every location, and how many more."""
    admins = _holders(request, roles_with(Permission.ENROLLMENT_EDIT))
    admins = admins.filter(location=None)
    rows = admins.select_related("user", "program")
    first = list(rows.order_by("user__full_name", "user_id")[: MOST_NAMED + 1])
    if len(first) <= MOST_NAMED:
        return first, 0
    people = admins.aggregate(people=Count("user", distinct=True))["people"]
    return first, people - len(first)


def _first_at(request, locations, wide) -> dict[int, Here]:
    """The first people by name at each location, in each role and program there.

    People of the whole company (`wide`, if there are any) count there only.
    """
    enrolling = roles_with(Permission.ENROLLMENT_EDIT)
    counts = Q(program=None, role__in=enrolling)
    if wide:
        everywhere = Location.objects.enrollers_everywhere(request.company)
        counts &= ~Q(user__in=everywhere)
    rows = (
        _holders(request, INCENTIVE_ROLES)
        .filter(location__in=locations)
        .annotate(
            position=Window(
                RowNumber(),
                partition_by=(F("location"), F("role"), F("program")),
                order_by=(F("user__full_name").asc(), F("pk").asc()),
            ),
            # A role is held once in a place, so roles are people.
            people=_within_location(Count("pk", filter=counts)),
            own=_within_location(Count("pk", filter=counts & Q(user=request.user))),
        )
        .filter(position__lte=MOST_NAMED + MOST_CANDIDATES)
        .select_related("user", "program")
        .order_by("location", F("program").asc(nulls_first=True), "position")
    )
    found: dict[int, list[RoleAssignment]] = defaultdict(list)
    for row in rows:
        found[row.location_id].append(row)
    here = {
        place: Here(holders, holders[0].people, holders[0].own > 0)
        for place, holders in found.items()
    }
    return defaultdict(lambda: Here([]), here)


def _within_location(expression) -> Window:
    return Window(expression, partition_by=F("location"))


def _by_person(assignments) -> list[RoleAssignment]:
    return sorted(assignments, key=lambda one: (one.user.full_name, one.user_id))
