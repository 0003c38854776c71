"""Second factors: adding, using, losing and removing them; what is kept of them."""

import json
import re
from datetime import timedelta

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.core import mail
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client

from accounts import outbox
from accounts.models import AuditEvent, OutgoingEmail
from accounts.sealing import DecryptionError, unseal
from accounts.tests.factories import PASSWORD
from accounts.tests.second_factors import (
    SECRET,
    code_of,
    give_app,
    give_codes,
    place_of,
    prove,
    secret_on,
)

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/login/"
SECOND = "/accounts/login/second-step/"
ADD_APP = "/accounts/app/add/"
REMOVE_APP = "/accounts/app/remove/"
CODES = "/accounts/codes/"
NO_MATCH = "That did not match."
TOO_MANY = "Too many failed attempts. Wait ten minutes, then try again"


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch):
    monkeypatch.setattr(outbox.current_app, "send_task", lambda *_, **__: None)


def sign_in(client, user, **data):
    return client.post(LOGIN, {"login": user.email, "password": PASSWORD, **data})


def is_signed_in(client) -> bool:
    return "_auth_user_id" in client.session


def add_app(client) -> str:
    """Add an app as a person does; return its secret."""
    secret = secret_on(client.get(ADD_APP))
    response = client.post(ADD_APP, {"code": code_of(secret)})
    assert response.status_code == 302, response.content.decode()
    return secret


def codes_on(page) -> list[str]:
    return re.findall(r"(?:^|>)(\d{8})$", page.content.decode(), re.MULTILINE)


def news_for(user) -> list[str]:
    told = OutgoingEmail.objects.filter(to_user=user).order_by("created_at", "pk")
    return [email.subject for email in told]


def actions_on(user) -> set[str]:
    events = AuditEvent.objects.filter(object_type="accounts.user", object_id=user.pk)
    return set(events.values_list("action", flat=True))


# --- The app --------------------------------------------------------------------------


def test_an_app_is_added_with_its_first_code(client_of, ida):
    client = client_of(ida)

    page = client.get(ADD_APP)
    assert "data:image/svg+xml" in page.content.decode()
    done = client.post(ADD_APP, {"code": code_of(secret_on(page))})

    assert done.url == CODES
    assert Authenticator.objects.get(user=ida, type="totp")
    assert "otpauth" not in client.get(done.url).content.decode()
    assert Client().get(ADD_APP).url.startswith(LOGIN)


def test_a_wrong_first_code_adds_nothing_and_keeps_the_key(client_of, ida):
    client = client_of(ida)
    secret = secret_on(client.get(ADD_APP))

    page = client.post(ADD_APP, {"code": "000000"})

    assert NO_MATCH in page.content.decode()
    assert secret_on(page) == secret
    assert not Authenticator.objects.filter(user=ida).exists()


def test_the_key_is_sealed_for_its_owner(client_of, ida, lars):
    secret = add_app(client_of(ida))
    stored = Authenticator.objects.get(user=ida, type="totp").data["secret"]

    assert stored.startswith("v1:k1:")
    assert unseal(stored, **place_of(ida)) == secret
    with pytest.raises(DecryptionError):
        unseal(stored, **place_of(lars))


def test_no_table_holds_a_readable_key(client_of, ida):
    client = client_of(ida)
    waiting = secret_on(client.get(ADD_APP))
    key = client.session["mfa.totp.secret"]
    assert key.startswith("v1:k1:")
    assert waiting not in json.dumps(dict(client.session.items()))

    client.post(ADD_APP, {"code": code_of(waiting)})

    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(data::text, ' ') FROM mfa_authenticator")
        (stored,) = cursor.fetchone()
    assert waiting not in stored
    assert "mfa.totp.secret" not in client.session


def test_a_key_copied_into_another_row_opens_nothing(ida, lars):
    give_app(ida)
    Authenticator.objects.filter(user=ida).update(user=lars)
    client = Client()
    sign_in(client, lars)

    with pytest.raises(DecryptionError):
        client.post(SECOND, {"code": code_of()})

    assert not is_signed_in(client)


# --- Signing in with a second step --------------------------------------------------------


def test_the_password_alone_no_longer_signs_in(client, ida):
    give_app(ida)

    response = sign_in(client, ida)

    assert response.url == SECOND
    assert not is_signed_in(client)
    assert client.get("/").url.startswith(LOGIN)


def test_the_code_of_the_app_is_the_second_step(client, ida):
    give_app(ida)
    sign_in(client, ida, next="/incentives/")

    done = client.post(SECOND, {"code": code_of()})

    assert done.url == "/incentives/"
    assert is_signed_in(client)


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_clock_may_be_half_a_minute_off(client, ida, steps):
    give_app(ida)
    sign_in(client, ida)

    assert client.post(SECOND, {"code": code_of(steps=steps)}).status_code == 302


@pytest.mark.parametrize("steps", [-2, 2])
def test_codes_from_further_away_are_refused(client, ida, steps):
    give_app(ida)
    sign_in(client, ida)

    with time_machine.travel(1_800_000_000, tick=False):
        sign_in(client, ida)
        response = client.post(SECOND, {"code": code_of(steps=steps)})

    assert NO_MATCH in response.content.decode()


