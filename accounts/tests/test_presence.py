"""Where somebody is signed in: what they see of it, how it ends, what is told."""

from datetime import timedelta

import pytest
import time_machine
from allauth.usersessions.models import UserSession
from django.conf import settings as portal_settings
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import access, outbox, proof, tasks
from accounts.devices import device_words
from accounts.models import AuditEvent, OutgoingEmail, User
from accounts.tests.factories import PASSWORD
from accounts.tests.second_factors import give_app, prove

pytestmark = [pytest.mark.django_db, pytest.mark.own_rows]

LOGIN = "/accounts/login/"
ACCOUNT = "/account/"
BY_PASSWORD = "/accounts/reauthenticate/"
TOO_MANY = "Too many failed attempts. Wait ten minutes, then try again"
START = 1_800_000_000
FIREFOX = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130"
)
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0"
)


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch):
    monkeypatch.setattr(outbox.current_app, "send_task", lambda *_, **__: None)


@pytest.fixture
def clock():
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


def sign_in(client, user, *, password=PASSWORD, **options):
    return client.post(LOGIN, {"login": user.email, "password": password}, **options)


def signed_in(user, *, agent=FIREFOX, place="192.0.2.1") -> Client:
    client = Client(HTTP_USER_AGENT=agent, REMOTE_ADDR=place)
    assert sign_in(client, user).status_code == 302
    return client


def is_signed_in(client) -> bool:
    return client.get(ACCOUNT).status_code == 200


def told(user, name: str) -> list[OutgoingEmail]:
    mails = OutgoingEmail.objects.filter(to_user=user, name=name)
    return list(mails.order_by("created_at", "pk"))


# --- The page -----------------------------------------------------------------------------


def test_the_account_shows_who_one_is_and_what_one_may(ida, client_of):
    page = client_of(ida).get(ACCOUNT).content.decode()

    assert "Ida Lund" in page
    assert "ida@partner.example" in page
    assert "Incentives admin" in page
    assert "Göteborg" in page
    assert "Nordvik IT AB" in page
    assert "given by the program owner" in page
    assert "None yet. A passkey takes 20 seconds." in page


def test_the_account_says_who_gave_a_role(ida, greta, client_of):
    ida.role_assignments.update(granted_by=greta)

    assert "given by Greta Voss" in client_of(ida).get(ACCOUNT).content.decode()


def test_roles_that_have_ended_are_not_shown(ida, client_of):
    ida.role_assignments.update(ends_on="2020-01-01")

    page = client_of(ida).get(ACCOUNT).content.decode()

    assert "None. A Global admin or Account admin of your company" in page


def test_operators_have_an_account_too(oscar, client_of):
    page = client_of(oscar).get(ACCOUNT).content.decode()

    assert "Oscar Sand" in page
    assert "Your roles" not in page


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox, Windows"),
        (SAFARI, "Safari, iPhone"),
        (EDGE, "Edge, Windows"),
        ("curl/8.0", "an unknown browser"),
        ("", "an unknown browser"),
    ],
)
def test_a_browser_is_named_in_words(agent, words):
    assert device_words(agent) == words


# --- The list -----------------------------------------------------------------------------


def test_every_place_is_listed_with_browser_address_and_time(clock, ida):
    here = signed_in(ida)
    clock.shift(timedelta(minutes=20))
    signed_in(ida, agent=SAFARI, place="198.51.100.7")

    page = here.get(ACCOUNT).content.decode()

    assert "Firefox, Windows" in page
    assert "192.0.2.1" in page
    assert "Safari, iPhone" in page
    assert "198.51.100.7" in page
    assert page.count('name="session"') == 1  # the other one


def test_the_list_knows_when_a_place_was_last_used(clock, ida):
    client = signed_in(ida)
    clock.shift(timedelta(seconds=61))

    client.get("/", HTTP_USER_AGENT=SAFARI, REMOTE_ADDR="198.51.100.7")

    session = UserSession.objects.get(user=ida)
    assert session.last_seen_at.timestamp() == START + 61
    assert session.ip == "198.51.100.7"


def test_looking_around_writes_nothing_for_a_minute(clock, ida):
    client = signed_in(ida)
    client.get("/notifications/")
    clock.shift(timedelta(seconds=59))

    with CaptureQueriesContext(connection) as asked:
        client.get("/notifications/")

    assert not [one for one in asked if not one["sql"].startswith("SELECT")]
    assert UserSession.objects.get(user=ida).last_seen_at.timestamp() == START


