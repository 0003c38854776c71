"""What is typed on the People pages: choices narrowed, width said in words."""

from datetime import date

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.forms import AssignRoleForm, PeopleFilterForm
from accounts.roles import Role
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    MembershipFactory,
    UserFactory,
)


def typed(someone, **others) -> dict:
    return {
        "person": [someone.pk],
        "role": Role.INCENTIVES_ADMIN,
        "width": "company",
        "location": [],
        "depth": "all",
        "program": [],
        "ends_on": "",
    } | others


def errors_of(someone, company, **others) -> dict:
    return AssignRoleForm(typed(someone) | others, company=company).errors


class TestAssigning:
    def test_the_answers_are_what_the_services_ask_for(
        self, lars, nordvik, goteborg, malmo, program
    ):
        form = AssignRoleForm(
            typed(
                lars,
                width="some",
                location=[malmo.pk, goteborg.pk],
                depth="some",
                program=[program.pk],
                ends_on="2030-11-30",
            ),
            company=nordvik,
        )

        assert form.is_valid()
        assert form.answers == {
            "role": Role.INCENTIVES_ADMIN,
            "locations": [goteborg, malmo],
            "programs": [program],
            "ends_on": date(2030, 11, 30),
        }

    def test_the_whole_company_is_said_never_left_out(self, lars, nordvik, goteborg):
        assert errors_of(lars, nordvik) == {}
        assert errors_of(lars, nordvik, width="") == {
            "width": ["Choose where the role holds."]
        }
        assert errors_of(lars, nordvik, width="some") == {
            "location": ["Tick at least one location."]
        }

    def test_ticks_that_contradict_the_width_are_refused(
        self, lars, nordvik, goteborg, program
    ):
        whole = errors_of(lars, nordvik, location=[goteborg.pk])
        every = errors_of(
            lars, nordvik, width="some", location=[goteborg.pk], program=[program.pk]
        )

        assert whole["location"][0].startswith("You chose the whole company")
        assert every["program"][0].startswith("You chose all programs")

    def test_some_programs_need_a_location(self, lars, nordvik, goteborg, program):
        errors = errors_of(lars, nordvik, depth="some", program=[program.pk])

        assert errors["location"][0].startswith("A role for some programs is given at")

    def test_some_programs_are_ticked(self, lars, nordvik, goteborg):
        errors = errors_of(
            lars, nordvik, width="some", location=[goteborg.pk], depth="some"
        )

        assert errors == {"program": ["Tick at least one program."]}

    @pytest.mark.parametrize(
        "role", sorted(set(Role) - {Role.INCENTIVES_ADMIN, Role.INCENTIVES_USER})
    )
    def test_other_roles_are_not_given_here(self, lars, nordvik, role):
        assert errors_of(lars, nordvik, role=role) == {
            "role": ["Choose one of these roles."]
        }

    def test_people_who_left_or_belong_elsewhere_are_no_choice(
        self, lars, sam, nordvik
    ):
        left = MembershipFactory(partner_account=nordvik, ended_at=timezone.now()).user
        inactive = MembershipFactory(
            partner_account=nordvik, user__is_active=False
        ).user

        for person in (sam, left, inactive):
            assert "person" in errors_of(person, nordvik)

    def test_closed_and_foreign_locations_are_no_choice(self, lars, nordvik):
        closed = LocationFactory(partner_account=nordvik, closed_at=timezone.now())

        for location in (closed, LocationFactory()):
            errors = errors_of(lars, nordvik, width="some", location=[location.pk])
            assert errors == {"location": ["Choose a location of your company."]}

    def test_a_discontinued_program_is_no_choice(self, lars, nordvik, goteborg):
        ended = IncentiveProgramFactory(discontinued_at=timezone.now())

        errors = errors_of(
            lars,
            nordvik,
            width="some",
            location=[goteborg.pk],
            depth="some",
            program=[ended.pk],
        )

        assert errors == {"program": ["Choose one of these programs."]}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"person": ["x\x00"]},
            {"person": []},
            {"location": ["x"], "width": "some"},
            {"ends_on": "tomorrow"},
            {"width": "planet"},
            {"depth": ""},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, lars, nordvik, wrong):
        assert errors_of(lars, nordvik, **wrong)

    def test_guests_are_marked_among_the_people(self, lars, nordvik):
        guest = UserFactory(full_name="Gunnar Gäst", email="gunnar@elsewhere.example")
        MembershipFactory(user=guest, partner_account=nordvik)

        labels = [
            str(label)
            for _key, label in AssignRoleForm(company=nordvik).fields["person"].choices
        ]

        assert labels == [
            "Gunnar Gäst (gunnar@elsewhere.example), guest",
            "Lars Ek (lars@partner.example)",
        ]

    def test_locations_are_told_apart(self, nordvik, goteborg):
        field = AssignRoleForm(company=nordvik).fields["location"]

        assert [label for _key, label in field.choices] == ["Göteborg · SE · 6120102"]

    def test_a_services_refusal_stands_at_its_field(self, lars, nordvik):
        form = AssignRoleForm(typed(lars), company=nordvik)
        form.is_valid()

        form.add_refusal(ValidationError({"user": "Not this one."}))
        form.add_refusal(ValidationError({"elsewhere": "Nowhere to stand."}))
        form.add_refusal(ValidationError("Not at all."))

        assert form.errors["person"] == ["Not this one."]
        assert form.non_field_errors() == ["Nowhere to stand.", "Not at all."]


class TestFiltering:
    def test_only_the_companys_locations_are_offered(self, nordvik, goteborg):
        LocationFactory(name="Foreign")

        form = PeopleFilterForm(company=nordvik)

        assert set(form.fields["location"].queryset) == {goteborg}

    def test_every_role_is_offered(self, nordvik):
        choices = dict(PeopleFilterForm(company=nordvik).fields["role"].choices)

        assert set(choices) == {"", *Role.values}
