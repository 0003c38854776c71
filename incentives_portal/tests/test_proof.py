"""More than a password: the wall before what matters, and the fresh proof (T1, T7)."""

import json
import time
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.conf import settings as portal_settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from accounts import access, proof
from accounts.models import RoleAssignment
from accounts.roles import GUARDED, Role, roles_with_any
from accounts.tests.cases import tried
from accounts.tests.factories import PASSWORD, RoleAssignmentFactory, UserFactory
from accounts.tests.second_factors import code_of, give_app, prove, secret_on
from accounts.tests.shared_rows import shared
from enrollment.tests.factories import EnrollmentFactory
from profiles.models import BankProfileDraft
from profiles.services import signature_of
from profiles.tests.factories import BANK_DETAILS, BankProfileFactory

pytestmark = [pytest.mark.django_db, pytest.mark.own_rows]

WALL = "/account/second-factor/"
LOGIN = "/accounts/login/"
BY_PASSWORD = "/accounts/reauthenticate/"
BY_CODE = "/accounts/reauthenticate/code/"
BY_PASSKEY = "/accounts/reauthenticate/passkey/"
NEW_BANK = "/profiles/bank/new/?country=SE"
BANK = {"name": "Nordvik SEK", "country": "SE", **BANK_DETAILS}
ADD_ROLE = reverse("admin:accounts_roleassignment_add")
START = 1_800_000_000


@pytest.fixture
def policy(settings):
    settings.SECOND_FACTOR_REQUIRED = True


@pytest.fixture
def clock():
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


def next_of(response) -> str:
    return parse_qs(urlsplit(response.url).query)["next"][0]


def is_wall(response) -> bool:
    return response.status_code == 302 and urlsplit(response.url).path == WALL


# --- The wall --------------------------------------------------------------------------

# What each of them reaches without more than a password: their own things.
BEHIND = {
    "greta": ("/people/", "/people/assign/", "/people/gaps/", "/admin/", ADD_ROLE),
    "alice": ("/people/", "/people/assign/", "/activity/", "/activity/export/"),
    "ida": ("/incentives/", "/profiles/", NEW_BANK, "/profiles/defaults/"),
    "oscar": ("/ops/", "/ops/validation/", "/ops/mail/", "/admin/"),
    "mina": ("/ops/", "/ops/invitations/", "/admin/"),
}
IN_FRONT = {
    "greta": ("/", "/notifications/", "/account/", "/accounts/password/change/"),
    # Of the company's activity, their own part.
    "ida": ("/", "/account/", "/accounts/app/add/", "/activity/"),
    "uma": ("/", "/incentives/", "/account/"),
    "lars": ("/", "/account/"),
    "oscar": ("/account/", "/accounts/passkeys/add/"),
}


def test_the_wall_stands_before_what_matters(policy, cast, client_of):
    for name, path in [(name, path) for name, all_ in BEHIND.items() for path in all_]:
        with tried(name, path):
            client = client_of(getattr(cast, name))

            response = client.get(path)

            assert is_wall(response), response.status_code
            assert next_of(response) == path
            assert "second factor" in client.get(response.url).content.decode()


def test_the_wall_does_not_stand_elsewhere(policy, cast, client_of):
    for name, path in [
        (name, path) for name, all_ in IN_FRONT.items() for path in all_
    ]:
        with tried(name, path):
            assert client_of(getattr(cast, name)).get(path).status_code == 200


def test_in_the_demo_a_banner_stands_there_instead(cast, client_of):
    # The control of the wall: without the setting the same pages open.
    for name, path in [(name, path) for name, all_ in BEHIND.items() for path in all_]:
        with tried(name, path):
            assert portal_settings.SECOND_FACTOR_REQUIRED is False

            response = client_of(getattr(cast, name)).get(path)

            assert response.status_code == 200


