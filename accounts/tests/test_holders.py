"""Who holds which right where, and which places would be left without anybody."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from accounts.holders import (
    appointers,
    gaps_left_by,
    givers_of,
    held_in,
    holds_anywhere,
    needs_operators,
    needs_recovery,
    operators_with,
    people_with,
    resetters,
    roles_given_by,
    roles_given_in,
    vouchers_for,
    vouchers_of,
)
from accounts.models import Coverage
from accounts.models.factor_resets import UNANSWERED
from accounts.roles import INCENTIVE_ROLES, Permission, Role
from accounts.tests.cast import operator
from accounts.tests.factories import (
    AccessRequestFactory,
    FactorResetFactory,
    LocationFactory,
    RoleAssignmentFactory,
    UserFactory,
)


class TestWhoCan:
    def test_people_who_can_are_named_by_name(self, nordvik, goteborg, cast):
        RoleAssignmentFactory(
            user=UserFactory(full_name="Aron Admin"), partner_account=nordvik
        )

        able = people_with(Permission.PROFILE_EDIT, company=nordvik, row=goteborg)

        assert [person.full_name for person in able] == ["Aron Admin", "Ida Lund"]

    def test_only_those_whose_roles_reach_the_place(self, nordvik, malmo, cast):
        assert people_with(Permission.PROFILE_EDIT, company=nordvik, row=malmo) == []
        assert people_with(Permission.PROFILE_EDIT, company=nordvik) == [cast.ida]

    def test_people_of_one_name_stand_in_the_order_they_came(self, nordvik):
        one, two, three = (
            RoleAssignmentFactory(
                role=Role.GLOBAL_ADMIN,
                partner_account=nordvik,
                user=UserFactory(full_name="Kim Ek"),
            ).user
            for _number in range(3)
        )
        # Touched last, and so read first from the table.
        one.save()

        assert appointers(nordvik) == [one, two, three]
        assert givers_of(Role.GLOBAL_ADMIN, nordvik) == [one, two, three]

    def test_somebody_with_two_roles_is_named_once(self, nordvik, ida):
        RoleAssignmentFactory(user=ida, partner_account=nordvik)

        assert people_with(Permission.PROFILE_EDIT, company=nordvik) == [ida]

    def test_roles_that_ended_and_other_companies_name_nobody(self, nordvik, sam, ida):
        ida.role_assignments.update(revoked_at=timezone.now())

        assert people_with(Permission.PROFILE_EDIT, company=nordvik) == []

    def test_appointers_are_global_and_account_admins(self, nordvik, cast):
        # R7, R15
        assert appointers(nordvik) == [cast.alice, cast.greta]

    def test_a_right_is_held_somewhere_or_not(self, nordvik, cast):
        assert holds_anywhere(cast.ida, Permission.PROFILE_EDIT, nordvik)
        assert not holds_anywhere(cast.uma, Permission.PROFILE_EDIT, nordvik)
        assert not holds_anywhere(cast.sam, Permission.PROFILE_EDIT, nordvik)
        assert not holds_anywhere(cast.ida, Permission.PROFILE_EDIT, None)


def test_what_somebody_holds_in_a_company_is_told_with_how_widely(
    nordvik, goteborg, malmo, ida, uma, sam
):
    other = sam.memberships.get().partner_account
    for role, place in (
        (Role.INCENTIVES_ADMIN, {"location": malmo}),
        (Role.INCENTIVES_USER, {}),
        (Role.ACCOUNT_ADMIN, {"partner_account": other}),
    ):
        RoleAssignmentFactory(
            user=ida, role=role, **{"partner_account": nordvik} | place
        )

    held = held_in(ida, nordvik)

    assert (held.person, held.account) == (ida, nordvik)
    assert held.anywhere == {Role.INCENTIVES_ADMIN, Role.INCENTIVES_USER}
    assert held.everywhere == {Role.INCENTIVES_USER}


def test_each_person_gives_what_the_own_roles_grant(cast, nordvik):
    assert roles_given_by(cast.greta, nordvik) == set(Role)
    assert roles_given_by(cast.alice, nordvik) == INCENTIVE_ROLES
    for name in ("ida", "uma", "lars", "sam", "oscar"):
        assert roles_given_by(getattr(cast, name), nordvik) == set()


def test_what_somebody_gives_in_one_company_is_nothing_in_another(greta, nordvik, sam):
    other = sam.memberships.get().partner_account
    RoleAssignmentFactory(user=greta, role=Role.INCENTIVES_USER, partner_account=other)

    assert roles_given_by(greta, other) == set()


def test_givers_are_named_for_each_role(cast, nordvik):
    assert givers_of(Role.GLOBAL_ADMIN, nordvik) == [cast.greta]
    assert givers_of(Role.INCENTIVES_USER, nordvik) == [cast.alice, cast.greta]


def test_what_each_admin_gives_is_said_at_once(cast, nordvik):
    # Account admin too, which takes nothing away.
    RoleAssignmentFactory(
        user=cast.greta, role=Role.ACCOUNT_ADMIN, partner_account=nordvik
    )
    RoleAssignmentFactory(role=Role.GLOBAL_ADMIN)  # of another company

    assert roles_given_in(nordvik) == {
        cast.greta.pk: set(Role),
        cast.alice.pk: INCENTIVE_ROLES,
    }


@pytest.mark.parametrize(
    ("waited", "is_needed"),
    [
        (timedelta(days=7), True),
        (timedelta(days=6, hours=23, minutes=59), False),
    ],
)
def test_who_waits_for_a_week_is_helped_by_the_program_owner(
    greta, lars, uma, nordvik, waited, is_needed
):
    AccessRequestFactory(
        user=lars,
        partner_account=nordvik,
        role=Role.INCENTIVES_ADMIN,
        asked_at=timezone.now() - waited,
    )

    assert needs_recovery(lars, nordvik) is is_needed
    # Somebody else's request says nothing, nor one in another company.
    assert not needs_recovery(uma, nordvik)
    other = RoleAssignmentFactory(role=Role.GLOBAL_ADMIN).partner_account
    assert not needs_recovery(lars, other)


def test_without_a_global_admin_only_the_program_owner_can_help(lars, alice, nordvik):
    assert needs_recovery(lars, nordvik)


class TestWhoVouches:
    def test_the_other_admins_do_by_name_but_not_by_a_role_they_took(
        self, nordvik, cast
    ):
        taken = RoleAssignmentFactory(
            user=cast.uma, role=Role.ACCOUNT_ADMIN, partner_account=nordvik
        )
        taken.granted_by = cast.uma
        taken.save()
        RoleAssignmentFactory(role=Role.GLOBAL_ADMIN)  # of another company
        kims = [
            RoleAssignmentFactory(
                user=UserFactory(full_name="Kim Ek"),
                role=Role.ACCOUNT_ADMIN,
                partner_account=nordvik,
            ).user
            for _number in range(2)
        ]
        # Touched last, and so read last from the table.
        kims[0].save()

        assert vouchers_for(cast.lars, nordvik) == [cast.alice, cast.greta, *kims]
        assert vouchers_for(cast.greta, nordvik) == [cast.alice, *kims]

    @pytest.mark.parametrize(
        ("waited", "are_needed"),
        [(UNANSWERED, True), (UNANSWERED - timedelta(seconds=1), False)],
    )
    def test_operators_do_when_nobody_did_for_a_week(
        self, nordvik, greta, ida, waited, are_needed
    ):
        with time_machine.travel(1_800_000_000, tick=False):
            asked = FactorResetFactory(
                partner_account=nordvik, user=ida, asked_at=timezone.now() - waited
            )

            assert vouchers_of(asked) == [greta]
            assert needs_operators(asked) is are_needed

    def test_operators_do_where_nobody_can(self, nordvik, greta, oscar):
        of_greta = FactorResetFactory(partner_account=nordvik, user=greta)
        of_oscar = FactorResetFactory(partner_account=None, user=oscar)

        assert vouchers_of(of_oscar) == []
        assert needs_operators(of_greta)
        assert needs_operators(of_oscar)

    def test_operators_are_those_who_still_are(self, db):
        group = operator("Vera Lind", "Validator").groups.get()
        first, second, third, left, partner = (
            UserFactory(full_name="Kim Ek", operator=True) for _number in range(5)
        )
        for person in (first, second, third, left, partner):
            person.groups.add(group)
        type(left).objects.filter(pk=left.pk).update(is_active=False)
        type(left).objects.filter(pk=partner.pk).update(is_staff=False)
        # Touched last, and so read last from the table.
        type(left).objects.filter(pk=first.pk).update(full_name="Kim Ek")

        able = operators_with("profiles.validate_profiles")

        assert [one for one in able if one.full_name == "Kim Ek"] == [
            first,
            second,
            third,
        ]

    def test_operators_who_may_reset_do_not_for_themselves(self, oscar):
        iris, ivan = (
            operator(name, "Identity manager") for name in ("Iris Ahl", "Ivan Berg")
        )

        assert resetters(iris) == [ivan]
        assert resetters(oscar) == [iris, ivan]


def test_only_what_gets_worse_is_a_gap(nordvik, goteborg, malmo, ida, program):
    everywhere = RoleAssignmentFactory(partner_account=nordvik)
    LocationFactory(name="Abroad")

    # Göteborg keeps Ida; Malmö loses its only one.
    assert gaps_left_by(everywhere) == {Coverage.NOBODY: [malmo]}

    RoleAssignmentFactory(partner_account=nordvik, location=malmo, program=program)
    assert gaps_left_by(everywhere) == {Coverage.SOME_PROGRAMS: [malmo]}


def test_losing_what_was_not_counted_is_no_gap(nordvik, goteborg, program):
    limited, other = (
        RoleAssignmentFactory(
            partner_account=nordvik, location=goteborg, program=program
        )
        for _number in range(2)
    )

    assert gaps_left_by(limited) == {}
    other.delete()
    assert gaps_left_by(limited) == {Coverage.NOBODY: [goteborg]}


def test_a_role_that_cannot_enroll_leaves_no_gap(uma, goteborg):
    assert gaps_left_by(uma.role_assignments.get()) == {}


def test_gaps_are_named_by_name(nordvik, malmo, goteborg):
    second = LocationFactory(partner_account=nordvik, name=goteborg.name)
    roles = [
        RoleAssignmentFactory(partner_account=nordvik, location=place)
        for place in (malmo, goteborg, second)
    ]
    # Touched last, and so read last from the table.
    goteborg.save()

    assert gaps_left_by(*roles) == {Coverage.NOBODY: [goteborg, second, malmo]}
