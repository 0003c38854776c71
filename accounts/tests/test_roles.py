"""The two tables of roles, held against domain.md §1.3, its decisions, and the pages."""

from dataclasses import FrozenInstanceError

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.models import Membership, RoleAssignment
from accounts.roles import (
    CAPABILITIES,
    COMPANY_WIDE_ROLES,
    GRANTS,
    GUARDED,
    INCENTIVE_ROLES,
    PROVED_ROLES,
    Permission,
    Role,
    permissions_of,
    roles_that_grant,
    roles_with,
    roles_with_any,
)
from accounts.services import assign_role, deactivate_person
from accounts.tests.factories import RoleAssignmentFactory, UserFactory

GLOBAL, ACCOUNT, USERS, MPN, ADMIN, READER = Role

# domain.md §1.3, line by line; what is "S" there counts inside the role's scope.
MATRIX = {
    Permission.PERSON_EDIT: {GLOBAL, ACCOUNT, USERS},
    Permission.ROLE_ASSIGN: {GLOBAL, ACCOUNT},
    Permission.LOCATION_EDIT: {GLOBAL, ACCOUNT},
    Permission.ENROLLMENT_EDIT: {ADMIN},
    Permission.ENROLLMENT_VIEW: {ADMIN, READER},
    Permission.ENROLLMENT_SEE_PROGRESS: {ADMIN},
    Permission.PROFILE_VIEW: {ADMIN},
    Permission.PROFILE_EDIT: {ADMIN},
    Permission.REQUIREMENT_VIEW: {GLOBAL, ADMIN},
}
# What our own pages need besides.
DESIGN = {
    Permission.PERSON_VIEW: {GLOBAL, ACCOUNT, USERS, MPN},
    Permission.ENROLLMENT_KNOW: {GLOBAL, ACCOUNT, ADMIN, READER},
    Permission.PROFILE_KNOW: {GLOBAL, ACCOUNT, ADMIN},
    Permission.LOCATION_VIEW: {GLOBAL, ACCOUNT, ADMIN, READER},
    Permission.PROVISIONING_EDIT: {GLOBAL},
    Permission.ACTIVITY_VIEW: {GLOBAL, ACCOUNT},
}
# Who gives and ends which role.
GIVES = {
    GLOBAL: set(Role),
    ACCOUNT: {ADMIN, READER},
    USERS: set(),
    MPN: set(),
    ADMIN: set(),
    READER: set(),
}


@pytest.mark.parametrize("permission", Permission)
def test_each_capability_is_as_the_matrix_says(permission):
    assert roles_with(permission) == (MATRIX | DESIGN)[permission]


@pytest.mark.parametrize("role", Role)
def test_each_role_gives_what_the_table_says(role):
    assert GRANTS[role].gives == GIVES[role]


def test_every_line_names_its_source():
    for line in (*CAPABILITIES.values(), *GRANTS.values()):
        assert len(line.source) > 10


def test_both_ways_of_reading_the_table_agree():
    for role in Role:
        for permission in Permission:
            assert (permission in permissions_of(role)) == (
                role in roles_with(permission)
            )


def test_who_may_see_or_edit_may_know():
    for role in Role:
        for kind in ("ENROLLMENT", "PROFILE"):
            of_kind = {
                one.name for one in permissions_of(role) if one.name.startswith(kind)
            }
            assert not of_kind or f"{kind}_KNOW" in of_kind


def test_who_gives_a_role_is_who_has_the_right_to_give():
    giving = {role for role in Role if GRANTS[role].gives}

    assert giving == roles_with(Permission.ROLE_ASSIGN)
    assert roles_that_grant(GLOBAL) == {GLOBAL}
    assert roles_that_grant(READER) == {GLOBAL, ACCOUNT}


def test_a_role_is_company_wide_or_incentive():
    assert set(Role) == COMPANY_WIDE_ROLES | INCENTIVE_ROLES
    assert not COMPANY_WIDE_ROLES & INCENTIVE_ROLES


@pytest.fixture
def holder(nordvik):
    """Make a person of the company with one role for all of it."""

    def make(role: Role):
        return RoleAssignmentFactory(
            user=UserFactory(full_name=f"Holder of {role}"),
            role=role,
            partner_account=nordvik,
        ).user

    return make


