"""Mails for tests that are about their way, not their words."""

import itertools
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import OutgoingEmail

_numbers = itertools.count(1)


def make_email(**facts: Any) -> OutgoingEmail:
    """Store a mail that is due, to an address of its own."""
    number = next(_numbers)
    return OutgoingEmail.objects.create(
        **{
            "dedupe_key": f"test:{number}",
            "name": "invitation",
            "to_address": f"reader{number}@partner.example",
            "language": "en",
            "subject": f"Mail {number}",
            "body_text": "Hello.\n",
            "body_html": "<p>Hello.</p>",
            "next_attempt_at": timezone.now(),
        }
        | facts
    )


def pass_time(**by: int) -> None:
    """Let the time pass for every mail there is."""
    for email in OutgoingEmail.objects.all():
        email.next_attempt_at -= timedelta(**by)
        if email.lease_until:
            email.lease_until -= timedelta(**by)
        email.save(update_fields=["next_attempt_at", "lease_until"])
