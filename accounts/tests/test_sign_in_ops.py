"""The operators' pages of companies' sign-ins: registered, changed, stopped, mapped."""

import re
import time

import pytest
from django.contrib.auth.models import Group

from accounts.models import (
    AuditEvent,
    CompanyTenant,
    OutgoingEmail,
    RoleAssignment,
    RoleSource,
    TenantRoleMapping,
)
from accounts.roles import Role
from accounts.services import register_tenant
from accounts.tests.cast import operator
from accounts.tests.factories import (
    CompanyTenantFactory,
    LocationFactory,
    RoleAssignmentFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db

LIST = "/ops/sign-ins/"
NEW = "/ops/sign-ins/new/"
TENANT = "11111111-2222-4333-8444-555555555555"
FACTS = {
    "company": "5012001",
    "tenant_id": TENANT,
    "client_id": "portal",
    "client_secret": "Zq8~the-secret",
    "domains": "partner.example",
}


@pytest.fixture
def iris():
    """Manages companies' sign-ins, and nothing else."""
    user = UserFactory(full_name="Iris Identity", operator=True)
    user.groups.add(Group.objects.get(name="Identity manager"))
    return user


@pytest.fixture
def door(iris, client_of):
    return client_of(iris)


@pytest.fixture
def tenant(nordvik, greta, iris):
    return register_tenant(
        nordvik,
        tenant_id=TENANT,
        client_id="portal",
        client_secret="Zq8~the-secret",
        domains=["partner.example"],
        by=iris,
    )


def test_a_directory_is_registered_and_shown_with_its_redirect_uri(door, nordvik):
    done = door.post(NEW, FACTS)

    tenant = CompanyTenant.objects.get()
    page = door.get(done.url).content.decode()
    assert done.url == f"/ops/sign-ins/{tenant.pk}/"
    assert f"/accounts/company/{tenant.pk}/answer/" in page
    assert tenant.client_secret == "Zq8~the-secret"
    assert nordvik.name in door.get(LIST).content.decode()


def test_the_secret_is_on_no_page_and_in_no_event(door, nordvik, tenant):
    again = door.post(NEW, FACTS)

    assert again.status_code == 422
    pages = [again, door.get(LIST)]
    pages += [door.get(f"/ops/sign-ins/{tenant.pk}/{part}") for part in ("", "change/")]
    for page in pages:
        assert "Zq8~the-secret" not in page.content.decode()
    for event in AuditEvent.objects.all():
        assert "Zq8~the-secret" not in f"{event.before} {event.after}"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"company": "999999"}, "No company has this global PartnerID"),
        ({"tenant_id": "common"}, "A tenant ID looks like"),
        ({"domains": "stranger.example"}, "is not among the e-mail domains"),
        ({"domains": " , "}, "Enter at least one domain"),
        ({"mfa_context": "mfa"}, "c1 to c99"),
        (
            {"issuer": "https://login.microsoftonline.com/common/v2.0"},
            "one that all tenants share",
        ),
        ({"client_secret": ""}, "Enter the client secret"),
    ],
)
def test_what_would_let_strangers_in_is_refused_at_its_field(
    door, nordvik, changes, sentence
):
    page = door.post(NEW, FACTS | changes)

    assert page.status_code == 422
    assert sentence in page.content.decode()
    assert 'value="portal"' in page.content.decode()
    assert not CompanyTenant.objects.exists()


def test_a_change_without_a_new_secret_keeps_the_old_one(door, tenant):
    facts = {"client_id": "other", "domains": "partner.example", "mfa_context": "c1"}

    done = door.post(f"/ops/sign-ins/{tenant.pk}/change/", facts)

    tenant.refresh_from_db()
    assert done.url == f"/ops/sign-ins/{tenant.pk}/"
    assert (tenant.client_id, tenant.mfa_context) == ("other", "c1")
    assert tenant.client_secret == "Zq8~the-secret"


def test_an_app_role_is_connected_and_disconnected(door, tenant, goteborg):
    line = {
        "app_role": "Incentives.Admin",
        "role": Role.INCENTIVES_ADMIN,
        "location": goteborg.pk,
    }
    door.post(f"/ops/sign-ins/{tenant.pk}/roles/", line)
    mapping = TenantRoleMapping.objects.get()
    given = RoleAssignmentFactory(
        partner_account=tenant.partner_account,
        location=goteborg,
        source=RoleSource.ENTRA,
        tenant=tenant,
    )

    door.post(f"/ops/sign-ins/roles/{mapping.pk}/remove/")

    assert not TenantRoleMapping.objects.exists()
    assert not RoleAssignment.objects.live().filter(pk=given.pk).exists()


