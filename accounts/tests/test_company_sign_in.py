"""Signing in through a company's directory, against a real provider in its own process.

Each check of what the directory says has its control: with the check off, the same lie
is believed.
"""

import copy
import re
import socket
import time
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction
from django.test import Client
from django.utils import translation
from playwright.sync_api import expect

from accounts import id_tokens, proof
from accounts.identities import Identity
from accounts.models import (
    AuditAction,
    AuditEvent,
    CompanyTenant,
    Membership,
    OutgoingEmail,
    RoleAssignment,
    RoleSource,
    TenantRoleMapping,
    User,
)
from accounts.roles import Role
from accounts.services import (
    approve_app_role,
    assign_role,
    change_tenant,
    connect_sign_in,
    deactivate_person,
    map_app_role,
    register_tenant,
    revoke_role,
    set_password,
    set_tenant_active,
    sign_in_by_tenant,
    unmap_app_role,
)
from accounts.tests import cast
from accounts.tests.entra_provider import Entra, running_entra
from accounts.tests.factories import (
    PASSWORD,
    LocationFactory,
    MembershipFactory,
    UserFactory,
)
from accounts.tests.second_factors import give_app
from accounts.tests.threads import at_once

pytestmark = pytest.mark.django_db

SIGN_IN = "/accounts/company/"
GO = "/accounts/company/go/"
TENANT = "11111111-2222-4333-8444-555555555555"
CLIENT = "portal"
NORA = {
    "oid": "aaaaaaaa-0000-4000-8000-000000000001",
    "tid": TENANT,
    "name": "Nora Holm",
    "preferred_username": "nora@partner.example",
    "roles": ["Incentives.Admin"],
}
OMAR = NORA | {
    "oid": "aaaaaaaa-0000-4000-8000-000000000002",
    "name": "Omar Haddad",
    "preferred_username": "omar@partner.example",
    "roles": ["Incentives.User"],
}


@pytest.fixture(scope="session")
def running():
    """Begun once: tests with a browser or with transactions come long before others."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with running_entra(port) as entra:
        yield entra


@pytest.fixture
def entra(running):
    """The provider, honest, with Nora and Omar."""
    running.people.clear()
    running.lie()
    running.add("nora", **NORA)
    running.add("omar", **OMAR)
    return running


@pytest.fixture
def iris():
    return identity_manager()


@pytest.fixture
def tenant(nordvik, greta, entra, iris):
    return registered(nordvik, issuer=entra.url, by=iris)


@pytest.fixture
def mapped(tenant, goteborg, iris):
    return with_app_roles(tenant, goteborg, by=iris)


class Connected:
    """Tests that find a company with its directory: made once for each class."""

    @pytest.fixture(scope="class")
    def made(self, django_db_setup, django_db_blocker, running):
        with django_db_blocker.unblock(), transaction.atomic():
            nordvik, iris = cast.nordvik(), identity_manager()
            goteborg, greta = cast.goteborg(nordvik), cast.greta(nordvik)
            tenant = registered(nordvik, issuer=running.url, by=iris)
            with_app_roles(tenant, goteborg, by=iris)
            yield {
                "nordvik": nordvik,
                "goteborg": goteborg,
                "greta": greta,
                "iris": iris,
                "tenant": tenant,
            }
            transaction.set_rollback(True)

    @pytest.fixture
    def rows(self, made, db):
        return copy.deepcopy(made)

    @pytest.fixture
    def nordvik(self, rows):
        return rows["nordvik"]

    @pytest.fixture
    def goteborg(self, rows):
        return rows["goteborg"]

    @pytest.fixture
    def greta(self, rows):
        return rows["greta"]

    @pytest.fixture
    def iris(self, rows):
        return rows["iris"]

    @pytest.fixture
    def mapped(self, rows):
        return rows["tenant"]


def identity_manager() -> User:
    """An operator who manages companies' sign-ins."""
    return UserFactory(full_name="Iris Operator", operator=True, is_superuser=True)


def registered(company, *, issuer: str, by) -> CompanyTenant:
    return register_tenant(
        company,
        tenant_id=TENANT,
        issuer=issuer,
        client_id=CLIENT,
        client_secret="s3cret",
        domains=["partner.example"],
        by=by,
    )


def with_app_roles(tenant, location, *, by) -> CompanyTenant:
    """Two app roles of the tenant: one for a location, one for the whole company."""
    map_app_role(
        tenant,
        app_role="Incentives.Admin",
        role=Role.INCENTIVES_ADMIN,
        location=location,
        by=by,
    )
    map_app_role(tenant, app_role="Incentives.User", role=Role.INCENTIVES_USER, by=by)
    return tenant


def map_global_admin(tenant, *, app_role: str = "Global", by):
    """Connect an app role with Global admin, as two operators do."""
    mapping = map_app_role(tenant, app_role=app_role, role=Role.GLOBAL_ADMIN, by=by)
    second = UserFactory(operator=True)
    second.groups.set(Group.objects.filter(name="Identity manager"))
    return approve_app_role(mapping, by=second)


def asked_at(page) -> str:
    """Where the way out leads."""
    assert page.status_code == 200, page.content.decode()
    url = re.search(r'content="0;url=([^"]+)"', page.content.decode())[1]
    return url.replace("&amp;", "&")


def begin(client, address="nora@partner.example", **more) -> str:
    started = client.post(SIGN_IN, {"email": address, **more})
    assert started.url == GO, started
    return asked_at(client.get(GO))


def sign_in(client, entra, name="nora", **more):
    """The whole way of a browser: out, there, and back."""
    return client.get(entra.answer(begin(client, **more), name))


def who(client) -> User | None:
    key = client.session.get("_auth_user_id")
    return User.objects.get(pk=key) if key else None


def held(user) -> set[tuple[str, str, str]]:
    return {
        (one.role, one.where, one.source)
        for one in RoleAssignment.objects.live().filter(user=user)
    }


def events(action) -> int:
    return AuditEvent.objects.filter(action=action).count()


ENROLLS_IN_GOTEBORG = (
    "incentives_admin",
    "Göteborg, all programs",
    RoleSource.ENTRA.value,
)
READS_EVERYTHING = ("incentives_user", "whole company", RoleSource.ENTRA.value)


