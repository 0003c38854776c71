"""What the demo needs of people and mail, and what keeps it out of real portals."""

import datetime

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts import outbox
from accounts.models import OutgoingEmail, User
from accounts.services import share_demo_password

pytestmark = pytest.mark.django_db


def test_invented_people_share_a_password_in_demo_mode(ida, sam, settings):
    settings.DEMO = True

    share_demo_password([ida], password="demo-incentives-2027")

    assert User.objects.get(pk=ida.pk).check_password("demo-incentives-2027")
    assert not User.objects.get(pk=sam.pk).check_password("demo-incentives-2027")


def test_real_people_never_share_a_password(ida, settings):
    settings.DEMO = False

    with pytest.raises(ValidationError, match="demo mode"):
        share_demo_password([ida], password="demo-incentives-2027")

    assert not User.objects.get(pk=ida.pk).check_password("demo-incentives-2027")


def test_mail_about_a_loaded_history_is_kept_as_sent_and_not_delivered(ida):
    long_ago = timezone.now() - datetime.timedelta(days=60)
    mail = OutgoingEmail(
        dedupe_key="history",
        name="invitation",
        to_user=ida,
        to_address=ida.email,
        language="en",
        subject="Long ago",
        body_text="Text",
        body_html="Text",
        next_attempt_at=timezone.now(),
    )

    with outbox.as_sent_at(long_ago):
        outbox.queue_many([mail])

    mail = OutgoingEmail.objects.get()
    assert (mail.status, mail.sent_at, mail.created_at) == ("sent", long_ago, long_ago)
    assert not OutgoingEmail.objects.due(timezone.now()).exists()
