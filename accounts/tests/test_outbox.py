"""The outbox: queued with the change, sent by a worker, whatever breaks on the way."""

import logging
import smtplib
import threading
import uuid
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes
from email.utils import parseaddr
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from unittest import mock

import pytest
from django.apps import apps
from django.core.mail import get_connection
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import outbox
from accounts.mail_words import OPEN, mark
from accounts.models import (
    IncentiveProgram,
    MailStatus,
    OutgoingEmail,
    SharedText,
    texts,
)
from accounts.smtp import EmailBackend
from accounts.tests import killed_senders, weather
from accounts.tests import mail_server as how
from accounts.tests.factories import LocationFactory
from accounts.tests.mail_server import MailServer
from accounts.tests.mails import make_email, pass_time

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def running_server():
    """One mail server for all tests of this file."""
    with MailServer() as server:
        yield server


@pytest.fixture
def mail_server(running_server, settings):
    """The mail server the portal sends to, as new."""
    settings.EMAIL_BACKEND = "accounts.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = running_server.port
    settings.EMAIL_TIMEOUT = 2
    running_server.reset()
    return running_server


@pytest.fixture
def rings(monkeypatch):
    """Every wake-up that reached the broker."""
    heard = []
    monkeypatch.setattr(
        outbox.current_app, "send_task", lambda name, **_: heard.append(name)
    )
    monkeypatch.setattr(outbox, "_bell", outbox._Bell())
    return heard


def queue_gaps(reader, company, *names: str, key: str = "gaps") -> OutgoingEmail | None:
    """Queue a mail about locations with these names."""
    return outbox.queue(
        "nobody_can_enroll",
        to=reader,
        dedupe_key=key,
        context={
            "company": company,
            "locations": [
                LocationFactory.build(partner_account=company, name=name)
                for name in names
            ],
            "program": IncentiveProgram(name="Cloud Solution Provider"),
            "url": "https://portal.example/people/gaps/?company=5012001",
        },
        about_url="/people/gaps/",
    )


def claim_one() -> OutgoingEmail:
    """Claim a mail as a worker does that then does nothing more."""
    (email,) = outbox._claim(1)
    return email


# --- Queueing -----------------------------------------------------------------------


def test_a_mail_is_queued_with_both_bodies_and_what_it_is_about(greta, nordvik):
    email = queue_gaps(greta, nordvik, "Malmö")

    email.refresh_from_db()
    assert email.status == MailStatus.QUEUED
    assert (email.to_user, email.to_address) == (greta, "greta@partner.example")
    assert email.subject == "1 location has no Incentives admin"
    assert "Malmö" in email.body_text
    assert "Malmö" in email.body_html
    assert email.about_url == "/people/gaps/"


def test_the_same_event_is_told_to_a_person_once(greta, nordvik):
    assert queue_gaps(greta, nordvik, "Malmö", key="gaps:1") is not None
    assert queue_gaps(greta, nordvik, "Malmö", key="gaps:1") is None
    assert queue_gaps(greta, nordvik, "Malmö", key="gaps:2") is not None

    assert OutgoingEmail.objects.count() == 2


def test_keys_that_are_too_long_stay_stable_and_apart(greta, nordvik):
    keys = ",".join(str(number) for number in range(200))

    first = queue_gaps(greta, nordvik, "Malmö", key=f"{keys},201")
    again = queue_gaps(greta, nordvik, "Malmö", key=f"{keys},201")
    other = queue_gaps(greta, nordvik, "Malmö", key=f"{keys},202")

    assert again is None
    assert first.dedupe_key != other.dedupe_key
    assert {len(first.dedupe_key), len(other.dedupe_key)} == {200}


def test_a_name_with_line_breaks_adds_neither_a_header_nor_a_line(greta, nordvik):
    nordvik.name = "Nordvik\r\nBcc: all@evil.example\r\n\r\nPay to"
    greta.full_name = "Greta\nX-Injected: yes"
    email = queue_gaps(greta, nordvik, "Malmö\r\nSubject: paid")

    message = outbox.as_message(email).message()
    assert message["Bcc"] is None
    assert message["X-Injected"] is None
    assert "\n" not in email.subject
    lines = email.body_text.splitlines()
    assert not [line for line in lines if line.startswith(("Bcc:", "Subject:", "X-"))]


def test_a_company_whose_name_ends_in_a_stop_ends_the_sentence_once(greta, nordvik):
    nordvik.name = "Polderlicht B.V."
    email = queue_gaps(greta, nordvik, "Malmö")

    for text in (" ".join(email.body_text.split()), email.body_html):
        assert "Account admin of Polderlicht B.V." in text
        assert "B.V.." not in text


def test_long_lines_of_plain_text_break_between_words(greta, nordvik):
    nordvik.name = "Smith & Sons " * 9
    text = queue_gaps(greta, nordvik, "Åkersberga & Vänner <nord>").body_text

    assert max(map(len, text.splitlines())) <= 76
    assert "Åkersberga & Vänner <nord>" in text
    assert "\n\n\n" not in text


def test_an_address_is_never_broken_in_plain_text():
    address = "https://portal.example/" + "a-b/" * 40
    assert address in outbox.wrapped(f"Get Started: {address} and more words")


@pytest.mark.django_db(transaction=True)
def test_a_worker_is_woken_once_and_only_after_the_commit(greta, nordvik, rings):
    with transaction.atomic():
        queue_gaps(greta, nordvik, "Malmö", key="1")
        with transaction.atomic():
            queue_gaps(greta, nordvik, "Malmö", key="2")
        queue_gaps(greta, nordvik, "Malmö", key="3")
        assert rings == []
    assert rings == [outbox.WAKE_TASK]