def test_the_banner_says_where_a_second_factor_would_be_asked_for(
    cast, client_of, goteborg
):
    banner = "Outside the demo, this page asks for a second factor."

    ida, uma = client_of(cast.ida), client_of(cast.uma)

    assert banner in ida.get("/profiles/").content.decode()
    assert banner in client_of(cast.oscar).get("/ops/").content.decode()
    assert banner not in uma.get("/incentives/").content.decode()
    assert banner not in uma.get(goteborg.get_absolute_url()).content.decode()
    prove(ida, cast.ida)
    assert banner not in ida.get("/profiles/").content.decode()


def test_posting_past_the_wall_changes_nothing(policy, client_of, ida, goteborg):
    response = client_of(ida).post(NEW_BANK, BANK)

    assert is_wall(response)
    assert not BankProfileDraft.objects.exists()


def test_a_post_comes_back_to_the_page_it_was_pressed_on(policy, client_of, ida):
    client = client_of(ida)
    own = "http://testserver/profiles/?company=1"

    assert next_of(client.post(NEW_BANK, BANK, HTTP_REFERER=own)) == (
        "/profiles/?company=1"
    )
    for foreign in ("https://elsewhere.example/x", "http://testserver//evil", ""):
        assert next_of(client.post(NEW_BANK, BANK, HTTP_REFERER=foreign)) == "/"


def test_the_wall_follows_the_roles_at_once(policy, client_of, uma, nordvik):
    client = client_of(uma)
    assert client.get("/incentives/").status_code == 200

    role = RoleAssignmentFactory(
        user=uma, role=Role.INCENTIVES_ADMIN, partner_account=nordvik
    )
    assert is_wall(client.get("/incentives/"))
    RoleAssignment.objects.filter(pk=role.pk).update(ends_on="2020-01-01")

    assert client.get("/incentives/").status_code == 200


def test_who_needs_one_is_read_from_the_permissions():
    assert roles_with_any(GUARDED) == {
        Role.GLOBAL_ADMIN,
        Role.ACCOUNT_ADMIN,
        Role.USER_ADMIN,
        Role.INCENTIVES_ADMIN,
    }


def test_what_does_not_exist_stays_hidden_before_the_wall(policy, client_of, ida, sam):
    foreign = BankProfileFactory(
        partner_account=sam.role_assignments.get().partner_account, created_by=sam
    )

    assert client_of(ida).get(foreign.get_absolute_url()).status_code == 404
    assert client_of(ida).get("/ops/").status_code == 404
    assert client_of(ida).get("/people/").status_code == 403


def test_setting_up_a_factor_leads_back_to_what_was_asked_for(policy, client_of, ida):
    client = client_of(ida)
    wall = client.get(client.get("/profiles/defaults/").url)
    assert "/accounts/app/add/" in wall.content.decode()

    secret = secret_on(client.get("/accounts/app/add/"))
    codes = client.post("/accounts/app/add/", {"code": code_of(secret)})
    assert client.get(codes.url).status_code == 200
    back = client.get("/accounts/")

    assert back.url == "/profiles/defaults/"
    assert client.get(back.url).status_code == 200
    assert client.get("/accounts/").url == "/account/"


def test_a_factor_added_elsewhere_proves_nothing_here(policy, client_of, ida):
    # Somebody who only knows the password was signed in before the factor came.
    thief = client_of(ida)
    give_app(ida)

    response = thief.get("/profiles/")

    assert is_wall(response)
    page = thief.get(response.url).content.decode()
    assert BY_CODE in page
    assert "/accounts/app/add/" not in page
    done = thief.post(BY_CODE, {"code": code_of(), "next": "/profiles/"})
    assert done.url == "/profiles/"
    assert thief.get("/profiles/").status_code == 200


def test_signing_in_with_the_second_step_passes_the_wall(policy, ida):
    give_app(ida)
    client = Client()
    client.post(LOGIN, {"login": ida.email, "password": PASSWORD})
    client.post("/accounts/login/second-step/", {"code": code_of()})

    assert client.get("/profiles/").status_code == 200