# --- The decisions where the sources conflict -------------------------------------------


def test_c1_a_user_management_admin_adds_people_and_gives_no_incentive_role(
    holder, lars, ida, nordvik
):
    ursula = holder(USERS)

    for role in Role:
        with pytest.raises(ValidationError) as refusal:
            assign_role(lars, role=role, account=nordvik, by=ursula)
        assert refusal.value.code == "not_granting"
    # Deactivating would end roles too: only people without any.
    with pytest.raises(ValidationError) as refusal:
        deactivate_person(Membership.objects.get(user=ida), by=ursula)
    assert refusal.value.code == "not_granting"
    deactivate_person(Membership.objects.get(user=lars), by=ursula)

    assert not Membership.objects.current().filter(user=lars).exists()
    assert RoleAssignment.objects.live().filter(user=ida).exists()


def test_c2_an_mpn_partner_admin_sees_roles_and_gives_none(
    holder, client_of, lars, ida, nordvik
):
    # R13
    morgan = holder(MPN)

    page = client_of(morgan).get(reverse("accounts:people")).content.decode()

    assert "Ida Lund" in page
    assert client_of(morgan).get(reverse("accounts:assign")).status_code == 403
    for role in Role:
        with pytest.raises(ValidationError) as refusal:
            assign_role(lars, role=role, account=nordvik, by=morgan)
        assert refusal.value.code == "not_granting"


@pytest.mark.parametrize("role", [GLOBAL, ACCOUNT, MPN])
def test_c3_bank_and_tax_details_take_the_incentives_admin_role(
    holder, client_of, nordvik, role
):
    admin = holder(role)
    client = client_of(admin)

    for name in ("profiles:list", "profiles:tax_list", "profiles:new_bank"):
        assert client.get(reverse(name)).status_code == 403

    if role != MPN:
        # They may give themselves the role that shows them.
        assign_role(admin, role=ADMIN, account=nordvik, by=admin)
        assert client.get(reverse("profiles:list")).status_code == 200


@pytest.mark.parametrize("role", [GLOBAL, ACCOUNT, USERS, MPN])
def test_c4_without_an_incentives_role_one_sees_whom_to_ask_and_no_rows(
    holder, client_of, greta, alice, goteborg, role
):
    # R15
    client = client_of(holder(role))

    overview = client.get(reverse("enrollment:overview"))
    gaps = client.get(reverse("accounts:gaps"))

    assert overview.status_code == 403
    page = overview.content.decode()
    assert "greta@partner.example" in page
    assert "alice@partner.example" in page
    assert "Göteborg" not in page
    # Global and Account admins find the locations without an Incentives admin.
    assert gaps.status_code == (200 if role in (GLOBAL, ACCOUNT) else 403)
    assert ("Göteborg" in gaps.content.decode()) == (role in (GLOBAL, ACCOUNT))


def test_c5_an_incentives_user_sees_no_bank_details(holder, client_of, goteborg):
    # R12
    client = client_of(holder(READER))

    assert client.get(reverse("enrollment:overview")).status_code == 200
    for name in ("profiles:list", "profiles:tax_list", "profiles:defaults"):
        assert client.get(reverse(name)).status_code == 403


# --- What a stolen password alone must not reach ----------------------------------------


def test_what_is_guarded_by_a_second_factor_is_named_once_more():
    # security.md T1, T7
    assert {
        Permission.ENROLLMENT_EDIT,
        Permission.LOCATION_EDIT,
        Permission.PERSON_EDIT,
        Permission.PROFILE_EDIT,
        Permission.PROFILE_VIEW,
        Permission.PROVISIONING_EDIT,
        Permission.ROLE_ASSIGN,
    } == GUARDED
    assert {GLOBAL} == PROVED_ROLES


def test_roles_with_any_of_several_permissions_are_those_of_each():
    several = [Permission.PERSON_VIEW, Permission.ENROLLMENT_EDIT]

    assert roles_with_any(several) == {GLOBAL, ACCOUNT, USERS, MPN, ADMIN}
    assert roles_with_any([]) == set()


def test_nobody_changes_a_line_of_the_tables():
    for line in (*CAPABILITIES.values(), *GRANTS.values()):
        with pytest.raises(FrozenInstanceError):
            line.source = "somebody said so"
