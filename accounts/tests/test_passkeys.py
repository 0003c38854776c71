"""Passkeys: alone, as the second step, as a proof; and every lie about them."""

import json
import re

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from accounts import outbox
from accounts.models import OutgoingEmail, User
from accounts.tests.cases import tried
from accounts.tests.factories import PASSWORD
from accounts.tests.passkeys import ORIGIN, PRESENT, SITE, Passkey
from accounts.tests.shared_rows import shared

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/login/"
ALONE = "/accounts/login/passkey/"
SECOND = "/accounts/login/second-step/"
PROVE = "/accounts/reauthenticate/passkey/"
ADD = "/accounts/passkeys/add/"
NO_MATCH = "That did not match."


@pytest.fixture(autouse=True)
def _at_a_name(settings, monkeypatch):
    """Passkeys are bound to a name, and the portal has one."""
    settings.PUBLIC_BASE_URL = ORIGIN
    monkeypatch.setattr(outbox.current_app, "send_task", lambda *_, **__: None)


@shared
def phone(ida):
    """A passkey that Ida has."""
    passkey = Passkey(ida)
    passkey.keep()
    return passkey


def challenge_of(client) -> str:
    """Ask to sign in with a passkey; return what it has to sign."""
    options = client.get(ALONE, HTTP_ACCEPT="application/json").json()
    return options["request_options"]["publicKey"]["challenge"]


def challenge_on(page) -> str:
    """What the passkey has to sign, as the page tells the browser."""
    return re.search(r"challenge&quot;: &quot;([^&]+)", page.content.decode())[1]


def send(client, answer, path: str = ALONE, **data):
    if not isinstance(answer, str):
        answer = json.dumps(answer)
    return client.post(path, {"credential": answer, **data})


def is_signed_in(client) -> bool:
    return "_auth_user_id" in client.session