def test_one_place_is_signed_out(ida):
    here, there = signed_in(ida), signed_in(ida, agent=SAFARI)
    session = UserSession.objects.get(user=ida, user_agent=SAFARI)

    here.post(reverse("own:end_session"), {"session": session.pk})

    assert is_signed_in(here)
    assert not is_signed_in(there)
    event = AuditEvent.objects.filter(action="sessions_ended").get()
    assert event.actor == ida
    assert event.after == {"person": ida.pk, "sessions": 1}


def test_nobody_ends_anothers_session(ida, lars):
    here, theirs = signed_in(ida), signed_in(lars)
    session = UserSession.objects.get(user=lars)

    here.post(reverse("own:end_session"), {"session": session.pk})

    assert is_signed_in(theirs)
    assert not AuditEvent.objects.filter(action="sessions_ended").exists()


def test_everywhere_means_everywhere(ida, lars, client_of):
    here, there = signed_in(ida), signed_in(ida, agent=SAFARI)
    unlisted = client_of(ida)
    other = signed_in(lars)

    response = here.post(reverse("own:end_sessions"), follow=True)

    assert "You are signed out everywhere." in response.content.decode()
    for client in (here, there, unlisted):
        assert not is_signed_in(client)
    assert is_signed_in(other)
    assert not UserSession.objects.filter(user=ida).exists()
    assert AuditEvent.objects.filter(action="sessions_ended").count() == 1


def test_what_is_over_leaves_the_list(ida):
    signed_in(ida)
    Session.objects.all().delete()
    living = signed_in(ida, agent=SAFARI)

    tasks.clear_sessions()

    assert UserSession.objects.get().session_key == living.session.session_key


# --- How long a session lives -------------------------------------------------------------


def test_a_session_asks_who_is_there_after_half_an_hour(clock, ida):
    client = signed_in(ida)
    clock.shift(timedelta(minutes=29, seconds=59))
    assert client.get("/").status_code == 200
    clock.shift(timedelta(minutes=30))

    asked = client.get("/notifications/?page=2")

    assert asked.url == f"{BY_PASSWORD}?next=%2Fnotifications%2F%3Fpage%3D2"
    assert client.get(asked.url).status_code == 200
    done = client.post(
        BY_PASSWORD, {"password": PASSWORD, "next": "/notifications/?page=2"}
    )
    assert done.url == "/notifications/?page=2"
    assert client.get("/notifications/").status_code == 200


def test_who_was_away_can_sign_out_and_change_the_language(clock, ida):
    client = signed_in(ida)
    clock.shift(timedelta(hours=1))

    client.post("/language/", {"language": "sv", "next": "/"})
    assert client.post("/accounts/logout/").url == "/"

    ida.refresh_from_db()
    assert ida.language == "sv"
    assert not is_signed_in(client)


def test_what_was_typed_before_a_pause_is_sent_on(clock, ida, greta, lars, nordvik):
    client = signed_in(greta)
    page = "http://testserver/people/assign/"
    given = {"person": lars.pk, "role": "incentives_user", "width": "company"}
    given |= {"depth": "all"}
    seen = client.post("/people/assign/preview/", given).context["seen"]
    clock.shift(timedelta(minutes=31))

    asked = client.post("/people/assign/", given | {"seen": seen}, HTTP_REFERER=page)
    assert not lars.role_assignments.exists()
    done = client.post(BY_PASSWORD, {"password": PASSWORD, "next": "/people/assign/"})

    assert asked.url.startswith(BY_PASSWORD)
    assert done.url == "/people/"
    assert lars.role_assignments.get().role == "incentives_user"


@pytest.mark.parametrize("is_checked", [True, False])
def test_what_another_site_sends_in_a_pause_is_not_sent_on(
    clock, greta, lars, is_checked
):
    client = Client(enforce_csrf_checks=is_checked)
    client.force_login(greta)
    token = client.get("/people/assign/").cookies[portal_settings.CSRF_COOKIE_NAME]
    proof_of_form = {"csrfmiddlewaretoken": token.value}
    given = {"person": lars.pk, "role": "incentives_user", "width": "company"}
    given |= {"depth": "all"}
    preview = client.post("/people/assign/preview/", given | proof_of_form)
    clock.shift(timedelta(minutes=31))

    sent = client.post(
        "/people/assign/",
        given | {"seen": preview.context["seen"]},
        HTTP_REFERER="http://testserver/people/assign/",
    )
    client.post(
        BY_PASSWORD,
        {"password": PASSWORD, "next": "/people/assign/"} | proof_of_form,
    )

    # The control: without the forms' tokens, it would be done in the person's name.
    assert sent.status_code == (403 if is_checked else 302)
    assert lars.role_assignments.exists() is not is_checked


