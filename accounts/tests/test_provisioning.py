"""The page where a company's directory is connected: tokens and groups with roles."""

import re
import time
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import (
    AuditAction,
    AuditEvent,
    GroupMapping,
    OutgoingEmail,
    ProvisioningToken,
    RoleAssignment,
    RoleSource,
)
from accounts.roles import Role
from accounts.services import (
    create_provisioning_token,
    map_group,
    replace_provisioning_token,
    revoke_provisioning_token,
)
from accounts.tests.factories import ProvisioningTokenFactory, RoleAssignmentFactory
from accounts.tests.scim_directory import Directory

pytestmark = pytest.mark.django_db

PAGE = "accounts:provisioning"


def text_of(response) -> str:
    return " ".join(response.content.decode().split())


@pytest.fixture
def client(client_of, greta):
    return client_of(greta)


def create(client, **answers):
    answers = {"name": "Entra ID", "expires_on": ""} | answers
    return client.post(reverse("accounts:create_token"), answers, follow=True)


def connect(client, **answers):
    answers = {"group_name": "Enrollers", "role": "incentives_admin"} | answers
    return client.post(reverse("accounts:map_group"), answers, follow=True)


def secret_on(response) -> str:
    found = re.search(
        r'<pre class="receipt" id="token">(scim_[\w-]+)</pre>', text_of(response)
    )
    return found.group(1) if found else ""


