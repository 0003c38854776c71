"""Who holds which right where, and where nobody would be left to hold it."""

from collections.abc import Iterable
from datetime import timedelta

from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from accounts.models import (
    AccessRequest,
    Coverage,
    FactorReset,
    IncentiveProgram,
    Location,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.models.factor_resets import UNANSWERED
from accounts.operators import groups_with
from accounts.prepared import Given, prepared
from accounts.roles import GRANTS, Permission, Role, roles_that_grant, roles_with
from accounts.scoping import HeldRoles, live_assignments


def people_with(
    permission: Permission, *, company: PartnerAccount, row: Model | None = None
) -> list[User]:
    """Return the active people whose roles carry the permission, on a row if given."""
    assignments = live_assignments().filter(
        partner_account=company, role__in=roles_with(permission)
    )
    scope = type(row)._default_manager.all().scope if row is not None else None
    if scope is not None and scope.location:
        location = follow(row, scope.location)
        assignments = assignments.filter(Q(location=None) | Q(location=location))
    if scope is not None and scope.program:
        program = follow(row, scope.program)
        assignments = assignments.filter(Q(program=None) | Q(program=program))
    return list(
        User.objects.filter(pk__in=assignments.values("user_id")).order_by(
            "full_name", "pk"
        )
    )


def operators_with(permission: str) -> list[User]:
    """Return the active operators whose groups carry a Django permission."""
    people = User.objects.filter(
        groups__name__in=groups_with(permission), is_staff=True, is_active=True
    )
    return list(people.distinct().order_by("full_name", "pk"))


def appointers(company: PartnerAccount) -> list[User]:
    """Return the Global and Account admins: who can appoint somebody (R7, R15)."""
    return people_with(Permission.ROLE_ASSIGN, company=company)


def holds_anywhere(user, permission: Permission, company) -> bool:
    """Whether a live role of the person in the company carries the permission."""
    return (
        company is not None
        and live_assignments()
        .filter(user=user, partner_account=company, role__in=roles_with(permission))
        .exists()
    )


def roles_held_by(user: User, company: PartnerAccount) -> frozenset[Role]:
    """Return the roles a person holds in a company, wherever in it."""
    held = live_assignments().filter(user=user, partner_account=company)
    return frozenset(map(Role, held.order_by().values_list("role", flat=True)))


def held_in(user: User, company: PartnerAccount) -> HeldRoles:
    """Return what a person holds in a company, and what of it for the whole company."""
    roles = _held().ask(person=user.pk, company=company.pk)
    return HeldRoles(
        person=user,
        account=company,
        anywhere=frozenset(Role(role) for role, _everywhere in roles),
        everywhere=frozenset(Role(role) for role, everywhere in roles if everywhere),
    )


@prepared
def _held() -> QuerySet:
    held = live_assignments().filter(
        user=Given("person"), partner_account=Given("company")
    )
    is_everywhere = Q(location=None, program=None)
    return held.order_by().values_list("role", is_everywhere).distinct()


def roles_given_by(user: User, company: PartnerAccount) -> frozenset[Role]:
    """Return the roles a person may give and end in a company."""
    return given_by_roles(roles_held_by(user, company))


def given_by_roles(held: Iterable[Role]) -> frozenset[Role]:
    """Return the roles that holders of some roles may give and end."""
    return frozenset[Role]().union(*(GRANTS[role].gives for role in held))


def roles_given_in(company: PartnerAccount) -> dict[int, frozenset[Role]]:
    """Return what each admin of a company may give and end, by the person's key."""
    given: dict[int, frozenset[Role]] = {}
    giving = [role for role, grant in GRANTS.items() if grant.gives]
    held = live_assignments().of_company(company).filter(role__in=giving)
    for person, role in held.order_by("pk").values_list("user_id", "role"):
        given[person] = given.get(person, frozenset()) | GRANTS[Role(role)].gives
    return given


def givers_of(role: Role, company: PartnerAccount) -> list[User]:
    """Return the people of a company who may give and end a role."""
    givers = (
        live_assignments().of_company(company).filter(role__in=roles_that_grant(role))
    )
    return list(
        User.objects.filter(pk__in=givers.values("user_id")).order_by("full_name", "pk")
    )


def needs_recovery(user: User, company: PartnerAccount) -> bool:
    """Whether only the program owner can help: nobody is Global admin, or none answers.

    None answers when a request of the person has waited for a week.
    """
    if not givers_of(Role.GLOBAL_ADMIN, company):
        return True
    long_ago = timezone.now() - timedelta(days=7)
    unanswered = AccessRequest.objects.waiting().of_company(company)
    return unanswered.filter(user=user, asked_at__lte=long_ago).exists()


def vouchers_for(user: User, company: PartnerAccount) -> list[User]:
    """Return who can say of somebody in a company that it is them (T7).

    Its other Global and Account admins; a role that somebody gave themselves seconds
    nothing.
    """
    held = (
        live_assignments()
        .of_company(company)
        .filter(role__in=roles_with(Permission.ROLE_ASSIGN))
        .given_by_others()
        .exclude(user=user)
    )
    return list(
        User.objects.filter(pk__in=held.values("user_id")).order_by("full_name", "pk")
    )


def vouchers_of(reset: FactorReset) -> list[User]:
    """Return who can vouch for the person in the company that was asked."""
    if reset.partner_account is None:
        return []
    return vouchers_for(reset.user, reset.partner_account)


def needs_operators(reset: FactorReset) -> bool:
    """Whether operators take both steps: nobody in the company can, or none did.

    None did when it has waited for a week. Operators belong to no company.
    """
    if reset.asked_at <= timezone.now() - UNANSWERED:
        return True
    return not vouchers_of(reset)


def resetters(person: User) -> list[User]:
    """Return the operators who look after lost second factors, but for the person."""
    deciding = operators_with("accounts.decide_factorreset")
    return [one for one in deciding if one != person]


def gaps_left_by(*assignments: RoleAssignment) -> dict[Coverage, list[Location]]:
    """Return the locations that ending roles of a company would leave without people.

    Only what gets worse is said: nobody at all, or nobody for some programs.
    """
    enrolling = [
        assignment
        for assignment in assignments
        if assignment.role in roles_with(Permission.ENROLLMENT_EDIT)
    ]
    if not enrolling:
        return {}
    company = enrolling[0].partner_account_id
    locations = Location.objects.active()
    if all(assignment.location_id for assignment in enrolling):
        places = {assignment.location_id for assignment in enrolling}
        locations = locations.filter(pk__in=places)
    levels = (
        locations.with_coverage(company)
        .with_coverage(company, besides=enrolling, name="left")
        .values_list("pk", "coverage", "left")
    )
    # Compared here: the database would work each of them out a second time.
    worse = {
        pk: Coverage(after)
        for pk, before, after in levels
        if after < min(before, Coverage.ONE_PERSON)
    }
    left: dict[Coverage, list[Location]] = {}
    if worse:
        for location in Location.objects.filter(pk__in=worse).order_by("name", "pk"):
            left.setdefault(worse[location.pk], []).append(location)
    return left


def follow(row: Model, path: str):
    """Return the primary key at the end of a look-up path such as terms__program."""
    if path == "pk":
        return row.pk
    *steps, last = path.split("__")
    for step in steps:
        row = getattr(row, step)
    return getattr(row, f"{last}_id")


def place_of(row: Model) -> tuple[Location | None, IncentiveProgram | None]:
    """Return the location and the program a row is about, as far as it is of any."""
    scope = type(row)._default_manager.all().scope
    location = program = None
    if scope.location:
        location = Location.objects.filter(pk=follow(row, scope.location)).first()
    if scope.program:
        program = IncentiveProgram.objects.filter(pk=follow(row, scope.program)).first()
    return location, program