def test_what_is_refused_after_a_pause_is_shown_again_with_its_token(
    clock, greta, lars
):
    client = Client(enforce_csrf_checks=True, HTTP_USER_AGENT=FIREFOX)
    client.force_login(greta)
    client.get("/people/assign/")
    token = client.cookies[portal_settings.CSRF_COOKIE_NAME].value
    clock.shift(timedelta(minutes=31))
    client.get("/people/assign/")  # leads to the proof

    given = {"person": lars.pk, "ends_on": "soon", "csrfmiddlewaretoken": token}
    client.post(
        "/people/assign/", given, HTTP_REFERER="http://testserver/people/assign/"
    )
    back = client.post(
        BY_PASSWORD,
        {
            "password": PASSWORD,
            "next": "/people/assign/",
            "csrfmiddlewaretoken": token,
        },
    )
    page = client.get(back.url)

    assert back.url == "/people/assign/"
    assert page.status_code == 422
    assert 'value="soon"' in page.content.decode()


@pytest.mark.parametrize("road", ["by a script", "without scripts", "by a person"])
def test_a_page_that_looks_again_by_itself_keeps_nobody_signed_in(clock, oscar, road):
    # T8; whoever looks themselves, which is the control, goes on.
    client = signed_in(oscar)
    asked = {
        "by a script": {"headers": {"X-Looks-Again": "1"}},
        "without scripts": {"query_params": {"looks_again": "1"}},
        "by a person": {},
    }[road]
    for _time in range(3):
        clock.shift(timedelta(minutes=11))
        last = client.get(ACCOUNT, **asked)

    assert (last.status_code == 200) is (road == "by a person")
    assert (client.get(ACCOUNT).status_code == 200) is (road == "by a person")


def test_what_waits_to_be_shown_waits_for_a_person(client_of, ida):
    # A page that looks again takes away nothing that was typed.
    client = client_of(ida)
    session = client.session
    session[access._REFUSED] = "sealed"
    session.save()

    client.get(ACCOUNT, headers={"X-Looks-Again": "1"})

    assert access._REFUSED in client.session


def test_no_session_lives_longer_than_twelve_hours(clock, ida):
    client = signed_in(ida)
    for _time in range(35):
        clock.shift(timedelta(minutes=20))
        assert client.get("/notifications/").status_code == 200

    clock.move_to(START + 12 * 60 * 60)
    response = client.get("/notifications/")

    assert response.url == f"{LOGIN}?next=/notifications/"
    assert not is_signed_in(client)


def test_proving_it_again_does_not_make_a_session_younger(clock, ida):
    client = signed_in(ida)
    clock.shift(timedelta(hours=11, minutes=55))
    client.post(BY_PASSWORD, {"password": PASSWORD})
    assert is_signed_in(client)

    clock.shift(timedelta(minutes=5))

    assert not is_signed_in(client)


@pytest.mark.parametrize("limit", ["is_over", "has_paused"])
def test_without_the_limits_a_session_would_live_on(clock, ida, monkeypatch, limit):
    # The control: each limit ends what the other lets live.
    monkeypatch.setattr(proof, limit, lambda request: False)
    other = {"is_over": "has_paused", "has_paused": "is_over"}[limit]
    client = signed_in(ida)
    clock.shift(timedelta(hours=11))

    assert (client.get("/").status_code == 200) is (other == "is_over")


# --- New places ---------------------------------------------------------------------------


def test_a_sign_in_from_a_new_browser_is_told(clock, ida):
    signed_in(ida)
    assert told(ida, "new_sign_in") == []  # nobody's first is news

    signed_in(ida, agent=SAFARI, place="198.51.100.7")

    (news,) = told(ida, "new_sign_in")
    assert news.subject == "New sign-in to Partner Incentives"
    text = " ".join(news.body_text.split())
    assert "Safari, iPhone, from 198.51.100.7" in text
    assert "15 Jan" in text
    assert f"{portal_settings.PUBLIC_BASE_URL}/account/" in text


def test_a_browser_nobody_knows_is_called_so_in_the_readers_language(ida):
    ida.language = "sv"
    ida.save()
    signed_in(ida)

    signed_in(ida, agent="curl/8.0", place="198.51.100.7")

    (news,) = told(ida, "new_sign_in")
    text = " ".join(news.body_text.split())
    assert "en okänd webbläsare, från 198.51.100.7" in text


def test_a_browser_that_is_known_is_no_news(ida):
    client = signed_in(ida)

    client.post("/accounts/logout/")
    sign_in(client, ida)

    assert told(ida, "new_sign_in") == []


def test_several_people_can_share_a_browser(ida, lars):
    client = signed_in(ida)
    for person in (lars, ida, lars):
        client.post("/accounts/logout/")
        sign_in(client, person)

    assert told(ida, "new_sign_in") == told(lars, "new_sign_in") == []


