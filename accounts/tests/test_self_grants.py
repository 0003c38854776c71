"""Giving a role to oneself is allowed and loud, by every road (R4, security.md T3)."""

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts import services
from accounts.directory import directory_people
from accounts.emails import roles as role_mails
from accounts.models import OutgoingEmail, RoleAssignment, RoleSource
from accounts.roles import Role
from accounts.tests.factories import (
    AccessRequestFactory,
    CompanyTenantFactory,
    GroupMappingFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared

pytestmark = pytest.mark.django_db


@shared
def arvid(nordvik):
    """A second Account admin."""
    return RoleAssignmentFactory(
        user=UserFactory(full_name="Arvid Ås", email="arvid@partner.example"),
        role=Role.ACCOUNT_ADMIN,
        partner_account=nordvik,
    ).user


def in_group(company, person, name="Enrollers"):
    """The company's directory puts somebody into a group."""
    return services.add_directory_group(
        company,
        display_name=name,
        members=[directory_people(company).get(user=person).pk],
    )


def by_page(client_of, greta, company, place):
    client = client_of(greta)
    given = {
        "person": greta.pk,
        "role": Role.INCENTIVES_ADMIN.value,
        "width": "company",
        "depth": "all",
    }
    seen = client.post(reverse("accounts:preview"), given).context["seen"]
    client.post(reverse("accounts:assign"), given | {"seen": seen})


def in_a_plan_for_many(client_of, greta, company, place):
    people = [greta, company.memberships.get(user__full_name="Lars Ek").user]
    options = {"role": Role.INCENTIVES_ADMIN, "account": company, "locations": [place]}
    plan = services.plan_roles(people, **options, by=greta)
    services.give_roles(people, **options, seen=plan.lines, by=greta)


def in_the_admin_site(client_of, greta, company, place):
    client_of(greta).post(
        reverse("admin:accounts_roleassignment_add"),
        {
            "partner_account": company.pk,
            "user": greta.pk,
            "role": Role.INCENTIVES_ADMIN,
            "location": "",
            "program": "",
            "ends_on": "",
        },
    )


def by_answering_an_own_request(client_of, greta, company, place):
    # Asked for before becoming admin.
    asked = AccessRequestFactory(
        user=greta, partner_account=company, role=Role.INCENTIVES_ADMIN, location=place
    )
    services.grant_access(asked, by=greta)


def by_an_invitation_to_an_address_that_became_hers(client_of, greta, company, place):
    invitation = services.invite_colleague(
        company,
        email="greta.second@partner.example",
        full_name="Greta Second",
        language="en",
        role=Role.INCENTIVES_ADMIN,
        by=greta,
    )
    greta.email = invitation.email
    greta.save()
    services.accept_invitation(invitation, by=greta)


def by_connecting_a_group_she_is_in(client_of, greta, company, place):
    in_group(company, greta)
    services.map_group(
        company, group_name="Enrollers", role=Role.INCENTIVES_ADMIN, by=greta
    )


def by_joining_a_group_she_connected(client_of, greta, company, place):
    services.map_group(
        company, group_name="Enrollers", role=Role.INCENTIVES_ADMIN, by=greta
    )
    with services.acting_as("SCIM"):
        in_group(company, greta)


def by_a_key_of_her_own(client_of, greta, company, place):
    GroupMappingFactory(
        partner_account=company, group_name="Enrollers", role=Role.INCENTIVES_ADMIN
    )
    with services.acting_as("SCIM", on_behalf_of=greta):
        in_group(company, greta)


ROADS = [
    by_page,
    in_a_plan_for_many,
    in_the_admin_site,
    by_answering_an_own_request,
    by_an_invitation_to_an_address_that_became_hers,
    by_connecting_a_group_she_is_in,
    by_joining_a_group_she_connected,
    by_a_key_of_her_own,
]


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.__name__)
def test_every_other_admin_is_told(
    road, client_of, greta, alice, arvid, ida, lars, nordvik, goteborg
):
    RoleAssignmentFactory(role=Role.GLOBAL_ADMIN)  # of another company

    road(client_of, greta, nordvik, goteborg)

    taken = RoleAssignment.objects.get(user=greta, role=Role.INCENTIVES_ADMIN)
    assert taken.granted_by == greta
    assert not RoleAssignment.objects.given_by_others().filter(pk=taken.pk).exists()
    told = OutgoingEmail.objects.filter(name="role_taken")
    assert sorted(mail.to_user.full_name for mail in told) == ["Alice Berg", "Arvid Ås"]


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.__name__)
def test_without_the_mail_nobody_would_know(
    road, client_of, greta, alice, lars, nordvik, goteborg, monkeypatch
):
    # The control: no other mail says it.
    monkeypatch.setattr(role_mails, "_self_grant", lambda *_roles, **_by: [])

    road(client_of, greta, nordvik, goteborg)

    assert RoleAssignment.objects.filter(user=greta, role=Role.INCENTIVES_ADMIN)
    names = set(OutgoingEmail.objects.filter(to_user=alice).values_list("name"))
    assert not names - {("colleague_joined",)}


def test_a_group_that_others_connected_too_gives_by_them(
    greta, alice, nordvik, goteborg
):
    for maker in (greta, alice):
        GroupMappingFactory(
            partner_account=nordvik,
            group_name="Enrollers" if maker == greta else "id of enrollers",
            role=Role.INCENTIVES_ADMIN,
            created_by=maker,
        )
    with services.acting_as("SCIM"):
        services.add_directory_group(
            nordvik,
            display_name="Enrollers",
            external_id="id of enrollers",
            members=[directory_people(nordvik).get(user=greta).pk],
        )

    assert RoleAssignment.objects.get(source=RoleSource.SCIM).granted_by is None
    assert not OutgoingEmail.objects.filter(name="role_taken").exists()


def test_nobody_of_a_company_connects_app_roles(cast, nordvik):
    # So nobody takes a role by Entra ID: operators connect them, who hold none.
    tenant = CompanyTenantFactory(partner_account=nordvik)

    for person in (cast.greta, cast.alice, cast.ida):
        with pytest.raises(ValidationError):
            services.map_app_role(
                tenant, app_role="Boss", role=Role.GLOBAL_ADMIN, by=person
            )