class TestSigningIn(Connected):
    def test_somebody_new_is_added_with_what_the_table_gives(self, mapped, entra):
        client = Client()

        response = sign_in(client, entra)

        nora = who(client)
        assert response.url == "/"
        assert (nora.email, nora.full_name) == ("nora@partner.example", "Nora Holm")
        assert held(nora) == {ENROLLS_IN_GOTEBORG}
        assert not nora.has_usable_password()
        assert client.get("/").status_code == 200
        assert events(AuditAction.SIGN_IN_CONNECTED) == 1
        role = AuditEvent.objects.get(action=AuditAction.ROLE_ASSIGNED)
        assert (role.actor, role.actor_name) == (None, "Microsoft Entra ID")

    def test_somebody_new_reads_the_language_of_the_page(self, mapped, entra):
        client = Client()
        # What a page speaks stays with the thread; the next test speaks English.
        with translation.override("en"):
            client.post("/language/", {"language": "sv", "next": SIGN_IN})

            sign_in(client, entra)

        assert who(client).language == "sv"

    def test_the_second_time_it_is_the_same_person(self, mapped, entra):
        first, second = Client(), Client()
        sign_in(first, entra)
        entra.add("nora", preferred_username="nora.holm@partner.example")
        sign_in(second, entra)

        assert who(first) == who(second)
        assert User.objects.filter(email__startswith="nora").count() == 1

    def test_several_people_are_told_apart(self, mapped, entra):
        nora, omar = Client(), Client()
        sign_in(nora, entra, "nora")
        sign_in(omar, entra, "omar")

        assert held(who(nora)) == {ENROLLS_IN_GOTEBORG}
        assert held(who(omar)) == {READS_EVERYTHING}

    def test_the_question_is_bound_to_this_browser(self, mapped, entra):
        asked = parse_qs(urlsplit(begin(Client())).query)

        assert asked["code_challenge_method"] == ["S256"]
        assert asked["response_type"] == ["code"]
        assert len(asked["nonce"][0]) >= 32
        assert len(asked["state"][0]) >= 16
        assert asked["login_hint"] == ["nora@partner.example"]
        assert set(asked["scope"][0].split()) == {"openid", "profile", "email"}
        assert asked["redirect_uri"][0].endswith(
            f"/accounts/company/{mapped.pk}/answer/"
        )

    def test_the_address_of_the_page_adds_nothing_to_the_question(self, mapped, entra):
        # allauth takes scope, auth_params and process from the address.
        client = Client()
        client.post(SIGN_IN, {"email": "nora@partner.example"})
        page = client.get(f"{GO}?scope=admin&auth_params=prompt%3Dnone&process=connect")
        asked = parse_qs(urlsplit(asked_at(page)).query)

        assert set(asked["scope"][0].split()) == {"openid", "profile", "email"}
        assert "prompt" not in asked

    def test_it_leads_where_one_wanted_to_go(self, mapped, entra):
        assert sign_in(Client(), entra, next="/incentives/").url == "/incentives/"

    @pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/"])
    def test_it_leads_to_paths_of_this_site_only(self, mapped, entra, target):
        assert sign_in(Client(), entra, next=target).url == "/"

    def test_an_address_of_no_company_here_is_told_so(self, mapped):
        page = Client().post(SIGN_IN, {"email": "x@elsewhere.example"})

        assert page.status_code == 422
        assert "elsewhere.example" in page.content.decode()
        assert 'value="x@elsewhere.example"' in page.content.decode()

    def test_the_way_out_needs_a_form_of_this_site(self, mapped):
        strict = Client(enforce_csrf_checks=True)

        assert (
            strict.post(SIGN_IN, {"email": "nora@partner.example"}).status_code == 403
        )
        assert strict.get(GO).url == SIGN_IN

    def test_whoever_is_signed_in_as_another_is_signed_out_first(
        self, mapped, entra, client_of, lars
    ):
        client = client_of(lars)
        before = client.session.session_key

        sign_in(client, entra)

        assert who(client).email == "nora@partner.example"
        assert client.session.session_key != before

    def test_cancelling_there_signs_nobody_in(self, mapped, entra):
        client = Client()
        page = client.get(entra.answer(begin(client), "nora", action="deny"))

        assert page.status_code == 403
        assert "did not finish" in page.content.decode()
        assert who(client) is None

    def test_a_directory_that_is_away_is_said_to_be(self, mapped, entra):
        CompanyTenant.objects.update(issuer="http://localhost:9")
        client = Client()
        client.post(SIGN_IN, {"email": "nora@partner.example"})

        page = client.get(GO)

        assert page.status_code == 403
        assert "does not answer now" in page.content.decode()

    def test_no_token_is_kept(self, mapped, entra):
        client = Client()
        sign_in(client, entra)

        link = SocialAccount.objects.get()
        assert link.extra_data == {}
        assert link.uid == NORA["oid"]
        assert "eyJ" not in str(dict(client.session))
        assert "eyJ" not in str(list(AuditEvent.objects.values_list("after", "before")))


# --- What a directory says is believed when it is proved, only --------------------------

LIES = {
    "signature": "token",
    "key": "token",
    "unsigned": "token",
    "shared secret": "token",
    "audience": "token",
    "second audience": "token",
    "authorized party": "token",
    "expired": "token",
    "not yet": "token",
    "issuer": "token",
    "nonce": "token",
    "replay": "token",
    "no tid": "token",
    "no nonce": "token",
    "no exp": "token",
    "no oid": "token",
    "tenant": "tenant",
}