@pytest.mark.django_db(transaction=True)
def test_nothing_is_queued_and_nobody_woken_after_a_rollback(greta, nordvik, rings):
    with transaction.atomic():
        queue_gaps(greta, nordvik, "Malmö")
        transaction.set_rollback(True)
    assert rings == []
    assert not OutgoingEmail.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_worker_is_woken_when_only_a_part_was_rolled_back(greta, nordvik, rings):
    with transaction.atomic():
        part = transaction.savepoint()
        queue_gaps(greta, nordvik, "Malmö", key="1")
        transaction.savepoint_rollback(part)
        queue_gaps(greta, nordvik, "Malmö", key="2")
    assert rings == [outbox.WAKE_TASK]


def test_a_broker_that_fails_is_left_in_peace_for_a_while(rings, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(outbox, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def fail(name, **_):
        rings.append(name)
        raise ConnectionError

    monkeypatch.setattr(outbox.current_app, "send_task", fail)
    outbox.wake()
    outbox.wake()
    assert len(rings) == 1
    clock[0] += 11
    outbox.wake()
    assert len(rings) == 2


# --- Delivering -----------------------------------------------------------------------


def test_due_mails_leave_over_one_connection(mail_server):
    emails = [make_email() for _ in range(3)]
    later = make_email(next_attempt_at=timezone.now() + timedelta(minutes=1))

    delivery = outbox.deliver()

    assert (delivery.claimed, delivery.sent) == (3, 3)
    assert mail_server.connections == 1
    assert {message["To"] for message in mail_server.messages} == {
        email.to_address for email in emails
    }
    for email in emails:
        email.refresh_from_db()
        assert email.status == MailStatus.SENT
        assert email.sent_at is not None
        assert email.lease_until is None
    later.refresh_from_db()
    assert later.status == MailStatus.QUEUED


def test_a_line_break_in_a_senders_name_adds_no_header(settings):
    email = make_email(sender_name="Contoso\r\nBcc: all@evil.example\u2028AB")
    ways = (
        outbox.as_message(email).message(),
        message_from_bytes(outbox.prepared_bytes(email)),
    )

    for message in ways:
        assert parseaddr(message["From"]) == (
            "Contoso Bcc: all@evil.example AB",
            settings.DEFAULT_FROM_EMAIL,
        )
        assert message["Bcc"] is None


def test_a_message_id_is_what_every_version_makes_of_the_mails_own_key():
    for number in range(40):
        key = f"invitation:Åre {number}"
        known = uuid.uuid5(uuid.NAMESPACE_URL, key)
        said = outbox.message_id(OutgoingEmail(dedupe_key=key))
        assert said.startswith(f"<{known}@")


def test_a_mail_says_who_sends_it_and_can_be_recognized(mail_server, settings):
    email = make_email(language="sv", subject="Inbjudan till Göteborg")
    outbox.deliver()

    (message,) = mail_server.messages
    assert parseaddr(message["From"]) == (
        "Microsoft Partner Center",
        settings.SENDER_ADDRESS,
    )
    assert message["Reply-To"] == settings.SUPPORT_ADDRESS
    assert message["Subject"] == "Inbjudan till Göteborg"
    assert message["Message-ID"] == outbox.message_id(email)
    assert message["Message-ID"].endswith("@partners.example>")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Entity-Ref-ID"] == str(email.pk)
    assert message["Content-Language"] == "sv"
    assert message.get_body(("plain",)).get_content().strip() == "Hello."
    assert message.get_body(("html",)).get_content().strip() == "<p>Hello.</p>"


def test_a_recipient_that_does_not_exist_fails_at_once_and_visibly(mail_server, caplog):
    wrong, right = make_email(), make_email()
    mail_server.unknown = {wrong.to_address}

    with caplog.at_level(logging.ERROR, logger="accounts.outbox"):
        delivery = outbox.deliver()

    assert (delivery.sent, delivery.failed) == (1, 1)
    wrong.refresh_from_db()
    assert (wrong.status, wrong.last_error) == (MailStatus.FAILED, "SMTP 550")
    assert wrong in OutgoingEmail.objects.undelivered()
    assert f"mail {wrong.pk} given up" in caplog.text
    assert wrong.to_address not in caplog.text
    right.refresh_from_db()
    assert right.status == MailStatus.SENT

    pass_time(days=3)
    mail_server.unknown = set()
    assert outbox.deliver().claimed == 0


def test_later_means_later_and_others_go_on(mail_server):
    email = make_email()
    mail_server.mode = how.SAYS_LATER

    assert outbox.deliver().postponed == 1
    email.refresh_from_db()
    assert (email.status, email.attempts) == (MailStatus.QUEUED, 1)
    assert email.last_error == "SMTP 450"
    assert outbox.deliver().claimed == 0

    mail_server.mode = how.ACCEPTS
    pass_time(minutes=2)
    assert outbox.deliver().sent == 1


def test_pauses_grow_vary_and_last_two_days(monkeypatch):
    minute = timedelta(minutes=1)
    assert len({outbox._growing_pause(1) for _ in range(20)}) > 10
    for attempts, minutes in ((1, 1), (2, 2), (3, 4), (7, 60), (500, 60)):
        for _ in range(20):
            pause = outbox._growing_pause(attempts)
            assert 0.8 * minutes * minute <= pause <= 1.2 * minutes * minute
    monkeypatch.setattr(outbox, "random", SimpleNamespace(uniform=lambda *_: 1.0))
    pauses = map(outbox._growing_pause, range(1, outbox.MOST_ATTEMPTS))
    assert timedelta(hours=48) <= sum(pauses, timedelta()) <= timedelta(hours=49)


def test_a_server_that_says_later_for_two_days_is_given_up(mail_server):
    email = make_email(attempts=outbox.MOST_ATTEMPTS - 2)
    mail_server.mode = how.SAYS_LATER

    assert outbox.deliver().postponed == 1
    pass_time(hours=2)
    assert outbox.deliver().failed == 1
    email.refresh_from_db()
    assert email.status == MailStatus.FAILED


@pytest.mark.parametrize(
    "break_it",
    [
        MailServer.refuse,
        lambda server: setattr(server, "mode", how.IS_CLOSING),
        lambda server: setattr(server, "mode", how.WANTS_NO_GREETING),
        lambda server: setattr(server, "mode", how.WANTS_NO_SENDER),
        lambda server: setattr(server, "mode", how.HANGS_UP_FIRST),
    ],
    ids=[
        "refuses",
        "421",
        "550 to the greeting",
        "530 to the sender",
        "hangs up before any mail",
    ],
)
def test_a_server_that_is_away_is_asked_once_for_the_whole_batch(mail_server, break_it):
    emails = [make_email() for _ in range(5)]
    break_it(mail_server)

    delivery = outbox.deliver()

    assert delivery.is_server_away
    assert (delivery.claimed, delivery.postponed, delivery.sent) == (5, 1, 0)
    assert mail_server.connections <= 1
    rows = list(OutgoingEmail.objects.all())
    assert {row.status for row in rows} == {MailStatus.QUEUED}
    assert {row.lease_until for row in rows} == {None}
    assert sorted(row.attempts for row in rows) == [0, 0, 0, 0, 1]

    mail_server.reset()
    pass_time(minutes=2)
    assert outbox.deliver().sent == len(emails)
    assert set(mail_server.message_ids.values()) == {1}


def test_a_server_that_is_away_for_a_week_costs_no_mail(mail_server):
    email = make_email()
    mail_server.refuse()
    for _ in range(outbox.MOST_ATTEMPTS + 5):
        pass_time(hours=3)
        assert outbox.deliver().failed == 0
    mail_server.open()
    # The days without a server are not held against the mail either.
    mail_server.mode = how.SAYS_LATER
    pass_time(minutes=2)
    assert outbox.deliver().postponed == 1
    mail_server.mode = how.ACCEPTS
    pass_time(hours=2)
    outbox.deliver()
    email.refresh_from_db()
    assert email.status == MailStatus.SENT


@pytest.mark.parametrize("mode", [how.HANGS_UP_AFTER, how.HANGS_UP_AMID, how.IS_SLOW])
def test_a_mail_that_may_have_arrived_goes_once_more_and_never_again(
    mail_server, settings, mode
):
    email = make_email()
    settings.EMAIL_TIMEOUT = 0.3
    mail_server.mode, mail_server.seconds = mode, 1

    outbox.deliver()
    email.refresh_from_db()
    assert email.status == MailStatus.UNKNOWN
    pass_time(minutes=14)
    assert outbox.deliver().claimed == 0

    pass_time(minutes=2)
    assert outbox.deliver().failed == 1
    email.refresh_from_db()
    assert email.status == MailStatus.FAILED
    pass_time(days=1)
    assert outbox.deliver().claimed == 0
    assert set(mail_server.message_ids) <= {outbox.message_id(email)}
    assert sum(mail_server.message_ids.values()) <= 2


def test_the_second_try_settles_what_was_unclear(mail_server):
    email = make_email()
    mail_server.mode = how.HANGS_UP_AFTER
    outbox.deliver()
    mail_server.mode = how.ACCEPTS
    pass_time(minutes=16)

    assert outbox.deliver().sent == 1
    email.refresh_from_db()
    assert (email.status, email.last_error) == (MailStatus.SENT, "")
    assert mail_server.message_ids == {outbox.message_id(email): 2}


def test_a_mail_that_may_have_arrived_says_so_when_the_second_try_is_refused(
    mail_server,
):
    email = make_email()
    mail_server.mode = how.HANGS_UP_AFTER
    outbox.deliver()
    mail_server.mode = how.SAYS_NEVER
    pass_time(minutes=16)

    assert outbox.deliver().failed == 1
    email.refresh_from_db()
    assert email.last_error == "SMTP 550, may have arrived before"


@pytest.mark.parametrize("answer", [how.SAYS_LATER, "refuses"])
def test_a_mail_stays_unclear_while_the_second_try_is_put_off(mail_server, answer):
    email = make_email()
    mail_server.mode = how.HANGS_UP_AFTER
    outbox.deliver()
    pass_time(minutes=16)
    if answer == "refuses":
        mail_server.refuse()
    else:
        mail_server.mode = answer
    assert outbox.deliver().postponed == 1
    email.refresh_from_db()
    assert email.status == MailStatus.UNKNOWN

    mail_server.reset()
    mail_server.mode = how.HANGS_UP_AFTER
    pass_time(hours=1)
    assert outbox.deliver().failed == 1


def test_an_old_connection_that_was_closed_delays_one_mail_and_nothing_else(
    mail_server, monkeypatch
):
    emails = [make_email() for _ in range(3)]
    accept = MailServer.handle_DATA

    async def accept_and_close(self, server, session, envelope):
        answer = await accept(self, server, session, envelope)
        if len(self.messages) == 1:
            self._loop.call_later(0.05, server.transport.abort)
        return answer

    monkeypatch.setattr(MailServer, "handle_DATA", accept_and_close)
    stamp = outbox._stamp

    def stamp_slowly(email, **facts):
        if facts["status"] == MailStatus.SENT:
            threading.Event().wait(0.2)
        return stamp(email, **facts)

    monkeypatch.setattr(outbox, "_stamp", stamp_slowly)
    mail_server.reset()
    delivery = outbox.deliver()

    assert (delivery.sent, delivery.postponed) == (2, 1)
    assert not delivery.is_server_away
    assert mail_server.connections == 2
    pass_time(minutes=2)
    outbox.deliver()
    assert set(mail_server.message_ids.values()) == {1}
    assert len(mail_server.messages) == len(emails)


def test_a_text_the_server_does_not_want_keeps_no_other_mail_waiting(
    mail_server, monkeypatch
):
    for _ in range(2):
        make_email()
    hear = MailServer.handle_RCPT

    async def want_the_second_alone(self, *rest):
        self.mode = how.WANTS_NO_TEXT if self.connections == 1 else how.ACCEPTS
        return await hear(self, *rest)

    monkeypatch.setattr(MailServer, "handle_RCPT", want_the_second_alone)
    mail_server.reset()

    delivery = outbox.deliver()

    assert (delivery.postponed, delivery.sent) == (1, 1)
    postponed = OutgoingEmail.objects.get(status=MailStatus.QUEUED)
    assert postponed.last_error == "SMTP 451"


def test_a_mail_that_cannot_be_written_down_does_not_keep_others_waiting(mail_server):
    poison = make_email(
        to_address="a@partner.example\nBcc: b@evil.example",
        next_attempt_at=timezone.now() - timedelta(hours=1),
    )
    make_email()

    delivery = outbox.deliver()

    assert (delivery.sent, delivery.failed) == (1, 1)
    poison.refresh_from_db()
    assert (poison.status, poison.last_error) == (MailStatus.FAILED, "ValueError")


def test_a_batch_that_takes_too_long_hands_back_what_it_has_not_begun(
    mail_server, monkeypatch
):
    for _ in range(3):
        make_email()
    clock = iter([0.0, 1.0, 119.0, 121.0])
    monkeypatch.setattr(outbox, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    delivery = outbox.deliver()

    assert (delivery.claimed, delivery.sent) == (3, 2)
    (left,) = OutgoingEmail.objects.exclude(status=MailStatus.SENT)
    assert (left.status, left.attempts, left.lease_until) == ("queued", 0, None)


def claimed_by_another_while_one_is_slow(monkeypatch, time_machine) -> int:
    """A worker takes twelve seconds for each of four mails; another looks each time."""
    for _ in range(4):
        make_email()
    time_machine.move_to(timezone.now(), tick=False)
    send, claimed = outbox._send, []

    def send_slowly(*args):
        send(*args)
        time_machine.shift(12)
        claimed.extend(outbox._claim(4))

    monkeypatch.setattr(outbox, "_send", send_slowly)
    outbox.deliver()
    return len(claimed)


def test_a_slow_worker_keeps_what_it_has_claimed(
    mail_server, monkeypatch, time_machine
):
    assert claimed_by_another_while_one_is_slow(monkeypatch, time_machine) == 0
    assert len(mail_server.messages) == 4


def test_control_who_does_not_keep_it_loses_it_and_sends_none_of_it(
    mail_server, monkeypatch, time_machine
):
    monkeypatch.setattr(outbox, "_keep", lambda waiting: None)
    assert claimed_by_another_while_one_is_slow(monkeypatch, time_machine) > 0
    assert len(mail_server.messages) == 2


def test_what_waits_for_a_worker_or_a_server_leaves_within_a_minute(settings):
    clock = settings.CELERY_BEAT_SCHEDULE["deliver-mail"]["schedule"]
    assert outbox.LEASE.total_seconds() + clock <= 50
    assert 1.2 * outbox.AWAY_RETRY.total_seconds() + clock <= 50


def test_a_mail_is_taken_for_unclear_only_when_no_answer_can_come(settings):
    slowest = timedelta(seconds=10 * settings.EMAIL_TIMEOUT)
    assert settings.EMAIL_TIMEOUT <= 10
    assert slowest < outbox.UNCLEAR_RETRY


def test_a_worker_that_is_told_to_stop_hands_back_its_batch(mail_server, monkeypatch):
    for _ in range(3):
        make_email()

    class Stopped(BaseException):
        pass

    def stop(*_):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "as_message", stop)
        with pytest.raises(Stopped):
            outbox.deliver()

    assert outbox.deliver().sent == 2
    pass_time(minutes=16)
    assert outbox.deliver().sent == 1


# --- Workers that die or meet ------------------------------------------------------------


def test_what_a_dead_worker_had_not_begun_goes_when_its_lease_is_over(mail_server):
    email = make_email()
    claim_one()
    assert outbox.deliver().claimed == 0

    pass_time(minutes=6)
    assert outbox.deliver().sent == 1
    email.refresh_from_db()
    assert email.attempts == 1


def test_what_a_dead_worker_had_begun_goes_once_more_after_a_quarter(mail_server):
    make_email()
    assert outbox._begin(claim_one())

    pass_time(minutes=14)
    assert outbox.deliver().claimed == 0
    pass_time(minutes=2)
    assert outbox.deliver().sent == 1


def test_a_mail_that_kills_its_worker_twice_is_not_tried_a_third_time(mail_server):
    email = make_email()
    for _ in range(2):
        assert outbox._begin(claim_one())
        pass_time(minutes=16)

    assert outbox.deliver().claimed == 0
    email.refresh_from_db()
    assert email.status == MailStatus.FAILED
    assert "may have arrived" in email.last_error


def lose_lease_and_stamp() -> OutgoingEmail:
    """A worker loses its lease, another sends the mail, the first reports failure."""
    email = make_email()
    first = claim_one()
    pass_time(minutes=6)
    assert outbox.deliver().sent == 1
    outbox._give_up(first, outbox.Delivery(), error="SMTP 550")
    email.refresh_from_db()
    return email


def test_a_worker_that_lost_its_lease_cannot_stamp(mail_server):
    assert lose_lease_and_stamp().status == MailStatus.SENT


def test_control_without_the_fence_the_late_worker_stamps(mail_server, monkeypatch):
    monkeypatch.setattr(
        outbox,
        "_claimed",
        lambda email: (
            OutgoingEmail.objects.filter(pk=email.pk).exclude(sent_at__isnull=False)
            if False
            else OutgoingEmail.objects.filter(pk=email.pk)
        ),
    )
    with pytest.raises(Exception, match="sent_has_its_moment"):
        lose_lease_and_stamp()


def test_a_worker_that_lost_its_lease_does_not_send(mail_server):
    make_email()
    first = claim_one()
    pass_time(minutes=6)
    outbox.deliver()

    late = outbox.Delivery()
    server = outbox.get_connection()
    outbox._send(first, server, late)
    outbox._close(server)

    assert late == outbox.Delivery()
    assert len(mail_server.messages) == 1


def claim_beside_another_worker() -> int:
    """Count what a worker gets while another is in the middle of claiming."""
    for _ in range(4):
        make_email()
    got, claimed = [], threading.Event()
    may_commit = threading.Event()

    def claim_first():
        try:
            with transaction.atomic():
                outbox._claim(2)
                claimed.set()
                may_commit.wait(10)
        finally:
            connection.close()

    worker = threading.Thread(target=claim_first)
    worker.start()
    assert claimed.wait(10)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '300ms'")
        got = outbox._claim(4)
    finally:
        may_commit.set()
        worker.join()
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    return len(got)


@pytest.mark.django_db(transaction=True)
def test_two_workers_claim_different_mails_without_waiting():
    assert claim_beside_another_worker() == 2


@pytest.mark.django_db(transaction=True)
def test_control_without_skip_locked_the_second_worker_waits(monkeypatch):
    lock = QuerySet.select_for_update
    monkeypatch.setattr(
        QuerySet,
        "select_for_update",
        lambda self, skip_locked=False, **options: lock(self, **options),
    )
    with pytest.raises(Exception, match="lock timeout"):
        claim_beside_another_worker()


# --- Given up, and sent again -------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_mail_that_was_given_up_can_be_sent_again(mail_server, rings):
    email = make_email(status=MailStatus.FAILED, attempts=54, last_error="SMTP 550")

    assert outbox.requeue(OutgoingEmail.objects.all()) == 1

    email.refresh_from_db()
    assert (email.status, email.attempts) == (MailStatus.QUEUED, 0)
    assert rings == [outbox.WAKE_TASK]
    outbox.deliver()
    assert mail_server.message_ids == {outbox.message_id(email): 1}


def test_a_mail_that_was_sent_is_not_sent_again(mail_server):
    make_email(status=MailStatus.SENT, sent_at=timezone.now())
    assert outbox.requeue(OutgoingEmail.objects.all()) == 0
    assert outbox.deliver().claimed == 0


# --- Mails that are bytes already ----------------------------------------------------

PREPARED = b"Message-ID: <one@example>\r\n\r\nHello\r\n.signature\r\n"


@pytest.fixture(params=[how.OFFERS[:1], ()], ids=["at once", "one by one"])
def talk(request, mail_server):
    """Sends prepared mails to a server that takes many commands at once, or does not."""
    mail_server.offers = request.param
    connection = get_connection()
    connection.open()
    yield partial(connection.send_prepared, "portal@example.com"), connection
    connection.connection.close()


@pytest.mark.parametrize(
    ("mode", "error", "code"),
    [
        (how.SAYS_NEVER, smtplib.SMTPRecipientsRefused, 550),
        (how.IS_CLOSING, smtplib.SMTPRecipientsRefused, 421),
        (how.WANTS_NO_SENDER, smtplib.SMTPSenderRefused, 530),
        (how.WANTS_NO_TEXT, smtplib.SMTPDataError, 451),
        (how.HANGS_UP_FIRST, smtplib.SMTPServerDisconnected, None),
    ],
)
def test_what_is_refused_before_the_text_is_told_alike_and_the_next_one_leaves(
    talk, mail_server, mode, error, code
):
    send, connection = talk
    mail_server.mode = mode
    with pytest.raises(error) as refusal:
        send("greta@nordvik.example", PREPARED)
    told = getattr(refusal.value, "recipients", {}).get("greta@nordvik.example")
    assert (told[0] if told else getattr(refusal.value, "smtp_code", None)) == code
    if code is None:
        assert not connection.may_have_it
    mail_server.mode = how.ACCEPTS
    if code in (421, 451, None):
        # As the outbox does: the next one begins anew.
        connection.connection.close()
        connection.connection = None
        connection.open()

    send("greta@nordvik.example", PREPARED)
    send("per@nordvik.example", PREPARED)

    assert mail_server.message_ids == {"<one@example>": 2}
    assert ".signature" in mail_server.messages[0].get_content().splitlines()


def test_nothing_of_a_campaign_leaves_that_the_database_did_not_note(
    mail_server, settings
):
    settings.MAIL_WRITERS = {"invitation": "accounts.tests.killed_senders.words"}
    make_email(is_bulk=True, body_text="", body_html="")

    def refuse(execute, sql, *args):
        if sql == outbox.BEGIN:
            raise OperationalError("the server closed the connection")
        return execute(sql, *args)

    with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
        outbox.deliver()
    assert not mail_server.message_ids
    assert outbox.deliver().sent == 0, "it is held until its lease is over"


def words_with_a_long_line(emails) -> dict:
    """Of all that wait one has a line that only its parts can hold."""
    words = killed_senders.words(emails)
    second = sorted(words)[1]
    words[second] = (*words[second][:4], f"<p>{'long ' * 300}</p>", "")
    return words


def test_a_mail_that_is_built_part_by_part_leaves_amid_prepared_ones(
    mail_server, settings
):
    settings.MAIL_WRITERS = {"invitation": f"{__name__}.words_with_a_long_line"}
    for number in range(3):
        pk = uuid.UUID(int=number)
        make_email(pk=pk, is_bulk=True, body_text="", body_html="")

    assert outbox.deliver().sent == 3
    assert len(mail_server.message_ids) == 3


def words_with_marks_that_stand_for_nothing(emails) -> dict:
    """Each has a text that it shares with nobody: with half a mark, and one too many."""
    facts = "en", "Hello", "", "", "/", ""
    words = {}
    for email, its_mark in zip(emails, [mark(9), OPEN, mark(0)], strict=True):
        shared = SharedText.of(f"Hello{its_mark}\n", f"<p>Hello{its_mark}</p>")
        words[email.pk] = (email.to_address, *facts, shared)
    return words


@pytest.mark.parametrize("is_prepared", [True, False])
def test_a_mail_that_cannot_be_filled_in_keeps_no_other_waiting(
    mail_server, settings, monkeypatch, is_prepared
):
    settings.MAIL_WRITERS = {
        "invitation": f"{__name__}.words_with_marks_that_stand_for_nothing"
    }
    if not is_prepared:
        monkeypatch.delattr(EmailBackend, "send_prepared")
    for _ in range(3):
        make_email(is_bulk=True, body_text="", body_html="")

    delivery = outbox.deliver()

    assert (delivery.sent, delivery.failed) == (2, 1)
    assert (
        OutgoingEmail.objects.get(status=MailStatus.FAILED).last_error == "IndexError"
    )
    assert not OutgoingEmail.objects.filter(status=MailStatus.SENDING).exists()


def test_an_answer_to_the_text_that_does_not_come_leaves_it_open_whether_it_arrived(
    talk, mail_server
):
    send, connection = talk
    mail_server.mode = how.HANGS_UP_AFTER
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send("greta@nordvik.example", PREPARED)

    assert connection.may_have_it


def test_an_address_with_a_line_break_is_no_command_of_its_own(mail_server):
    connection = get_connection()
    connection.open()
    with pytest.raises(ValueError, match="line break"):
        connection.send_prepared(
            "portal@example.com",
            "greta@nordvik.example>\r\nRCPT TO:<eve@evil.example",
            PREPARED,
        )
    connection.connection.close()

    assert not mail_server.messages


# --- Several in one go ---------------------------------------------------------------

READERS = [f"{name}@nordvik.example" for name in ("ida", "per", "eve", "sam", "ola")]


@dataclass
class FaultAt:
    """Weather that strikes one reader's mail at one stage, once."""

    stage: str
    fault: str
    address: str = "eve@nordvik.example"
    silence: float = 0.1
    hits: int = 0

    def at(self, stage: str, address: str = "") -> str:
        if self.hits or (stage, address) != (self.stage, self.address):
            return ""
        self.hits += 1
        return self.fault


def prepared_for(reader: str) -> tuple[str, bytes]:
    head = f"Message-ID: <{reader}>\r\nContent-Type: text/plain; charset=utf-8\r\n"
    return (
        reader,
        f"{head}Content-Transfer-Encoding: 8bit\r\n\r\nHej å\r\n.\r\n".encode(),
    )


@pytest.fixture
def together(mail_server):
    """Sends mails that are bytes to some readers in one go."""
    backend = get_connection()
    backend.open()
    assert backend.at_once == 1, "the server has not said what it takes"
    backend.send_prepared("portal@example.com", *prepared_for("first@nordvik.example"))
    assert backend.at_once == 10
    mail_server.messages.clear()

    def send(readers=READERS):
        outcomes = backend.send_together(
            "portal@example.com", [prepared_for(one) for one in readers]
        )
        return [type(one).__name__ for one in outcomes]

    yield send
    backend.close()


def arrived(server: MailServer) -> list[str]:
    return [message["Message-ID"].strip("<>") for message in server.messages]


TAKEN = "NoneType"


def test_several_mails_go_in_one_go_each_to_its_reader(together, mail_server):
    assert together() == [TAKEN] * 5
    assert together(["greta@nordvik.example"]) == [TAKEN]

    assert arrived(mail_server) == [*READERS, "greta@nordvik.example"]
    assert mail_server.messages[0].get_content() == "Hej å\r\n.\r\n"
    assert mail_server.said_of_text == ["BODY=8BITMIME"]
    assert mail_server.connections == 1


@pytest.mark.parametrize(
    ("stage", "answer", "told"),
    [
        ("RCPT", "550 Nobody", "SMTPRecipientsRefused"),
        ("RCPT", "450 Later", "SMTPRecipientsRefused"),
        ("DATA", "451 Later", "SMTPDataError"),
        ("text", "552 Too large", "SMTPDataError"),
    ],
)
def test_of_several_one_that_is_refused_is_told_alone(
    together, mail_server, stage, answer, told
):
    mail_server.weather = FaultAt(stage, answer)

    assert together() == [TAKEN, TAKEN, told, TAKEN, TAKEN]
    assert together(["greta@nordvik.example"]) == [TAKEN]
    assert arrived(mail_server) == [
        *(one for one in READERS if "eve" not in one),
        "greta@nordvik.example",
    ]


def test_of_several_an_address_of_two_lines_is_no_command_of_its_own(
    together, mail_server
):
    evil = "greta@nordvik.example>\r\nRCPT TO:<eve@evil.example"

    assert together([READERS[0], evil, READERS[1]]) == [TAKEN, "ValueError", TAKEN]
    assert arrived(mail_server) == READERS[:2]


def test_a_server_that_closes_took_nothing_of_what_came_after(together, mail_server):
    mail_server.weather = FaultAt("RCPT", weather.CLOSES)

    assert together() == [TAKEN, TAKEN, "SMTPRecipientsRefused"]
    assert arrived(mail_server) == READERS[:2]


def test_what_a_server_takes_that_said_it_would_close_is_not_sent_again(
    together, mail_server
):
    mail_server.weather = FaultAt("RCPT", "421 Busy")

    assert together() == [TAKEN, TAKEN, "SMTPRecipientsRefused", TAKEN, TAKEN]
    assert len(arrived(mail_server)) == 4


@pytest.mark.parametrize(
    ("stage", "fault", "came"),
    [
        ("RCPT", weather.HANGS_UP, 2),
        ("amid", weather.HANGS_UP, 2),
        ("text", weather.HANGS_UP_AFTER, 3),
        ("text", weather.GOES_SILENT_AFTER, 3),
    ],
)
def test_where_the_line_breaks_it_is_open_whether_the_last_ones_arrived(
    together, mail_server, stage, fault, came
):
    mail_server.weather = FaultAt(stage, fault)

    assert together() == [TAKEN, TAKEN, "Unanswered", "Unanswered", "Unanswered"]
    assert arrived(mail_server) == READERS[:came]


@pytest.fixture
def to_readers(settings):
    """A campaign's mails to five readers, in their order."""
    settings.MAIL_WRITERS = {"invitation": "accounts.tests.killed_senders.words"}
    for number, reader in enumerate(READERS):
        pk = uuid.UUID(int=number)
        make_email(pk=pk, to_address=reader, is_bulk=True, body_text="", body_html="")


def statuses() -> list[str]:
    return [*OutgoingEmail.objects.order_by("pk").values_list("status", flat=True)]


@pytest.mark.parametrize(("at_once", "unclear"), [(10, 3), (3, 2), (1, 1)])
def test_where_the_line_breaks_no_more_are_unclear_than_went_in_one_go(
    to_readers, mail_server, settings, at_once, unclear
):
    settings.MAILS_AT_ONCE = at_once
    mail_server.weather = FaultAt("text", weather.HANGS_UP_AFTER)

    outbox.deliver()

    assert statuses().count(MailStatus.UNKNOWN) == unclear
    assert statuses()[:2] == [MailStatus.SENT] * 2
    pass_time(minutes=16)
    while outbox.deliver().claimed:
        pass
    assert statuses() == [MailStatus.SENT] * 5
    came = mail_server.message_ids
    assert sorted(came.values()) == [1, 1, 1, 1, 2], "of one alone the answer was lost"


@pytest.mark.parametrize("offers", [how.OFFERS[1:], how.OFFERS[:1], ()])
def test_a_server_that_does_not_take_several_gets_one_after_another(
    to_readers, mail_server, monkeypatch, offers
):
    mail_server.offers = offers
    monkeypatch.delattr(EmailBackend, "send_together")

    assert outbox.deliver().sent == 5
    assert sorted(mail_server.message_ids.values()) == [1] * 5


def test_long_mails_go_fewer_at_a_time(to_readers, mail_server, monkeypatch):
    gone, send = [], EmailBackend.send_together

    def send_and_count(backend, sender, mails):
        gone.append(len(mails))
        return send(backend, sender, mails)

    monkeypatch.setattr(EmailBackend, "send_together", send_and_count)
    (one,) = outbox._claim(1, outbox.TOGETHER)
    outbox.say(one, outbox.Words(*killed_senders.words([one])[one.pk]))
    outbox._hand_back([one])
    size = len(outbox.prepared_bytes(one))
    monkeypatch.setattr(outbox, "BYTES_AT_ONCE", size * 2 + size // 2)

    assert outbox.deliver().sent == 5
    assert gone == [2, 2]


def test_a_server_that_is_closing_is_asked_with_one_of_a_campaign(
    to_readers, mail_server
):
    mail_server.mode = how.IS_CLOSING

    outbox.deliver()

    asked = OutgoingEmail.objects.exclude(last_error="")
    assert [one.last_error for one in asked] == ["SMTP 421"]
    assert statuses() == [MailStatus.QUEUED] * 5


def test_a_server_that_refuses_one_and_takes_its_leave_gets_the_others_anew(
    to_readers, mail_server
):
    mail_server.mode, mail_server.unknown = how.TAKES_LEAVE, {READERS[2]}

    outbox.deliver()
    while outbox.deliver().claimed:
        pass

    assert [*mail_server.message_ids.values()] == [1] * 4
    assert statuses() == ["sent", "sent", "failed", "sent", "sent"]


def test_answers_to_something_else_are_no_answers(together, mail_server):
    mail_server.mode = how.TAKES_NO_CHUNK

    assert together() == ["Unanswered"] * 5


def test_what_was_taken_is_noted_whatever_goes_wrong_next(
    to_readers, mail_server, monkeypatch
):
    send = outbox.send_prepared

    def send_one(email, *args):
        send(email, *args)
        monkeypatch.setattr(
            EmailBackend, "send_together", mock.Mock(side_effect=TypeError)
        )

    monkeypatch.setattr(outbox, "send_prepared", send_one)
    with pytest.raises(TypeError):
        outbox.deliver()

    assert statuses() == ["sent", *["sending"] * 4]


def test_what_a_closing_server_did_not_take_is_in_line_again(to_readers, mail_server):
    mail_server.weather = FaultAt("RCPT", weather.CLOSES)

    outbox.deliver()

    assert statuses() == [*[MailStatus.SENT] * 2, *[MailStatus.QUEUED] * 3]
    attempts = OutgoingEmail.objects.order_by("pk").values_list("attempts", flat=True)
    assert [*attempts] == [1, 1, 1, 0, 0]


# --- Where a mail's row is ------------------------------------------------------------

SET_ASIDE = {MailStatus.HELD, MailStatus.FAILED, MailStatus.CANCELED}


@pytest.mark.parametrize("status", MailStatus)
def test_the_database_says_which_mails_are_set_aside(status):
    sent_at = timezone.now() if status == MailStatus.SENT else None
    written = make_email(status=status, sent_at=sent_at)
    mails = OutgoingEmail.objects.filter(is_set_aside=status in SET_ASIDE)

    assert list(mails) == [written]
    for moved, at in [(MailStatus.QUEUED, None), (status, sent_at)]:
        OutgoingEmail.objects.update(status=moved, sent_at=at)
        assert mails.all().exists() == ((moved in SET_ASIDE) == (status in SET_ASIDE))


def test_mails_that_were_there_before_are_said_to_be_set_aside():
    for status in (MailStatus.QUEUED, *SET_ASIDE):
        make_email(status=status)
    with connection.cursor() as cursor:
        # As they are where the column is new.
        cursor.execute("UPDATE accounts_outgoingemail SET is_set_aside = false")
    assert not OutgoingEmail.objects.filter(is_set_aside=True).exists()

    migration = import_module(
        "accounts.migrations.0043_due_mail_is_found_by_what_stays"
    )
    migration.set_aside(apps, None)

    left = OutgoingEmail.objects.filter(is_set_aside=False)
    assert [one.status for one in left] == [MailStatus.QUEUED]


def rows_moved() -> int:
    """How many rows of mails had to be written to another place, and to each index."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n_tup_upd - n_tup_hot_upd FROM pg_stat_xact_user_tables "
            "WHERE relname = 'accounts_outgoingemail'"
        )
        return cursor.fetchone()[0]


def test_a_mail_that_is_claimed_and_begun_stays_where_its_row_is():
    for _ in range(3):
        make_email(is_bulk=True)
    before = rows_moved()
    chunk = outbox._begin_together(
        outbox._claim(3, outbox.TOGETHER), after=outbox._Chunk()
    )
    assert len(chunk.emails) == 3
    assert rows_moved() == before

    chunk.sent = [email.key for email in chunk.emails]
    outbox._end(chunk)
    # Those are in no index of what is due any more.
    assert rows_moved() == before + 3


def test_what_is_due_is_found_without_looking_at_all_mail():
    make_email()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for mails in (
            OutgoingEmail.objects.due(timezone.now()),
            OutgoingEmail.objects.waiting(),
        ):
            plan = mails.order_by("is_bulk", "next_attempt_at", "pk").explain()
            assert "accounts_mail_to_leave" in plan
            assert "Sort" not in plan


# --- What is claimed and written ahead --------------------------------------------------


def test_whatever_texts_say_they_go_to_the_database_as_one_array():
    said = [
        "Ida",
        "",
        'a "b"',
        "\\",
        '\\"',
        "a, {b}",
        "NULL",
        "two\nlines",
        " ' %s ",
        None,
    ]

    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::text[]", [texts(said)])

        assert cursor.fetchone() == (said,)


# The connections that mails were written over.
WRITERS: list = []


def words_and_who_writes(emails) -> dict:
    """Write mails; the third time nobody can."""
    WRITERS.append(connection.connection)
    if len(WRITERS) == 3:
        raise OperationalError("the server closed the connection")
    return killed_senders.words(emails)


@pytest.fixture
def two_by_two(settings, monkeypatch):
    """Mails of campaigns are claimed and written two at once, the next two beside."""
    settings.MAIL_WRITERS = {"invitation": "accounts.tests.killed_senders.words"}
    monkeypatch.setattr(outbox, "FIRST_SIZE", 2)
    monkeypatch.setattr(outbox, "BULK_SIZE", 2)
    monkeypatch.setattr(outbox, "CHUNK", 1)
    begin = outbox._Ahead.begin

    def begin_and_wait(ahead):
        begin(ahead)
        wait([ahead._lot])

    monkeypatch.setattr(outbox._Ahead, "begin", begin_and_wait)


def make_bulk(number: int) -> None:
    for _ in range(number):
        make_email(is_bulk=True, body_text="", body_html="")


@pytest.mark.django_db(transaction=True)
def test_what_fails_ahead_leaves_what_is_sent_as_it_is_and_the_rest_in_line(
    mail_server, two_by_two, settings
):
    settings.MAIL_WRITERS = {"invitation": f"{__name__}.words_and_who_writes"}
    WRITERS.clear()
    make_bulk(7)

    with pytest.raises(OperationalError):
        outbox.deliver()

    first, second, third = WRITERS
    assert (first, second) == (connection.connection, third)
    assert second is not first
    assert second.closed
    left = OutgoingEmail.objects.exclude(status=MailStatus.SENT)
    assert list(left.values_list("status", "lease_until")) == [("queued", None)] * 3
    assert outbox.deliver().sent == 3
    assert set(mail_server.message_ids.values()) == {1}
    assert len(mail_server.message_ids) == 7


@pytest.mark.django_db(transaction=True)
def test_what_somebody_waits_for_goes_before_the_next_mails_of_a_campaign(
    mail_server, two_by_two, monkeypatch
):
    make_bulk(6)
    send = outbox.send_prepared

    def send_and_hear_of_another(email, *args, **facts):
        send(email, *args, **facts)
        if not OutgoingEmail.objects.filter(is_bulk=False).exists():
            make_email(to_address="greta@nordvik.example")

    monkeypatch.setattr(outbox, "send_prepared", send_and_hear_of_another)

    assert outbox.deliver().sent == 2
    assert outbox.deliver().sent == 1
    assert mail_server.messages[-1]["To"] == "greta@nordvik.example"
    assert outbox.deliver().sent == 4, "nobody holds what was written ahead"


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.django_db(transaction=True)
def test_a_slow_worker_keeps_what_it_has_claimed_ahead(
    mail_server, two_by_two, monkeypatch, time_machine, is_kept
):
    make_bulk(4)
    if not is_kept:
        monkeypatch.setattr(outbox._Ahead, "keep", lambda ahead: None)
    time_machine.move_to(timezone.now(), tick=False)
    send, claimed = outbox.send_prepared, []

    def send_slowly(*args, **facts):
        send(*args, **facts)
        time_machine.shift(12)
        if len(mail_server.messages) <= 2:
            claimed.extend(outbox._claim(4, outbox.TOGETHER))

    monkeypatch.setattr(outbox, "send_prepared", send_slowly)

    assert outbox.deliver().sent == (4 if is_kept else 2)
    assert len(claimed) == (0 if is_kept else 2)
