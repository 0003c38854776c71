"""One role for many people: what the plan says, and that only the plan is done."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from accounts.models import (
    AuditAction,
    AuditEvent,
    Coverage,
    OutgoingEmail,
    RoleAssignment,
)
from accounts.roles import Role
from accounts.scoping import today
from accounts.services import (
    PlanChanged,
    assign_role,
    give_roles,
    granting,
    plan_roles,
    revoke_role,
)
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    MembershipFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared


def asked(account, *locations, by, role=Role.INCENTIVES_ADMIN, **options):
    return {"role": role, "account": account, "locations": locations, "by": by} | (
        options
    )


def held_by(user) -> set[tuple]:
    return {
        (one.role, one.location, one.program)
        for one in RoleAssignment.objects.live().filter(user=user)
    }


@shared
def guest(nordvik):
    user = UserFactory(full_name="Gunnar Gäst", email="gunnar@elsewhere.example")
    MembershipFactory(user=user, partner_account=nordvik)
    return user


class TestPlanning:
    def test_a_plan_changes_nothing(self, greta, lars, uma, nordvik, goteborg):
        plan = plan_roles([lars, uma], **asked(nordvik, goteborg, by=greta))

        assert [step.user for step in plan.steps] == [lars, uma]
        assert held_by(lars) == set()
        assert not AuditEvent.objects.exists()
        assert not OutgoingEmail.objects.exists()

    def test_it_says_who_gains_what_and_who_has_it_already(
        self, greta, ida, lars, nordvik, goteborg, malmo
    ):
        plan = plan_roles([lars, ida], **asked(nordvik, goteborg, malmo, by=greta))

        gains = {(step.user, step.location): not step.is_kept for step in plan.steps}
        assert gains == {
            (ida, goteborg): False,
            (ida, malmo): True,
            (lars, goteborg): True,
            (lars, malmo): True,
        }
        assert plan.people == [ida, lars]

    def test_it_says_whom_it_tells(self, greta, alice, ida, lars, nordvik, goteborg):
        # Ida has it already, Greta gives it to herself: Alice is told of that.
        plan = plan_roles([lars, ida, greta], **asked(nordvik, goteborg, by=greta))

        assert plan.told == [alice, lars]
        give_roles([lars, ida, greta], **asked(nordvik, goteborg, by=greta))
        assert {email.to_user for email in OutgoingEmail.objects.all()} == {alice, lars}

    def test_it_says_which_locations_more_people_can_enroll(
        self, greta, ida, lars, uma, nordvik, goteborg, malmo
    ):
        LocationFactory()  # of another company

        plan = plan_roles([lars], **asked(nordvik, by=greta))

        assert [(one.location, one.before, one.after) for one in plan.gaps] == [
            (goteborg, Coverage.ONE_PERSON, Coverage.COVERED),
            (malmo, Coverage.NOBODY, Coverage.ONE_PERSON),
        ]

    def test_a_role_for_some_programs_covers_only_some(
        self, greta, lars, ida, nordvik, goteborg, malmo, program
    ):
        plan = plan_roles(
            [lars], **asked(nordvik, goteborg, malmo, by=greta, programs=[program])
        )

        assert [(one.location, one.before, one.after) for one in plan.gaps] == [
            (malmo, Coverage.NOBODY, Coverage.SOME_PROGRAMS)
        ]

    def test_two_people_at_once_cover_a_location(
        self, greta, lars, uma, nordvik, malmo
    ):
        plan = plan_roles([lars, uma], **asked(nordvik, malmo, by=greta))

        (change,) = plan.gaps
        assert change.after == Coverage.COVERED

    def test_what_it_says_of_gaps_comes_true(
        self, greta, ida, lars, uma, nordvik, goteborg, malmo
    ):
        plan = give_roles([lars, ida], **asked(nordvik, goteborg, malmo, by=greta))

        after = {
            row.pk: row.coverage
            for row in nordvik.locations.all().with_coverage(nordvik)
        }
        assert {one.location.pk: one.after for one in plan.gaps} == after

    def test_a_role_that_only_looks_changes_no_gap(self, greta, lars, nordvik, malmo):
        plan = plan_roles(
            [lars], **asked(nordvik, malmo, by=greta, role=Role.INCENTIVES_USER)
        )

        assert plan.gaps == []

    def test_the_number_of_questions_is_the_same_for_many_people(
        self, greta, nordvik, goteborg, django_assert_max_num_queries
    ):
        few = [RoleAssignmentFactory(partner_account=nordvik).user]
        many = [RoleAssignmentFactory(partner_account=nordvik).user for _ in range(30)]

        for people in (few, many):
            with django_assert_max_num_queries(6):
                plan_roles(people, **asked(nordvik, goteborg, by=greta))


class TestRefusals:
    def test_one_refusal_gives_nothing_at_all_and_says_of_whom(
        self, greta, lars, guest, sam, nordvik, goteborg
    ):
        # R14, R16
        with pytest.raises(ValidationError) as refusal:
            give_roles([lars, guest, sam], **asked(nordvik, goteborg, by=greta))

        sentences = refusal.value.message_dict["user"]
        assert len(sentences) == 2
        assert sentences[0].startswith(
            "Gunnar Gäst (gunnar@elsewhere.example): Guests cannot hold"
        )
        assert "a person of your company" in sentences[1]
        assert held_by(lars) == set()

    def test_somebody_is_chosen(self, greta, nordvik, goteborg):
        with pytest.raises(ValidationError, match="at least one person"):
            give_roles([], **asked(nordvik, goteborg, by=greta))

    def test_one_action_gives_no_more_than_its_page_can_show(
        self, greta, lars, nordvik, monkeypatch
    ):
        monkeypatch.setattr(granting, "MOST_AT_ONCE", 3)
        places = [LocationFactory(partner_account=nordvik) for _number in range(2)]
        programs = [IncentiveProgramFactory() for _number in range(2)]

        with pytest.raises(ValidationError) as refusal:
            give_roles([lars], **asked(nordvik, *places, by=greta, programs=programs))

        assert refusal.value.code == "too_many"
        give_roles([lars], **asked(nordvik, *places, by=greta))

    def test_two_who_end_together_do_not_empty_the_company(self, greta, nordvik):
        # rule 75
        other = RoleAssignmentFactory(
            role=Role.GLOBAL_ADMIN, partner_account=nordvik
        ).user

        with pytest.raises(ValidationError) as refusal:
            give_roles(
                [greta, other],
                **asked(nordvik, by=greta, role=Role.GLOBAL_ADMIN, ends_on=today()),
            )

        assert refusal.value.code == "last_global_admin"


class TestGivingWhatWasSeen:
    def test_each_person_gets_each_scope(
        self, greta, lars, uma, nordvik, goteborg, malmo
    ):
        give_roles([lars, uma], **asked(nordvik, goteborg, malmo, by=greta))

        for person in (lars, uma):
            assert {
                (Role.INCENTIVES_ADMIN, goteborg, None),
                (Role.INCENTIVES_ADMIN, malmo, None),
            } <= held_by(person)
        assert AuditEvent.objects.filter(action=AuditAction.ROLE_ASSIGNED).count() == 4
        assert OutgoingEmail.objects.filter(name="role_given").count() == 2

    def test_what_was_seen_is_given(self, greta, lars, nordvik, goteborg):
        ask = asked(nordvik, goteborg, by=greta, ends_on=today() + timedelta(days=3))
        seen = plan_roles([lars], **ask).lines

        give_roles([lars], **ask, seen=seen)

        assert held_by(lars) == {(Role.INCENTIVES_ADMIN, goteborg, None)}

    @pytest.mark.parametrize(
        "meanwhile",
        [
            "another role of the same person",
            "a role of the same person ended",
            "another admin to tell",
            "somebody else covers the location",
        ],
    )
    def test_what_changed_meanwhile_is_asked_again(
        self, greta, alice, ida, uma, lars, nordvik, goteborg, malmo, meanwhile
    ):
        people = [uma, greta]
        ask = asked(nordvik, malmo, by=greta)
        seen = plan_roles(people, **ask).lines
        changes = {
            "another role of the same person": lambda: assign_role(
                uma,
                role=Role.INCENTIVES_USER,
                account=nordvik,
                location=goteborg,
                by=alice,
            ),
            "a role of the same person ended": lambda: revoke_role(
                uma.role_assignments.get(), by=alice
            ),
            "another admin to tell": lambda: assign_role(
                lars, role=Role.ACCOUNT_ADMIN, account=nordvik, by=greta
            ),
            "somebody else covers the location": lambda: assign_role(
                lars,
                role=Role.INCENTIVES_ADMIN,
                account=nordvik,
                location=malmo,
                by=alice,
            ),
        }
        changes[meanwhile]()
        before = set(RoleAssignment.objects.values_list("pk", flat=True))

        with pytest.raises(PlanChanged) as changed:
            give_roles(people, **ask, seen=seen)

        assert changed.value.plan.lines != seen
        assert set(RoleAssignment.objects.values_list("pk", flat=True)) == before
        # Agreed to what holds now, it is done.
        give_roles(people, **ask, seen=changed.value.plan.lines)
        assert (Role.INCENTIVES_ADMIN, malmo, None) in held_by(uma)

    def test_what_is_given_already_is_not_asked_about_again(
        self, greta, uma, nordvik, malmo
    ):
        # A second click on the same button.
        ask = asked(nordvik, malmo, by=greta)
        seen = plan_roles([uma], **ask).lines
        give_roles([uma], **ask, seen=seen)
        before = AuditEvent.objects.count()

        plan = give_roles([uma], **ask, seen=seen)

        assert plan.changes_nothing
        assert AuditEvent.objects.count() == before

    def test_what_does_not_matter_is_not_asked_about(
        self, greta, lars, uma, nordvik, goteborg, malmo
    ):
        ask = asked(nordvik, goteborg, by=greta)
        seen = plan_roles([lars], **ask).lines
        assign_role(
            uma, role=Role.INCENTIVES_ADMIN, account=nordvik, location=malmo, by=greta
        )

        give_roles([lars], **ask, seen=seen)

        assert held_by(lars)

    def test_who_loses_the_right_meanwhile_gives_nothing(
        self, greta, alice, lars, nordvik, goteborg
    ):
        ask = asked(nordvik, goteborg, by=alice)
        seen = plan_roles([lars], **ask).lines
        revoke_role(alice.role_assignments.get(), by=greta)

        with pytest.raises(ValidationError) as refusal:
            give_roles([lars], **ask, seen=seen)

        assert refusal.value.code == "not_granting"

    def test_a_last_day_that_replaces_another_says_so(
        self, greta, ida, nordvik, goteborg
    ):
        plan = plan_roles([ida], **asked(nordvik, goteborg, by=greta, ends_on=today()))

        assert any("keeps Incentives admin" in line for line in plan.lines)

    def test_a_role_that_ran_out_is_given_anew(self, greta, lars, nordvik):
        RoleAssignmentFactory(
            user=lars, partner_account=nordvik, ends_on=today() - timedelta(days=1)
        )

        plan = plan_roles([lars], **asked(nordvik, by=greta))

        assert plan.held == []
        assert any("gets Incentives admin" in line for line in plan.lines)