class TestLies(Connected):
    @pytest.mark.parametrize(("lie", "reason"), LIES.items())
    def test_a_lie_signs_nobody_in(self, mapped, entra, lie, reason):
        if lie == "replay":
            # An honest sign-in first, to be played again.
            sign_in(Client(), entra)
        client = Client()
        entra.lie(lie)

        page = sign_in(client, entra, "omar")

        assert page.status_code == 403
        assert who(client) is None
        assert not User.objects.filter(email="omar@partner.example").exists()
        event = AuditEvent.objects.get(action=AuditAction.SIGN_IN_REFUSED)
        assert event.after["reason"] == reason
        assert "eyJ" not in str(event.after)

    def decoding_without(self, monkeypatch, **off):
        """Let the library skip one of its checks."""
        original = id_tokens.jwt.decode

        def lenient(token, key, *, options, **more):
            return original(token, key, options=options | off, **more)

        monkeypatch.setattr(id_tokens.jwt, "decode", lenient)

    @pytest.mark.parametrize(
        ("lie", "off"),
        [
            ("signature", {"verify_signature": False}),
            ("expired", {"verify_exp": False}),
            ("not yet", {"verify_nbf": False}),
            ("issuer", {"verify_iss": False}),
        ],
    )
    def test_with_the_librarys_check_off_it_would(
        self, mapped, entra, monkeypatch, lie, off
    ):
        client = Client()
        entra.lie(lie)
        self.decoding_without(monkeypatch, **off)

        sign_in(client, entra)

        assert who(client) is not None

    @pytest.mark.parametrize(
        ("lie", "checks", "off"),
        [
            ("audience", ["_check_audience"], {"verify_aud": False}),
            ("second audience", ["_check_audience"], {}),
            ("authorized party", ["_check_audience"], {}),
            ("nonce", ["_check_nonce"], {}),
            ("tenant", ["_check_tenant"], {}),
        ],
    )
    def test_with_our_check_off_it_would(
        self, mapped, entra, monkeypatch, lie, checks, off
    ):
        client = Client()
        entra.lie(lie)
        self.decoding_without(monkeypatch, **off)
        for check in checks:
            monkeypatch.setattr(id_tokens, check, lambda *said: None)

        sign_in(client, entra)

        assert who(client) is not None

    def test_without_the_nonce_a_token_could_be_played_again(
        self, mapped, entra, monkeypatch
    ):
        sign_in(Client(), entra)
        client = Client()
        entra.lie("replay")
        monkeypatch.setattr(id_tokens, "_check_nonce", lambda *said: None)

        sign_in(client, entra, "omar")

        # Omar's browser would be Nora's.
        assert who(client).email == "nora@partner.example"

    def test_an_unsigned_token_would_pass_if_none_were_an_algorithm(
        self, mapped, entra, monkeypatch
    ):
        client = Client()
        entra.lie("unsigned")
        monkeypatch.setitem(id_tokens.ALGORITHMS, "none", "RSA")
        self.decoding_without(monkeypatch, verify_signature=False)
        monkeypatch.setattr(id_tokens, "_signing_key", lambda *said: None)

        sign_in(client, entra)

        assert who(client) is not None

    def test_a_key_that_is_new_is_looked_for_once(self, mapped, entra, monkeypatch):
        sign_in(Client(), entra)
        fetched = []
        original = id_tokens._fetched
        monkeypatch.setattr(
            id_tokens, "_fetched", lambda url: fetched.append(url) or original(url)
        )
        entra.lie("key")

        sign_in(Client(), entra)

        assert fetched == [f"{entra.url}/jwks"]

    def test_an_answer_to_another_browsers_question_signs_nobody_in(
        self, mapped, entra
    ):
        # Login CSRF: the attacker's answer in the victim's browser.
        answer = entra.answer(begin(Client()), "nora")
        victim = Client()
        begin(victim)

        page = victim.get(answer)

        assert page.status_code == 403
        assert who(victim) is None

    def test_an_answer_counts_once(self, mapped, entra):
        client = Client()
        answer = entra.answer(begin(client), "nora")
        client.get(answer)
        client.post("/accounts/logout/")

        assert client.get(answer).status_code == 403
        assert who(client) is None

    def test_a_code_without_its_verifier_is_worth_nothing(
        self, mapped, entra, monkeypatch
    ):
        # PKCE: the provider refuses a code that was asked for elsewhere.
        client = Client()
        stolen = parse_qs(urlsplit(entra.answer(begin(Client()), "nora")).query)
        mine = parse_qs(urlsplit(begin(client)).query)

        page = client.get(
            f"/accounts/company/{mapped.pk}/answer/",
            {"state": mine["state"][0], "code": stolen["code"][0]},
        )

        assert page.status_code == 403
        assert who(client) is None

    def test_an_answer_belongs_to_the_tenant_that_was_asked(
        self, mapped, entra, iris, sam
    ):
        other = register_tenant(
            sam.memberships.get().partner_account,
            tenant_id=str(uuid.uuid4()),
            issuer=entra.url,
            client_id=CLIENT,
            client_secret="s3cret",
            domains=["stranger.example"],
            by=iris,
        )
        client = Client()
        answer = entra.answer(begin(client), "nora")

        page = client.get(answer.replace(str(mapped.pk), str(other.pk)))

        assert page.status_code == 403
        assert who(client) is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"issuer": "https://login.example"},
            {"token_endpoint": "https://login.example/token"},
            {"jwks_uri": "https://login.example/keys"},
            {"authorization_endpoint": "javascript:alert(1)"},
        ],
    )
    def test_a_configuration_that_leads_elsewhere_is_not_followed(
        self, mapped, entra, monkeypatch, changes
    ):
        original = id_tokens._fetched
        monkeypatch.setattr(id_tokens, "_fetched", lambda url: original(url) | changes)
        client = Client()
        client.post(SIGN_IN, {"email": "nora@partner.example"})

        assert client.get(GO).status_code == 403

    def test_outside_the_demo_a_directory_is_asked_over_tls_only(
        self, mapped, entra, settings
    ):
        settings.DEMO = False
        client = Client()
        client.post(SIGN_IN, {"email": "nora@partner.example"})

        assert client.get(GO).status_code == 403


