"""Every refusal names the missing role, its place, who has it and who can give it."""

import datetime
import html
import re
import uuid

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from accounts import refusals
from accounts.holders import people_with, place_of
from accounts.models import RoleAssignment, User
from accounts.refusals import MOST_NAMED, ended_roles, operator_refusal, refusal_for
from accounts.roles import Permission, Role
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from enrollment.models import Enrollment, ProgramAtLocation
from enrollment.tests.factories import EnrollmentFactory, ProgramTermsFactory
from profiles.tests.factories import BankProfileFactory

DAY = datetime.timedelta(days=1)


def named(refusal) -> dict[str, list[str]]:
    return {
        one.sentence: [person.full_name for person in one.people]
        for one in refusal.lists
    }


def days_ago(days: int) -> datetime.date:
    return timezone.localdate() - days * DAY


def words(response) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return " ".join(html.unescape(text).split())


@shared
def enrollment(goteborg, program):
    return EnrollmentFactory(
        location=goteborg, terms=ProgramTermsFactory(program=program)
    )


def test_a_role_for_another_program_there_is_not_named(nordvik, goteborg, enrollment):
    own, all_of_them, _other = (
        RoleAssignmentFactory(partner_account=nordvik, location=goteborg, program=one)
        for one in (enrollment.terms.program, None, IncentiveProgramFactory())
    )

    able = people_with(Permission.ENROLLMENT_EDIT, company=nordvik, row=enrollment)

    assert set(able) == {own.user, all_of_them.user}


def test_a_row_at_a_location_names_both_and_who_has_the_role_there(
    cast, nordvik, enrollment
):
    refusal = refusal_for(
        cast.uma, Permission.ENROLLMENT_EDIT, company=nordvik, row=enrollment
    )

    assert refusal.sentence == (
        "You need the role Incentives admin for Göteborg, "
        "Cloud Solution Provider – Direct Bill."
    )
    assert named(refusal) == {
        "These people have it:": ["Ida Lund"],
        "These people can give it:": ["Alice Berg", "Greta Voss"],
    }
    assert refusal.assign_url == ""


def test_where_nobody_has_the_role_it_says_so(cast, nordvik, malmo):
    # R7
    refusal = refusal_for(
        cast.uma, Permission.ENROLLMENT_EDIT, company=nordvik, row=malmo
    )

    assert refusal.sentence == "You need the role Incentives admin for Malmö."
    assert named(refusal) == {
        "Nobody has it there yet.": [],
        "These people can give it:": ["Alice Berg", "Greta Voss"],
    }


def test_an_admin_is_led_to_give_it_to_themselves(cast, nordvik, goteborg):
    # R4
    refusal = refusal_for(
        cast.alice, Permission.ENROLLMENT_EDIT, company=nordvik, row=goteborg
    )

    assert "Alice Berg" not in named(refusal)["These people can give it:"]
    assert refusal.assign_url == (
        f"{reverse('accounts:assign')}?role=incentives_admin"
        f"&person={cast.alice.pk}&location={goteborg.pk}"
    )


def test_what_belongs_to_the_company_names_the_company(cast, nordvik):
    refusal = refusal_for(
        cast.greta,
        Permission.PROFILE_VIEW,
        company=nordvik,
        row=BankProfileFactory(partner_account=nordvik),
    )

    assert refusal.sentence == "In Nordvik IT AB you need the role Incentives admin."


def test_without_a_row_only_those_who_give_the_role_are_named(cast, nordvik):
    # R15: no names of colleagues who work there.
    refusal = refusal_for(
        cast.lars, Permission.ENROLLMENT_VIEW, company=nordvik, row=None
    )

    assert refusal.sentence == (
        "In Nordvik IT AB you need the role Incentives admin or Incentives user."
    )
    assert named(refusal) == {"These people can give it:": ["Alice Berg", "Greta Voss"]}


def test_only_global_admins_are_named_for_a_role_only_they_give(cast, nordvik):
    morgan = RoleAssignmentFactory(role=Role.MPN_ADMIN, partner_account=nordvik).user

    refusal = refusal_for(morgan, Permission.ROLE_ASSIGN, company=nordvik, row=None)

    assert refusal.sentence.endswith("you need the role Global admin or Account admin.")
    assert named(refusal) == {
        "These people have it:": ["Alice Berg", "Greta Voss"],
        "These people can give it:": ["Greta Voss"],
    }


def test_who_has_it_is_named_where_nobody_can_give_it(cast, nordvik):
    RoleAssignment.objects.filter(role=Role.GLOBAL_ADMIN).delete()

    refusal = refusal_for(cast.lars, Permission.PERSON_VIEW, company=nordvik, row=None)

    assert named(refusal) == {
        "These people have it:": ["Alice Berg"],
        "Nobody in your company can give it.": [],
    }
    assert refusal.recovery_url == ""


def test_where_nobody_can_give_it_the_program_owner_helps(sam):
    company = sam.memberships.get().partner_account

    refusal = refusal_for(sam, Permission.PERSON_VIEW, company=company, row=None)

    assert list(named(refusal)) == [
        "Nobody in your company can give it. The program owner helps you."
    ]


def test_a_long_list_is_cut_and_counted(cast, nordvik, goteborg):
    for number in range(MOST_NAMED + 3):
        RoleAssignmentFactory(
            user=UserFactory(full_name=f"Admin {number:02}"), partner_account=nordvik
        )

    refusal = refusal_for(
        cast.uma, Permission.ENROLLMENT_EDIT, company=nordvik, row=goteborg
    )

    holders = refusal.lists[0]
    assert len(holders.people) == MOST_NAMED
    assert holders.more == 4


