"""Mails about the keys of a company's directory: every Global admin learns of each."""

import uuid

from django.conf import settings

from accounts import outbox
from accounts.companies import path_in
from accounts.holders import people_with
from accounts.models import OutgoingEmail, ProvisioningToken, User
from accounts.roles import Permission


def provisioning_token_changed(
    token: ProvisioningToken,
    *,
    news: str,
    by: User | None,
    replaced: ProvisioningToken | None = None,
) -> list[OutgoingEmail]:
    """Tell every Global admin, also who did it: a session may not be its owner's (T1).

    `news` is created, replaced or revoked; `replaced` is the token that `token` takes
    the place of. Nothing in the mail opens the door.
    """
    company = token.partner_account
    path = path_in(company, "accounts:provisioning")
    return outbox.queue_many(
        outbox.prepare(
            "provisioning_token",
            to=admin,
            dedupe_key=f"provisioning_token:{token.pk}:{admin.pk}:{uuid.uuid4()}",
            context={
                "news": news,
                "token": token,
                "replaced": replaced,
                "company": company,
                "by": "" if by is None or by.is_staff else by.full_name,
                "url": settings.PUBLIC_BASE_URL + path,
            },
            about_url=path,
        )
        for admin in people_with(Permission.PROVISIONING_EDIT, company=company)
    )
