"""Every life of a company's roles: whoever does what in whatever order, nobody gains more.

A model of its own says who may give and end what; the services have to agree with it
after every step. What one person alone can reach is held against the table.
"""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from accounts import services
from accounts.models import Membership, RoleAssignment
from accounts.roles import GRANTS, Grant, Role
from accounts.scoping import today
from accounts.services import leaving, roles
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    MembershipFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.tries import tries

pytestmark = pytest.mark.django_db

# What the seeds say, written down a second time: nobody else gives or ends anything.
INCENTIVES = {Role.INCENTIVES_ADMIN, Role.INCENTIVES_USER}
MAY_GIVE = {Role.GLOBAL_ADMIN: set(Role), Role.ACCOUNT_ADMIN: INCENTIVES}
MAY_DEACTIVATE = {Role.GLOBAL_ADMIN, Role.ACCOUNT_ADMIN, Role.USER_ADMIN}
# Who holds what at first. Gus has an address of another company, Anna's role has a
# last day.
HELD = {
    "greta": Role.GLOBAL_ADMIN,
    "anna": Role.ACCOUNT_ADMIN,
    "ursula": Role.USER_ADMIN,
    "ida": Role.INCENTIVES_ADMIN,
    "gerd": None,
    "gus": None,
}
GUEST, SHORT, PLACE, PROGRAM = "gus", "anna", "Göteborg", "Azure Migration"
NEVER, LATER, OVER = "never", "later", "over"

PEOPLE = st.sampled_from(["gus", *HELD, "gus"])
# Most steps are by somebody who can do something, and about what matters most.
ACTORS = st.sampled_from(["greta", "anna", *HELD, "greta", "anna"])
ROLES = st.sampled_from([Role.INCENTIVES_ADMIN, Role.GLOBAL_ADMIN, *Role])
PLACES = st.sampled_from([(None, None), (PLACE, None), (PLACE, PROGRAM)])
LAST_DAYS = st.sampled_from([NEVER, NEVER, LATER])
GROUPS = st.lists(PEOPLE, min_size=1, max_size=2, unique=True)
# Which of the roles held; the number of them changes.
WHICH = st.integers(min_value=0, max_value=99)