@pytest.mark.parametrize(
    ("method", "said", "passes"),
    [
        ("mfa", {}, True),
        ("socialaccount", {"has_second_factor": True}, True),
        ("socialaccount", {"has_second_factor": False}, False),
        ("socialaccount", {}, False),
        ("password", {}, False),
    ],
)
def test_what_counts_as_a_second_factor(policy, client_of, ida, method, said, passes):
    client = client_of(ida)
    prove(client, ida, method, **said)

    response = client.get("/profiles/")

    assert is_wall(response) is not passes


def test_a_proof_of_somebody_else_counts_for_nothing(policy, client_of, ida, lars):
    client = client_of(ida)
    prove(client, lars)

    assert is_wall(client.get("/profiles/"))


def test_the_wall_leads_to_paths_of_this_site_only(policy, client_of, ida):
    client = client_of(ida)
    prove(client, ida)

    for target in ("https://elsewhere.example/", "//elsewhere.example", "x"):
        assert client.get(WALL, {"next": target}).url == "/"


def test_the_admins_login_leads_to_the_portals_sign_in(policy, oscar):
    assert Client().get("/admin/login/").url == f"{LOGIN}?next=/admin/"
    client = Client()
    give_app(oscar)

    response = client.post("/admin/login/", {"username": oscar.email})
    step = client.post(
        f"{LOGIN}?next=/admin/", {"login": oscar.email, "password": PASSWORD}
    )

    assert urlsplit(response.url).path == LOGIN
    assert step.url == "/accounts/login/second-step/"
    assert urlsplit(client.get("/admin/").url).path == "/admin/login/"


# --- The fresh proof ---------------------------------------------------------------------

FRESH = timedelta(minutes=9, seconds=59)
STALE = timedelta(minutes=10, seconds=1)


@shared
def waiting(nordvik, ida):
    BankProfileFactory(partner_account=nordvik)
    profile = BankProfileFactory(
        partner_account=nordvik, created_by=ida, version__pending=True
    )
    return profile.versions.get()


def confirmed(client, response, **data):
    """Prove it with the password where the portal asks for it."""
    assert urlsplit(response.url).path == BY_PASSWORD
    return client.post(
        BY_PASSWORD, {"password": PASSWORD, "next": next_of(response), **data}
    )


@pytest.mark.parametrize(
    "path", ["/profiles/bank/new/", NEW_BANK, "/profiles/defaults/"]
)
def test_changing_bank_data_asks_for_a_fresh_proof(clock, client_of, ida, path):
    client = client_of(ida)
    clock.shift(FRESH)
    assert client.get(path).status_code == 200

    clock.move_to(START + STALE.total_seconds())
    response = client.get(path)

    assert urlsplit(response.url).path == BY_PASSWORD
    assert next_of(response) == path
    done = confirmed(client, response)
    assert done.url == path
    assert client.get(path).status_code == 200


def test_choosing_another_account_asks_and_keeps_the_choice(
    clock, client_of, ida, nordvik, goteborg
):
    # An account that is there already is where money goes too: for an enrollment, and
    # as what a location's next ones start with.
    other = BankProfileFactory(partner_account=nordvik)
    enrollment = EnrollmentFactory(location=goteborg, accepted=True, accepted_by=ida)
    chosen = {
        reverse("enrollment:choose_bank", args=[enrollment.pk]): {
            "bank_profile": other.pk
        },
        reverse("profiles:defaults"): {
            "locations": [goteborg.pk],
            "bank_profile": other.pk,
            "currency": "SEK",
        },
    }
    client = client_of(ida)
    for page, typed in chosen.items():
        clock.shift(STALE)

        asked = client.post(page, typed, HTTP_REFERER=f"http://testserver{page}")
        assert next_of(asked) == page
        assert not other.payout_assignments.exists() or page == "/profiles/defaults/"
        assert not other.defaults.exists()
        confirmed(client, asked)

    assert other.payout_assignments.get().enrollment == enrollment
    assert other.defaults.get().location == goteborg


def test_looking_at_bank_data_asks_for_none(clock, client_of, ida, waiting):
    client = client_of(ida)
    clock.shift(STALE)

    assert client.get("/profiles/").status_code == 200
    assert client.get(waiting.profile.get_absolute_url()).status_code == 200


