"""Companies, and the lock their changes wait for."""

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils.translation import gettext as _

from accounts.models import (
    AuditAction,
    Location,
    PartnerAccount,
    User,
)
from accounts.services.audit import record_audit_event
from accounts.text import normalize_domain


def lock_companies(*keys: int) -> None:
    """Hold companies until the transaction ends; taken before any other lock.

    One company's roles, profiles and enrollments change one after the other, so that
    two people's changes neither cross nor lock each other up. Rows that only refer to
    the company are not kept waiting. Companies are locked in the order of their keys.
    """
    companies = PartnerAccount.objects.select_for_update(of=("self",), no_key=True)
    list(companies.filter(pk__in=keys).order_by("pk").values_list("pk", flat=True))


@transaction.atomic
def create_partner_account(
    *,
    partner_id: str,
    name: str,
    legal_name: str,
    country: str,
    email_domains: list[str],
    by: User | None,
) -> PartnerAccount:
    """Add a company. Raises ValidationError when the PartnerID is taken or malformed."""
    account = PartnerAccount(
        partner_id=partner_id,
        name=name,
        legal_name=legal_name,
        country=country,
        email_domains=[normalize_domain(domain) for domain in email_domains],
    )
    refuse_taken_partner_id(partner_id)
    account.full_clean()
    account.save()
    record_audit_event(
        account,
        action=AuditAction.COMPANY_ADDED,
        by=by,
        partner_account=account,
        after={"partner_id": partner_id, "name": name},
    )
    return account


def refuse_taken_partner_id(partner_id: str) -> None:
    """Raise ValidationError when a company or a location has a PartnerID.

    Whoever asks holds the number until the transaction ends: companies and locations
    are two tables, so no constraint keeps one number from being in both.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"partner_id:{partner_id}"],
        )
    if (
        Location.objects.filter(partner_id=partner_id).exists()
        or PartnerAccount.objects.filter(partner_id=partner_id).exists()
    ):
        raise ValidationError(
            {
                "partner_id": _(
                    "This PartnerID is taken by another company or location. Check "
                    "it; if it is right, ask the program owner."
                )
            }
        )