def said(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


# --- Alone ----------------------------------------------------------------------------


def test_a_passkey_signs_in_alone(phone):
    client = Client()

    response = send(client, phone.signed(challenge_of(client)), next="/profiles/")

    assert response.url == "/profiles/"
    assert client.session["_auth_user_id"] == str(phone.user.pk)


def test_it_counts_as_the_second_factor(phone, settings):
    settings.SECOND_FACTOR_REQUIRED = True
    client = Client()

    send(client, phone.signed(challenge_of(client)))

    assert client.get("/profiles/").status_code == 200


def test_passwords_that_others_guess_keep_no_passkey_out(phone, settings):
    few = {"login_failed_anywhere": "6/10m/key", "login_failed_in_all": "6/5m/key"}
    settings.ACCOUNT_RATE_LIMITS = settings.ACCOUNT_RATE_LIMITS | few
    guess = {"login": phone.user.email, "password": "wrong"}
    for place in range(3):
        stranger = Client(REMOTE_ADDR=f"198.51.100.{place}")
        for _time in range(3):
            stranger.post(LOGIN, guess)
    refused = Client().post(LOGIN, guess | {"password": PASSWORD}).content.decode()
    assert "Too many failed attempts" in refused
    client = Client()

    send(client, phone.signed(challenge_of(client)))

    assert is_signed_in(client)


def test_it_asks_nobody_for_an_address(phone):
    # What is asked is the same for everybody: it names no key and no person.
    options = Client().get(ALONE, HTTP_ACCEPT="application/json").json()

    asked = options["request_options"]["publicKey"]
    assert asked.get("allowCredentials", []) == []
    assert asked["userVerification"] == "required"
    assert asked["rpId"] == SITE


def test_no_log_names_a_key(phone, caplog):
    caplog.set_level("INFO")
    client = Client()

    send(client, phone.signed(challenge_of(client)))

    assert is_signed_in(client)
    assert phone.id.hex() not in caplog.text


def test_the_library_would_name_it(phone, caplog):
    # The control.
    caplog.set_level("INFO")
    caplog.set_level("INFO", logger="fido2")
    client = Client()

    send(client, phone.signed(challenge_of(client)))

    assert phone.id.hex() in caplog.text


LIES = {
    "another site": lambda key, challenge: key.signed(
        challenge, origin="https://portal.example.evil"
    ),
    "without https": lambda key, challenge: key.signed(
        challenge, origin="http://portal.example"
    ),
    "another challenge": lambda key, challenge: key.signed("x" * len(challenge)),
    "nobody looked": lambda key, challenge: key.signed(challenge, flags=PRESENT),
    "nobody was there": lambda key, challenge: key.signed(challenge, flags=0),
    "a key of another site": lambda key, challenge: _at("evil.example", key).signed(
        challenge
    ),
    "another key": lambda key, challenge: _renamed(Passkey(key.user), key).signed(
        challenge
    ),
    "an unknown key": lambda key, challenge: Passkey(key.user).signed(challenge),
    "no signature": lambda key, challenge: _without_signature(key.signed(challenge)),
}


def _at(site, key):
    key.site = site
    return key


def _renamed(key, other):
    key.id = other.id
    return key


def _without_signature(answer):
    answer["response"]["signature"] = ""
    return answer


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_signs_nobody_in(phone, lie):
    client = Client()

    response = send(client, lie(phone, challenge_of(client)))

    assert response.url == LOGIN
    assert not is_signed_in(client)
    assert NO_MATCH in "".join(said(response))


def test_the_origin_is_what_refuses_another_site(phone, settings):
    # The control: where any origin is fine, the same answer signs in.
    settings.MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = True
    client = Client()

    send(client, LIES["another site"](phone, challenge_of(client)))

    assert is_signed_in(client)


def test_a_key_signs_for_its_owner_only(phone, lars):
    client = Client()

    send(client, phone.signed(challenge_of(client), owner=lars))

    assert not is_signed_in(client)


def test_what_was_signed_once_signs_in_once(phone):
    client = Client()
    answer = phone.signed(challenge_of(client))
    send(client, answer)
    assert is_signed_in(client)
    client.post("/accounts/logout/")

    send(client, answer)

    assert not is_signed_in(client)


def test_what_was_signed_elsewhere_is_nothing_here(phone):
    # Somebody who saw the answer of one browser cannot use it in another.
    answer = phone.signed(challenge_of(Client()))
    thief = Client()
    challenge_of(thief)

    send(thief, answer)

    assert not is_signed_in(thief)


def test_an_answer_nobody_asked_for_is_refused(phone):
    client = Client()

    send(client, phone.signed("any"))

    assert not is_signed_in(client)


def test_whose_account_is_closed_stays_out(phone):
    User.objects.filter(pk=phone.user.pk).update(is_active=False)
    client = Client()

    response = send(client, phone.signed(challenge_of(client)))

    assert response.url == LOGIN
    assert not is_signed_in(client)


def test_strangers_and_known_people_are_answered_alike(phone, lars):
    nobody = User(pk=987654321)
    answers = {}
    for name, owner in {"has one": phone.user, "none": lars, "nobody": nobody}.items():
        client = Client()
        unknown = Passkey(owner).signed(challenge_of(client))
        with CaptureQueriesContext(connection) as asked:
            response = send(client, unknown)
        answers[name] = (response.status_code, response.url, said(response), len(asked))

    assert answers["has one"] == answers["none"] == answers["nobody"]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"text"',
        "{}",
        '{"response": null}',
        '{"response": []}',
        '{"id": "x", "rawId": "x", "response": {"userHandle": "eA"}}',
    ],
)
def test_what_no_browser_sends_is_refused(phone, answer):
    client = Client()
    challenge_of(client)

    response = send(client, answer)

    assert response.url == LOGIN
    assert not is_signed_in(client)


@pytest.mark.parametrize("handle", ["", "!", "AA", "_w", "OTk" * 40, 7, None, [], {}])
def test_whatever_owner_is_named_it_is_no_error(phone, handle):
    client = Client()
    answer = phone.signed(challenge_of(client))
    answer["response"]["userHandle"] = handle

    response = send(client, answer)

    assert response.url == LOGIN
    assert not is_signed_in(client)


def test_whatever_part_is_strange_it_is_no_error(phone):
    for part in ("id", "rawId", "type", "response"):
        for value in (None, 7, "", "\x00", [], {}):
            with tried(part, value):
                client = Client()
                answer = phone.signed(challenge_of(client))
                answer[part] = value

                response = send(client, answer)

                assert response.status_code == 302


def test_after_a_refusal_one_still_gets_where_one_wanted(phone):
    client = Client()
    challenge_of(client)

    response = send(client, "{}", next="/profiles/")

    assert response.url == f"{LOGIN}?next=%2Fprofiles%2F"
    assert said(response) == ["No passkey was used. Try again, or use the other way."]