def test_a_browser_cannot_say_by_itself_that_it_is_known(ida, lars):
    signed_in(ida)
    other = signed_in(lars)
    forged = Client()
    name = portal_settings.KNOWN_BROWSER_COOKIE_NAME
    forged.cookies[name] = other.cookies[name].value + ".0" + "ä" * 3

    sign_in(forged, ida)

    assert len(told(ida, "new_sign_in")) == 1


def test_signing_out_everywhere_makes_every_browser_new(ida):
    client = signed_in(ida)

    client.post(reverse("own:end_sessions"))
    sign_in(client, ida)

    assert len(told(ida, "new_sign_in")) == 1


def test_the_cookie_names_nobody(ida):
    cookie = signed_in(ida).cookies[portal_settings.KNOWN_BROWSER_COOKIE_NAME]

    assert len(cookie.value) == 64
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


# --- Addresses ------------------------------------------------------------------------------


def test_a_changed_address_is_told_to_both(ida, settings):
    settings.DEMO = True
    ida.email = "ida.lund@partner.example"
    ida.save()

    outbox.deliver()

    assert {message.to[0] for message in mail.outbox} == {
        "ida@partner.example",
        "ida.lund@partner.example",
    }
    for message in mail.outbox:
        text = " ".join(message.body.split())
        assert "from ida@partner.example to ida.lund@partner.example" in text
        is_old = message.to == ["ida@partner.example"]
        assert ("answer this mail at once" in text) is is_old


@pytest.mark.parametrize("fields", [None, ["full_name"], ["email"]])
def test_an_address_that_stays_is_no_news(ida, fields):
    ida.full_name = "Ida Lundgren"
    ida.save(update_fields=fields)

    assert told(ida, "address_changed") == []


# --- Strangers and floods -------------------------------------------------------------------


@pytest.fixture
def hashed(monkeypatch):
    """How often a password was hashed."""
    count = []
    encode = MD5PasswordHasher.encode

    def counted(self, password, salt):
        count.append(1)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    return count


def test_a_stranger_costs_as_much_hashing_as_anybody(ida, lars, uma, hashed):
    # T6: the hasher is what takes the time; Argon2 in production.
    User.objects.filter(pk=lars.pk).update(is_active=False)
    uma.set_unusable_password()
    uma.save()
    costs = {}
    for name, email in {
        "known": ida.email,
        "stranger": "nobody@partner.example",
        "inactive": lars.email,
        "without a password": uma.email,
    }.items():
        hashed.clear()
        Client().post(LOGIN, {"login": email, "password": "wrong"})
        costs[name] = len(hashed)

    assert set(costs.values()) == {1}, costs


def test_a_stranger_costs_as_many_queries_as_anybody(ida):
    def cost(email) -> int:
        with CaptureQueriesContext(connection) as asked:
            Client().post(LOGIN, {"login": email, "password": "wrong"})
        return len(asked)

    cost("somebody@partner.example")  # begins what failures are counted in
    assert cost(ida.email) == cost("nobody@partner.example")


def fail(user, times: int, *, place: str) -> None:
    for _time in range(times):
        sign_in(Client(REMOTE_ADDR=place), user, password="wrong")


def test_others_failures_never_keep_a_known_browser_out(ida, settings):
    few = {"login_failed_anywhere": "6/10m/key"}
    settings.ACCOUNT_RATE_LIMITS = settings.ACCOUNT_RATE_LIMITS | few
    known = signed_in(ida, place="192.0.2.1")
    known.post("/accounts/logout/")
    for place in range(2):
        fail(ida, 3, place=f"198.51.100.{place}")
    fail(ida, 10, place="192.0.2.1")
    stranger = Client(REMOTE_ADDR="192.0.2.1")
    assert TOO_MANY in sign_in(stranger, ida).content.decode()

    response = sign_in(known, ida)

    assert response.status_code == 302
    assert is_signed_in(known)


def test_a_known_browser_has_a_limit_of_its_own(ida):
    known = signed_in(ida)
    known.post("/accounts/logout/")
    for _time in range(5):
        sign_in(known, ida, password="wrong")

    assert TOO_MANY in sign_in(known, ida).content.decode()


def test_somebody_elses_known_browser_is_a_stranger(ida, lars):
    known = signed_in(lars, place="192.0.2.1")
    known.post("/accounts/logout/")
    fail(ida, 5, place="192.0.2.1")

    assert TOO_MANY in sign_in(known, ida).content.decode()


def test_a_second_step_begun_by_others_keeps_nobody_out(ida):
    give_app(ida)
    for _time in range(3):
        sign_in(Client(), ida)
    client = Client()
    client.force_login(ida)
    prove(client, ida)

    assert is_signed_in(client)
