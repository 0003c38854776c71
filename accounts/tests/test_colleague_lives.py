"""Every life of an invitation: whatever happens in whatever order, nothing is gained.

A model of its own says what may be accepted; the services have to agree with it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts import services
from accounts.models import (
    ColleagueInvitation,
    InvitationState,
    Membership,
    RoleAssignment,
    User,
)
from accounts.roles import GRANTS, INCENTIVE_ROLES, Role
from accounts.services import colleagues
from accounts.tests.factories import (
    LocationFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.tries import tries

pytestmark = pytest.mark.django_db

LIFE = timedelta(days=7)
HELD = {"greta": Role.GLOBAL_ADMIN, "alice": Role.ACCOUNT_ADMIN}
ADDRESSES = {
    "nils": "nils@partner.example",
    "gus": "gus@elsewhere.example",
    # Has no account until she joins.
    "nora": "nora@partner.example",
}
OFFERED = (Role.GLOBAL_ADMIN, Role.MPN_ADMIN, Role.INCENTIVES_ADMIN)
# Most steps are about what can happen: to one person, by whom it is for.
INVITED = st.sampled_from(["nils", "nils", *sorted(ADDRESSES)])
TRYING = st.sampled_from(["the one invited", "the one invited", *sorted(ADDRESSES)])
STEPS = settings(
    max_examples=tries(16),
    stateful_step_count=25,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Offer:
    """What the model remembers of one invitation."""

    row: ColleagueInvitation
    to: str
    by: str
    role: Role
    place: str | None
    until: datetime
    is_open: bool = True


class Clock:
    """The time, which the machine moves on."""

    def __init__(self):
        self.now = datetime(2026, 11, 21, 12, tzinfo=timezone.get_fixed_timezone(0))

    def __call__(self):
        return self.now


class Lives(RuleBasedStateMachine):
    """Two admins invite four people; time passes, rights come and go."""

    offers = Bundle("offers")
    clock: Clock

    def __init__(self):
        super().__init__()
        self.point = transaction.savepoint()
        self.company = PartnerAccountFactory(email_domains=["partner.example"])
        self.admins = {
            name: RoleAssignmentFactory(role=role, partner_account=self.company)
            for name, role in HELD.items()
        }
        # Somebody stays, whoever loses the role.
        RoleAssignmentFactory(role=Role.GLOBAL_ADMIN, partner_account=self.company)
        self.places = {
            name: LocationFactory(partner_account=self.company, name=name)
            for name in ("Göteborg",)
        }
        self.people = {
            name: UserFactory(email=address)
            for name, address in ADDRESSES.items()
            if name != "nora"
        }
        self.may_give = {name: GRANTS[role].gives for name, role in HELD.items()}
        self.closed_places: set[str] = set()
        self.made: list[Offer] = []
        self.granted: set[tuple[str, str, str | None]] = set()
        self.joined: set[str] = set()

    def teardown(self):
        transaction.savepoint_rollback(self.point)

    def could_give(self, offer: Offer) -> bool:
        """What the inviter could give at this moment without any invitation."""
        is_guest = offer.to == "gus" and offer.role in INCENTIVE_ROLES
        return (
            offer.role in self.may_give[offer.by]
            and offer.place not in self.closed_places
            and not is_guest
        )

    def is_alive(self, offer: Offer) -> bool:
        return offer.is_open and self.clock.now < offer.until

    @rule(
        target=offers,
        by=st.sampled_from(sorted(HELD)),
        to=INVITED,
        role=st.sampled_from(OFFERED),
        place=st.sampled_from([None, "Göteborg"]),
    )
    def invite(self, by, to, role, place):
        place = place if role in INCENTIVE_ROLES else None
        offer = Offer(None, to, by, role, place, self.clock.now + LIFE)
        may = self.could_give(offer) and to not in self.joined
        try:
            offer.row = services.invite_colleague(
                self.company,
                email=ADDRESSES[to],
                full_name=to.title(),
                language="en",
                role=role,
                locations=[self.places[place]] if place else [],
                by=self.admins[by].user,
            )
        except ValidationError as error:
            self._was_right(error, may=may)
            return multiple()
        assert may
        same = [one for one in self.made if one.row == offer.row]
        if same:
            assert self.is_alive(same[0])
            return same[0]
        for older in self.made:
            if older.to == to:
                older.is_open = False
        self.made.append(offer)
        return offer

    @rule(offer=offers, by=st.sampled_from(sorted(HELD)))
    def resend(self, offer, by):
        until = offer.row.expires_at
        may = (
            self.is_alive(offer)
            and self.could_give(offer)
            and offer.role in self.may_give[by]
        )
        try:
            services.resend_invitation(offer.row, by=self.admins[by].user)
        except ValidationError as error:
            self._was_right(error, may=may)
        else:
            assert may
        offer.row.refresh_from_db()
        assert offer.row.expires_at == until

    @rule(offer=offers, by=st.sampled_from(sorted(HELD)))
    def revoke(self, offer, by):
        may = self.is_alive(offer) and offer.role in self.may_give[by]
        was_revoked = (
            ColleagueInvitation.objects.get(pk=offer.row.pk).state
            == InvitationState.REVOKED
        )
        try:
            services.revoke_invitation(offer.row, by=self.admins[by].user)
        except ValidationError:
            assert not may
        else:
            assert may or was_revoked
            offer.is_open = False

    @rule(offer=offers, name=TRYING)
    def accept(self, offer, name):
        name = offer.to if name == "the one invited" else name
        if name not in self.people:
            return
        may = self.is_alive(offer) and name == offer.to and self.could_give(offer)
        was_accepted = self._was_accepted_by(offer, name)
        try:
            services.accept_invitation(offer.row, by=self.people[name])
        except ValidationError:
            assert not may
        else:
            assert may or was_accepted
            self._accepted(offer, is_new=may)

    @rule(offer=offers, address=TRYING)
    def join(self, offer, address):
        address = offer.to if address == "the one invited" else address
        may = (
            self.is_alive(offer)
            and address == offer.to
            and address not in self.people
            and self.could_give(offer)
        )
        try:
            user = services.join_by_invitation(
                offer.row,
                email=ADDRESSES[address],
                full_name=address.title(),
                password="nine tall ships at sea",
                language="en",
            )
        except ValidationError:
            assert not may
        else:
            assert may
            self.people[address] = user
            self._accepted(offer, is_new=True)

    @rule(name=st.sampled_from(sorted(HELD)))
    def lose_the_right(self, name):
        RoleAssignment.objects.filter(pk=self.admins[name].pk).update(
            revoked_at=timezone.now()
        )
        self.may_give[name] = frozenset()

    @rule(name=st.sampled_from(sorted(HELD)))
    def regain_the_right(self, name):
        RoleAssignment.objects.filter(pk=self.admins[name].pk).update(revoked_at=None)
        self.may_give[name] = GRANTS[HELD[name]].gives

    @precondition(lambda self: len(self.made) > 5 and not self.closed_places)
    @rule()
    def close_a_place(self):
        place = self.places["Göteborg"]
        place.closed_at = timezone.now()
        place.save()
        self.closed_places.add("Göteborg")

    @rule(name=st.sampled_from(sorted(ADDRESSES)))
    def leave(self, name):
        if name not in self.people:
            return
        Membership.objects.filter(user=self.people[name], ended_at=None).update(
            ended_at=timezone.now()
        )
        RoleAssignment.objects.filter(user=self.people[name], revoked_at=None).update(
            revoked_at=timezone.now()
        )
        self.joined.discard(name)
        self.granted = {one for one in self.granted if one[0] != name}

    @rule(
        by=st.sampled_from(
            [
                timedelta(minutes=5),
                timedelta(days=1),
                LIFE - timedelta(microseconds=1),
                LIFE,
            ]
        )
    )
    def time_passes(self, by):
        self.clock.now += by

    @rule(offer=offers)
    def its_last_moment_comes(self, offer):
        self.clock.now = max(self.clock.now, offer.until)

    @rule()
    def the_clock_comes_by(self):
        services.expire_invitations(at=timezone.now())

    def _was_right(self, refusal, *, may):
        assert not may or "too many" in str(refusal), refusal

    def _was_accepted_by(self, offer, name) -> bool:
        row = ColleagueInvitation.objects.get(pk=offer.row.pk)
        is_accepted = row.state == InvitationState.ACCEPTED
        return is_accepted and row.closed_by == self.people[name]

    def _accepted(self, offer, *, is_new):
        offer.is_open = False
        if is_new:
            self.joined.add(offer.to)
            self.granted.add((offer.to, offer.role.value, offer.place))

    @invariant()
    def at_most_one_is_open_for_an_address(self):
        stored = ColleagueInvitation.objects.filter(state=InvitationState.OPEN)
        addresses = list(stored.values_list("email", flat=True))
        assert len(addresses) == len(set(addresses))
        alive = {offer.row.pk for offer in self.made if self.is_alive(offer)}
        assert (
            set(
                stored.filter(expires_at__gt=self.clock.now).values_list(
                    "pk", flat=True
                )
            )
            == alive
        )

    @invariant()
    def people_hold_what_was_given_and_nothing_else(self):
        held = set(
            RoleAssignment.objects.live()
            .filter(user__email__in=ADDRESSES.values())
            .values_list("user__email", "role", "location__name")
        )
        assert held == {
            (ADDRESSES[name], role, place) for name, role, place in self.granted
        }

    @invariant()
    def who_did_not_accept_does_not_belong(self):
        members = User.objects.members_of(self.company).filter(
            email__in=ADDRESSES.values()
        )
        assert set(members.values_list("email", flat=True)) == {
            ADDRESSES[name] for name in self.joined
        }


@pytest.fixture
def lives(monkeypatch):
    """The machine with a clock of its own."""
    clock = Clock()
    monkeypatch.setattr(timezone, "now", clock)
    return type("LivesNow", (Lives,), {"clock": clock})


def test_no_life_of_an_invitation_gives_more_than_its_inviter_could(lives):
    run_state_machine_as_test(lives, settings=STEPS)


def _give_without_asking(user, *, by, **offer):
    return services.assign_roles(user, by=None, **offer)


def _nothing(*args, **kwargs):
    """Refuse nothing."""


def _invite(life, *, to="nils", role=Role.MPN_ADMIN):
    return life.invite(by="greta", to=to, role=role, place=None)


def _an_inviter_loses_the_right(life):
    offer = _invite(life)
    life.lose_the_right("greta")
    life.accept(offer, "the one invited")


def _a_newer_one_replaces_an_older(life):
    older = _invite(life)
    _invite(life, role=Role.GLOBAL_ADMIN)
    life.accept(older, "the one invited")


def _the_last_moment_comes(life):
    offer = _invite(life)
    life.its_last_moment_comes(offer)
    life.accept(offer, "the one invited")


def _somebody_else_tries(life):
    life.accept(_invite(life), "gus")


def _it_is_sent_again(life):
    offer = _invite(life)
    life.time_passes(timedelta(days=1))
    life.resend(offer, "greta")


class TestControls:
    """Each protection off: the model finds what it is for; on, it finds nothing."""

    def goes_wrong(self, lives, steps) -> bool:
        life = lives()
        try:
            steps(life)
            life.at_most_one_is_open_for_an_address()
            life.people_hold_what_was_given_and_nothing_else()
            life.who_did_not_accept_does_not_belong()
        except AssertionError:
            return True
        finally:
            life.teardown()
        return False

    def test_an_inviter_who_lost_the_right(self, lives, monkeypatch):
        assert not self.goes_wrong(lives, _an_inviter_loses_the_right)

        monkeypatch.setattr(colleagues, "_refuse_powerless_inviter", _nothing)
        monkeypatch.setattr(colleagues, "assign_roles", _give_without_asking)

        assert self.goes_wrong(lives, _an_inviter_loses_the_right)

    def test_an_older_one_that_stays_open(self, lives, monkeypatch):
        assert not self.goes_wrong(lives, _a_newer_one_replaces_an_older)

        real = colleagues._close

        def close(invitation, *, state, **end):
            if state != InvitationState.REPLACED:
                real(invitation, state=state, **end)

        monkeypatch.setattr(colleagues, "_close", close)
        # The database has a guard of its own; without it, the older one is accepted.
        with connection.cursor() as cursor:
            cursor.execute(
                "DROP INDEX accounts_colleagueinvitation_one_open_per_address"
            )

        assert self.goes_wrong(lives, _a_newer_one_replaces_an_older)

    def test_a_moment_too_long(self, lives, monkeypatch):
        assert not self.goes_wrong(lives, _the_last_moment_comes)

        monkeypatch.setattr(
            ColleagueInvitation,
            "is_open",
            lambda row, at: row.state == InvitationState.OPEN and at <= row.expires_at,
        )

        # The database has a guard of its own here too.
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE accounts_colleagueinvitation DROP CONSTRAINT "
                "accounts_colleagueinvitation_accepted_in_time_by_somebody"
            )

        assert self.goes_wrong(lives, _the_last_moment_comes)

    def test_an_address_that_is_not_compared(self, lives, monkeypatch):
        assert not self.goes_wrong(lives, _somebody_else_tries)

        real = colleagues.accept_invitation.__wrapped__

        def accept(invitation, *, by):
            by.email = invitation.email
            return real(invitation, by=by)

        monkeypatch.setattr(services, "accept_invitation", accept)

        assert self.goes_wrong(lives, _somebody_else_tries)

    def test_one_that_is_extended_by_being_sent_again(self, lives, monkeypatch):
        assert not self.goes_wrong(lives, _it_is_sent_again)

        real = services.resend_invitation

        def resend(invitation, *, by):
            sent = real(invitation, by=by)
            ColleagueInvitation.objects.filter(pk=sent.pk).update(
                expires_at=timezone.now() + LIFE
            )

        monkeypatch.setattr(services, "resend_invitation", resend)

        assert self.goes_wrong(lives, _it_is_sent_again)