def test_a_refused_passkey_leads_nowhere_else(phone):
    client = Client()
    challenge_of(client)

    response = send(client, "{}", next="https://evil.example/")

    assert response.url == LOGIN


# --- The second step ----------------------------------------------------------------------


def with_password(user) -> Client:
    client = Client()
    response = client.post(LOGIN, {"login": user.email, "password": PASSWORD})
    assert response.url.startswith(SECOND)
    return client


def test_it_is_the_second_step_after_the_password(phone):
    client = with_password(phone.user)

    send(client, phone.signed(challenge_on(client.get(SECOND))), SECOND)

    assert is_signed_in(client)


def test_where_looking_is_not_asked_for_it_would_be_one(phone, settings):
    # The control of the next but one.
    settings.MFA_WEBAUTHN_USER_VERIFICATION = "preferred"
    client = with_password(phone.user)
    challenge = challenge_on(client.get(SECOND))

    send(client, phone.signed(challenge, flags=PRESENT), SECOND)

    assert is_signed_in(client)


def test_somebody_elses_is_no_second_step(phone, lars):
    other = Passkey(lars)
    other.keep()
    client = with_password(phone.user)

    response = send(client, other.signed(challenge_on(client.get(SECOND))), SECOND)

    assert not is_signed_in(client)
    assert NO_MATCH in client.get(response.url).content.decode()


def test_a_key_that_nobody_looked_at_is_no_second_step(phone):
    client = with_password(phone.user)
    challenge = challenge_on(client.get(SECOND))

    send(client, phone.signed(challenge, flags=PRESENT), SECOND)

    assert not is_signed_in(client)


# --- A proof ------------------------------------------------------------------------------


def test_it_proves_who_is_there(phone, client_of):
    client = client_of(phone.user)
    challenge = challenge_on(client.get(PROVE))

    response = send(client, phone.signed(challenge), PROVE, next="/profiles/bank/new/")

    assert response.url == "/profiles/bank/new/"


def test_a_failed_proof_can_be_tried_again_on_the_way(phone, client_of):
    client = client_of(phone.user)
    challenge = challenge_on(client.get(PROVE))

    response = send(
        client, Passkey(phone.user).signed(challenge), PROVE, next="/profiles/"
    )

    assert response.url == f"{PROVE}?next=%2Fprofiles%2F"
    page = client.get(response.url).content.decode()
    assert escape(NO_MATCH) in page
    assert 'name="next" value="/profiles/"' in page


# --- Adding one ---------------------------------------------------------------------------


def test_one_is_added_and_told(ida, client_of):
    client = client_of(ida)
    passkey = Passkey(ida)
    challenge = challenge_on(client.get(ADD))

    response = send(client, passkey.registered(challenge), ADD, name="Ida's phone")

    assert response.url == "/accounts/codes/"
    added = Authenticator.objects.get(user=ida, type="webauthn")
    assert added.data["name"] == "Ida's phone"
    assert "passkey" in OutgoingEmail.objects.filter(to_user=ida)[0].subject + " ".join(
        mail.subject for mail in OutgoingEmail.objects.filter(to_user=ida)
    )


@pytest.mark.parametrize(
    "answer",
    [
        lambda key, challenge: key.registered(challenge, flags=PRESENT),
        lambda key, challenge: key.registered(challenge, origin="https://evil.example"),
        lambda key, challenge: key.registered("x" * len(challenge)),
        lambda key, challenge: _at("evil.example", key).registered(challenge),
        lambda key, challenge: key.signed(challenge),
        lambda key, challenge: {},
        lambda key, challenge: [],
    ],
    ids=["nobody looked", "origin", "challenge", "site", "signed", "empty", "list"],
)
def test_a_key_that_proves_nothing_is_not_added(ida, client_of, answer):
    client = client_of(ida)
    challenge = challenge_on(client.get(ADD))

    response = send(client, answer(Passkey(ida), challenge), ADD, name="Phone")

    assert response.status_code in (200, 422)
    assert not Authenticator.objects.filter(user=ida).exists()


def test_a_key_is_one_persons(phone, client_of, lars):
    # Else two accounts would open with it, and nobody could say whose it is.
    client = client_of(lars)
    phone.user = lars
    challenge = challenge_on(client.get(ADD))

    send(client, phone.registered(challenge), ADD, name="Phone")

    assert not Authenticator.objects.filter(user=lars).exists()
