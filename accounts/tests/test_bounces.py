"""Mail that comes back: what is believed, what it marks, and whom it is told to."""

import io
import sys
from email import message_from_bytes
from types import SimpleNamespace

import pytest
from django.core import mail as mailbox
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from accounts import outbox, services
from accounts.bounces import bounces_in, unsubscribing_in
from accounts.mail_classes import CLASSES, MailClass, class_of
from accounts.models import (
    AuditAction,
    AuditEvent,
    MailStatus,
    MutedMail,
    OutgoingEmail,
    UndeliverableAddress,
)
from accounts.muting import mute_token
from accounts.tests.shared_rows import shared


@shared
def sent(ida):
    """A mail to Ida that left."""
    return OutgoingEmail.objects.create(
        dedupe_key="one",
        name="invitation",
        to_user=ida,
        to_address=ida.email,
        language="en",
        subject="Come",
        body_text="Come",
        body_html="<p>Come</p>",
        status=MailStatus.SENT,
        sent_at=timezone.now(),
        next_attempt_at=timezone.now(),
    )


def report(email, **changed) -> bytes:
    """A delivery status notification, as Postfix writes them (RFC 3464)."""
    told = {
        "action": "failed",
        "status": "5.1.1",
        "recipient": email.to_address,
        "entity": str(email.pk),
        "message_id": outbox.message_id(email),
        "kind": "message/rfc822",
    } | changed
    lines = f"""\
From: MAILER-DAEMON@mx.example (Mail Delivery System)
To: no-reply@partners.example
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="x"

--x
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
Arrival-Date: Sat, 21 Nov 2026 20:00:00 +0000

Final-Recipient: rfc822; {told["recipient"]}
Action: {told["action"]}
Status: {told["status"]}
Diagnostic-Code: smtp; 550 5.1.1 <{told["recipient"]}>: Recipient
    address rejected: User unknown

--x
Content-Type: {told["kind"]}

From: no-reply@partners.example
To: {told["recipient"]}
Subject: Come
Message-ID: {told["message_id"]}
X-Entity-Ref-ID: {told["entity"]}

Come
--x--
"""
    return lines.replace("\n", "\r\n").encode()


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers"])
def test_a_bounce_marks_the_address_and_tells_the_company_s_admins(
    sent, ida, greta, alice, kind
):
    assert services.note_bounces(report(sent, kind=kind)) == 1

    marked = UndeliverableAddress.objects.get()
    assert marked.address == ida.email
    assert "User unknown" in marked.diagnostic
    sent.refresh_from_db()
    assert sent.bounced_at
    told = OutgoingEmail.objects.filter(name="mail_came_back")
    assert {mail.to_user for mail in told} == {greta, alice}
    assert all(ida.full_name in mail.subject for mail in told)
    assert AuditEvent.objects.get(action=AuditAction.MAIL_BOUNCED).person == ida


def test_the_same_bounce_twice_is_nothing_new(sent, greta):
    services.note_bounces(report(sent))

    assert services.note_bounces(report(sent)) == 0
    assert OutgoingEmail.objects.filter(name="mail_came_back").count() == 1


def test_nothing_more_is_sent_there_until_somebody_tries_again(
    sent, ida, mina, client_of
):
    services.note_bounces(report(sent))
    OutgoingEmail.objects.exclude(pk=sent.pk).delete()
    sent.dedupe_key, sent.pk = "two", None
    sent.pk = OutgoingEmail._meta.pk.get_default()
    sent.status, sent.sent_at = MailStatus.QUEUED, None
    sent.save(force_insert=True)

    delivery = outbox.deliver()

    assert (delivery.sent, delivery.failed) == (0, 1)
    assert mailbox.outbox == []
    page = client_of(mina).get(reverse("ops:mail"))
    assert "User unknown" in page.content.decode()
    address = UndeliverableAddress.objects.get()
    client_of(mina).post(reverse("ops:try_address", kwargs={"pk": address.pk}))
    services.resend_email(sent, by=mina)
    assert outbox.deliver().sent == 1


def test_the_person_s_page_says_that_mail_comes_back(sent, ida, greta, client_of):
    page = reverse("accounts:person", kwargs={"pk": ida.memberships.get().pk})
    client = client_of(greta)
    assert "comes back" not in client.get(page).content.decode()

    services.note_bounces(report(sent))

    assert "comes back" in client.get(page).content.decode()