def test_every_proof_counts_for_ten_minutes(clock, client_of, ida):
    client = client_of(ida)
    clock.shift(STALE)
    confirmed(client, client.get(NEW_BANK))

    clock.shift(FRESH)
    assert client.get(NEW_BANK).status_code == 200
    clock.shift(timedelta(seconds=2))
    assert client.get(NEW_BANK).status_code == 302


def test_signing_in_by_password_counts_as_a_proof(clock, ida):
    client = Client()
    client.post(LOGIN, {"login": ida.email, "password": PASSWORD})
    clock.shift(FRESH)
    assert client.get(NEW_BANK).status_code == 200
    clock.shift(timedelta(seconds=2))

    assert client.get(NEW_BANK).status_code == 302


def test_a_wrong_password_proves_nothing(clock, client_of, ida):
    client = client_of(ida)
    clock.shift(STALE)

    refused = client.post(BY_PASSWORD, {"password": "wrong", "next": NEW_BANK})

    assert refused.status_code == 200
    assert client.get(NEW_BANK).status_code == 302


def test_what_was_typed_is_sent_on_after_the_proof(clock, client_of, ida):
    client = client_of(ida)
    assert client.get(NEW_BANK).status_code == 200
    clock.shift(STALE)

    asked = client.post(NEW_BANK, BANK, HTTP_REFERER=f"http://testserver{NEW_BANK}")
    assert not BankProfileDraft.objects.exists()
    page = client.get(asked.url).content.decode()
    assert "What you filled in is not lost." in page
    done = confirmed(client, asked)

    assert BankProfileDraft.objects.get().name == BANK["name"]
    assert done.url == "/profiles/bank/new/account/"
    # The next step sends on a number.
    clock.shift(STALE)
    asked = client.post(done.url, BANK, HTTP_REFERER=f"http://testserver{done.url}")
    assert not BankProfileDraft.objects.get().details
    confirmed(client, asked)
    assert BankProfileDraft.objects.get().details["iban"] == BANK["iban"]


def test_what_is_refused_then_is_shown_again_as_typed(clock, client_of, ida):
    client = client_of(ida)
    clock.shift(STALE)
    typed = BANK | {"name": "SE00 0000 0000 0000 0000 0001"}
    asked = client.post(NEW_BANK, typed, HTTP_REFERER=f"http://testserver{NEW_BANK}")

    back = confirmed(client, asked)
    page = client.get(back.url)

    assert back.url == NEW_BANK
    assert page.status_code == 422
    assert "SE00 0000 0000 0000 0000 0001" in page.content.decode()
    assert page.request["PATH_INFO"] == "/profiles/bank/new/"
    assert not BankProfileDraft.objects.exists()
    # Shown once: the page itself is what it was before.
    assert client.get(back.url).status_code == 200


@pytest.mark.parametrize("waited", [timedelta(), timedelta(minutes=10)])
def test_what_was_refused_is_shown_on_its_own_page_or_not_at_all(
    clock, client_of, ida, waited
):
    client = client_of(ida)
    clock.shift(STALE)
    typed = BANK | {"iban": "SE00 0000 0000 0000 0000 0001"}
    asked = client.post(NEW_BANK, typed, HTTP_REFERER=f"http://testserver{NEW_BANK}")
    confirmed(client, asked)
    clock.shift(waited)

    elsewhere = client.get("/profiles/")
    page = client.get(NEW_BANK)

    assert elsewhere.status_code == 200
    assert elsewhere.wsgi_request.method == "GET"
    assert "SE00 0000" not in page.content.decode()


def test_what_waits_is_sealed(clock, client_of, ida):
    client = client_of(ida)
    clock.shift(STALE)
    client.post(NEW_BANK, BANK)

    kept = json.dumps(Session.objects.get(pk=client.session.session_key).get_decoded())

    assert "v1:k1:" in kept
    assert BANK["iban"] not in kept
    assert BANK["account_holder"] not in kept


