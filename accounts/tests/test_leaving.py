"""Leaving a company: what ends, what stays, who may do it, and every refusal."""

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.models import AuditAction, AuditEvent, Membership, RoleAssignment
from accounts.roles import Role
from accounts.services import deactivate_person, end_sessions
from accounts.tests.factories import (
    MembershipFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.threads import at_once

pytestmark = pytest.mark.django_db


def membership_of(user, company) -> Membership:
    return Membership.objects.get(user=user, partner_account=company, ended_at=None)


def is_signed_in(client) -> bool:
    response = client.get(reverse("home"))
    return not (
        response.status_code == 302
        and response["Location"].startswith(reverse("account_login"))
    )


def test_a_deactivated_person_has_no_membership_and_no_roles(greta, ida, nordvik):
    ended = deactivate_person(membership_of(ida, nordvik), by=greta)

    assert ended.ended_at is not None
    assert not Membership.objects.current().filter(user=ida).exists()
    assert not RoleAssignment.objects.filter(user=ida, revoked_at=None).exists()
    assert ida.role_assignments.get().revoked_by == greta


def test_what_ended_is_kept_and_remembered(greta, ida, nordvik):
    deactivate_person(membership_of(ida, nordvik), by=greta)

    left = AuditEvent.objects.get(action=AuditAction.PERSON_LEFT)
    assert (left.actor, left.partner_account) == (greta, nordvik)
    assert left.before == {"person": ida.pk}
    ended = AuditEvent.objects.get(action=AuditAction.ROLE_REVOKED)
    assert ended.before["person"] == ida.pk
    assert ida.memberships.count() == 1


def test_deactivating_twice_changes_nothing(greta, ida, nordvik):
    membership = membership_of(ida, nordvik)

    first = deactivate_person(membership, by=greta)
    second = deactivate_person(membership, by=greta)

    assert second.ended_at == first.ended_at
    assert AuditEvent.objects.filter(action=AuditAction.PERSON_LEFT).count() == 1


def test_the_persons_sessions_die_at_the_next_request(greta, ida, nordvik, client_of):
    # security.md T5
    client = client_of(ida)
    assert is_signed_in(client)

    deactivate_person(membership_of(ida, nordvik), by=greta)

    assert not is_signed_in(client)


def test_somebody_of_another_company_too_stays_signed_in_there(
    greta, ida, nordvik, client_of
):
    elsewhere = RoleAssignmentFactory(user=ida, role=Role.INCENTIVES_USER)
    client = client_of(ida)

    deactivate_person(membership_of(ida, nordvik), by=greta)

    assert is_signed_in(client)
    elsewhere.refresh_from_db()
    assert elsewhere.revoked_at is None
    assert membership_of(ida, elsewhere.partner_account).ended_at is None


def test_a_person_who_left_can_sign_in_again_and_reaches_nothing(
    greta, ida, nordvik, client_of
):
    # Another company may invite them; this one shows them nothing any more.
    deactivate_person(membership_of(ida, nordvik), by=greta)
    ida.refresh_from_db()

    assert ida.is_active
    page = client_of(ida).get(reverse("accounts:people"))
    assert page.status_code in (403, 404)


def test_ending_sessions_leaves_everybody_else_alone(ida, uma, client_of):
    ida_client, uma_client = client_of(ida), client_of(uma)

    end_sessions(ida)

    assert not is_signed_in(ida_client)
    assert is_signed_in(uma_client)


def test_the_last_global_admin_stays(greta, nordvik):
    # Rule 75
    with pytest.raises(ValidationError, match="without a Global admin") as refusal:
        deactivate_person(membership_of(greta, nordvik), by=None)

    assert refusal.value.code == "last_global_admin"
    assert membership_of(greta, nordvik).ended_at is None


def test_one_of_two_global_admins_can_leave(greta, nordvik):
    other = RoleAssignmentFactory(role=Role.GLOBAL_ADMIN, partner_account=nordvik).user

    deactivate_person(membership_of(greta, nordvik), by=other)

    assert not greta.memberships.filter(ended_at=None).exists()


@pytest.mark.parametrize("role", [Role.GLOBAL_ADMIN, Role.ACCOUNT_ADMIN])
def test_admins_deactivate_holders_of_incentive_roles(ida, nordvik, role):
    admin = RoleAssignmentFactory(role=role, partner_account=nordvik).user

    deactivate_person(membership_of(ida, nordvik), by=admin)

    assert not ida.memberships.filter(ended_at=None).exists()


def test_a_user_admin_deactivates_somebody_without_roles(lars, nordvik):
    admin = RoleAssignmentFactory(role=Role.USER_ADMIN, partner_account=nordvik).user

    deactivate_person(membership_of(lars, nordvik), by=admin)

    assert not lars.memberships.filter(ended_at=None).exists()


def test_nobody_ends_a_role_by_deactivating_that_they_may_not_end(ida, nordvik):
    # C1
    admin = RoleAssignmentFactory(role=Role.USER_ADMIN, partner_account=nordvik).user

    with pytest.raises(ValidationError, match="cannot give or end the role"):
        deactivate_person(membership_of(ida, nordvik), by=admin)

    assert membership_of(ida, nordvik).ended_at is None
    assert ida.role_assignments.get().revoked_at is None


def test_an_account_admin_deactivates_no_global_admin(greta, alice, nordvik):
    RoleAssignmentFactory(role=Role.GLOBAL_ADMIN, partner_account=nordvik)

    with pytest.raises(ValidationError, match="cannot give or end the role"):
        deactivate_person(membership_of(greta, nordvik), by=alice)


@pytest.mark.parametrize("role", [Role.MPN_ADMIN, Role.INCENTIVES_ADMIN])
def test_other_roles_deactivate_nobody(lars, nordvik, role):
    other = RoleAssignmentFactory(role=role, partner_account=nordvik).user

    with pytest.raises(ValidationError, match="cannot add or deactivate people"):
        deactivate_person(membership_of(lars, nordvik), by=other)

    assert membership_of(lars, nordvik).ended_at is None


def test_another_companys_global_admin_deactivates_nobody_here(lars, nordvik):
    stranger = RoleAssignmentFactory(role=Role.GLOBAL_ADMIN).user

    with pytest.raises(ValidationError, match="cannot add or deactivate people"):
        deactivate_person(membership_of(lars, nordvik), by=stranger)


def test_operators_deactivate_nobody_but_superusers_may(oscar, lars, nordvik):
    root = UserFactory(is_staff=True, is_superuser=True)

    with pytest.raises(ValidationError, match="cannot add or deactivate people"):
        deactivate_person(membership_of(lars, nordvik), by=oscar)
    deactivate_person(membership_of(lars, nordvik), by=root)

    assert not lars.memberships.filter(ended_at=None).exists()


def test_a_person_who_left_may_come_back(greta, lars, nordvik):
    deactivate_person(membership_of(lars, nordvik), by=greta)

    MembershipFactory(user=lars, partner_account=nordvik)

    assert lars.memberships.count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_deactivate_each_other_at_once_leave_one(greta, nordvik):
    # security.md T3: the second waits for the first, then reads again what is left.
    other = RoleAssignmentFactory(role=Role.GLOBAL_ADMIN, partner_account=nordvik).user
    one, two = membership_of(greta, nordvik), membership_of(other, nordvik)

    outcomes = at_once(
        lambda: deactivate_person(two, by=greta),
        lambda: deactivate_person(one, by=other),
    )

    refused = [one for one in outcomes if isinstance(one, ValidationError)]
    assert [one.code for one in refused] == ["not_editing_people"]
    staying = RoleAssignment.objects.live().filter(role=Role.GLOBAL_ADMIN)
    assert staying.count() == 1
    assert Membership.objects.current().filter(user__in=[greta, other]).count() == 1