@pytest.mark.parametrize(
    "changed",
    [
        {"action": "delayed", "status": "4.4.1"},
        {"status": "4.2.2"},
        {"recipient": "greta@partner.example"},
        {"entity": "00000000-0000-4000-8000-000000000000"},
        {"entity": "nonsense"},
        {"message_id": "<guessed@partners.example>"},
        {"kind": "text/plain"},
    ],
    ids=lambda changed: next(iter(changed.items())),
)
def test_what_is_no_bounce_of_ours_marks_nobody(sent, greta, changed):
    assert services.note_bounces(report(sent, **changed)) == 0

    assert not UndeliverableAddress.objects.exists()
    assert not OutgoingEmail.objects.filter(name="mail_came_back").exists()


@pytest.mark.parametrize("status", ["5.7.1", "5.2.2", "5.1.8"])
def test_what_one_mail_was_refused_for_says_nothing_of_the_next(sent, greta, status):
    assert services.note_bounces(report(sent, status=status)) == 0

    sent.refresh_from_db()
    assert sent.bounced_at, "it is noted of this mail"
    assert not UndeliverableAddress.objects.exists()
    assert not OutgoingEmail.objects.filter(name="mail_came_back").exists()


@pytest.mark.parametrize(
    "raw",
    [b"", b"\xff\xfe\x00", b"Content-Type: multipart/report\r\n\r\n", b"x" * 2_000_000],
    ids=len,
)
def test_anything_else_is_read_as_nothing(raw):
    assert bounces_in(raw) == []


def test_parts_within_parts_without_end_are_read_as_nothing():
    parts = "".join(
        f'Content-Type: multipart/report; boundary="{n}"\r\n\r\n--{n}\r\n'
        for n in range(5_000)
    ).encode()
    mails = b"Content-Type: message/rfc822\r\n\r\n" * 2_000

    for raw in (parts, mails):
        assert bounces_in(raw) == []
        assert unsubscribing_in(raw) == ""


def test_a_report_cut_off_anywhere_is_no_error(sent):
    whole = report(sent)

    for end in range(0, len(whole), 37):
        bounces_in(whole[:end])
    assert len(bounces_in(whole)) == 1


def test_the_command_reads_a_bounce_or_an_unsubscribe_from_a_mail_server(
    sent, ida, monkeypatch, capsys
):
    def piped(raw):
        stdin = SimpleNamespace(buffer=io.BytesIO(raw))
        monkeypatch.setattr(sys, "stdin", stdin)
        call_command("receive_mail")
        return capsys.readouterr().out.strip()

    assert piped(report(sent)) == "Done."
    assert UndeliverableAddress.objects.exists()
    token = mute_token(ida.pk, "reminders:")
    assert piped(f"Subject: unsubscribe {token}\r\n\r\n".encode()) == "Done."
    assert MutedMail.objects.get().user == ida
    assert piped(b"Subject: unsubscribe 1:reminders:\r\n\r\n") != "Done."
    assert piped(b"Subject: Hello\r\n\r\n") != "Done."


def test_only_mail_one_can_do_without_carries_an_unsubscribe(sent, settings):
    sent.mutes = "reminders:"
    headers = outbox.as_message(sent).extra_headers
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"

    for name in ("enrollment_submitted", "needs_attention", "new_sign_in"):
        sent.name = name
        assert "List-Unsubscribe" not in outbox.as_message(sent).extra_headers


def test_every_class_is_of_a_message_that_exists(settings):
    folder = settings.BASE_DIR / "templates" / "emails"
    messages = {path.name.partition(".")[0] for path in folder.glob("*.subject.txt")}

    assert set(CLASSES) <= messages
    optional = {name for name in messages if class_of(name) == MailClass.OPTIONAL}
    assert optional == {"reminder", "renewal_forecast"}


def test_what_leaves_carries_what_a_bounce_is_known_by(sent):
    sent_mail = message_from_bytes(outbox.as_message(sent).message().as_bytes())

    assert sent_mail["X-Entity-Ref-ID"] == str(sent.pk)
    assert sent_mail["Message-ID"] == outbox.message_id(sent)