class TestTokens:
    def test_a_new_token_is_shown_once_and_works(self, client):
        first = create(client)
        second = client.get(reverse(PAGE))

        secret = secret_on(first)
        assert first.redirect_chain
        assert secret
        assert secret_on(second) == ""
        answer = Client().get(
            "/scim/v2/Users", headers={"Authorization": f"Bearer {secret}"}
        )
        assert answer.status_code == 200

    def test_no_readable_token_is_kept_on_its_way_to_the_page(self, client):
        client.post(reverse("accounts:create_token"), {"name": "Entra ID"})

        kept = [session.get_decoded() for session in Session.objects.all()]
        secret = secret_on(client.get(reverse(PAGE)))
        assert secret
        assert "new_provisioning_token" in str(kept)
        assert secret not in str(kept)
        assert "scim_" not in str(kept)

    def test_the_page_says_what_entra_asks_for(self, client, settings):
        settings.PUBLIC_BASE_URL = "https://portal.example.com"

        page = text_of(client.get(reverse(PAGE)))

        assert "https://portal.example.com/scim/v2" in page

    def test_tokens_say_how_they_are_used(self, client, nordvik, greta):
        directory = Directory(nordvik, name="Used one")
        directory.get("/Users")
        create_provisioning_token(
            nordvik, name="Fresh one", expires_on=timezone.localdate(), by=greta
        )
        create_provisioning_token(nordvik, name="Unused one", by=greta)

        page = text_of(client.get(reverse(PAGE)))

        assert "In use" in page
        assert "Ends soon" in page
        assert "Not used yet" in page
        assert "by Greta Voss" in page
        assert "by the program owner" in page

    def test_a_taken_name_is_refused_and_what_was_typed_stays(self, client):
        create(client)

        response = create(client, name="entra id", expires_on="2099-01-31")

        page = text_of(response)
        assert response.status_code == 422
        assert "A token of this name exists" in page
        assert 'value="entra id"' in page
        assert 'value="2099-01-31"' in page
        assert "<title>Error: " in page

    @pytest.mark.parametrize(
        "answers",
        [{"name": ""}, {"name": "x" * 81}, {"name": "a\u202eb"},
         {"expires_on": "2020-01-01"}, {"expires_on": "soon"}],
        ids=str,
    )  # fmt: skip
    def test_a_malformed_token_is_refused(self, client, answers):
        assert create(client, **answers).status_code == 422
        assert not ProvisioningToken.objects.exists()

    def test_a_revoked_token_stops_at_once(self, client, nordvik):
        directory = Directory(nordvik)

        response = client.post(
            reverse("accounts:revoke_token", args=[directory.token.pk]), follow=True
        )

        assert "The token Entra ID no longer works." in text_of(response)
        assert "Revoked" in text_of(response)
        assert directory.get("/Users").status_code == 401

    def test_a_replaced_token_works_a_week_more(self, client, nordvik, time_machine):
        directory = Directory(nordvik)

        page = client.post(
            reverse("accounts:replace_token", args=[directory.token.pk]), follow=True
        )

        secret = secret_on(page)
        assert "The token Entra ID 2" in text_of(page)
        assert "Ends soon" in text_of(page)
        for key in (secret, directory.secret):
            answer = Client().get(
                "/scim/v2/Users", headers={"Authorization": f"Bearer {key}"}
            )
            assert answer.status_code == 200
        directory.token.refresh_from_db()
        last_day = timezone.localdate() + timedelta(days=7)
        assert directory.token.expires_on == last_day
        time_machine.move_to(timezone.now() + timedelta(days=8))
        assert directory.get("/Users").status_code == 401

    def test_replacing_keeps_how_long_a_token_is_meant_to_work(self, nordvik, greta):
        day = timezone.localdate()
        token, _secret = create_provisioning_token(
            nordvik, name="Entra ID 7", expires_on=day + timedelta(days=3), by=greta
        )

        new, _secret = replace_provisioning_token(token, by=greta)
        newer, _secret = replace_provisioning_token(new, by=greta)

        token.refresh_from_db()
        assert token.expires_on == day + timedelta(days=3)
        assert new.expires_on == day + timedelta(days=3)
        assert (new.name, newer.name) == ("Entra ID 2", "Entra ID 3")

    @pytest.mark.parametrize("how", ["revoked", "expired"])
    def test_a_token_that_ended_is_not_replaced(self, client, nordvik, how):
        directory = Directory(nordvik)
        if how == "revoked":
            revoke_provisioning_token(directory.token, by=None)
        else:
            directory.token.expires_on = timezone.localdate() - timedelta(days=1)
            directory.token.save()

        response = client.post(
            reverse("accounts:replace_token", args=[directory.token.pk]), follow=True
        )

        assert "This token no longer works" in text_of(response)
        assert ProvisioningToken.objects.count() == 1

    @pytest.mark.parametrize("news", ["created", "replaced", "revoked"])
    def test_every_global_admin_is_told_of_a_token(self, nordvik, greta, alice, news):
        # T1: also who did it, whose session may be somebody else's.
        second = RoleAssignmentFactory(
            role=Role.GLOBAL_ADMIN, partner_account=nordvik
        ).user
        token, secret = create_provisioning_token(nordvik, name="Entra ID", by=None)
        OutgoingEmail.objects.all().delete()

        if news == "created":
            _token, secret = create_provisioning_token(nordvik, name="Two", by=greta)
        elif news == "replaced":
            _token, secret = replace_provisioning_token(token, by=greta)
        else:
            revoke_provisioning_token(token, by=greta)
            revoke_provisioning_token(token, by=greta)

        mails = OutgoingEmail.objects.filter(name="provisioning_token")
        assert {mail.to_user for mail in mails} == {greta, second}
        assert mails.count() == 2
        for mail in mails:
            assert news in mail.subject
            assert "Nordvik IT AB" in mail.subject
            assert "Greta Voss" in mail.body_text
            assert secret not in mail.body_text + mail.body_html
            assert "scim_" not in mail.body_text + mail.body_html

    def test_replacing_is_remembered(self, nordvik, greta):
        token, _secret = create_provisioning_token(nordvik, name="Entra ID", by=None)

        new, secret = replace_provisioning_token(token, by=greta)

        event = AuditEvent.objects.get(
            action=AuditAction.TOKEN_CREATED, object_id=str(new.pk)
        )
        assert (event.actor, event.before["name"]) == (greta, "Entra ID")
        assert event.after["replaces"]["name"] == "Entra ID"
        assert secret not in str(AuditEvent.objects.values())

    def test_another_companys_token_is_not_there(self, client, sam):
        foreign, _secret = create_provisioning_token(
            sam.memberships.get().partner_account, name="Foreign", by=None
        )

        answers = [
            client.post(reverse(f"accounts:{step}", args=[foreign.pk])).status_code
            for step in ("revoke_token", "replace_token")
        ]

        foreign.refresh_from_db()
        assert answers == [404, 404]
        assert foreign.revoked_at is None
        assert foreign.expires_on is None
        assert "Foreign" not in text_of(client.get(reverse(PAGE)))

    def test_an_account_admin_has_no_such_page(self, client_of, alice):
        client = client_of(alice)

        assert client.get(reverse(PAGE)).status_code == 403
        assert reverse(PAGE) not in text_of(client.get(reverse("accounts:people")))
        assert create(client).status_code == 403
        assert not ProvisioningToken.objects.exists()

    @pytest.mark.parametrize(
        "step", ["create_token", "replace_token", "revoke_token", "map_group"]
    )
    @pytest.mark.parametrize("is_fresh", [False, True], ids=["old", "fresh"])
    def test_who_they_are_is_asked_again_before_a_token_is_touched(
        self, client, nordvik, step, is_fresh
    ):
        # T1: a session left open is not enough. With a fresh proof it is done.
        token = ProvisioningTokenFactory(partner_account=nordvik, name="Old")
        session = client.session
        session["signed_in_at"] = time.time() - (0 if is_fresh else 3_600)
        session["account_authentication_methods"] = []
        session.save()
        keys = [token.pk] if step in ("replace_token", "revoke_token") else []
        typed = {"name": "Entra ID", "group_name": "G", "role": "user_admin"}

        response = client.post(reverse(f"accounts:{step}", args=keys), typed)

        token.refresh_from_db()
        is_done = (
            ProvisioningToken.objects.count() > 1
            or token.revoked_at is not None
            or GroupMapping.objects.exists()
        )
        assert response.status_code == 302
        led_to = response["Location"].partition("?")[0]
        assert (led_to == reverse(PAGE)) == is_fresh
        assert is_done == is_fresh


