"""What the portal writes about profiles themselves, to a company's admins."""

import uuid

from django.conf import settings
from django.urls import reverse

from accounts import outbox
from accounts.holders import appointers
from accounts.models import User
from profiles.models import BankProfile


def bank_number_shown(profile: BankProfile, *, reason: str, by: User) -> None:
    """Tell the company's admins, and whoever did it, that a whole number was shown.

    The mail holds no number. Who did it is told too: it may have been somebody else in
    their session.
    """
    company = profile.account
    event = uuid.uuid4()
    for reader in {by, *appointers(company)}:
        is_self = reader == by
        path = reverse("own:account" if is_self else "accounts:people")
        outbox.queue(
            "bank_number_shown",
            to=reader,
            dedupe_key=f"bank_number_shown:{event}:{reader.pk}",
            context={
                "company": company,
                "profile": profile,
                "reason": reason,
                "by": by,
                "is_self": is_self,
                "url": settings.PUBLIC_BASE_URL + path,
            },
            about_url="" if is_self else path,
        )
