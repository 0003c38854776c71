"""Mails to those who begin: operators, and a company's first Global admin."""

from django.conf import settings

from accounts import outbox
from accounts.companies import path_in, site_path
from accounts.models import PartnerAccount, User


def operator_added(operator: User) -> None:
    """Tell a new operator where to choose a password; told once per person."""
    # The page never gets old: there one asks for a link that works for an hour.
    path = site_path("account_reset_password")
    outbox.queue(
        "operator_added",
        to=operator,
        dedupe_key=f"operator_added:{operator.pk}",
        context={"url": settings.PUBLIC_BASE_URL + path},
    )


def company_set_up(account: PartnerAccount, *, admin: User) -> None:
    """Tell a company's first Global admin what to do there; told once per company."""
    has_password = admin.has_usable_password()
    path = site_path("account_reset_password")
    if has_password:
        path = path_in(account, "accounts:gaps")
    outbox.queue(
        "company_set_up",
        to=admin,
        dedupe_key=f"company_set_up:{account.pk}:{admin.pk}",
        context={
            "company": account,
            "has_password": has_password,
            "url": settings.PUBLIC_BASE_URL + path,
        },
    )
