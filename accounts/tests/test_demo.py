"""The demo's mailbox: real mail, received by a real server, for anybody, in demo mode."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from email.message import EmailMessage
from pathlib import Path

import pytest
from django.conf import settings as configured
from django.urls import reverse
from playwright.sync_api import Page, expect

from accounts import demo_mail, outbox
from accounts.tests.mails import make_email


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    """A folder of its own for each test's mail, made by whoever needs it."""
    settings.DEMO = True
    settings.DEMO_MAIL_DIR = tmp_path / "var" / "mail"
    return settings.DEMO_MAIL_DIR


def arrive(subject="Hello", to="Ida <ida@partner.example>", html="<p>Hi</p>") -> str:
    """Let a mail arrive; return its name in the address."""
    message = EmailMessage()
    message["From"] = "Microsoft Partner Center <no-reply@partners.example>"
    message["To"] = to
    message["Subject"] = subject
    message.set_content("Hi in text: Åsa & Omar <all>.")
    if html:
        message.add_alternative(html, subtype="html")
    return demo_mail.store(message.as_bytes()).stem


def show(client, name, *parts, **query):
    address = reverse(f"demo:{name}", args=parts)
    return client.get(address, query)


@pytest.mark.django_db
def test_anybody_sees_all_mail_newest_first(client):
    arrive(subject="First", to="ida@partner.example")
    arrive(subject="Second & last", to="Greta <greta@partner.example>")

    text = show(client, "mailbox").content.decode()

    assert text.index("Second &amp; last") < text.index("First")
    assert "greta@partner.example" in text
    assert "ida@partner.example" in text


@pytest.mark.django_db
def test_an_empty_mailbox_says_what_would_fill_it(client):
    assert "No mail yet" in show(client, "mailbox").content.decode()


@pytest.mark.django_db
def test_one_persons_mail_can_be_listed(client):
    arrive(subject="For Ida", to="IDA@partner.example")
    arrive(subject="For Greta", to="greta@partner.example")

    text = show(client, "mailbox", to="ida@partner.example").content.decode()

    assert "For Ida" in text
    assert "For Greta" not in text


@pytest.mark.django_db
@pytest.mark.parametrize("to", ["nobody@partner.example", "../", "\N{EURO SIGN}"])
def test_a_filter_for_somebody_unknown_shows_everybody(client, to):
    arrive(subject="For Ida")
    response = show(client, "mailbox", to=to)
    assert response.status_code == 200
    assert "For Ida" in response.content.decode()


@pytest.mark.django_db
def test_a_long_mailbox_has_pages_that_keep_the_filter(client):
    for number in range(26):
        arrive(subject=f"Mail {number}.", to="ida@partner.example")
    arrive(subject="For Greta", to="greta@partner.example")

    text = show(client, "mailbox", to="ida@partner.example").content.decode()
    assert "?to=ida%40partner.example&amp;page=2" in text
    second = show(client, "mailbox", to="ida@partner.example", page="2")
    assert "Mail 0." in second.content.decode()
    assert "Mail 1." not in second.content.decode()


@pytest.mark.django_db
def test_a_mail_shows_its_headers_and_its_html_in_a_closed_frame(client):
    name = arrive(subject="Get <b>going</b>")

    text = show(client, "message", name).content.decode()

    assert "Microsoft Partner Center &lt;no-reply@partners.example&gt;" in text
    assert "ida@partner.example" in text
    assert "Get &lt;b&gt;going&lt;/b&gt;" in text
    (frame,) = re.findall(r"<iframe[^>]*>", text)
    assert f'src="/demo/mail/{name}/html/"' in frame
    assert 'sandbox="allow-popups allow-top-navigation-by-user-activation"' in frame, (
        "neither scripts nor the portal's own origin"
    )


@pytest.mark.django_db
def test_the_text_of_a_mail_can_be_read_too(client):
    name = arrive()
    text = show(client, "message", name, part="text").content.decode()
    assert "Hi in text: Åsa &amp; Omar &lt;all&gt;." in text
    assert "<iframe" not in text


@pytest.mark.django_db
def test_a_mail_without_html_shows_its_text(client):
    name = arrive(html="")
    assert "Hi in text" in show(client, "message", name).content.decode()
    assert show(client, "message_html", name).status_code == 404


@pytest.mark.django_db
def test_the_framed_html_may_do_nothing_but_lead_out(client):
    name = arrive(html="<html><head><title>x</title></head><body>Hi</body></html>")

    response = show(client, "message_html", name)

    policy = dict(
        directive.strip().partition(" ")[::2]
        for directive in response["Content-Security-Policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "sandbox": "allow-popups allow-top-navigation-by-user-activation",
        "frame-ancestors": "'self'",
    }
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert '<head><base target="_top"><title>' in response.content.decode()


@pytest.mark.django_db
def test_other_pages_still_refuse_every_frame(client):
    response = show(client, "message", arrive())
    assert response["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".hidden",
        "20261121T010203123456-0123abcd",
        "20261121T010203123456-0123ABCD",
        "20261121T010203123456-0123abcd.eml",
        "٢٠٢٦١١٢١T010203123456-0123abcd",
        "20261121T010203123456-0123abcd\n",
        "..%2f..%2fsecrets",
    ],
)
def test_a_name_that_is_none_of_ours_leads_nowhere(client, folder, name):
    folder.mkdir(parents=True)
    (folder.parent / "secrets.eml").write_text("Subject: hush\n\nhush")
    (folder / ".hidden.eml").write_text("Subject: hush\n\nhush")
    for address in (f"/demo/mail/{name}/", f"/demo/mail/{name}/html/"):
        response = client.get(address)
        assert response.status_code == 404
        assert "hush" not in response.content.decode()
    assert demo_mail.find(name) is None
    assert demo_mail.html_of(name) == ""