class TestRoles(Connected):
    def test_roles_follow_the_directory_at_each_sign_in(self, mapped, entra):
        client = Client()
        sign_in(client, entra)
        nora = who(client)

        entra.add("nora", roles=["Incentives.Admin", "Incentives.User"])
        sign_in(client, entra)
        assert held(nora) == {ENROLLS_IN_GOTEBORG, READS_EVERYTHING}

        entra.add("nora", roles=["Incentives.User"])
        sign_in(client, entra)
        assert held(nora) == {READS_EVERYTHING}

        entra.add("nora", roles=[])
        sign_in(client, entra)
        assert held(nora) == set()
        assert client.get("/incentives/").status_code == 403

    def test_the_same_again_changes_nothing(self, mapped, entra):
        client = Client()
        sign_in(client, entra)
        rows = list(RoleAssignment.objects.values_list("pk", flat=True).order_by("pk"))
        mails = OutgoingEmail.objects.count()

        sign_in(client, entra)

        assert rows == list(
            RoleAssignment.objects.values_list("pk", flat=True).order_by("pk")
        )
        assert OutgoingEmail.objects.count() == mails

    def test_what_the_table_does_not_know_gives_nothing(self, mapped, entra):
        entra.add("nora", roles=["Incentives.Admin", "Global.Admin", "admin", ""])
        client = Client()

        sign_in(client, entra)

        assert held(who(client)) == {ENROLLS_IN_GOTEBORG}

    @pytest.mark.parametrize("roles", ["Incentives.Admin", {"a": 1}, [1, None], None])
    def test_a_claim_of_another_kind_gives_nothing(self, mapped, entra, roles):
        entra.add("nora", roles=roles)
        client = Client()

        page = sign_in(client, entra)

        assert page.status_code == 403
        assert "gives you no role" in page.content.decode()
        assert not User.objects.filter(email="nora@partner.example").exists()

    def test_roles_given_here_stay(self, mapped, entra, nordvik, malmo, greta):
        client = Client()
        sign_in(client, entra)
        nora = who(client)
        given = assign_role(
            nora,
            role=Role.INCENTIVES_ADMIN,
            account=nordvik,
            location=malmo,
            by=greta,
        )
        entra.add("nora", roles=[])

        sign_in(client, entra)

        assert list(RoleAssignment.objects.live().filter(user=nora)) == [given]

    def test_a_role_given_here_before_is_not_taken_over(
        self, mapped, entra, nordvik, goteborg, greta
    ):
        client = Client()
        sign_in(client, entra)
        nora = who(client)
        revoke_role(RoleAssignment.objects.get(user=nora), by=greta)
        assign_role(
            nora,
            role=Role.INCENTIVES_ADMIN,
            account=nordvik,
            location=goteborg,
            by=greta,
        )

        sign_in(client, entra)
        entra.add("nora", roles=[])
        sign_in(client, entra)

        (kept,) = RoleAssignment.objects.live().filter(user=nora)
        assert kept.source == RoleSource.MANUAL

    def test_roles_from_scim_are_not_this_doors_to_end(
        self, mapped, entra, nordvik, malmo
    ):
        client = Client()
        sign_in(client, entra)
        nora = who(client)
        assign_role(
            nora,
            role=Role.INCENTIVES_ADMIN,
            account=nordvik,
            location=malmo,
            source=RoleSource.SCIM,
            by=None,
        )
        entra.add("nora", roles=[])

        sign_in(client, entra)

        assert {source for _role, _where, source in held(nora)} == {"scim"}

    def test_the_last_global_admin_stays_one(self, mapped, entra, nordvik, greta, iris):
        # Rule 75: the company is not left without anybody who can appoint.
        map_global_admin(mapped, app_role="Global.Admin", by=iris)
        entra.add("nora", roles=["Global.Admin", "Incentives.Admin"])
        client = Client()
        sign_in(client, entra)
        nora = who(client)
        revoke_role(
            RoleAssignment.objects.get(user=greta, role=Role.GLOBAL_ADMIN), by=nora
        )
        entra.add("nora", roles=[])

        assert sign_in(client, entra).status_code == 302

        assert {role for role, _where, _source in held(nora)} == {"global_admin"}
        set_tenant_active(mapped, is_active=False, by=iris)
        assert {role for role, _where, _source in held(nora)} == {"global_admin"}

    @pytest.mark.parametrize("is_asked", [True, False])
    def test_one_operator_alone_makes_nobody_an_admin(
        self, mapped, entra, iris, monkeypatch, is_asked
    ):
        # T3. The control: without the rule whoever has the app role is Global admin.
        if not is_asked:
            monkeypatch.setattr(TenantRoleMapping, "is_in_force", True)
        line = map_app_role(mapped, app_role="Boss", role=Role.GLOBAL_ADMIN, by=iris)
        entra.add("nora", roles=["Boss"])

        sign_in(Client(), entra)

        assert User.objects.filter(email="nora@partner.example").exists() is (
            not is_asked
        )
        if is_asked:
            with pytest.raises(ValidationError, match="You connected this app role"):
                approve_app_role(line, by=iris)
            line.mapped_by = None
            line.save()
            with pytest.raises(ValidationError, match="You set this directory up"):
                approve_app_role(line, by=iris)

    def test_roles_that_give_roles_wait_for_the_second_operator(self):
        waiting = {one for one in Role if not TenantRoleMapping(role=one).is_in_force}

        assert waiting == {Role.GLOBAL_ADMIN, Role.ACCOUNT_ADMIN}

    def test_another_directory_was_not_approved_and_gives_no_more_admins(
        self, mapped, entra, iris
    ):
        line = map_global_admin(mapped, by=iris)
        entra.add("nora", roles=["Global"])
        sign_in(client := Client(), entra)
        entra.add("omar", roles=["Global"])

        change_tenant(
            mapped,
            client_id=mapped.client_id,
            client_secret="another",
            issuer=mapped.issuer,
            domains=["partner.example"],
            by=iris,
        )
        line.refresh_from_db()
        assert line.approved_at is not None  # a new secret is the same directory
        mapped.domains.all().delete()
        change_tenant(
            mapped,
            client_id=mapped.client_id,
            issuer=mapped.issuer,
            domains=["partner.example"],
            by=iris,
        )

        line.refresh_from_db()
        assert (line.approved_at, line.approved_by) == (None, None)
        sign_in(client, entra)
        assert {role for role, _where, _source in held(who(client))} == {"global_admin"}
        sign_in(Client(), entra, "omar")
        assert not User.objects.filter(email="omar@partner.example").exists()

    def test_a_location_that_closed_is_given_no_more(self, mapped, entra, goteborg):
        client = Client()
        sign_in(client, entra)
        goteborg.closed_at = goteborg.partner_account.created_at
        goteborg.save()

        sign_in(client, entra)

        assert held(who(client)) == set()

    def test_a_line_taken_out_of_the_table_ends_its_roles_at_once(
        self, mapped, entra, iris
    ):
        client = Client()
        sign_in(client, entra)

        unmap_app_role(
            TenantRoleMapping.objects.get(app_role="Incentives.Admin"), by=iris
        )

        assert held(who(client)) == set()
        assert client.get("/profiles/").status_code == 403
        assert events(AuditAction.APP_ROLE_UNMAPPED) == 1

    def test_a_role_that_another_line_gives_too_stays(
        self, mapped, entra, goteborg, iris
    ):
        map_app_role(
            mapped,
            app_role="Other",
            role=Role.INCENTIVES_ADMIN,
            location=goteborg,
            by=iris,
        )
        client = Client()
        sign_in(client, entra)

        unmap_app_role(
            TenantRoleMapping.objects.get(app_role="Incentives.Admin"), by=iris
        )

        assert held(who(client)) == {ENROLLS_IN_GOTEBORG}

    def test_a_tenant_that_is_stopped_gives_nothing_and_lets_nobody_in(
        self, mapped, entra, iris
    ):
        client = Client()
        sign_in(client, entra)
        way_back = entra.answer(begin(Client()), "nora")

        nora = who(client)
        set_tenant_active(mapped, is_active=False, by=iris)

        assert held(nora) == set()
        # It may have been in wrong hands: what it opened is shut.
        assert client.get("/").url.startswith("/accounts/login/")
        assert (
            Client().post(SIGN_IN, {"email": "nora@partner.example"}).status_code == 422
        )
        assert Client().get(way_back).status_code == 404

    def test_a_role_ended_here_comes_back_while_the_directory_gives_it(
        self, mapped, entra, greta
    ):
        client = Client()
        sign_in(client, entra)
        revoke_role(RoleAssignment.objects.get(user=who(client)), by=greta)

        sign_in(client, entra)

        assert held(who(client)) == {ENROLLS_IN_GOTEBORG}