def test_a_code_opens_one_door_once(ida):
    give_app(ida)
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        code = code_of()
        first, second = Client(), Client()
        sign_in(first, ida)
        assert first.post(SECOND, {"code": code}).status_code == 302

        # allauth forgets a code after 30 seconds, in which the clock may be off longer.
        clock.shift(timedelta(seconds=31))
        sign_in(second, ida)
        again = second.post(SECOND, {"code": code})

    assert NO_MATCH in again.content.decode()
    assert not is_signed_in(second)


@pytest.mark.parametrize("is_remembered", [True, False])
def test_the_code_that_added_an_app_opens_nothing_more(client_of, ida, is_remembered):
    with time_machine.travel(1_800_000_000, tick=False):
        secret = add_app(client_of(ida))
        if not is_remembered:
            # The control: where nobody remembers it, the code works again.
            cache.clear()
        elsewhere = Client()
        sign_in(elsewhere, ida)
        elsewhere.post(SECOND, {"code": code_of(secret)})

    assert is_signed_in(elsewhere) is not is_remembered


def test_a_remembered_code_is_what_refuses_the_second_use(ida):
    # The control: where nobody remembers it, the code works again.
    give_app(ida)
    with time_machine.travel(1_800_000_000, tick=False):
        for _time in range(2):
            cache.clear()
            client = Client()
            sign_in(client, ida)
            assert client.post(SECOND, {"code": code_of()}).status_code == 302


def test_codes_cannot_be_guessed_from_many_places(ida, settings):
    limits = settings.ACCOUNT_RATE_LIMITS
    assert limits["second_factor_failed"] == "20/10m/key"
    settings.ACCOUNT_RATE_LIMITS = limits | {"second_factor_failed": "4/10m/key"}
    give_app(ida)
    for place in range(4):
        client = Client(REMOTE_ADDR=f"192.0.2.{place}")
        sign_in(client, ida)
        client.post(SECOND, {"code": "000000"})
    client = Client(REMOTE_ADDR="198.51.100.7")
    sign_in(client, ida)

    response = client.post(SECOND, {"code": code_of()})

    assert TOO_MANY in response.content.decode()


def test_a_new_password_does_not_skip_the_second_step(ida, settings):
    settings.DEMO = True
    give_app(ida)
    Client().post("/accounts/password/reset/", {"email": ida.email})
    outbox.deliver()
    message = next(one for one in mail.outbox if "reset/key" in one.body)
    link = re.search(r"/accounts/password/reset/key/\S+", message.body)[0]
    client = Client()
    target = client.get(link, follow=True).redirect_chain[-1][0]
    new = "a staple of quite another horse"

    client.post(target, {"password1": new, "password2": new})

    assert not is_signed_in(client)
    response = client.post(LOGIN, {"login": ida.email, "password": new})
    assert response.url == SECOND
    assert not is_signed_in(client)


# --- Recovery codes ---------------------------------------------------------------------


def test_codes_come_with_the_first_factor_and_are_shown_to_who_made_them(
    client_of, ida
):
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        client, elsewhere = client_of(ida), client_of(ida)
        add_app(client)

        shown = codes_on(client.get(CODES))
        file = client.get(f"{CODES}download/")
        assert len(set(shown)) == 10
        assert codes_on(file) == shown
        assert "attachment" in file["Content-Disposition"]
        assert codes_on(elsewhere.get(CODES)) == []
        assert elsewhere.get(f"{CODES}download/").status_code == 404

        clock.shift(timedelta(minutes=10))
        later = client.get(CODES)
        assert codes_on(later) == []
        assert "10 of 10 codes are left." in later.content.decode()
        assert client.get(f"{CODES}download/").status_code == 404


def test_a_recovery_code_stands_in_for_the_app_once(client_of, ida):
    client = client_of(ida)
    add_app(client)
    code = codes_on(client.get(CODES))[3]
    first, second = Client(), Client()
    sign_in(first, ida)
    sign_in(second, ida)

    assert first.post(SECOND, {"code": code}).status_code == 302
    assert NO_MATCH in second.post(SECOND, {"code": code}).content.decode()

    assert "9 of 10 recovery codes are left." in first.get("/account/").content.decode()
    assert "recovery_code_used" in actions_on(ida)
    assert "A recovery code was used for Partner Incentives" in news_for(ida)


def test_new_codes_replace_the_old_ones(client_of, ida):
    client = client_of(ida)
    add_app(client)
    old = codes_on(client.get(CODES))

    client.post(f"{CODES}make/")

    new = codes_on(client.get(CODES))
    assert len(new) == 10
    assert set(old).isdisjoint(new)
    assert news_for(ida).count("New recovery codes for Partner Incentives") == 2


def test_codes_are_not_made_for_who_has_no_factor(client_of, ida):
    response = client_of(ida).post(f"{CODES}make/")

    assert response.status_code == 200
    assert not Authenticator.objects.filter(user=ida).exists()


