"""From a table to the rows a person may see: company, location, program, and time."""

from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from accounts.holders import held_in
from accounts.models import (
    AuditAction,
    AuditEvent,
    Location,
    Membership,
    PartnerAccount,
    RoleAssignment,
)
from accounts.roles import Permission, Role
from accounts.scoping import Scope, ScopedQuerySet, holds_now, today
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    MembershipFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared


class AtProgram(ScopedQuerySet):
    """Role assignments read as rows with a company, a location and a program.

    The only table of this app with all three parts of a scope.
    """

    scope = Scope(account="partner_account", location="location", program="program")
    view_permission = Permission.ENROLLMENT_VIEW


def rows_at(*places) -> models.QuerySet:
    """One row for each (location, program), belonging to nobody of the tests."""
    keys = [
        RoleAssignmentFactory(
            role=Role.INCENTIVES_USER,
            partner_account=location.partner_account,
            location=location,
            program=program,
            revoked_at=timezone.now(),
        ).pk
        for location, program in places
    ]
    return AtProgram(RoleAssignment).filter(pk__in=keys)


def places_of(rows) -> set[tuple]:
    return {(row.location, row.program) for row in rows}


@shared
def other_program(db):
    return IncentiveProgramFactory(code="OTHER", name="Other program")


@shared
def everywhere(goteborg, malmo, program, other_program):
    """A row at each location of the company for each program, and one abroad."""
    abroad = LocationFactory(name="Hamburg")
    return rows_at(
        *(
            (location, one)
            for location in (goteborg, malmo, abroad)
            for one in (program, other_program)
        )
    )


class TestWidth:
    def test_a_role_for_the_whole_company_reaches_all_of_it_and_nothing_else(
        self, everywhere, uma, goteborg, malmo, program, other_program
    ):
        # R10
        seen = places_of(everywhere.visible_to(uma))

        assert seen == {
            (location, one)
            for location in (goteborg, malmo)
            for one in (program, other_program)
        }

    def test_a_role_at_a_location_reaches_that_location(
        self, everywhere, ida, goteborg, program, other_program
    ):
        # R8
        assert places_of(everywhere.visible_to(ida)) == {
            (goteborg, program),
            (goteborg, other_program),
        }

    def test_a_role_for_a_program_reaches_that_program_there(
        self, everywhere, lars, goteborg, program
    ):
        # R9
        RoleAssignmentFactory(
            user=lars,
            partner_account=goteborg.partner_account,
            location=goteborg,
            program=program,
        )

        assert places_of(everywhere.visible_to(lars)) == {(goteborg, program)}

    def test_roles_add_up(self, everywhere, lars, goteborg, malmo, program):
        for location, one in ((goteborg, program), (malmo, None)):
            RoleAssignmentFactory(
                user=lars,
                partner_account=location.partner_account,
                location=location,
                program=one,
            )

        seen = places_of(everywhere.visible_to(lars))

        assert len(seen) == 3
        assert (goteborg, program) in seen

    def test_two_roles_on_the_same_row_show_it_once(self, everywhere, ida, goteborg):
        RoleAssignmentFactory(user=ida, partner_account=goteborg.partner_account)

        assert everywhere.visible_to(ida).count() == 4

    def test_a_table_without_location_is_reached_from_any_location(self, ida, nordvik):
        assert list(PartnerAccount.objects.visible_to(ida)) == [nordvik]

    def test_a_role_elsewhere_reaches_nothing_here(self, everywhere, sam):
        # R16
        assert not everywhere.visible_to(sam).exists()
        assert not Location.objects.visible_to(sam).filter(name="Göteborg").exists()