class TestWhoIsWho(Connected):
    @pytest.fixture
    def local(self, nordvik):
        """Nora as the company added her, with a password."""
        nora = UserFactory(full_name="Nora Holm", email="nora@partner.example")
        MembershipFactory(user=nora, partner_account=nordvik)
        return nora

    def connected(self, client, entra, tenant, name="nora"):
        started = client.post("/accounts/company/connect/", {"tenant": str(tenant.pk)})
        assert started.url == GO, started.url
        return client.get(entra.answer(asked_at(client.get(GO)), name), follow=True)

    def test_an_address_alone_opens_no_account(self, mapped, entra, local):
        client = Client()

        page = sign_in(client, entra)

        assert page.status_code == 403
        assert "not connected" in page.content.decode()
        assert who(client) is None
        refused = AuditEvent.objects.get(action=AuditAction.SIGN_IN_REFUSED)
        assert refused.after["reason"] == "known"
        assert refused.after["object_id"] == NORA["oid"]
        assert not SocialAccount.objects.exists()

    def test_one_connects_ones_own_account_and_signs_in_with_it(
        self, mapped, entra, local, client_of
    ):
        page = self.connected(client_of(local), entra, mapped)
        assert "nora@partner.example" in page.content.decode()
        assert entra.asked()["prompt"] == "select_account"

        client = Client()
        sign_in(client, entra)

        assert who(client) == local
        assert held(local) == {ENROLLS_IN_GOTEBORG}
        mail = OutgoingEmail.objects.get(name="second_factor_changed")
        assert (mail.to_user, "partner.example" in mail.body_text) == (local, True)

    def test_connecting_asks_for_a_fresh_proof(
        self, mapped, entra, local, client_of, monkeypatch
    ):
        client = client_of(local)
        session = client.session
        session["signed_in_at"] = time.time() - 3600
        session.save()
        form = {"tenant": str(mapped.pk)}

        asked = client.post("/accounts/company/connect/", form)
        assert urlsplit(asked.url).path == "/accounts/reauthenticate/"
        assert client.get(GO).url == "/account/"

        # The control: without the question it would go on.
        monkeypatch.setattr(proof, "is_fresh", lambda request: True)
        assert client.post("/accounts/company/connect/", form).url == GO

    def test_after_the_proof_it_goes_on_by_itself(
        self, mapped, entra, local, client_of
    ):
        client = client_of(local)
        session = client.session
        session["signed_in_at"] = time.time() - 3600
        session.save()
        asked = client.post("/accounts/company/connect/", {"tenant": str(mapped.pk)})
        target = parse_qs(urlsplit(asked.url).query)["next"][0]

        done = client.post(
            "/accounts/reauthenticate/", {"password": PASSWORD, "next": target}
        )

        assert done.url == GO

    def test_an_answer_for_whoever_signed_in_meanwhile_connects_nothing(
        self, mapped, entra, local, client_of, lars
    ):
        client = client_of(local)
        client.post("/accounts/company/connect/", {"tenant": str(mapped.pk)})
        answer = entra.answer(asked_at(client.get(GO)), "nora")
        asked = client.session["socialaccount_states"]
        client.force_login(lars)
        session = client.session
        session["socialaccount_states"] = asked
        session.save()

        page = client.get(answer)

        assert page.status_code == 403
        assert not SocialAccount.objects.exists()

    def test_somebody_elses_microsoft_account_is_not_taken(
        self, mapped, entra, local, client_of
    ):
        sign_in(Client(), entra, "omar")

        page = self.connected(client_of(local), entra, mapped, "omar")

        assert "somebody else" in page.content.decode()
        assert SocialAccount.objects.filter(user=local).count() == 0

    def test_only_directories_of_ones_own_companies_can_be_connected(
        self, mapped, entra, sam, client_of
    ):
        client = client_of(sam)

        answer = client.post("/accounts/company/connect/", {"tenant": str(mapped.pk)})

        assert answer.url == "/account/"

    def test_disconnecting_ends_the_roles_from_there(
        self, mapped, entra, local, client_of
    ):
        client = client_of(local)
        self.connected(client, entra, mapped)
        sign_in(client, entra)
        session = client.session
        session["signed_in_at"] = time.time()
        session.save()

        client.post("/accounts/company/disconnect/", {"tenant": str(mapped.pk)})

        assert not SocialAccount.objects.exists()
        assert held(local) == set()
        assert events(AuditAction.SIGN_IN_DISCONNECTED) == 1
        assert sign_in(Client(), entra).status_code == 403

    def test_a_guest_of_the_directory_is_not_added(self, mapped, entra):
        # R14
        entra.add(
            "nora",
            preferred_username="nora_x#EXT#@partner.example",
            email="n@x.example",
        )
        entra.add("guest", **NORA | {"preferred_username": "gus@guest.example"})
        client = Client()

        page = sign_in(client, entra, "guest")

        assert page.status_code == 403
        assert "as a guest" in page.content.decode()
        assert not User.objects.filter(email="gus@guest.example").exists()

    def test_a_guest_who_connected_gets_no_incentive_role(
        self, mapped, entra, nordvik, iris, client_of
    ):
        # R14
        gus = UserFactory(email="gus@guest.example")
        MembershipFactory(user=gus, partner_account=nordvik)
        map_app_role(mapped, app_role="People", role=Role.USER_ADMIN, by=iris)
        entra.add("gus", **NORA | {"roles": ["Incentives.Admin", "People"]})

        client = client_of(gus)
        self.connected(client, entra, mapped, "gus")
        sign_in(client, entra, "gus")

        assert who(client) == gus
        assert {role for role, _where, _source in held(gus)} == {"user_admin"}

    def test_an_operator_never_comes_in_through_a_company(self, mapped, entra):
        operator = UserFactory(email="nora@partner.example", operator=True)
        SocialAccount.objects.create(
            user=operator, provider=str(mapped.pk), uid=NORA["oid"]
        )
        client = Client()

        page = sign_in(client, entra)

        assert page.status_code == 403
        assert who(client) is None

    def test_the_operators_have_no_button_to_connect(
        self, mapped, entra, client_of, iris
    ):
        answer = client_of(iris).post(
            "/accounts/company/connect/", {"tenant": str(mapped.pk)}
        )

        assert answer.url == "/ops/"

    def test_somebody_of_two_companies_is_not_one_directorys_to_sign_in(
        self, mapped, entra, sam
    ):
        # The other company's data would hang on this one's directory.
        client = Client()
        sign_in(client, entra)
        MembershipFactory(
            user=who(client), partner_account=sam.memberships.get().partner_account
        )

        fresh = Client()
        page = sign_in(fresh, entra)

        assert page.status_code == 403
        assert "several companies" in page.content.decode()
        assert who(fresh) is None

    def test_somebody_who_left_is_not_let_in_again(self, mapped, entra, greta):
        client = Client()
        sign_in(client, entra)
        deactivate_person(Membership.objects.get(user=who(client)), by=greta)

        assert client.get("/").status_code == 302
        page = sign_in(Client(), entra)

        assert page.status_code == 403
        assert "any more" in page.content.decode()

    def test_an_inactive_account_is_not_let_in(self, mapped, entra):
        sign_in(Client(), entra)
        User.objects.filter(email="nora@partner.example").update(is_active=False)
        client = Client()

        assert sign_in(client, entra).status_code == 403
        assert who(client) is None

    def test_an_old_password_opens_no_roles_of_the_directory(
        self, mapped, entra, local, client_of
    ):
        client = client_of(local)
        self.connected(client, entra, mapped)
        login = {"login": local.email, "password": PASSWORD}
        assert Client().post("/accounts/login/", login).url == "/"
        sign_in(client, entra)

        by_password = Client()
        answer = by_password.post("/accounts/login/", login)

        assert answer.url == SIGN_IN
        assert who(by_password) is None