STEPS = settings(
    max_examples=tries(8),
    stateful_step_count=20,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


class Lives(RuleBasedStateMachine):
    """Six people of a company do to each other's roles what comes to their minds."""

    plans = Bundle("plans")

    def __init__(self):
        super().__init__()
        self.point = transaction.savepoint()
        self.company = PartnerAccountFactory(email_domains=["partner.example"])
        self.places = {
            PLACE: LocationFactory(partner_account=self.company, name=PLACE),
            None: None,
        }
        self.programs = {PROGRAM: IncentiveProgramFactory(name=PROGRAM), None: None}
        self.people = {}
        # When each role held ends, also of those that ran out and nobody ended.
        self.held: dict[tuple, str] = {}
        for name, role in HELD.items():
            domain = "elsewhere.example" if name == GUEST else "partner.example"
            user = UserFactory(email=f"{name}@{domain}", full_name=name)
            self.people[name] = user
            MembershipFactory(user=user, partner_account=self.company)
            if role is not None:
                last = LATER if name == SHORT else NEVER
                RoleAssignmentFactory(
                    user=user,
                    role=role,
                    partner_account=self.company,
                    ends_on=self.day(last),
                )
                self.held[name, role, None, None] = last
        self.members = set(HELD)
        self.at_first = set(self.held)

    def teardown(self):
        transaction.savepoint_rollback(self.point)

    def held_by(self, name) -> set[Role]:
        """The roles somebody holds, wherever; those that ran out are not held."""
        return {
            role
            for (who, role, *_where), last in self.held.items()
            if who == name and last != OVER
        }

    def may_give(self, name) -> set[Role]:
        return set().union(*(MAY_GIVE.get(role, set()) for role in self.held_by(name)))

    def stays_without(self, rows) -> bool:
        """Whether a Global admin stays whose role has no last day (rule 75)."""
        return any(
            role == Role.GLOBAL_ADMIN and last == NEVER
            for (who, role, *where), last in self.held.items()
            if (who, role, *where) not in rows
        )

    def may_assign(self, by, people, role, place, program, last) -> bool:
        is_narrow = role in INCENTIVES
        keeps_somebody = role != Role.GLOBAL_ADMIN or last == NEVER
        return (
            role in self.may_give(by)
            and (is_narrow or place is None)
            and self.members.issuperset(people)
            and not (is_narrow and GUEST in people)
            and (
                keeps_somebody
                or self.stays_without([(one, role, None, None) for one in people])
            )
        )

    def may_end(self, by, rows) -> bool:
        return all(
            row[1] in self.may_give(by)
            and (row[1] != Role.GLOBAL_ADMIN or self.stays_without([row]))
            for row in rows
        )

    def day(self, last):
        return today() + timedelta(days=9) if last == LATER else None

    def asked(self, by, role, place, program, last) -> dict:
        return {
            "role": role,
            "account": self.company,
            "locations": [self.places[place]] if place else [],
            "programs": [self.programs[program]] if program else [],
            "ends_on": self.day(last),
            "by": self.people[by],
        }

    def given(self, people, role, place, program, last) -> None:
        for name in people:
            self.held[name, role, place, program] = last

    def row_of(self, row) -> RoleAssignment:
        name, role, place, program = row
        return RoleAssignment.objects.get(
            user=self.people[name],
            role=role,
            location=self.places[place],
            program=self.programs[program],
            revoked_at=None,
        )

    @rule(by=ACTORS, people=GROUPS, role=ROLES, where=PLACES, last=LAST_DAYS)
    def give(self, by, people, role, where, last):
        self.do_give(by, people, role, where, last)

    def do_give(self, by, people, role, where, last):
        may = self.may_assign(by, people, role, *where, last)
        users = [self.people[name] for name in people]
        try:
            services.give_roles(users, **self.asked(by, role, *where, last))
        except ValidationError:
            assert not may
        else:
            assert may
            self.given(people, role, *where, last)

    @rule(
        target=plans, by=ACTORS, people=GROUPS, role=ROLES, where=PLACES, last=LAST_DAYS
    )
    def look(self, by, people, role, where, last):
        return self.do_look(by, people, role, where, last)

    def do_look(self, by, people, role, where, last):
        """Ask what giving would do, to agree to it later."""
        if not self.may_assign(by, people, role, *where, last):
            return multiple()
        users = [self.people[name] for name in people]
        plan = services.plan_roles(users, **self.asked(by, role, *where, last))
        return by, people, role, where, last, plan.lines

    @rule(plan=plans)
    def agree(self, plan):
        by, people, role, where, last, lines = plan
        may = self.may_assign(by, people, role, *where, last)
        users = [self.people[name] for name in people]
        try:
            services.give_roles(users, **self.asked(by, role, *where, last), seen=lines)
        except services.PlanChanged:
            assert may
        except ValidationError:
            assert not may
        else:
            assert may
            self.given(people, role, *where, last)

    @rule(by=ACTORS, which=WHICH)
    def end(self, by, which):
        self.do_end(by, which)

    def do_end(self, by, which):
        row = list(self.held)[which % len(self.held)]
        may = self.may_end(by, [row])
        try:
            services.revoke_role(self.row_of(row), by=self.people[by])
        except ValidationError:
            assert not may
        else:
            assert may
            del self.held[row]

    @rule(by=ACTORS, name=PEOPLE)
    def deactivate(self, by, name):
        self.do_deactivate(by, name)

    def do_deactivate(self, by, name):
        if name not in self.members:
            return
        rows = [row for row in self.held if row[0] == name]
        may = bool(self.held_by(by) & MAY_DEACTIVATE) and self.may_end(by, rows)
        member = Membership.objects.get(user=self.people[name], ended_at=None)
        try:
            services.deactivate_person(member, by=self.people[by])
        except ValidationError:
            assert not may
        else:
            assert may
            self.members.discard(name)
            for row in rows:
                del self.held[row]

    @rule(name=PEOPLE)
    def come_back(self, name):
        if name in self.members:
            return
        MembershipFactory(user=self.people[name], partner_account=self.company)
        self.members.add(name)

    @rule()
    def last_days_pass(self):
        RoleAssignment.objects.filter(
            partner_account=self.company, revoked_at=None, ends_on__gte=today()
        ).update(ends_on=today() - timedelta(days=1))
        for row, last in self.held.items():
            self.held[row] = OVER if last == LATER else last
        # What time took away, nobody did.
        self.at_first -= {row for row, last in self.held.items() if last == OVER}

    @invariant()
    def nothing_is_as_it_should_not_be(self):
        held = {
            (
                one.user.full_name,
                Role(one.role),
                one.location and one.location.name,
                one.program and one.program.name,
                NEVER if one.ends_on is None else LATER,
            )
            for one in RoleAssignment.objects.live()
            .of_company(self.company)
            .select_related("user", "location", "program")
            .order_by("pk")
        }
        self.people_hold_what_the_model_says(held)
        self.somebody_stays_global_admin(held)
        self.no_guest_holds_an_incentive_role(held)
        self.nothing_changed_that_may_not(held)

    def people_hold_what_the_model_says(self, held):
        assert held == {(*row, last) for row, last in self.held.items() if last != OVER}

    def somebody_stays_global_admin(self, held):
        assert any(row[1] == Role.GLOBAL_ADMIN and row[4] == NEVER for row in held)

    def no_guest_holds_an_incentive_role(self, held):
        assert not any(row[0] == GUEST and row[1] in INCENTIVES for row in held)

    def nothing_changed_that_may_not(self, held):
        """Several people together may change everything."""


class Alone(Lives):
    """One person does all of it: the others only sleep, come back and run out."""

    @initialize(name=ACTORS)
    def somebody_wakes(self, name):
        self.name = name
        self.start = self.held_by(name)

    @rule(people=GROUPS, role=ROLES, where=PLACES, last=LAST_DAYS)
    def give(self, people, role, where, last):
        self.do_give(self.name, people, role, where, last)

    @rule(target=Lives.plans, people=GROUPS, role=ROLES, where=PLACES, last=LAST_DAYS)
    def look(self, people, role, where, last):
        return self.do_look(self.name, people, role, where, last)

    @rule(which=WHICH)
    def end(self, which):
        self.do_end(self.name, which)

    @rule(name=PEOPLE)
    def deactivate(self, name):
        self.do_deactivate(self.name, name)

    def nothing_changed_that_may_not(self, held):
        first = {(name, role) for name, role, *_where in self.at_first}
        now = {(name, role) for name, role, *_where in held}
        changed = {role for _name, role in now ^ first}
        assert changed <= within_reach(getattr(self, "start", set()))


def within_reach(start: set[Role]) -> set[Role]:
    """The roles that somebody can give and end, by giving themselves what they may."""
    reach: set[Role] = set()
    while True:
        wider = reach.union(*(MAY_GIVE.get(role, set()) for role in start | reach))
        if wider == reach:
            return reach
        reach = wider


def test_no_life_of_the_roles_gives_more_than_the_table():
    run_state_machine_as_test(Lives, settings=STEPS)


def test_nobody_alone_gets_further_than_the_table():
    run_state_machine_as_test(Alone, settings=STEPS)


@pytest.mark.parametrize(
    ("role", "reach"),
    [
        (Role.GLOBAL_ADMIN, set(Role)),
        (Role.ACCOUNT_ADMIN, INCENTIVES),
        (Role.USER_ADMIN, set()),
        (Role.MPN_ADMIN, set()),
        (Role.INCENTIVES_ADMIN, set()),
        (Role.INCENTIVES_USER, set()),
    ],
)
def test_the_table_leads_nobody_further_than_one_step(role, reach):
    assert within_reach({role}) == reach
    assert GRANTS[role].gives == reach


def _nothing(*args, **kwargs):
    """Refuse nothing."""


def _giving_for_ever(by, *, role, account):
    """Let a role that ran out give on."""
    held = RoleAssignment.objects.filter(
        user=by, partner_account=account, revoked_at=None
    )
    if role not in set().union(*(MAY_GIVE.get(one.role, set()) for one in held)):
        raise ValidationError("no")


def _makes_a_global_admin(life, by):
    life.do_give(by, ["gerd"], Role.GLOBAL_ADMIN, (None, None), NEVER)


def _gives_at_a_place(life, by):
    life.do_give(by, ["gerd"], Role.INCENTIVES_ADMIN, (PLACE, None), NEVER)


def _ends_the_first_global_admin(life, by):
    life.do_end(by, 0)


def _gives_the_first_global_admin_a_last_day(life, by):
    life.do_give(by, ["greta"], Role.GLOBAL_ADMIN, (None, None), LATER)


def _deactivates_the_first_global_admin(life, by):
    life.do_deactivate(by, "greta")


def _gives_a_guest_a_role(life, by):
    life.do_give(by, [GUEST], Role.INCENTIVES_ADMIN, (PLACE, None), NEVER)


def _gives_after_the_last_day(life, by):
    life.last_days_pass()
    _gives_at_a_place(life, by)


def _somebody_leaves_and_comes_back(life, by):
    life.do_deactivate(by, "ida")
    life.come_back("ida")


def _deactivates_somebody(life, by):
    life.do_deactivate(by, "gerd")


class TestControls:
    """Each protection off: the model finds what it is for; on, it finds nothing."""

    @pytest.fixture(params=[Lives, Alone])
    def goes_wrong(self, request):
        """Whether steps that somebody takes lead where the model does not."""

        def taken(steps, *, by) -> bool:
            life = request.param()
            try:
                if isinstance(life, Alone):
                    life.somebody_wakes(by)
                steps(life, by)
                life.nothing_is_as_it_should_not_be()
            except AssertionError:
                return True
            finally:
                life.teardown()
            return False

        return taken

    def test_a_giver_who_is_not_asked(self, monkeypatch, goes_wrong):
        assert not goes_wrong(_makes_a_global_admin, by="ida")

        monkeypatch.setattr(roles, "_refuse_unless_granting", _nothing)

        assert goes_wrong(_makes_a_global_admin, by="ida")

    @pytest.mark.parametrize(
        ("role", "holder"),
        [(Role.ACCOUNT_ADMIN, "anna"), (Role.USER_ADMIN, "ursula")],
    )
    def test_a_line_of_the_table_that_gives_too_much(
        self, monkeypatch, goes_wrong, role, holder
    ):
        assert not goes_wrong(_makes_a_global_admin, by=holder)

        monkeypatch.setitem(GRANTS, role, Grant(frozenset(Role), "nobody says so"))

        assert goes_wrong(_makes_a_global_admin, by=holder)

    @pytest.mark.parametrize(
        "steps",
        [
            _ends_the_first_global_admin,
            _gives_the_first_global_admin_a_last_day,
            _deactivates_the_first_global_admin,
        ],
    )
    def test_a_last_global_admin_who_may_go(self, monkeypatch, goes_wrong, steps):
        assert not goes_wrong(steps, by="greta")

        monkeypatch.setattr(roles, "_refuse_losing_last_global_admin", _nothing)

        assert goes_wrong(steps, by="greta")

    def test_a_guest_who_is_not_asked_about(self, monkeypatch, goes_wrong):
        assert not goes_wrong(_gives_a_guest_a_role, by="greta")

        monkeypatch.setattr(roles, "refuse_guest", _nothing)

        assert goes_wrong(_gives_a_guest_a_role, by="greta")

    def test_a_role_that_gives_after_its_last_day(self, monkeypatch, goes_wrong):
        assert not goes_wrong(_gives_after_the_last_day, by="anna")

        monkeypatch.setattr(roles, "_refuse_unless_granting", _giving_for_ever)

        assert goes_wrong(_gives_after_the_last_day, by="anna")

    def test_roles_that_outlive_their_holders_part(self, monkeypatch, goes_wrong):
        assert not goes_wrong(_somebody_leaves_and_comes_back, by="greta")

        monkeypatch.setattr(leaving, "end_assignments", _nothing)

        assert goes_wrong(_somebody_leaves_and_comes_back, by="greta")

    def test_a_deactivation_that_nobody_is_asked_for(self, monkeypatch, goes_wrong):
        assert not goes_wrong(_deactivates_somebody, by="ida")

        monkeypatch.setattr(leaving, "refuse_unless_editing_people", _nothing)

        assert goes_wrong(_deactivates_somebody, by="ida")