class TestGroups:
    def test_a_group_is_connected_with_a_role_at_a_location(
        self, client, nordvik, goteborg, greta
    ):
        directory = Directory(nordvik)
        nora = directory.add_person()
        directory.add_group("Enrollers", nora["id"])

        page = text_of(connect(client, location=goteborg.pk))

        assert "The group Enrollers gives the role Incentives admin." in page
        assert "Enrollers</bdi>: 1 person" in page
        mapping = GroupMapping.objects.get()
        assert (mapping.location, mapping.created_by) == (goteborg, greta)
        assert RoleAssignment.objects.filter(source=RoleSource.SCIM).count() == 1

    def test_a_group_may_be_connected_before_it_comes(self, client):
        assert "not sent yet" in text_of(connect(client))

    def test_groups_that_give_nothing_are_named(self, client, nordvik):
        Directory(nordvik).add_group("Canteen")

        page = text_of(client.get(reverse(PAGE)))

        assert "Groups that give nothing" in page
        assert "Canteen</bdi>: 0 people" in page

    def test_guests_who_get_nothing_are_named(self, client, nordvik, greta):
        # R14
        directory = Directory(nordvik)
        guest = directory.add_person("g@elsewhere.example", displayName="Gil Guest")
        map_group(nordvik, group_name="G", role=Role.INCENTIVES_USER, by=greta)
        directory.add_group("G", guest["id"])

        page = text_of(client.get(reverse(PAGE)))

        assert "Gil Guest is a guest and does not get the incentive role" in page

    @pytest.mark.parametrize(
        "answers",
        [{"group_name": ""}, {"role": ""}, {"role": "king"}, {"location": "x"},
         {"program": "0"}, {"group_name": "a\x00b"}],
        ids=str,
    )  # fmt: skip
    def test_a_malformed_connection_is_refused(self, client, answers):
        response = connect(client, **answers)

        assert response.status_code == 422
        assert not GroupMapping.objects.exists()

    def test_what_the_service_refuses_stands_at_its_field(self, client, goteborg):
        response = connect(client, role="account_admin", location=goteborg.pk)

        page = text_of(response)
        assert response.status_code == 422
        assert "This role is for the whole company. Leave out locations." in page
        assert 'value="Enrollers"' in page

    def test_a_group_is_disconnected(self, client, nordvik, greta):
        mapping = map_group(nordvik, group_name="G", role=Role.USER_ADMIN, by=greta)

        response = client.post(
            reverse("accounts:unmap_group", args=[mapping.pk]), follow=True
        )

        assert "The group G no longer gives the role" in text_of(response)
        assert not GroupMapping.objects.exists()

    def test_the_last_global_admin_is_not_disconnected(self, client_of, nordvik, greta):
        directory = Directory(nordvik)
        mapping = map_group(nordvik, group_name="G", role=Role.GLOBAL_ADMIN, by=greta)
        nora = directory.add_person()
        directory.add_group("G", nora["id"])
        held = RoleAssignment.objects.get(source=RoleSource.SCIM)
        RoleAssignment.objects.exclude(pk=held.pk).update(revoked_at=timezone.now())

        response = client_of(held.user).post(
            reverse("accounts:unmap_group", args=[mapping.pk]), follow=True
        )

        assert "without a Global admin" in text_of(response)
        assert GroupMapping.objects.exists()
        held.refresh_from_db()
        assert held.revoked_at is None

    def test_foreign_locations_are_no_choice(self, client, goteborg):
        foreign = RoleAssignmentFactory(location=None).partner_account.locations.create(
            partner_id="7000001", name="Oslo", country="NO", legal_name="x"
        )

        page = text_of(client.get(reverse(PAGE)))

        assert "Göteborg · SE · 6120102" in page
        assert "Oslo" not in page
        assert connect(client, location=foreign.pk).status_code == 422