class TestProofs(Connected):
    @pytest.fixture(autouse=True)
    def _policy(self, settings):
        settings.SECOND_FACTOR_REQUIRED = True

    def is_at_the_wall(self, client) -> bool:
        answer = client.get("/profiles/")
        return answer.status_code == 302 and "second-factor" in answer.url

    def test_without_a_word_of_a_second_factor_one_is_asked_for_here(
        self, mapped, entra
    ):
        client = Client()
        sign_in(client, entra)

        assert self.is_at_the_wall(client)

    @pytest.mark.parametrize("amr", [["pwd", "mfa"], ["mfa"]])
    def test_the_directorys_second_factor_counts(self, mapped, entra, amr):
        entra.add("nora", amr=amr)
        client = Client()
        sign_in(client, entra)

        assert not self.is_at_the_wall(client)

    @pytest.mark.parametrize("amr", [["pwd"], "mfa", ["MFA"], [["mfa"]]])
    def test_nothing_else_counts_as_one(self, mapped, entra, amr):
        entra.add("nora", amr=amr)
        client = Client()
        sign_in(client, entra)

        assert self.is_at_the_wall(client)

    def test_an_authentication_context_counts_where_the_operator_says_so(
        self, mapped, entra
    ):
        entra.add("nora", acrs=["c1"])
        client = Client()
        sign_in(client, entra)
        assert self.is_at_the_wall(client)

        CompanyTenant.objects.update(mfa_context="c1")
        sign_in(client, entra)

        assert not self.is_at_the_wall(client)
        assert '"value": "c1"' in entra.asked()["claims"]

    def test_whoever_has_a_second_factor_here_is_asked_for_it(self, mapped, entra):
        client = Client()
        sign_in(client, entra)
        nora = who(client)
        give_app(nora)

        fresh = Client()
        assert sign_in(fresh, entra).url == "/accounts/login/second-step/"
        assert who(fresh) is None

        entra.add("nora", amr=["mfa"])
        asserted = Client()
        sign_in(asserted, entra)
        assert who(asserted) == nora

    @pytest.mark.parametrize("amr", [["mfa"], ["pwd"]])
    def test_the_session_is_listed_and_a_new_browser_is_told(self, mapped, entra, amr):
        entra.add("nora", amr=amr)
        sign_in(Client(), entra)
        client = Client()

        sign_in(client, entra)

        assert client.session.session_key in UserSession.objects.values_list(
            "session_key", flat=True
        )
        assert OutgoingEmail.objects.filter(name="new_sign_in").count() == 1

    def session_is_fresh(self, client) -> bool:
        answer = client.get("/profiles/bank/new/")
        return answer.status_code == 200

    def test_a_sign_in_is_fresh_when_the_directory_asked_just_now(self, mapped, entra):
        entra.add("nora", amr=["mfa"], auth_time=int(time.time()) - 5)
        client = Client()
        sign_in(client, entra)

        assert self.session_is_fresh(client)

    @pytest.mark.parametrize("ago", [3600, None])
    def test_a_directory_that_knew_the_browser_proves_nothing_new(
        self, mapped, entra, ago
    ):
        said = None if ago is None else int(time.time()) - ago
        entra.add("nora", amr=["mfa"], auth_time=0 if said is None else said)
        client = Client()
        sign_in(client, entra)

        assert not self.session_is_fresh(client)

    def test_one_proves_oneself_anew_there(self, mapped, entra):
        entra.add("nora", amr=["mfa"], auth_time=int(time.time()) - 3600)
        client = Client()
        sign_in(client, entra)
        asked = client.get("/profiles/bank/new/")
        assert urlsplit(asked.url).path == "/account/sign-in-again/"
        assert "Sign in again with Microsoft" in client.get(asked.url).content.decode()

        entra.add("nora", auth_time=int(time.time()))
        client.post("/accounts/company/prove/", {"next": "/profiles/bank/new/"})
        back = client.get(entra.answer(asked_at(client.get(GO)), "nora"))

        assert entra.asked()["prompt"] == "login"
        assert entra.asked()["max_age"] == "0"
        assert back.url == "/profiles/bank/new/"
        assert self.session_is_fresh(client)

    def test_after_a_pause_the_directory_proves_who_is_there(
        self, mapped, entra, settings
    ):
        entra.add("nora", amr=["mfa"])
        client = Client()
        sign_in(client, entra)
        session = client.session
        session["seen_at"] = time.time() - settings.SESSION_LONGEST_PAUSE - 60
        for record in session["account_authentication_methods"]:
            record["proved_at"] = 0
        session.save()
        asked = client.get("/incentives/")
        assert urlsplit(asked.url).path == "/account/sign-in-again/"

        client.post("/accounts/company/prove/", {"next": "/incentives/"})
        back = client.get(entra.answer(asked_at(client.get(GO)), "nora"))

        assert back.url == "/incentives/"
        assert client.get("/incentives/").status_code == 200

    def test_what_was_typed_before_the_proof_is_sent_on_after_it(
        self, mapped, entra, nordvik, iris
    ):
        map_global_admin(mapped, by=iris)
        entra.add("nora", amr=["mfa"], auth_time=0, roles=["Global"])
        client = Client()
        sign_in(client, entra)
        page = "/people/provisioning/"
        asked = client.post(
            f"{page}tokens/",
            {"name": "Entra ID"},
            headers={"Referer": f"http://testserver{page}"},
        )
        assert urlsplit(asked.url).path == "/account/sign-in-again/", asked.url
        target = parse_qs(urlsplit(asked.url).query)["next"][0]

        entra.add("nora", auth_time=int(time.time()))
        client.post("/accounts/company/prove/", {"next": target})
        client.get(entra.answer(asked_at(client.get(GO)), "nora"))

        assert [one.name for one in nordvik.provisioning_tokens.all()] == ["Entra ID"]

    def test_a_directory_that_does_not_say_when_it_asked_is_told_on_a_page(
        self, mapped, entra
    ):
        entra.add("nora", amr=["mfa"], auth_time=0)
        client = Client()
        sign_in(client, entra)
        client.post("/accounts/company/prove/", {"next": "/"})

        page = client.get(entra.answer(asked_at(client.get(GO)), "nora"))

        assert page.status_code == 403
        assert "auth_time" in page.content.decode()
        assert not self.session_is_fresh(client)

    def test_without_that_moment_a_password_of_the_portal_is_the_way_out(
        self, mapped, entra
    ):
        entra.add("nora", auth_time=0)
        client = Client()
        sign_in(client, entra)
        set_password(who(client), PASSWORD, by=None)
        sign_in(client, entra)

        asked = client.get("/accounts/passkeys/add/")
        target = parse_qs(urlsplit(asked.url).query)["next"][0]
        done = client.post(
            "/accounts/reauthenticate/", {"password": PASSWORD, "next": target}
        )

        assert urlsplit(asked.url).path == "/accounts/reauthenticate/"
        assert done.url == "/accounts/passkeys/add/"
        assert client.get(done.url).status_code == 200

    def test_somebody_elses_proof_counts_for_nothing(self, mapped, entra):
        client = Client()
        sign_in(client, entra)
        client.post("/accounts/company/prove/", {"next": "/"})

        page = client.get(entra.answer(asked_at(client.get(GO)), "omar"))

        assert page.status_code == 403
        assert "another person" in page.content.decode()
        assert who(client).email == "nora@partner.example"


