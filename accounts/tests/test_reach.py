"""What roles add up to, in words."""

from dataclasses import FrozenInstanceError

import pytest

from accounts.models import Coverage, RoleAssignment, scope_words
from accounts.reach import (
    reach_of,
    shown_coverage,
)
from accounts.roles import Role
from accounts.rows import gap_row, places_named
from accounts.tests.factories import (
    IncentiveProgramFactory,
    RoleAssignmentFactory,
)

pytestmark = pytest.mark.django_db


def role(location=None, program=None, role=Role.INCENTIVES_ADMIN) -> RoleAssignment:
    """A role that nobody holds yet."""
    return RoleAssignment(role=role, location=location, program=program)


def test_a_scope_is_said_as_people_say_it(goteborg, program):
    assert scope_words(None, None) == "whole company"
    assert scope_words(goteborg, None) == "Göteborg, all programs"
    assert scope_words(goteborg, program) == (
        "Göteborg, only Cloud Solution Provider – Direct Bill"
    )


def test_the_whole_company_swallows_its_parts(goteborg, program):
    reach = reach_of([role(goteborg, program), role(goteborg), role()])

    assert reach.enroll == ["whole company"]


def test_all_programs_swallow_one_of_them(goteborg, malmo, program):
    reach = reach_of([role(malmo, program), role(goteborg, program), role(goteborg)])

    assert reach.enroll == [
        "Göteborg, all programs",
        "Malmö, only Cloud Solution Provider – Direct Bill",
    ]


def test_looking_is_not_said_where_enrolling_is(goteborg, malmo, program):
    other = IncentiveProgramFactory(name="Hosting")
    user = Role.INCENTIVES_USER

    reach = reach_of(
        [
            role(goteborg),
            role(malmo, program),
            role(goteborg, role=user),
            role(goteborg, other, role=user),
            role(malmo, program, role=user),
            role(malmo, other, role=user),
        ]
    )

    assert reach.look == ["Malmö, only Hosting"]


def test_looking_everywhere_is_said_beside_enrolling_somewhere(goteborg):
    reach = reach_of([role(goteborg), role(role=Role.INCENTIVES_USER)])

    assert reach.enroll == ["Göteborg, all programs"]
    assert reach.look == ["whole company"]


def test_enrolling_everywhere_leaves_nothing_to_only_look_at(goteborg):
    reach = reach_of([role(), role(goteborg, role=Role.INCENTIVES_USER)])

    assert reach.look == []


def test_looking_at_one_program_is_not_said_where_all_are_enrolled(goteborg, program):
    only = role(goteborg, program, role=Role.INCENTIVES_USER)

    assert reach_of([role(goteborg), only]).look == []


def test_what_was_added_up_stays_as_it_is():
    for sum_, name in (
        (reach_of([]), "enroll"),
        (shown_coverage(Coverage.NOBODY), "turn"),
    ):
        with pytest.raises(FrozenInstanceError):
            setattr(sum_, name, "else")


def test_company_roles_reach_no_enrollment():
    # R1, R2
    reach = reach_of([role(role=Role.GLOBAL_ADMIN), role(role=Role.ACCOUNT_ADMIN)])

    assert reach.enroll == reach.look == []


def test_many_places_are_counted_after_the_first_few():
    assert places_named(["A", "B"]) == "A, B"
    assert places_named(list("ABCDEFG")) == "A, B, C, D, E and 2 more"
    assert places_named(["A", "B"], separator="; ") == "A; B"


@pytest.mark.parametrize(
    ("coverage", "turn"),
    [
        (Coverage.NOBODY, "stop"),
        (Coverage.SOME_PROGRAMS, "you"),
        (Coverage.ONE_PERSON, "you"),
        (Coverage.COVERED, "done"),
    ],
)
def test_coverage_has_a_color_and_words(coverage, turn):
    shown = shown_coverage(coverage)

    assert (shown.turn, shown.label) == (turn, coverage.label)


def test_a_row_names_people_once_with_the_widest_of_their_roles(
    nordvik, goteborg, malmo, lars, program
):
    for location, one in ((goteborg, program), (goteborg, None), (malmo, None)):
        RoleAssignmentFactory(
            user=lars, partner_account=nordvik, location=location, program=one
        )
    goteborg.coverage = Coverage.ONE_PERSON
    admins = RoleAssignment.objects.select_related("user", "program")

    row = gap_row(goteborg, admins, people=1, is_mine=True)

    assert [(one.person, one.programs) for one in row.enrollers] == [(lars, [])]
    assert (row.more, row.is_mine) == (0, True)


def test_a_row_counts_the_people_it_does_not_name(nordvik, goteborg):
    for _number in range(7):
        RoleAssignmentFactory(partner_account=nordvik)
    goteborg.coverage = Coverage.COVERED
    admins = RoleAssignment.objects.filter(role=Role.INCENTIVES_ADMIN).select_related(
        "user", "program"
    )

    row = gap_row(goteborg, admins[:6], people=7)

    assert (len(row.enrollers), row.more, row.is_mine) == (5, 2, False)