def test_rows_are_about_the_places_of_their_scope(nordvik, goteborg, enrollment):
    LocationFactory(partner_account=nordvik, name="A location before it")
    IncentiveProgramFactory(name="A program before it", code="AAA")
    place = ProgramAtLocation.objects.get(enrollment=enrollment)
    program = enrollment.terms.program

    assert place_of(goteborg) == (goteborg, None)
    assert place_of(enrollment) == (goteborg, program)
    assert place_of(place) == (goteborg, program)
    assert place_of(nordvik) == (None, None)


def test_operators_learn_the_group_and_who_is_in_it(client_of, oscar, lucia, mina):
    refusal = operator_refusal("profiles.validate_profiles")

    assert refusal.sentence == "This is for operators in the group Validator."
    assert named(refusal) == {"These people are in it:": ["Lucia Ferrer", "Oscar Sand"]}


def test_a_group_with_nobody_in_it_says_who_decides(mina):
    assert named(operator_refusal("profiles.validate_profiles")) == {
        "Nobody is in it yet. A superuser decides who is.": []
    }


def test_the_page_says_it_with_addresses(client_of, cast, enrollment):
    response = client_of(cast.alice).get(enrollment.get_absolute_url())

    page = words(response)
    assert response.status_code == 403
    assert "You need the role Incentives admin or Incentives user for Göteborg" in page
    assert "These people have it: Ida Lund ida@partner.example" in page
    assert "These people can give it: Greta Voss greta@partner.example" in page
    assert "You can give this role, to yourself too." in page


def test_whose_role_ended_on_the_way_reads_which_and_who_can_give_it(
    client_of, cast, nordvik, enrollment
):
    # Experience 4.5: a role that is removed midway leads to a page with names.
    step = reverse("enrollment:continue", kwargs={"pk": enrollment.pk})
    missing = reverse("enrollment:continue", kwargs={"pk": uuid.uuid4()})
    foreign = reverse(
        "enrollment:continue", kwargs={"pk": EnrollmentFactory(submitted=True).pk}
    )
    ida, sam = client_of(cast.ida), client_of(cast.sam)
    # The control: with the role, and to a stranger, none of it is said.
    assert ida.get(enrollment.get_absolute_url()).status_code == 200
    assert "A role of yours has ended" not in words(ida.get(missing))

    RoleAssignment.objects.filter(user=cast.ida).update(revoked_at=timezone.now())

    answers = [words(ida.post(path)) for path in (step, missing, foreign)]
    assert len(set(answers)) == 1
    assert ida.post(step).status_code == 404
    for said in (
        "You no longer have the role Incentives admin: Göteborg, all programs.",
        "In Nordvik IT AB you need the role Incentives admin.",
        "These people can give it: Alice Berg alice@partner.example Greta Voss",
        "Ask for access",
    ):
        assert said in answers[0]
    assert enrollment.terms.program.name not in answers[0]
    for path in (step, missing):
        assert "Page not found" in words(sam.post(path))
    User.objects.filter(pk=cast.ida.pk).update(language="sv")
    with translation.override("en"):
        swedish = words(ida.post(step))
    assert "En av dina roller har upphört" in swedish
    assert "Du har inte längre rollen Incitamentsadministratör" in swedish


@pytest.mark.parametrize(("days", "is_said"), [(89, True), (91, False)])
@pytest.mark.parametrize("end", ["revoked_at", "ends_on"])
def test_of_a_role_that_ended_long_ago_nothing_is_said(
    client_of, cast, end, days, is_said
):
    ended = days_ago(days) if end == "ends_on" else timezone.now() - days * DAY
    RoleAssignment.objects.filter(user=cast.ida).update(**{end: ended})

    page = words(
        client_of(cast.ida).get(
            reverse("enrollment:continue", kwargs={"pk": uuid.uuid4()})
        )
    )

    assert ("A role of yours has ended" in page) is is_said
    assert ("Page not found" in page) is not is_said


def test_of_many_roles_that_ended_the_newest_are_said_each_once(
    client_of, cast, nordvik, goteborg, malmo, monkeypatch
):
    monkeypatch.setattr(refusals, "MOST_NAMED", 2)
    for location in (malmo, malmo, goteborg):
        RoleAssignmentFactory(
            user=cast.ida,
            partner_account=nordvik,
            location=location,
            program=IncentiveProgramFactory() if location is goteborg else None,
        )
        RoleAssignment.objects.filter(user=cast.ida).update(revoked_at=timezone.now())
    address = reverse("enrollment:continue", kwargs={"pk": uuid.uuid4()})

    page = words(client_of(cast.ida).get(address))

    assert "Roles of yours have ended" in page
    assert page.count("You no longer have the role") == 2
    assert "Göteborg, all programs" not in page
    User.objects.filter(pk=cast.ida.pk).update(language="sv")
    with translation.override("en"):
        page = words(client_of(cast.ida).get(address))
    assert "Flera av dina roller har upphört" in page


def test_what_a_role_that_holds_covers_is_not_said_to_have_ended(
    cast, nordvik, goteborg
):
    roles = RoleAssignment.objects.filter(user=cast.ida)
    roles.update(revoked_at=timezone.now())
    there = RoleAssignmentFactory(
        user=cast.ida, partner_account=nordvik, location=goteborg
    )

    def said():
        return ended_roles(
            cast.ida, Permission.ENROLLMENT_EDIT, on=Enrollment, company=nordvik
        )

    assert said() is None
    # Its control, and once for what was given twice.
    RoleAssignment.objects.filter(pk=there.pk).update(ends_on=days_ago(1))
    assert len(said().sentences) == 1
