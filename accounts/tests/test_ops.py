"""The operators' mail page: what did not arrive, and sending it again."""

from datetime import timedelta
from html import unescape

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditAction, AuditEvent, MailStatus, OutgoingEmail
from accounts.tests.factories import UserFactory
from accounts.tests.shared_rows import shared

MAIL = reverse("ops:mail")


def email_to(user, **fields) -> OutgoingEmail:
    email = OutgoingEmail.objects.create(
        **(
            {
                "dedupe_key": f"test:{OutgoingEmail.objects.count()}",
                "name": "invitation_sent",
                "to_user": user,
                "to_address": user.email,
                "language": "en",
                "subject": "Partner Incentive Enrollment Invitation",
                "body_text": "The secret body",
                "body_html": "<p>The secret body</p>",
                "status": MailStatus.FAILED,
                "attempts": 7,
                "last_error": "SMTP 550",
                "next_attempt_at": timezone.now(),
            }
            | fields
        )
    )
    if "created_at" in fields:
        OutgoingEmail.objects.filter(pk=email.pk).update(
            created_at=fields["created_at"]
        )
    return email


def resend_url(email) -> str:
    return reverse("ops:resend", kwargs={"pk": email.pk})


def text_of(response) -> str:
    return " ".join(unescape(response.content.decode()).split())


@shared
def reader(db):
    """An operator without any permission."""
    return UserFactory(operator=True)


def test_a_mail_given_up_shows_age_attempts_and_error(client_of, mina, lars):
    email_to(lars, created_at=timezone.now() - timedelta(days=3))

    page = text_of(client_of(mina).get(MAIL))

    assert "Partner Incentive Enrollment Invitation" in page
    assert "lars@partner.example" in page
    assert "Could not be delivered" in page
    assert ">7<" in page
    assert "SMTP 550" in page
    assert "3 days ago" in page


def test_no_body_is_shown(client_of, mina, lars):
    email_to(lars)

    assert "secret body" not in text_of(client_of(mina).get(MAIL))


def test_mails_tried_again_are_listed_and_others_are_not(client_of, mina, lars):
    email_to(lars, subject="Unclear", status=MailStatus.UNKNOWN)
    email_to(lars, subject="Retried", status=MailStatus.QUEUED, attempts=2)
    email_to(lars, subject="Fresh", status=MailStatus.QUEUED, attempts=0)
    email_to(lars, subject="Arrived", status=MailStatus.SENT, sent_at=timezone.now())

    page = text_of(client_of(mina).get(MAIL))

    assert "Unclear" in page
    assert "Retried" in page
    assert "Fresh" not in page
    assert "Arrived" not in page
    assert "2 mails wait to be sent" in page


def test_only_a_mail_given_up_is_offered_again(client_of, mina, lars):
    failed = email_to(lars)
    retried = email_to(lars, status=MailStatus.QUEUED)

    page = text_of(client_of(mina).get(MAIL))

    assert resend_url(failed) in page
    assert resend_url(retried) not in page


def test_nothing_undelivered_says_so(client_of, mina):
    page = text_of(client_of(mina).get(MAIL))

    assert "No mail was given up and none is being tried again." in page
    assert "No mail waits to be sent" in page


def test_an_unconfirmed_sender_is_said_to_hold_all_mail_back(client_of, mina, settings):
    settings.DEMO = False
    settings.SENDER_CONFIRMED = False

    page = text_of(client_of(mina).get(MAIL))

    assert "No mail leaves until the sender's identity is confirmed." in page
    assert "SENDER_CONFIRMED is not true" in page


def test_a_confirmed_sender_needs_no_warning(client_of, mina, settings):
    settings.DEMO = True

    assert "No mail leaves" not in text_of(client_of(mina).get(MAIL))


def test_a_mail_is_sent_again(client_of, mina, lars):
    email = email_to(lars)

    response = client_of(mina).post(resend_url(email), follow=True)

    email.refresh_from_db()
    assert (email.status, email.attempts) == (MailStatus.QUEUED, 0)
    assert AuditEvent.objects.get(action=AuditAction.MAIL_RESENT).actor == mina
    assert "The mail to lars@partner.example is on its way again." in text_of(response)


def test_sending_again_twice_queues_once(client_of, mina, lars):
    email = email_to(lars)
    client = client_of(mina)

    client.post(resend_url(email))
    second = client.post(resend_url(email), follow=True)

    assert AuditEvent.objects.filter(action=AuditAction.MAIL_RESENT).count() == 1
    assert "was not given up; nothing was changed." in text_of(second)


def test_looking_sends_nothing(client_of, mina, lars):
    email = email_to(lars)

    assert client_of(mina).get(resend_url(email)).url == reverse("ops:mail")
    email.refresh_from_db()
    assert email.status == MailStatus.FAILED


def test_a_mail_that_does_not_exist_is_not_sent(client_of, mina):
    url = reverse("ops:resend", kwargs={"pk": "11111111-1111-4111-8111-111111111111"})

    assert client_of(mina).post(url).status_code == 404


def test_who_reads_sees_the_list_without_buttons(client_of, oscar, lars):
    email = email_to(lars)
    client = client_of(oscar)

    page = client.get(MAIL)

    assert page.status_code == 200
    assert "Send again" not in text_of(page)
    assert client.post(resend_url(email)).status_code == 403
    email.refresh_from_db()
    assert email.status == MailStatus.FAILED


def test_an_operator_without_the_right_is_refused(client_of, reader, lars):
    email = email_to(lars)

    assert client_of(reader).get(MAIL).status_code == 403
    assert client_of(reader).post(resend_url(email)).status_code == 403


@pytest.mark.parametrize("name", ["greta", "alice", "ida", "lars", "sam"])
def test_partners_do_not_learn_of_the_page(client_of, cast, name):
    email = email_to(cast.lars)
    client = client_of(getattr(cast, name))

    assert client.get(MAIL).status_code == 404
    assert client.post(resend_url(email)).status_code == 404


@pytest.mark.parametrize("number", [1, 40])
def test_the_number_of_queries_does_not_grow(
    client_of, mina, number, django_assert_num_queries
):
    for _number in range(number):
        email_to(UserFactory())
    client = client_of(mina)
    client.get(MAIL)

    with django_assert_num_queries(10):
        client.get(MAIL)


def test_long_lists_have_pages(client_of, mina, lars):
    for _number in range(51):
        email_to(lars)

    response = client_of(mina).get(MAIL, {"page": 2})

    assert len(response.context["page"].object_list) == 1