class TestRegistering:
    FACTS = {
        "tenant_id": TENANT,
        "client_id": CLIENT,
        "client_secret": "s3cret",
        "domains": ["partner.example"],
    }

    def test_the_secret_lies_sealed(self, nordvik, iris):
        tenant = register_tenant(nordvik, **self.FACTS, by=iris)

        (stored,) = CompanyTenant.objects.values_list("client_secret", flat=True)
        assert "s3cret" not in stored.token
        assert CompanyTenant.objects.get(pk=tenant.pk).client_secret == "s3cret"
        event = AuditEvent.objects.get(action=AuditAction.TENANT_REGISTERED)
        assert "s3cret" not in str(event.after)
        assert event.after["tenant"] == TENANT

    def test_the_public_cloud_is_meant_when_nothing_is_said(self, nordvik, iris):
        tenant = register_tenant(nordvik, **self.FACTS, by=iris)

        assert tenant.issuer == f"https://login.microsoftonline.com/{TENANT}/v2.0"

    @pytest.mark.parametrize(
        "changes",
        [
            {"domains": ["stranger.example"]},
            {"domains": []},
            {"issuer": "https://login.microsoftonline.com/common/v2.0"},
            {"client_secret": ""},
            {"mfa_context": "mfa"},
            {"tenant_id": "common"},
        ],
    )
    def test_what_would_let_strangers_in_is_refused(self, nordvik, iris, changes):
        with pytest.raises(ValidationError):
            register_tenant(nordvik, **self.FACTS | changes, by=iris)

        assert not CompanyTenant.objects.exists()

    def test_a_tenant_and_a_domain_belong_to_one_company(self, nordvik, sam, iris):
        register_tenant(nordvik, **self.FACTS, by=iris)
        other = sam.memberships.get().partner_account
        other.email_domains = ["partner.example"]
        other.save()

        for changes in ({}, {"tenant_id": str(uuid.uuid4())}):
            with pytest.raises(ValidationError):
                register_tenant(other, **self.FACTS | changes, by=iris)

    @pytest.mark.parametrize("person", ["greta", "oscar", "mina"])
    def test_only_those_who_manage_sign_ins_do_it(self, request, nordvik, person):
        by = request.getfixturevalue(person)

        with pytest.raises(ValidationError, match="Only operators"):
            register_tenant(nordvik, **self.FACTS, by=by)

    def test_another_server_does_not_inherit_whom_people_connected(
        self, nordvik, lars, iris
    ):
        # T17: else one operator could sign in as anybody of the company.
        tenant = register_tenant(nordvik, **self.FACTS, by=iris)
        facts = {"client_id": CLIENT, "domains": ["partner.example"], "by": iris}
        elsewhere = "https://login.elsewhere.example"
        change_tenant(tenant, **facts, issuer=f"{elsewhere}/typed-wrongly")
        change_tenant(tenant, **facts, issuer=elsewhere)
        connect_sign_in(
            tenant,
            Identity(
                oid=NORA["oid"], full_name="", addresses=(), app_roles=frozenset()
            ),
            by=lars,
        )

        with pytest.raises(ValidationError, match="through this issuer already"):
            change_tenant(tenant, **facts, issuer="")

        tenant.refresh_from_db()
        assert tenant.issuer == elsewhere
        change_tenant(tenant, **facts, issuer=elsewhere, mfa_context="c1")

    def test_a_role_is_mapped_at_places_of_the_company_only(self, tenant, iris):
        with pytest.raises(ValidationError):
            map_app_role(
                tenant,
                app_role="A",
                role=Role.INCENTIVES_ADMIN,
                location=LocationFactory(),
                by=iris,
            )

    def test_mapping_twice_changes_nothing(self, mapped, goteborg, iris):
        map_app_role(
            mapped,
            app_role="Incentives.Admin",
            role=Role.INCENTIVES_ADMIN,
            location=goteborg,
            by=iris,
        )

        assert events(AuditAction.APP_ROLE_MAPPED) == 2