class TestRights:
    def test_the_right_itself_is_asked_for(self, everywhere, ida, uma):
        assert everywhere.where_user_may(ida, Permission.ENROLLMENT_EDIT).count() == 2
        assert not everywhere.where_user_may(uma, Permission.ENROLLMENT_EDIT).exists()
        assert everywhere.where_user_may(uma, Permission.ENROLLMENT_VIEW).count() == 4

    @pytest.mark.parametrize("name", ["greta", "alice"])
    def test_who_appoints_does_not_act(self, everywhere, cast, name):
        # R1, R2
        admin = getattr(cast, name)

        assert not everywhere.where_user_may(admin, Permission.ENROLLMENT_EDIT).exists()
        assert not everywhere.where_user_may(admin, Permission.ENROLLMENT_VIEW).exists()
        assert everywhere.where_user_may(admin, Permission.ENROLLMENT_KNOW).count() == 4

    @pytest.mark.parametrize("name", ["lars", "oscar"])
    def test_who_has_no_role_sees_nothing(self, everywhere, cast, name):
        person = getattr(cast, name)

        for permission in Permission:
            assert not everywhere.where_user_may(person, permission).exists()

    @pytest.mark.parametrize("model", [AtProgram, Location, Membership])
    def test_roles_asked_for_once_reach_the_same_rows(
        self, everywhere, cast, nordvik, goteborg, model
    ):
        RoleAssignmentFactory(
            user=cast.lars,
            partner_account=nordvik,
            location=goteborg,
            role=Role.INCENTIVES_USER,
        )
        rows = everywhere if model is AtProgram else model.objects.all()

        for person in (cast.greta, cast.alice, cast.ida, cast.uma, cast.lars, cast.sam):
            held = held_in(person, nordvik)
            for permission in Permission:
                asked = rows.where_user_may(person, permission).of_company(nordvik)
                assert set(rows.where_held(held, permission)) == set(asked), permission

    def test_roles_for_all_of_a_company_ask_nothing_of_its_rows(
        self, greta, alice, ida, nordvik, goteborg
    ):
        rows = [
            Location.objects.where_held(held_in(person, nordvik), permission)
            for person in (greta, alice)
            for permission in (Permission.LOCATION_VIEW, Permission.ROLE_ASSIGN)
        ]

        assert all("EXISTS" not in str(asked.query) for asked in rows)
        of_ida = Location.objects.where_held(
            held_in(ida, nordvik), Permission.LOCATION_VIEW
        )
        assert "EXISTS" in str(of_ida.query)

    def test_nobody_signed_in_sees_nothing(self, everywhere):
        assert not everywhere.visible_to(AnonymousUser()).exists()
        assert not Location.objects.visible_to(AnonymousUser()).exists()

    def test_a_superuser_is_no_partner(self, everywhere):
        root = UserFactory(is_staff=True, is_superuser=True)

        assert not everywhere.visible_to(root).exists()

    @pytest.mark.parametrize(
        "fields",
        [
            {"revoked_at": timezone.now()},
            {"ends_on": timezone.localdate() - timedelta(days=1)},
            {"user__is_active": False},
        ],
        ids=["ended", "past its last day", "cannot sign in"],
    )
    def test_a_role_that_no_longer_holds_shows_nothing(
        self, everywhere, nordvik, fields
    ):
        # T5
        user = RoleAssignmentFactory(partner_account=nordvik, **fields).user

        assert not everywhere.visible_to(user).exists()

    def test_a_role_holds_on_its_last_day(self, everywhere, nordvik):
        user = RoleAssignmentFactory(
            partner_account=nordvik, ends_on=timezone.localdate()
        ).user

        assert everywhere.visible_to(user).count() == 4

    def test_people_and_roles_are_seen_by_who_may_see_people(self, cast, nordvik):
        AuditEvent.objects.create(
            chain="x", action=AuditAction.COMPANY_ADDED, partner_account=nordvik
        )

        for rows in (Membership.objects, RoleAssignment.objects, AuditEvent.objects):
            assert rows.visible_to(cast.greta).exists()
            assert not rows.visible_to(cast.ida).exists()
            assert not rows.visible_to(cast.lars).exists()

    def test_each_row_says_what_may_be_done_with_it(self, everywhere, ida, goteborg):
        rows = everywhere.with_covered(
            Permission.ENROLLMENT_EDIT, user=ida, name="may_edit"
        )

        assert {row.location for row in rows if row.may_edit} == {goteborg}
        assert rows.count() == 6

    def test_what_others_may_do_with_a_row_says_nothing_of_oneself(
        self, everywhere, ida, uma, goteborg, malmo
    ):
        RoleAssignmentFactory(partner_account=malmo.partner_account)

        for person, places in ((ida, {goteborg}), (uma, set())):
            rows = everywhere.with_covered(
                Permission.ENROLLMENT_EDIT, user=person, name="may_edit"
            )
            assert {row.location for row in rows if row.may_edit} == places

    def test_a_role_in_a_company_one_left_shows_nothing(self, everywhere, ida):
        # T5: whether or not one belongs to another company
        ida.memberships.update(ended_at=timezone.now())
        assert not everywhere.visible_to(ida).exists()

        MembershipFactory(user=ida)
        assert not everywhere.visible_to(ida).exists()


class TestCompanies:
    def test_rows_are_narrowed_to_the_company_one_works_in(
        self, lars, goteborg, nordvik
    ):
        elsewhere = LocationFactory()
        for account in (nordvik, elsewhere.partner_account):
            RoleAssignmentFactory(user=lars, partner_account=account)

        seen = Location.objects.visible_to(lars)

        assert set(seen) == {goteborg, elsewhere}
        assert set(seen.of_company(nordvik)) == {goteborg}


