"""Mails sent again."""

from django.db import transaction

from accounts import outbox
from accounts.models import (
    AuditAction,
    OutgoingEmail,
    User,
)
from accounts.services.audit import record_audit_event


@transaction.atomic
def resend_email(email: OutgoingEmail, *, by: User) -> OutgoingEmail:
    """Queue a mail that was given up once more, with the same Message-ID.

    A mail that is on its way already stays as it is.
    """
    email = OutgoingEmail.objects.select_for_update(of=("self",)).get(pk=email.pk)
    if not email.is_given_up:
        return email
    email = outbox.requeue(email)
    record_audit_event(
        email,
        action=AuditAction.MAIL_RESENT,
        by=by,
        partner_account=None,
        after={"message": email.name},
    )
    return email