def test_the_seed_of_the_codes_is_sealed(client_of, ida):
    add_app(client_of(ida))

    seed = Authenticator.objects.get(user=ida, type="recovery_codes").data["seed"]

    assert seed.startswith("v1:k1:")
    assert len(unseal(seed, **place_of(ida))) == 80


# --- Removing -----------------------------------------------------------------------------


def test_removing_the_only_factor_takes_its_codes_along(client_of, ida):
    client = client_of(ida)
    add_app(client)

    client.post(REMOVE_APP)

    assert not Authenticator.objects.filter(user=ida).exists()
    assert sign_in(Client(), ida).url == "/"


def test_where_the_policy_asks_for_one_the_last_stays(client_of, ida, settings):
    settings.SECOND_FACTOR_REQUIRED = True
    client = client_of(ida)
    add_app(client)

    page = client.get(REMOVE_APP).content.decode()
    client.post(REMOVE_APP)

    assert "This is your last second factor" in page
    assert "the program owner asks everybody" in page
    assert Authenticator.objects.filter(user=ida, type="totp").exists()


def test_where_the_policy_asks_for_none_the_last_may_go(client_of, uma, settings):
    settings.SECOND_FACTOR_REQUIRED = True
    client = client_of(uma)
    add_app(client)

    client.post(REMOVE_APP)

    assert not Authenticator.objects.filter(user=uma).exists()


def passkey_of(user, name="Key") -> Authenticator:
    return Authenticator.objects.create(
        user=user, type="webauthn", data={"name": name, "credential": {}}
    )


def test_one_of_two_factors_may_go(client_of, ida, settings):
    settings.SECOND_FACTOR_REQUIRED = True
    client = client_of(ida)
    add_app(client)
    key = passkey_of(ida)

    assert client.post(f"/accounts/passkeys/{key.pk}/remove/").status_code == 302
    assert not Authenticator.objects.filter(pk=key.pk).exists()

    last = passkey_of(ida)
    client.post(REMOVE_APP)
    refused = client.post(f"/accounts/passkeys/{last.pk}/remove/")

    assert "This is your last second factor" in refused.content.decode()
    assert Authenticator.objects.filter(pk=last.pk).exists()


def test_nobody_touches_another_persons_passkey(client_of, ida, lars):
    key = passkey_of(lars)
    client = client_of(ida)

    for what in ("remove", "rename"):
        path = f"/accounts/passkeys/{key.pk}/{what}/"
        assert client.get(path).status_code == 404
        assert client.post(path, {"name": "Mine"}).status_code == 404

    key.refresh_from_db()
    assert key.data["name"] == "Key"


def test_a_passkey_gets_another_name(client_of, ida):
    key = passkey_of(ida)

    client = client_of(ida)
    prove(client, ida)

    client.post(f"/accounts/passkeys/{key.pk}/rename/", {"name": "Blue key"})

    key.refresh_from_db()
    assert key.data["name"] == "Blue key"


# --- What is told and remembered -------------------------------------------------------------


def test_every_change_is_told_and_remembered(client_of, ida):
    client = client_of(ida)
    add_app(client)
    passkey_of(ida, "Phone").delete()
    client.post(REMOVE_APP)

    assert news_for(ida) == [
        "An authenticator app was added to Partner Incentives",
        "New recovery codes for Partner Incentives",
        "A passkey was added to Partner Incentives",
        "A passkey was removed from Partner Incentives",
        "The authenticator app was removed from Partner Incentives",
    ]
    assert {
        "second_factor_added",
        "second_factor_removed",
        "recovery_codes_made",
    } <= actions_on(ida)
    event = AuditEvent.objects.filter(action="second_factor_added").earliest("pk")
    assert event.actor == ida
    assert event.partner_account.name == "Nordvik IT AB"
    assert event.after == {"person": ida.pk, "kind": "totp"}


def test_no_trail_or_mail_holds_a_secret(client_of, ida):
    client = client_of(ida)
    secret = add_app(client)
    codes = codes_on(client.get(CODES))

    kept = " ".join(
        [
            *map(str, AuditEvent.objects.values_list("before", "after", "reason")),
            *OutgoingEmail.objects.values_list("body_text", flat=True),
            *OutgoingEmail.objects.values_list("body_html", flat=True),
        ]
    )

    assert not [one for one in (secret, *codes) if one in kept]


def test_an_operators_factor_is_remembered_in_the_portals_own_chain(client_of, oscar):
    add_app(client_of(oscar))

    event = AuditEvent.objects.filter(action="second_factor_added").get()

    assert event.partner_account is None
    assert event.chain == "portal"


def test_a_rolled_back_change_is_told_to_nobody(ida, transactional_db):
    with transaction.atomic():
        give_app(ida)
        transaction.set_rollback(True)

    assert news_for(ida) == []
    assert SECRET not in str(OutgoingEmail.objects.values_list())
    give_codes(ida)
    assert news_for(ida) == ["New recovery codes for Partner Incentives"]