class TestHolders:
    def test_locations_nobody_covers_are_found(self, ida, goteborg, malmo):
        # R6
        rows = Location.objects.without_holder(Role.INCENTIVES_ADMIN)

        assert set(rows) == {malmo}

    def test_a_role_for_the_whole_company_covers_every_location(
        self, nordvik, goteborg, malmo
    ):
        RoleAssignmentFactory(partner_account=nordvik)

        assert not Location.objects.without_holder(Role.INCENTIVES_ADMIN).exists()

    def test_who_only_looks_covers_nothing(self, ida, uma, goteborg, malmo):
        rows = Location.objects.without_holder(Role.INCENTIVES_ADMIN)

        assert set(rows) == {malmo}

    def test_a_role_that_ended_covers_nothing(self, nordvik, goteborg):
        RoleAssignmentFactory(partner_account=nordvik, revoked_at=timezone.now())

        assert Location.objects.without_holder(Role.INCENTIVES_ADMIN).exists()


def test_asked_of_each_a_role_holds_as_it_does_asked_of_all(nordvik):
    now, yesterday = timezone.now(), today() - timedelta(days=1)

    def role(**fields) -> RoleAssignment:
        return RoleAssignmentFactory(partner_account=nordvik, **fields)

    holding = {role(), role(ends_on=today()), role(ends_on=today() + timedelta(days=1))}
    role(ends_on=yesterday)
    role(revoked_at=now)
    role(user__is_active=False)
    role(role=Role.INCENTIVES_USER)
    role().user.memberships.update(ended_at=now)
    elsewhere = role()
    elsewhere.user.memberships.update(partner_account=PartnerAccountFactory())
    admins = frozenset({Role.INCENTIVES_ADMIN})

    found = (
        PartnerAccount.objects.filter(pk=nordvik.pk)
        .annotate(held=F("role_assignments"))
        .filter(holds_now("held", roles=admins))
        .values_list("held", flat=True)
    )

    assert set(found) == {one.pk for one in holding}
    assert holding == set(
        RoleAssignment.objects.live().filter(partner_account=nordvik, role__in=admins)
    )


def test_where_a_table_keeps_its_company_stays_as_it_is():
    with pytest.raises(FrozenInstanceError):
        AtProgram.scope.account = "location__partner_account"


def test_however_it_is_asked_the_question_stays_the_same(everywhere, ida, uma):
    # A part of it is put together once for everybody: nobody may change it.
    def asked(user) -> str:
        return str(everywhere.visible_to(user).query)

    first = asked(ida)
    nested = everywhere.filter(pk__in=everywhere.visible_to(uma).values("pk"))
    twice = nested.visible_to(ida).with_covered(
        Permission.ENROLLMENT_VIEW, user=uma, name="is_covered"
    )
    within = everywhere.filter(Exists(twice.filter(pk=OuterRef("pk"))))
    again = everywhere.without_holder(Role.GLOBAL_ADMIN).filter(pk__in=within)
    for rows in (nested, twice, within, again, again.exclude(pk__in=twice)):
        for _twice in range(2):
            list(rows.all())

    assert asked(ida) == first
    assert asked(uma) == first.replace(f'_id" = {ida.pk})', f'_id" = {uma.pk})')
    assert places_of(within) == places_of(everywhere.visible_to(ida))


def test_seeing_costs_one_query(everywhere, ida, django_assert_num_queries):
    with django_assert_num_queries(1):
        list(everywhere.visible_to(ida))


class TestTheLastDay:
    """A role holds through its last day, in the portal's zone."""

    @pytest.mark.parametrize(("days", "holds"), [(-1, False), (0, True), (1, True)])
    def test_a_role_holds_through_its_last_day(self, lars, nordvik, days, holds):
        role = RoleAssignmentFactory(
            user=lars, partner_account=nordvik, ends_on=today() + timedelta(days=days)
        )

        assert RoleAssignment.objects.live().filter(pk=role.pk).exists() == holds
        assert role.is_over(today()) == (not holds)

    # One of these two is never on the portal's day.
    @pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
    def test_the_readers_zone_moves_no_last_day(self, lars, nordvik, zone):
        last = RoleAssignmentFactory(
            user=lars, partner_account=nordvik, ends_on=today()
        )
        over = RoleAssignmentFactory(
            partner_account=nordvik, ends_on=today() - timedelta(days=1)
        )
        day = today()

        with timezone.override(zone):
            assert today() == day
            live = set(RoleAssignment.objects.live())

        assert last in live
        assert over not in live
