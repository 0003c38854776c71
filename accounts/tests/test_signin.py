"""Signing in and what belongs to it: passwords, limits, mails, where it leads."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from django.conf import settings as portal_settings
from django.core import mail
from django.core.cache import cache, caches
from django.db import connection
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts import outbox
from accounts.adapters import AccountAdapter
from accounts.models import MailStatus, OutgoingEmail, User
from accounts.tests.factories import PASSWORD

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/login/"
RESET = "/accounts/password/reset/"
NEW_PASSWORD = "a staple of quite another horse"
WRONG = "The e-mail address or the password is wrong."
TOO_MANY = "Too many failed attempts. Wait ten minutes, then try again"
KEY = re.compile(r"/accounts/password/reset/key/[0-9a-z]+-[0-9a-z]+-[0-9a-f]+/")

PAGES = {
    "account_login": LOGIN,
    "account_logout": "/accounts/logout/",
    "account_reauthenticate": "/accounts/reauthenticate/",
    "account_change_password": "/accounts/password/change/",
    "account_set_password": "/accounts/password/set/",
    "account_reset_password": RESET,
    "account_reset_password_done": "/accounts/password/reset/done/",
    "account_reset_password_from_key_done": "/accounts/password/reset/key/done/",
}
LEFT_OUT = {
    "account_signup": "/accounts/signup/",
    "account_inactive": "/accounts/inactive/",
    "account_email": "/accounts/email/",
    "account_email_verification_sent": "/accounts/confirm-email/",
    "account_confirm_login_code": "/accounts/login/code/confirm/",
    "account_request_login_code": "/accounts/login/code/",
}


def sign_in(client, email="ida@partner.example", password=PASSWORD, *, ip="", **data):
    options = {"REMOTE_ADDR": ip} if ip else {}
    return client.post(LOGIN, {"login": email, "password": password, **data}, **options)


def is_signed_in(client) -> bool:
    return "_auth_user_id" in client.session


def fail(times: int, *, ip="192.0.2.1", email="ida@partner.example") -> None:
    for _time in range(times):
        assert WRONG in sign_in(Client(), email, "wrong", ip=ip).content.decode()


def ask_for_reset(client, email="ida@partner.example", **options):
    return client.post(RESET, {"email": email}, **options)


def deliver() -> list:
    """Let a worker deliver, and return what left."""
    before = len(mail.outbox)
    outbox.deliver()
    return mail.outbox[before:]


def link_in(message) -> str:
    (link,) = set(KEY.findall(message.body))
    return link


def csrf_of(response) -> str:
    return re.search(
        r'name="csrfmiddlewaretoken" value="([^"]+)"', response.content.decode()
    )[1]


@pytest.fixture(autouse=True)
def _sender(settings, monkeypatch):
    """The sender is confirmed and no broker is needed."""
    settings.DEMO = True
    monkeypatch.setattr(outbox.current_app, "send_task", lambda *_, **__: None)
    monkeypatch.setattr(outbox, "_bell", outbox._Bell())


# --- Which pages there are ----------------------------------------------------------


@pytest.mark.parametrize(("name", "path"), PAGES.items(), ids=PAGES)
def test_every_page_of_ones_account_opens(client_of, ida, name, path):
    assert reverse(name) == path

    before = Client().get(path)
    after = client_of(ida).get(path)

    for response in (before, after):
        assert response.status_code in (200, 302)
    assert 200 in (before.status_code, after.status_code) or "set" in name


def test_a_person_without_password_can_set_one(client_of, ida):
    ida.set_unusable_password()
    ida.save()
    client = client_of(ida)

    assert client.get("/accounts/password/change/").url == PAGES["account_set_password"]
    assert (
        "Choose a password"
        in client.get(PAGES["account_set_password"]).content.decode()
    )


@pytest.mark.parametrize(("name", "path"), LEFT_OUT.items(), ids=LEFT_OUT)
def test_pages_nobody_needs_are_not_there(client_of, ida, name, path):
    with pytest.raises(NoReverseMatch):
        reverse(name)

    client = client_of(ida)
    assert client.get(path).status_code == 404
    assert client.post(path, {"email": "x@elsewhere.example"}).status_code == 404
    assert Client().get(path).status_code == 404


def test_nobody_signs_up_alone():
    data = {"email": "new@elsewhere.example", "password1": PASSWORD}

    response = Client().post("/accounts/signup/", {**data, "password2": PASSWORD})

    assert response.status_code == 404
    assert not User.objects.filter(email="new@elsewhere.example").exists()
    assert "signup" not in Client().get(LOGIN).content.decode()


# --- Signing in -----------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["ida@partner.example", " IDA@Partner.Example "])
def test_one_signs_in_by_address_and_password(client, ida, typed):
    response = sign_in(client, typed)

    assert response.status_code == 302
    assert response.url == "/"
    assert client.session["_auth_user_id"] == str(ida.pk)


def test_a_wrong_password_is_answered_alike_for_known_and_unknown(ida):
    known = sign_in(Client(), "ida@partner.example", "wrong")
    unknown = sign_in(Client(), "eva@partner.example", "wrong")

    pages = []
    for response, email in ((known, "ida@"), (unknown, "eva@")):
        page = response.content.decode().replace(csrf_of(response), "")
        pages.append(page.replace(email, "*@"))
    assert known.status_code == unknown.status_code
    assert pages[0] == pages[1]
    assert WRONG in pages[0]


def test_somebody_inactive_is_answered_like_a_stranger(ida):
    ida.is_active = False
    ida.save()
    client = Client()

    response = sign_in(client)

    assert response.status_code == 200
    assert WRONG in response.content.decode()
    assert not is_signed_in(client)


def test_tries_at_somebody_inactive_are_counted_whatever_the_password(ida):
    ida.is_active = False
    ida.save()
    for _time in range(5):
        sign_in(Client())

    assert TOO_MANY in sign_in(Client()).content.decode()


def test_the_session_gets_another_key_and_the_old_one_is_dead(client, ida):
    session = client.session
    session["planted"] = "yes"
    session.save()
    planted = session.session_key
    client.cookies[portal_settings.SESSION_COOKIE_NAME] = planted

    sign_in(client)

    assert client.session.session_key != planted
    thief = Client()
    thief.cookies[portal_settings.SESSION_COOKIE_NAME] = planted
    assert thief.get("/").status_code == 302
    assert not client.session.exists(planted)


@pytest.mark.parametrize(
    "target",
    [
        "https://elsewhere.example/",
        "http://testserver.elsewhere.example/",
        "http://testserver/people/",
        "//elsewhere.example/",
        "///elsewhere.example/",
        "/\\elsewhere.example/",
        "\\\\elsewhere.example\\",
        "/\t/elsewhere.example/",
        "javascript:alert(1)",
        "elsewhere.example",
    ],
)
def test_what_follows_stays_on_this_site(client, ida, target):
    assert sign_in(client, next=target).url == "/"
    assert client.post("/accounts/logout/", {"next": target}).url == "/"


def test_a_path_of_this_site_follows(client, ida):
    assert sign_in(client, next="/incentives/?page=2").url == "/incentives/?page=2"


def test_signing_in_says_nothing_in_the_language_of_the_page_before(client, ida):
    User.objects.filter(pk=ida.pk).update(language="sv")
    data = {"login": ida.email, "password": PASSWORD}

    page = client.post(LOGIN, data, follow=True).content.decode()

    assert 'lang="sv"' in page
    assert "Successfully" not in page
    assert 'class="notice"' not in page


def test_signing_out_ends_the_session(client, ida):
    sign_in(client)
    key = client.session.session_key

    client.get("/accounts/logout/")
    assert is_signed_in(client)  # a link alone signs nobody out
    response = client.post("/accounts/logout/")

    assert response.status_code == 302
    assert not is_signed_in(client)
    thief = Client()
    thief.cookies[portal_settings.SESSION_COOKIE_NAME] = key
    assert thief.get("/").url.startswith(LOGIN)


@pytest.mark.parametrize("way_out", ["/accounts/logout/", "/account/sessions/end-all/"])
def test_who_signs_out_leaves_nothing_in_the_browser(client_of, ida, way_out):
    client = client_of(ida)

    assert "Clear-Site-Data" not in client.get("/account/").headers
    assert client.post(way_out)["Clear-Site-Data"] == '"cache"'
    assert "Clear-Site-Data" not in client.get(LOGIN).headers


def test_operators_are_led_to_their_pages(client, oscar):
    response = client.post(
        LOGIN, {"login": oscar.email, "password": PASSWORD}, follow=True
    )

    assert response.redirect_chain[-1][0] == reverse("ops:today")
    assert response.status_code == 200


def test_signing_in_needs_the_forms_token(ida):
    client = Client(enforce_csrf_checks=True)
    assert sign_in(client).status_code == 403
    assert not is_signed_in(client)

    token = csrf_of(client.get(LOGIN))

    assert sign_in(client, csrfmiddlewaretoken=token).status_code == 302


def test_one_signs_in_while_redis_and_the_mail_server_are_away(
    client, ida, settings, monkeypatch
):
    def nobody_answers(*_args, **_options):
        raise ConnectionError

    monkeypatch.setattr(outbox.current_app, "send_task", nobody_answers)
    settings.EMAIL_BACKEND = "accounts.smtp.EmailBackend"
    settings.EMAIL_PORT = 1

    assert ask_for_reset(Client()).status_code == 302
    assert sign_in(client).status_code == 302
    assert change_password(client).status_code == 302
    assert OutgoingEmail.objects.count() == 2


def test_one_confirms_with_the_own_password(client, ida, lars):
    sign_in(client)

    wrong = client.post(PAGES["account_reauthenticate"], {"password": "wrong"})
    right = client.post(PAGES["account_reauthenticate"], {"password": PASSWORD})

    assert wrong.status_code == 200
    assert right.status_code == 302


# --- Limits -----------------------------------------------------------------------------


def test_the_sixth_try_at_one_address_from_one_place_waits(ida):
    fail(5)

    right = sign_in(Client(), ip="192.0.2.1")

    assert TOO_MANY in right.content.decode()


def test_an_outsider_does_not_lock_a_person_out(ida):
    fail(5, ip="192.0.2.1")
    for _time in range(5):
        sign_in(Client(), password="wrong", ip="192.0.2.1")
    client = Client()

    response = sign_in(client, ip="198.51.100.7")

    assert response.status_code == 302
    assert is_signed_in(client)


def test_an_unknown_address_reaches_the_same_limit():
    fail(5, email="eva@partner.example")

    response = sign_in(Client(), "eva@partner.example", ip="192.0.2.1")

    assert TOO_MANY in response.content.decode()


def test_an_address_has_one_count_however_it_is_typed(ida):
    for typed in ("IDA@partner.example", " ida@partner.example", "Ida@Partner.Example"):
        fail(1, email=typed)
    fail(2)

    assert TOO_MANY in sign_in(Client(), ip="192.0.2.1").content.decode()


def test_neighbors_of_one_network_share_a_count(ida):
    for last in range(5):
        fail(1, ip=f"2001:db8:1:2::{last}")

    response = sign_in(Client(), ip="2001:db8:1:2::ffff")

    assert TOO_MANY in response.content.decode()
    assert sign_in(Client(), ip="2001:db8:1:3::1").status_code == 302


def test_one_address_tried_from_many_places_waits(ida):
    for place in range(12):
        fail(5, ip=f"192.0.2.{place}")

    response = sign_in(Client(), ip="198.51.100.7")

    assert TOO_MANY in response.content.decode()


def test_one_place_that_tries_many_addresses_waits(ida):
    for number in range(10):
        fail(1, email=f"person{number}@partner.example")

    assert TOO_MANY in sign_in(Client(), ip="192.0.2.1").content.decode()


def test_failures_in_all_are_limited(ida, settings):
    few = {"login_failed_in_all": "4/5m/key"}
    settings.ACCOUNT_RATE_LIMITS = portal_settings.ACCOUNT_RATE_LIMITS | few
    known = Client()
    sign_in(known)
    known.post("/accounts/logout/")
    for number in range(4):
        fail(1, email=f"person{number}@partner.example", ip=f"192.0.2.{number}")

    assert TOO_MANY in sign_in(Client(), ip="198.51.100.7").content.decode()
    # Who signed in there before is not kept out by it.
    assert sign_in(known).status_code == 302


FLOODS = {
    "login_failed_here": lambda: fail(5, ip="198.51.100.7"),
    "login_failed": lambda: [
        fail(1, email=f"person{number}@partner.example", ip="198.51.100.7")
        for number in range(10)
    ],
    "login_failed_anywhere": lambda: [
        fail(5, ip=f"192.0.2.{place}") for place in range(12)
    ],
    "login_failed_in_all": lambda: [
        fail(1, email=f"person{number}@partner.example", ip=f"192.0.2.{number}")
        for number in range(4)
    ],
}


@pytest.mark.parametrize("limit", FLOODS)
@pytest.mark.long
def test_without_a_limit_what_it_stops_would_go_on(ida, settings, limit):
    # The control: each limit is what stops its own flood.
    limits = portal_settings.ACCOUNT_RATE_LIMITS
    in_all = "4/5m/key" if limit == "login_failed_in_all" else ""
    settings.ACCOUNT_RATE_LIMITS = limits | {"login_failed_in_all": in_all}
    FLOODS[limit]()
    assert TOO_MANY in sign_in(Client(), ip="198.51.100.7").content.decode()

    settings.ACCOUNT_RATE_LIMITS = settings.ACCOUNT_RATE_LIMITS | {limit: ""}

    assert sign_in(Client(), ip="198.51.100.7").status_code == 302


def test_signing_in_rightly_is_not_counted(ida):
    for _time in range(8):
        assert sign_in(Client(), ip="192.0.2.1").status_code == 302


def test_a_success_takes_no_failure_back(ida, lars):
    fail(4)
    sign_in(Client(), ip="192.0.2.1")
    fail(1)

    assert TOO_MANY in sign_in(Client(), ip="192.0.2.1").content.decode()


def test_counts_are_in_the_database_for_every_process(ida):
    fail(5)

    with connection.cursor() as cursor:
        cursor.execute("SELECT cache_key FROM portal_cache")
        keys = [key for (key,) in cursor.fetchall()]
    assert [key for key in keys if "login_failed_here" in key]
    assert [key for key in keys if "login_failed_anywhere" in key]
    assert not any("ida" in key for key in keys)
    # A cache of its own, as another process has it.
    other = caches.create_connection("default")
    (here,) = [key for key in keys if "login_failed_here" in key]
    assert len(other.get(here.removeprefix(":1:"))) == 5


def test_other_peoples_counts_push_nobodys_out(ida):
    fail(5)
    for number in range(400):
        cache.set(f"allauth:rl:other:{number}", [1.0], 300)

    assert TOO_MANY in sign_in(Client(), ip="192.0.2.1").content.decode()


def test_the_client_is_who_the_trusted_proxy_says(ida, settings):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    for number in range(5):
        forged = f"203.0.113.{number}, 192.0.2.1"
        sign_in_by_proxy(forged, password="wrong")

    assert TOO_MANY in sign_in_by_proxy("203.0.113.99, 192.0.2.1").content.decode()
    assert sign_in_by_proxy("198.51.100.7").status_code == 302


def sign_in_by_proxy(forwarded, password=PASSWORD):
    return Client().post(
        LOGIN,
        {"login": "ida@partner.example", "password": password},
        HTTP_X_FORWARDED_FOR=forwarded,
        REMOTE_ADDR="10.0.0.1",
    )


def started(**environment) -> subprocess.CompletedProcess:
    """Read the settings in a process of their own."""
    return subprocess.run(
        [sys.executable, "-c", "import incentives_portal.settings"],
        env=os.environ | environment,
        cwd=portal_settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_portal_does_not_start_behind_a_proxy_it_does_not_count():
    refused = started(BEHIND_PROXY="true", TRUSTED_PROXY_COUNT="0")

    assert refused.returncode == 1
    assert "TRUSTED_PROXY_COUNT must be 1 or more" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert started(BEHIND_PROXY="true", TRUSTED_PROXY_COUNT="1").returncode == 0
    assert started(BEHIND_PROXY="false", TRUSTED_PROXY_COUNT="0").returncode == 0


# --- A new password ------------------------------------------------------------------------


def change_password(client):
    return client.post(
        PAGES["account_change_password"],
        {
            "oldpassword": PASSWORD,
            "password1": NEW_PASSWORD,
            "password2": NEW_PASSWORD,
        },
    )


def set_by_link(client, link):
    page = client.get(link, follow=True)
    target = page.redirect_chain[-1][0]
    assert target.endswith("-set-password/")
    return client.post(target, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})


def test_known_and_unknown_addresses_are_answered_alike(ida):
    gone = User.objects.create_user(
        "gone@partner.example", PASSWORD, full_name="Gone", is_active=False
    )
    answers = []
    for email in (ida.email, "eva@partner.example", gone.email):
        client = Client()
        response = ask_for_reset(client, email)
        page = client.get(response.url)
        page = page.content.decode().replace(csrf_of(page), "")
        answers.append((response.status_code, response.url, page))

    assert answers[0] == answers[1] == answers[2]
    assert answers[0][:2] == (302, PAGES["account_reset_password_done"])
    assert [email.to_user for email in OutgoingEmail.objects.all()] == [ida]


def test_asking_for_a_stranger_takes_the_same_steps(ida, monkeypatch):
    steps = []
    prepare, wake = outbox.prepare, outbox._Bell.ring
    monkeypatch.setattr(
        outbox, "prepare", lambda *a, **o: steps.append("mail") or prepare(*a, **o)
    )
    monkeypatch.setattr(
        outbox._Bell, "ring", lambda self: steps.append("wake") or wake(self)
    )

    ask_for_reset(Client(), "eva@partner.example")

    assert steps == ["mail", "wake"]


def test_a_forgotten_password_is_replaced_through_the_mail(ida):
    ask_for_reset(Client(), "IDA@partner.example")
    assert mail.outbox == []  # nothing leaves from the request
    (message,) = deliver()
    client = Client()

    done = set_by_link(client, link_in(message))

    assert message.to == ["ida@partner.example"]
    assert done.url == PAGES["account_reset_password_from_key_done"]
    assert client.get(done.url).status_code == 200
    assert sign_in(Client(), password=NEW_PASSWORD).status_code == 302
    assert WRONG in sign_in(Client()).content.decode()


def test_somebody_new_sets_the_first_password_through_the_mail(ida):
    ida.set_unusable_password()
    ida.save()
    ask_for_reset(Client())
    (message,) = deliver()

    set_by_link(Client(), link_in(message))

    assert sign_in(Client(), password=NEW_PASSWORD).status_code == 302


def test_a_link_works_once_and_for_an_hour(ida, settings):
    ask_for_reset(Client())
    (message,) = deliver()
    link = link_in(message)
    assert settings.PASSWORD_RESET_TIMEOUT == 3600
    assert "The link works once, and for one hour." in " ".join(message.body.split())

    set_by_link(Client(), link)

    again = Client().get(link)
    assert again.status_code == 200
    assert "This link no longer works" in again.content.decode()


def test_mail_scanners_use_no_link_up_and_nobody_keeps_its_page(ida):
    ask_for_reset(Client())
    (message,) = deliver()
    link = link_in(message)
    for method in ("get", "head", "options"):
        scanner = Client(HTTP_USER_AGENT="LinkScanner")
        opened = getattr(scanner, method)(link)
        page = scanner.get(opened.url)
        assert {opened["Cache-Control"], page["Cache-Control"]} == {"no-store"}

    set_by_link(Client(), link)

    ida.refresh_from_db()
    assert ida.check_password(NEW_PASSWORD)


def test_a_new_password_ends_what_is_signed_in_with_the_old(client_of, ida):
    elsewhere = client_of(ida)
    ask_for_reset(Client())
    (message,) = deliver()

    set_by_link(Client(), link_in(message))

    assert elsewhere.get("/").url.startswith(LOGIN)


def test_who_forgot_the_password_may_try_the_new_one_at_once(ida):
    fail(5, ip="127.0.0.1")
    ask_for_reset(Client())
    (message,) = deliver()

    set_by_link(Client(), link_in(message))

    assert sign_in(Client(), password=NEW_PASSWORD).status_code == 302


def test_whom_others_keep_out_comes_in_through_the_mail(ida, settings):
    # Whatever place or address is stopped: the link makes this browser known.
    few = {"login_failed_anywhere": "6/10m/key"}
    settings.ACCOUNT_RATE_LIMITS = portal_settings.ACCOUNT_RATE_LIMITS | few
    ask_for_reset(Client())
    (message,) = deliver()
    client = Client(REMOTE_ADDR="198.51.100.7")
    set_by_link(client, link_in(message))
    for place in range(2):
        fail(3, ip=f"192.0.2.{place}")
    stranger = Client(REMOTE_ADDR="198.51.100.7")
    assert TOO_MANY in sign_in(stranger, password=NEW_PASSWORD).content.decode()

    assert sign_in(client, password=NEW_PASSWORD).status_code == 302


@pytest.mark.parametrize(
    "header", [{"HTTP_HOST": "127.0.0.1"}, {"HTTP_X_FORWARDED_HOST": "evil.example"}]
)
def test_the_link_never_follows_the_request(ida, settings, header):
    settings.PUBLIC_BASE_URL = "https://portal.example"

    ask_for_reset(Client(), **header)
    (message,) = deliver()

    html = message.alternatives[0][0]
    found = set(re.findall(r"https?://[^\s\"'<>()]+", message.body + html))
    found = {link for link in found if "w3.org" not in link}
    own = (link_in(message), "/account/language/?to=sv")
    assert found == {f"https://portal.example{path}" for path in own}


def test_what_is_stored_holds_no_token(client_of, ida):
    ask_for_reset(Client())
    (message,) = deliver()

    row = OutgoingEmail.objects.get()
    token = link_in(message).rstrip("/").partition("-")[2]
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(m)::text FROM accounts_outgoingemail m")
        (stored,) = cursor.fetchone()
    assert row.status == MailStatus.SENT
    assert token not in stored
    assert not KEY.search(stored)
    assert "/accounts/password/reset/" in row.body_text
    assert "was in the mail only" in " ".join(row.body_text.split())
    page = client_of(ida).get(reverse("enrollment:notification", args=[row.pk]))
    assert page.status_code == 200
    assert not KEY.search(page.content.decode())


def test_the_mail_speaks_the_readers_language(ida):
    User.objects.filter(pk=ida.pk).update(language="sv")

    ask_for_reset(Client())
    (message,) = deliver()

    assert message.extra_headers["Content-Language"] == "sv"
    assert '<html lang="sv"' in message.alternatives[0][0]
    assert message.subject == OutgoingEmail.objects.get().subject


def test_each_mail_of_several_has_a_link_that_works(ida):
    for _time in range(2):
        ask_for_reset(Client())
    first, second = deliver()

    for message in (first, second):
        assert (
            "This link no longer works"
            not in Client().get(link_in(message), follow=True).content.decode()
        )


@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"email": "ida.lund@partner.example"}]
)
def test_no_link_leaves_for_an_address_that_is_no_longer_theirs(ida, change):
    ask_for_reset(Client())
    User.objects.filter(pk=ida.pk).update(**change)

    assert deliver() == []
    assert OutgoingEmail.objects.get().status == MailStatus.FAILED


def test_nothing_leaves_before_the_sender_is_confirmed(ida, settings):
    settings.DEMO = False
    settings.SENDER_CONFIRMED = False

    response = ask_for_reset(Client())

    assert response.status_code == 302
    assert deliver() == []
    assert OutgoingEmail.objects.get().status == MailStatus.QUEUED


def test_resets_are_asked_for_five_times_an_hour(ida):
    for _time in range(5):
        assert ask_for_reset(Client()).status_code == 302

    assert ask_for_reset(Client()).status_code == 429
    assert OutgoingEmail.objects.count() == 5


def test_a_changed_password_is_told(client, ida):
    sign_in(client)

    assert change_password(client).status_code == 302
    (message,) = deliver()

    assert is_signed_in(client)
    assert message.to == ["ida@partner.example"]
    assert message.subject == "Your password for Partner Incentives was changed"
    assert "/accounts/password/reset/\n" in message.body
    assert not KEY.search(message.body)


def test_a_first_password_and_a_replaced_one_are_told(client_of, ida):
    ida.set_unusable_password()
    ida.save()
    client_of(ida).post(
        PAGES["account_set_password"],
        {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD},
    )
    ask_for_reset(Client())
    reset = next(email for email in deliver() if KEY.search(email.body))
    set_by_link(Client(), link_in(reset))

    told = OutgoingEmail.objects.filter(name="password_changed", to_user=ida)
    assert told.count() == 2


def test_no_mail_leaves_past_the_outbox(ida):
    adapter = AccountAdapter(SimpleNamespace())

    with pytest.raises(NotImplementedError):
        adapter.send_mail("account/email/unknown_account", "x@partner.example", {})
    with pytest.raises(NotImplementedError):
        adapter.send_notification_mail("account/email/email_changed", ida)

    assert not OutgoingEmail.objects.exists()


@pytest.mark.parametrize("password", ["short", "password1234", "ida@partner.example"])
def test_a_weak_password_is_refused(client, ida, password):
    sign_in(client)

    client.post(
        PAGES["account_change_password"],
        {"oldpassword": PASSWORD, "password1": password, "password2": password},
    )

    ida.refresh_from_db()
    assert ida.check_password(PASSWORD)


@pytest.mark.parametrize(
    ("page", "typed", "asked"),
    [
        (LOGIN, {}, ["Enter your e-mail address.", "Enter your password."]),
        (LOGIN, {"login": "ida", "password": "x"}, ["Enter a whole e-mail address"]),
        (RESET, {}, ["Enter your e-mail address."]),
    ],
)
def test_an_empty_form_says_what_to_enter(page, typed, asked):
    shown = Client().post(page, typed).content.decode()

    for sentence in asked:
        # Above the form, and at its field.
        assert shown.count(sentence) == 2
    assert "This field is required." not in shown


def test_who_asked_for_a_link_reads_what_to_do_next():
    shown = Client().get(PAGES["account_reset_password_done"]).content.decode()

    assert f'href="{LOGIN}"' in shown
    assert f'href="{RESET}"' in shown