def test_what_waits_is_sent_on_for_its_own_page_only(clock, client_of, ida):
    client = client_of(ida)
    clock.shift(STALE)
    for target, page in (
        ("/profiles/defaults/", "/profiles/defaults/"),
        ("https://elsewhere.example/", "/"),
        ("", "/"),
        (None, "/"),
    ):
        client.post(NEW_BANK, BANK, HTTP_REFERER=f"http://testserver{NEW_BANK}")
        asked = {} if target is None else {"next": target}
        done = client.post(BY_PASSWORD, {"password": PASSWORD, **asked})
        assert done.url == page
        clock.shift(STALE)

    assert not BankProfileDraft.objects.exists()


def test_what_waited_too_long_is_not_sent_on(clock, client_of, ida):
    client = client_of(ida)
    clock.shift(STALE)
    asked = client.post(NEW_BANK, BANK, HTTP_REFERER=f"http://testserver{NEW_BANK}")
    clock.shift(timedelta(minutes=10))

    done = confirmed(client, asked)

    assert done.url == NEW_BANK
    assert not BankProfileDraft.objects.exists()


def test_asking_for_another_page_forgets_what_waited(clock, client_of, ida):
    client = client_of(ida)
    clock.shift(STALE)
    client.post(NEW_BANK, BANK, HTTP_REFERER=f"http://testserver{NEW_BANK}")

    confirmed(client, client.get(NEW_BANK))

    assert not BankProfileDraft.objects.exists()


def test_a_right_lost_meanwhile_is_not_used(clock, client_of, ida):
    client = client_of(ida)
    clock.shift(STALE)
    asked = client.post(NEW_BANK, BANK, HTTP_REFERER=f"http://testserver{NEW_BANK}")
    RoleAssignment.objects.filter(user=ida).update(ends_on="2020-01-01")

    response = confirmed(client, asked)

    assert response.status_code == 403
    assert not BankProfileDraft.objects.exists()


def test_approving_asks_for_a_fresh_proof_and_goes_on(clock, client_of, oscar, waiting):
    client = client_of(oscar)
    page = reverse("ops:bank_version", kwargs={"pk": waiting.pk})
    approve = reverse("ops:approve_bank", kwargs={"pk": waiting.pk})
    clock.shift(STALE)
    assert client.get(page).status_code == 200

    seen = {"seen": signature_of(waiting)}
    asked = client.post(approve, seen, HTTP_REFERER=f"http://testserver{page}")
    waiting.refresh_from_db()
    assert not waiting.is_approved
    assert next_of(asked) == page
    done = confirmed(client, asked)

    waiting.refresh_from_db()
    assert waiting.is_approved
    assert done.url == "/ops/validation/"


def test_giving_the_role_global_admin_asks_for_a_fresh_proof(
    clock, client_of, greta, lars, nordvik
):
    client = client_of(greta)
    clock.shift(STALE)
    given = {
        "partner_account": nordvik.pk,
        "user": lars.pk,
        "role": Role.GLOBAL_ADMIN,
        "location": "",
        "program": "",
        "ends_on": "",
    }

    assert next_of(client.get(ADD_ROLE)) == ADD_ROLE
    asked = client.post(ADD_ROLE, given, HTTP_REFERER=f"http://testserver{ADD_ROLE}")
    assert not lars.role_assignments.exists()
    done = confirmed(client, asked)

    assert done.status_code == 302
    assert lars.role_assignments.get().role == Role.GLOBAL_ADMIN


def test_without_the_decorator_nothing_would_be_asked(
    clock, client_of, ida, monkeypatch
):
    # The control: what asks is the age of the last proof.
    client = client_of(ida)
    clock.shift(STALE)
    assert client.get(NEW_BANK).status_code == 302

    monkeypatch.setattr(proof, "is_fresh", lambda request: True)

    assert client.get(NEW_BANK).status_code == 200


