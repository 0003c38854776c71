"""Giving one role to many people at once: planned, shown, and given as it was shown."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts import emails
from accounts.emails import readers_of_grant
from accounts.models import (
    CompanyTenant,
    Coverage,
    IncentiveProgram,
    Location,
    PartnerAccount,
    RoleAssignment,
    RoleSource,
    User,
    scope_words,
)
from accounts.roles import Permission, Role, roles_with
from accounts.scoping import today
from accounts.services.audit import acting_for
from accounts.services.companies import lock_companies
from accounts.services.refused import noting_refusals
from accounts.services.roles import MOST_AT_ONCE, check_holders, check_scopes, give


@dataclass(frozen=True)
class PlannedRole:
    """One role in one scope for one person, beside what is held there already."""

    user: User
    location: Location | None
    program: IncentiveProgram | None
    ends_on: date | None
    held: RoleAssignment | None

    @property
    def is_kept(self) -> bool:
        """Held already, with the same last day: nothing changes."""
        return self.held is not None and self.held.ends_on == self.ends_on

    @property
    def is_gain(self) -> bool:
        """Not held there now, in any way."""
        return self.held is None or self.held.is_over(today())

    @property
    def where(self) -> str:
        return scope_words(self.location, self.program)


@dataclass(frozen=True)
class CoverageChange:
    """A location that more people can enroll afterwards."""

    location: Location
    before: Coverage
    after: Coverage


@dataclass(frozen=True)
class RolePlan:
    """What giving a role would do; `lines` are all of it in words, for comparing."""

    role: Role
    account: PartnerAccount
    ends_on: date | None
    people: list[User]
    scopes: list[tuple[Location | None, IncentiveProgram | None]]
    steps: list[PlannedRole]
    # The roles the people hold in the company now, whatever they are.
    held: list[RoleAssignment]
    told: list[User]
    gaps: list[CoverageChange]

    @property
    def changes_nothing(self) -> bool:
        return all(step.is_kept for step in self.steps)

    @property
    def lines(self) -> list[str]:
        """Say all the plan depends on and does, one sentence each, in a fixed order."""
        return [
            *(_held_line(assignment) for assignment in self.held),
            *(self._step_line(step) for step in self.steps if not step.is_kept),
            *(
                _("%(person)s is told by mail.") % {"person": _named(person)}
                for person in self.told
            ),
            *(
                f"{change.location.name}: {change.before.label} → {change.after.label}"
                for change in self.gaps
            ),
        ]

    def _step_line(self, step: PlannedRole) -> str:
        sentence = _("%(person)s gets %(role)s: %(place)s, %(until)s.")
        if not step.is_gain:
            sentence = _(
                "%(person)s keeps %(role)s: %(place)s, with a new last day: %(until)s."
            )
        return sentence % {
            "person": _named(step.user),
            "role": self.role.label,
            "place": step.where,
            "until": _until(step.ends_on),
        }


class PlanChanged(ValidationError):
    """What was shown is no longer what would be done; carries what would be now."""

    def __init__(self, plan: RolePlan):
        super().__init__(
            _("Something changed since you looked. Nothing was given. Check it again."),
            code="plan_changed",
        )
        self.plan = plan


@transaction.atomic
def assign_role(
    user: User,
    *,
    role: Role | str,
    account: PartnerAccount,
    location: Location | None = None,
    program: IncentiveProgram | None = None,
    ends_on: date | None = None,
    source: RoleSource = RoleSource.MANUAL,
    by: User | None,
) -> RoleAssignment:
    """Give a person a role in one scope (R3, R4); as assign_roles."""
    (assignment,) = assign_roles(
        user,
        role=role,
        account=account,
        locations=[location] if location else [],
        programs=[program] if program else [],
        ends_on=ends_on,
        source=source,
        by=by,
    )
    return assignment


@noting_refusals
@transaction.atomic
def assign_roles(
    user: User,
    *,
    role: Role | str,
    account: PartnerAccount,
    locations: Iterable[Location] = (),
    programs: Iterable[IncentiveProgram] = (),
    ends_on: date | None = None,
    source: RoleSource = RoleSource.MANUAL,
    tenant: CompanyTenant | None = None,
    taker: User | None = None,
    by: User | None,
) -> list[RoleAssignment]:
    """Give a person a role at each location for each program, all of them or none.

    No locations means the whole company, no programs all of them. Giving what is held
    already changes nothing and returns what is held; another last day replaces it, but
    a directory (`source`, and which `tenant` at sign-in) leaves alone what holds and did
    not come from it. `by` is None only when the program owner sets a company up, or a
    directory gives; `taker` is who let it give them the role (T3). Raises ValidationError as check_roles does.
    """
    # The company's row is the lock that keeps two admins' changes in order.
    lock_companies(account.pk)
    plan = _plan(
        [user],
        role=Role(role),
        account=account,
        locations=list(locations),
        programs=list(programs),
        ends_on=ends_on,
        by=by,
    )
    return _carry_out(plan, source=source, tenant=tenant, taker=taker, by=by)


def plan_roles(
    people: Iterable[User],
    *,
    role: Role | str,
    account: PartnerAccount,
    locations: Iterable[Location] = (),
    programs: Iterable[IncentiveProgram] = (),
    ends_on: date | None = None,
    by: User | None,
) -> RolePlan:
    """Return what give_roles would do; change nothing.

    Raises ValidationError as check_roles does for any of the people, all in one, and
    when it is more than one action may give.
    """
    people, locations, programs = list(people), list(locations), list(programs)
    _refuse_too_much(people, locations, programs)
    return _plan(
        people,
        role=Role(role),
        account=account,
        locations=locations,
        programs=programs,
        ends_on=ends_on,
        by=by,
    )


@noting_refusals
@transaction.atomic
def give_roles(
    people: Iterable[User],
    *,
    role: Role | str,
    account: PartnerAccount,
    locations: Iterable[Location] = (),
    programs: Iterable[IncentiveProgram] = (),
    ends_on: date | None = None,
    seen: list[str] | None = None,
    by: User | None,
) -> RolePlan:
    """Give a role to each person at each location for each program, or nothing at all.

    `seen` are the lines of the plan somebody agreed to: raises PlanChanged when what
    would be done is not that any more; where everything is given already, by a second
    click say, there is nothing to ask about. Raises ValidationError as plan_roles does.
    """
    lock_companies(account.pk)
    plan = plan_roles(
        people,
        role=role,
        account=account,
        locations=locations,
        programs=programs,
        ends_on=ends_on,
        by=by,
    )
    if seen is not None and seen != plan.lines and not plan.changes_nothing:
        raise PlanChanged(plan)
    _carry_out(plan, source=RoleSource.MANUAL, by=by)
    return plan


def _plan(
    people: list[User],
    *,
    role: Role,
    account: PartnerAccount,
    locations: list[Location],
    programs: list[IncentiveProgram],
    ends_on: date | None,
    by: User | None,
) -> RolePlan:
    people = sorted(set(people), key=lambda one: (one.full_name, one.pk))
    scopes = check_scopes(
        role,
        account=account,
        locations=locations,
        programs=programs,
        ends_on=ends_on,
        by=by,
    )
    check_holders(people, role=role, account=account, ends_on=ends_on)
    known = list(
        RoleAssignment.objects.filter(
            user__in=people, partner_account=account, revoked_at=None
        )
        .select_related("user", "partner_account", "location", "program")
        .order_by("user__full_name", "user_id", "role", "location__name", "pk")
    )
    there = {
        (one.user_id, one.location_id, one.program_id): one
        for one in known
        if one.role == role
    }
    steps = [
        PlannedRole(
            user=person,
            location=location,
            program=program,
            ends_on=ends_on,
            held=there.get(
                (person.pk, location and location.pk, program and program.pk)
            ),
        )
        for person in people
        for location, program in scopes
    ]
    gaining = [step for step in steps if not step.is_kept]
    return RolePlan(
        role=role,
        account=account,
        ends_on=ends_on,
        people=people,
        scopes=scopes,
        steps=steps,
        held=[one for one in known if not one.is_over(today())],
        told=readers_of_grant({step.user for step in gaining}, company=account, by=by),
        gaps=_coverage_changes(
            gaining, role=role, account=account, locations=locations, programs=programs
        ),
    )


def _carry_out(
    plan: RolePlan,
    *,
    source: RoleSource,
    tenant: CompanyTenant | None = None,
    taker: User | None = None,
    by: User | None,
) -> list[RoleAssignment]:
    """Do what a plan says; return every role it is about, the kept ones too.

    Whoever made the key a directory comes with, and gets a role by it, took it (T3);
    so did `taker`, who connected the group that gives it.
    """
    if taker is None and by is None:
        taker = acting_for()
    holding = [
        give(
            RoleAssignment(
                user=step.user,
                role=plan.role,
                partner_account=plan.account,
                location=step.location,
                program=step.program,
                ends_on=step.ends_on,
                source=source,
                tenant=tenant,
                granted_by=taker if step.user == taker else by,
            ),
            held=step.held,
            by=by,
        )
        for step in plan.steps
    ]
    known = {step.held.pk for step in plan.steps if step.held is not None}
    new = [one for one in holding if one.pk not in known]
    emails.roles_given(new, by=by, taker=taker)
    return holding


def _refuse_too_much(people: list, locations: list, programs: list) -> None:
    if not people:
        raise ValidationError({"user": _("Choose at least one person.")})
    number = len(people) * max(len(locations), 1) * max(len(programs), 1)
    if number > MOST_AT_ONCE:
        raise ValidationError(
            _(
                "This would give %(number)d roles at once; %(most)d are the most. "
                "Choose fewer people or locations, or the whole company."
            ),
            code="too_many",
            params={"number": number, "most": MOST_AT_ONCE},
        )


def _coverage_changes(
    gaining: list[PlannedRole],
    *,
    role: Role,
    account: PartnerAccount,
    locations: list[Location],
    programs: list[IncentiveProgram],
) -> list[CoverageChange]:
    """The locations that more people can enroll afterwards, by name."""
    if not gaining or role not in roles_with(Permission.ENROLLMENT_EDIT):
        return []
    rows = Location.objects.active()
    if locations:
        rows = rows.filter(pk__in=[location.pk for location in locations])
    joining = {step.user.pk for step in gaining}
    levels = (
        rows.with_coverage(account)
        .with_coverage(
            account, joining=joining, is_partly=bool(programs), name="afterwards"
        )
        .values_list("pk", "coverage", "afterwards")
    )
    # Compared here: the database would work each of them out a second time.
    changes = {
        pk: (Coverage(before), Coverage(after))
        for pk, before, after in levels
        if before != after
    }
    if not changes:
        return []
    changed = Location.objects.filter(pk__in=changes).order_by("name", "pk")
    return [CoverageChange(location, *changes[location.pk]) for location in changed]


def _held_line(assignment: RoleAssignment) -> str:
    return _("%(person)s holds %(role)s: %(place)s, %(until)s.") % {
        "person": _named(assignment.user),
        "role": Role(assignment.role).label,
        "place": assignment.where,
        "until": _until(assignment.ends_on),
    }


def _until(day: date | None) -> str:
    if day is None:
        return _("no end")
    return _("until %(day)s") % {"day": date_format(day, "Y-m-d")}


def _named(person: User) -> str:
    return f"{person.full_name} ({person.email})"
