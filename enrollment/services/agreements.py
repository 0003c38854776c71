"""The partner agreements companies sign, and their end."""

from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import AuditAction, PartnerAccount, User
from accounts.services import lock_companies, record_audit_event
from enrollment.models import Agreement
from enrollment.services.standings import follow_agreements


@transaction.atomic
def record_agreement(
    account: PartnerAccount,
    *,
    starts_on: date,
    ends_on: date | None = None,
    by: User | None,
) -> Agreement:
    """Write down that a company signed the partner agreement (domain.md §4).

    Recorded again for the same day, it gets the last day given; nothing new changes
    nothing. Enrollments that lacked an active one come back with it. Raises ValidationError when the last day is before the first, and when
    the agreement was terminated: what comes after is another agreement.
    """
    lock_companies(account.pk)
    agreement = Agreement.objects.filter(
        partner_account=account, starts_on=starts_on
    ).first() or Agreement(partner_account=account, starts_on=starts_on)
    before = _described(agreement) if agreement.pk else {}
    if agreement.pk and agreement.ends_on == ends_on:
        return agreement
    _refuse_terminated(agreement)
    agreement.ends_on = ends_on
    agreement.full_clean()
    agreement.save()
    record_audit_event(
        agreement,
        action=AuditAction.AGREEMENT_RECORDED,
        by=by,
        partner_account=account,
        before=before,
        after=_described(agreement),
    )
    follow_agreements(account, by=by)
    return agreement


@transaction.atomic
def end_agreement(agreement: Agreement, *, on: date, by: User | None) -> Agreement:
    """Terminate an agreement: from that day on it is not active, for good.

    The company's locations are not eligible from then on where a program needs an
    agreement: their enrollments are Not eligible until there is another (domain.md §4).
    Ending it on the same day again changes nothing. Raises ValidationError when it
    was terminated on another day, and when the day is before it began.
    """
    lock_companies(agreement.partner_account_id)
    agreement = Agreement.objects.select_related("partner_account").get(pk=agreement.pk)
    if agreement.terminated_on == on:
        return agreement
    _refuse_terminated(agreement)
    before = _described(agreement)
    agreement.terminated_on = on
    agreement.full_clean()
    agreement.save(update_fields=["terminated_on"])
    record_audit_event(
        agreement,
        action=AuditAction.AGREEMENT_ENDED,
        by=by,
        partner_account=agreement.partner_account,
        before=before,
        after=_described(agreement),
    )
    follow_agreements(agreement.partner_account, by=by)
    return agreement


def _refuse_terminated(agreement: Agreement) -> None:
    if agreement.terminated_on is not None:
        raise ValidationError(
            _(
                "This agreement was terminated on %(day)s and stays as it is. Record "
                "the agreement that follows it."
            ),
            code="terminated",
            params={"day": agreement.terminated_on.isoformat()},
        )


def _described(agreement: Agreement) -> dict[str, Any]:
    return {
        name: day and day.isoformat()
        for name, day in (
            ("starts_on", agreement.starts_on),
            ("ends_on", agreement.ends_on),
            ("terminated_on", agreement.terminated_on),
        )
    }