class TestAtOnce:
    """Two sign-ins at the same moment wait for each other at the company's row."""

    @pytest.fixture
    def entra(self):
        """A provider that nobody asks."""
        return Entra("http://localhost:9")

    def identity(self, claims, *roles) -> Identity:
        return Identity(
            oid=claims["oid"],
            full_name=claims["name"],
            addresses=(claims["preferred_username"],),
            app_roles=frozenset(roles),
        )

    @pytest.mark.django_db(transaction=True)
    def test_somebody_new_is_added_once(self, mapped):
        nora = self.identity(NORA, "Incentives.Admin")

        outcomes = at_once(*[lambda: sign_in_by_tenant(mapped, nora)] * 3)

        assert len({one.pk for one in outcomes}) == 1
        assert SocialAccount.objects.count() == 1
        assert held(outcomes[0]) == {ENROLLS_IN_GOTEBORG}

    @pytest.mark.django_db(transaction=True)
    def test_the_last_two_global_admins_do_not_leave_together(
        self, mapped, greta, iris
    ):
        map_global_admin(mapped, by=iris)
        nora, omar = (
            sign_in_by_tenant(mapped, self.identity(claims, "Global"))
            for claims in (NORA, OMAR)
        )
        revoke_role(
            RoleAssignment.objects.get(user=greta, role=Role.GLOBAL_ADMIN), by=nora
        )

        outcomes = at_once(
            lambda: sign_in_by_tenant(mapped, self.identity(NORA)),
            lambda: sign_in_by_tenant(mapped, self.identity(OMAR)),
        )

        assert {one.pk for one in outcomes} == {nora.pk, omar.pk}
        left = RoleAssignment.objects.live().filter(role=Role.GLOBAL_ADMIN)
        assert left.count() == 1


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_browser_finds_the_whole_way_and_our_policy_lets_it(
    live_server, mapped, entra, chromium, settings, scripts
):
    # form-action stays 'self': the way out is a page, not the form's own redirect.
    settings.PUBLIC_BASE_URL = live_server.url
    context = chromium.new_context(java_script_enabled=scripts, reduced_motion="reduce")
    page = context.new_page()
    refused = []
    page.on(
        "console",
        lambda said: refused.append(said.text) if said.type == "error" else None,
    )
    page.goto(f"{live_server.url}/accounts/login/")
    page.get_by_role("link", name="Sign in with Microsoft").click()
    page.get_by_label("E-mail address at work").fill("nora@partner.example")
    page.get_by_role("button", name="Continue to Microsoft").click()
    page.wait_for_url(f"{entra.url}/**")
    page.locator("input[name=sub]").fill("nora")
    page.locator("input[name=sub]").press("Enter")
    page.wait_for_url(f"{live_server.url}/")

    expect(page.get_by_role("heading", level=1)).to_contain_text("Nora")
    assert not [text for text in refused if "Content Security Policy" in text]
    context.close()