@pytest.mark.django_db
def test_without_demo_mode_the_mailbox_does_not_exist(client, settings):
    name = arrive()
    settings.DEMO = False
    for address in (
        "/demo/mail/",
        f"/demo/mail/{name}/",
        f"/demo/mail/{name}/html/",
    ):
        assert client.get(address).status_code == 404


@pytest.mark.django_db
def test_the_mailbox_changes_nothing(client):
    name = arrive()
    for parts in (("mailbox",), ("message", name), ("message_html", name)):
        address = reverse(f"demo:{parts[0]}", args=parts[1:])
        assert client.post(address).status_code == 405


def test_a_half_written_mail_is_not_there_yet(folder, monkeypatch):
    def stop(*_):
        raise OSError

    monkeypatch.setattr(demo_mail.os, "replace", stop)
    with pytest.raises(OSError):  # noqa: PT011 - the one we raise
        arrive()
    assert demo_mail.newest_first() == []


def test_a_mail_in_an_unknown_character_set_is_still_shown(folder):
    raw = (
        b"Subject: x\nContent-Type: text/plain; charset=nobody-knows\n"
        b"Content-Transfer-Encoding: 8bit\n\nHej \xc3\x85sa\n"
    )
    assert "Hej Åsa" in demo_mail.text_of(demo_mail.store(raw).stem)


# --- The server -----------------------------------------------------------------------


def start_server(port: int, folder, **variables: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "manage.py", "demo_mail_server", "--port", str(port)],
        cwd=configured.BASE_DIR,
        env=os.environ
        | {
            "DEMO": "true",
            "DEMO_MAIL_DIR": str(folder),
            "DJANGO_SETTINGS_MODULE": "incentives_portal.settings",
        }
        | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def server(folder):
    """The demo's mail server, as script/server starts it; gives its port."""
    port = free_port()
    process = start_server(port, folder)
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield port
    process.send_signal(signal.SIGTERM)
    said, _nothing = process.communicate(timeout=10)
    assert process.returncode == 0, said


@pytest.mark.django_db
def test_what_the_worker_sends_can_be_read_in_the_mailbox(client, server, settings):
    settings.EMAIL_BACKEND = "accounts.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server
    make_email(
        to_address="ida@partner.example",
        subject="Inbjudan till Göteborg",
        body_text="Kom igång:\n.\nEnsam punkt ovan.\n",
        body_html='<a href="http://127.0.0.1:8000/i/x/">Kom igång</a>',
    )

    assert outbox.deliver().sent == 1

    (mail,) = demo_mail.newest_first()
    assert mail.to == ("ida@partner.example",)
    assert mail.subject == "Inbjudan till Göteborg"
    assert "\n.\n" in demo_mail.text_of(mail.name).replace("\r\n", "\n")
    html = show(client, "message_html", mail.name).content.decode()
    assert 'href="http://127.0.0.1:8000/i/x/">Kom igång</a>' in html


def test_the_server_listens_to_this_machine_alone(server):
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = {row.split()[1] for row in rows if row.split()[3] == "0A"}
    assert {one for one in listening if int(one.partition(":")[2], 16) == server} == {
        f"0100007F:{server:04X}"
    }


def test_the_server_does_not_start_without_demo_mode(folder):
    process = start_server(
        free_port(),
        folder,
        DEMO="false",
        PUBLIC_BASE_URL="https://portal.example",
    )
    said, _nothing = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "DEMO is not true" in said
    assert "Traceback" not in said


def test_the_server_says_that_its_port_is_taken(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start_server(taken.getsockname()[1], folder)
        said, _nothing = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Mail cannot be received at port" in said
    assert "Traceback" not in said


# --- In a browser ---------------------------------------------------------------------


@pytest.fixture
def page(chromium):
    context = chromium.new_context(reduced_motion="reduce")
    yield context.new_page()
    context.close()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_link_in_a_mail_opens_in_the_window_and_scripts_do_not_run(
    live_server, page: Page
):
    target = f"{live_server.url}{reverse('account_login')}"
    name = arrive(
        html=(
            "<html><head><title>x</title></head><body>"
            f'<a href="{target}">Get Started</a><p id="p">quiet</p>'
            "<script>document.getElementById('p').textContent = 'ran'</script>"
            f"<script>top.location = '{live_server.url}/healthz'</script>"
            "</body></html>"
        )
    )
    page.goto(f"{live_server.url}{reverse('demo:message', args=[name])}")
    mail = page.frame_locator("iframe")
    expect(mail.locator("#p")).to_have_text("quiet")

    mail.get_by_role("link", name="Get Started").click()

    expect(page).to_have_url(target)
    assert page.main_frame.child_frames == []