def test_an_app_role_that_makes_admins_is_approved_by_another_operator(
    door, tenant, client_of, greta
):
    line = {"app_role": "Boss", "role": Role.ACCOUNT_ADMIN}
    page = f"/ops/sign-ins/{tenant.pk}/"
    asked = door.post(f"{page}roles/", line, follow=True).content.decode()
    mapping = TenantRoleMapping.objects.get()
    approve = f"/ops/sign-ins/roles/{mapping.pk}/approve/"
    second = operator("Ivan Berg", "Identity manager")

    assert "Boss gives the role Account admin when a second operator has" in asked
    assert approve not in asked
    own = door.post(approve, follow=True).content.decode()
    assert "You connected this app role. Another operator approves it." in own
    other = client_of(second)
    (queue,) = [
        one for one in other.get("/ops/").context["queues"] if "App roles" in one.name
    ]
    assert queue.count == 1
    assert approve in other.get(page).content.decode()
    done = other.post(approve, follow=True).content.decode()

    mapping.refresh_from_db()
    assert mapping.approved_by == second
    assert "Boss gives the role Account admin from the next sign-in on." in done
    actions = AuditEvent.objects.filter(object_id=str(mapping.pk)).order_by("pk")
    assert [one.actor.full_name for one in actions] == ["Iris Identity", "Ivan Berg"]
    said = OutgoingEmail.objects.filter(to_user=greta).order_by("created_at")
    assert "a second operator has approved it" in " ".join(said[1].body_text.split())
    assert "at the next sign-in" in " ".join(said[2].body_text.split())


def test_another_companys_location_cannot_be_chosen(door, tenant):
    line = {
        "app_role": "Incentives.Admin",
        "role": Role.INCENTIVES_ADMIN,
        "location": LocationFactory().pk,
    }

    page = door.post(f"/ops/sign-ins/{tenant.pk}/roles/", line)

    assert page.status_code == 422
    assert not TenantRoleMapping.objects.exists()


def test_a_role_of_the_whole_company_at_a_location_is_refused(door, tenant, goteborg):
    line = {"app_role": "G", "role": Role.GLOBAL_ADMIN, "location": goteborg.pk}

    page = door.post(f"/ops/sign-ins/{tenant.pk}/roles/", line)

    assert page.status_code == 422
    assert "for the whole company" in page.content.decode()


def test_stopping_and_starting(door, tenant):
    door.post(f"/ops/sign-ins/{tenant.pk}/stop/")
    assert "Stopped" in door.get(LIST).content.decode()

    door.post(f"/ops/sign-ins/{tenant.pk}/start/")
    tenant.refresh_from_db()
    assert tenant.is_active


def test_what_changes_who_a_companys_people_are_asks_for_a_fresh_proof(door, tenant):
    session = door.session
    session["signed_in_at"] = time.time() - 3600
    session.save()

    for path in (NEW, f"/ops/sign-ins/{tenant.pk}/change/"):
        assert "/accounts/reauthenticate/" in door.get(path).url
    for part in ("stop", "start", "roles"):
        answer = door.post(f"/ops/sign-ins/{tenant.pk}/{part}/")
        assert "/accounts/reauthenticate/" in answer.url, part


def test_every_global_admin_is_told_of_each_change(door, tenant, greta, alice):
    # Whoever speaks for a company decides who its people are.
    page = f"/ops/sign-ins/{tenant.pk}/"
    facts = {"client_id": "other", "domains": "partner.example"}
    line = {"app_role": "Enrollers", "role": Role.INCENTIVES_ADMIN}
    door.post(f"{page}change/", facts)
    door.post(f"{page}roles/", line)
    door.post(f"/ops/sign-ins/roles/{TenantRoleMapping.objects.get().pk}/remove/")
    door.post(f"{page}stop/")
    door.post(f"{page}start/")

    mails = OutgoingEmail.objects.filter(name="company_sign_in").order_by("created_at")
    assert {mail.to_user for mail in mails} == {greta}
    said = [mail.body_text.replace("\n", " ") for mail in mails]
    for text, wanted in zip(
        said,
        (
            "registered",
            "changed how",
            "“Enrollers”",
            "no longer gives",
            "stopped",
            "again",
        ),
        strict=True,
    ):
        assert wanted in text
        assert "Zq8~the-secret" not in text
    assert "whole company" in said[2]


def test_the_list_asks_the_same_for_one_and_for_many(
    door, tenant, django_assert_num_queries
):
    door.get(LIST)
    with django_assert_num_queries(7):
        door.get(LIST)
    for _one in range(5):
        CompanyTenantFactory()

    with django_assert_num_queries(7):
        page = door.get(LIST)

    assert len(re.findall(r"<tr data-turn", page.content.decode())) == 6


def test_operators_who_may_see_it_have_it_in_their_navigation(door, mina, client_of):
    assert "/ops/sign-ins/" in door.get(LIST).content.decode()
    assert "/ops/sign-ins/" not in client_of(mina).get("/ops/").content.decode()
