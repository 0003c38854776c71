"""What the portal writes about profiles: to a company's admins, and to operators."""

import uuid

from django.conf import settings
from django.urls import reverse

from accounts import outbox
from accounts.holders import appointers, operators_with
from accounts.models import User
from profiles.models import BankProfile, BankProfileVersion


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


def second_approval_needed(version: BankProfileVersion, *, right: str) -> None:
    """Tell the operators who may give the second approval that one waits for them.

    The mail holds no detail of the account: what is approved is looked at on the page.
    """
    signed = {version.seconded_by_id, version.submitted_by_id}
    readers = [one for one in operators_with(right) if one.pk not in signed]
    path = reverse("ops:bank_version", kwargs={"pk": version.pk})
    outbox.queue_many(
        [
            outbox.prepare(
                "second_approval",
                to=reader,
                dedupe_key=(
                    f"second_approval:{version.pk}:{version.seconded_by_id}:{reader.pk}"
                ),
                context={
                    "company": version.profile.account,
                    "profile": version.profile,
                    "by": version.seconded_by,
                    "url": settings.PUBLIC_BASE_URL + path,
                },
            )
            for reader in readers
        ]
    )