def test_who_has_a_second_factor_proves_it_with_that(clock, client_of, ida):
    give_app(ida)
    client = client_of(ida)
    clock.shift(STALE)

    asked = client.get(NEW_BANK)

    assert urlsplit(asked.url).path == BY_CODE
    by_password = client.post(BY_PASSWORD, {"password": PASSWORD, "next": NEW_BANK})
    assert urlsplit(by_password.url).path == BY_CODE
    assert client.get(NEW_BANK).status_code == 302
    assert client.post(BY_CODE, {"code": code_of(), "next": NEW_BANK}).url == NEW_BANK
    assert client.get(NEW_BANK).status_code == 200


def test_a_passkey_is_asked_for_before_a_code(clock, client_of, ida):
    give_app(ida)
    ida.authenticator_set.create(type="webauthn", data={"name": "Key"})

    assert access.confirmation_methods(ida) == [BY_PASSKEY, BY_CODE]


def test_who_signs_in_elsewhere_only_is_asked_to_do_so_again(clock, client_of, ida):
    ida.set_unusable_password()
    ida.save()
    client = client_of(ida)
    prove(client, ida, "socialaccount")
    clock.shift(STALE)

    asked = client.get(NEW_BANK)
    page = client.get(asked.url)

    assert urlsplit(asked.url).path == "/account/sign-in-again/"
    assert "sign in there again" in page.content.decode()


def test_a_proof_changes_the_sessions_key_and_the_old_one_is_dead(
    clock, client_of, ida
):
    # ASVS 7.2.4
    client = client_of(ida)
    before = client.session.session_key
    clock.shift(STALE)

    confirmed(client, client.get(NEW_BANK))

    assert client.session.session_key != before
    thief = Client()
    thief.cookies[portal_settings.SESSION_COOKIE_NAME] = before
    assert thief.get("/").url.startswith(LOGIN)


def test_adding_a_factor_asks_for_a_fresh_proof(clock, client_of, ida):
    # Else a session that somebody left open could be taken over for good.
    client = client_of(ida)
    clock.shift(STALE)

    for path in ("app/add/", "passkeys/add/", "password/set/"):
        assert next_of(client.get(f"/accounts/{path}")) == f"/accounts/{path}"


def test_the_moment_of_a_proof_is_the_servers(client_of):
    ida = UserFactory()
    client = client_of(ida)

    assert time.time() - client.session["signed_in_at"] < 60


# --- With a second factor, where there is one --------------------------------------------

CHANGES_OF_SIGN_IN = (
    "/accounts/passkeys/add/",
    "/accounts/codes/make/",
    "/accounts/app/remove/",
    "/accounts/company/connect/",
)


@pytest.mark.parametrize("path", CHANGES_OF_SIGN_IN)
def test_a_session_that_saw_only_a_password_changes_no_sign_in(client_of, ida, path):
    # It began a minute ago; the person added an app in another one since then.
    client = client_of(ida)
    give_app(ida)

    asked = client.post(path)
    prove(client, ida)
    after = client.post(path)

    assert urlsplit(asked.url).path == BY_CODE
    assert after.status_code != 302 or urlsplit(after.url).path != BY_CODE


@pytest.mark.parametrize("has_factor", [True, False])
@pytest.mark.parametrize(
    ("method", "said", "is_enough"),
    [
        ("password", {"reauthenticated": True}, False),
        ("socialaccount", {"proved_at": START, "has_second_factor": False}, False),
        ("socialaccount", {"proved_at": START, "has_second_factor": True}, True),
        ("mfa", {}, True),
    ],
)
def test_a_proof_is_of_the_second_factor_where_there_is_one(
    clock, client_of, ida, method, said, is_enough, has_factor
):
    client = client_of(ida)
    clock.shift(timedelta(minutes=11))
    if has_factor:
        give_app(ida)
    said = {
        name: START + 660 if name == "proved_at" else one for name, one in said.items()
    }
    prove(client, ida, method, **said)

    response = client.get("/accounts/passkeys/add/")

    # The control: whoever has none proves it with what they have.
    assert (response.status_code == 200) is (is_enough or not has_factor)
