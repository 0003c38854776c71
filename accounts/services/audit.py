"""The trail of who changed what."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db.models import Model

from accounts.logs import request_id
from accounts.models import (
    AuditAction,
    AuditEvent,
    PartnerAccount,
    User,
)

_machine: ContextVar[str] = ContextVar("machine", default="")


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Let the trail say which machine acts, where `by` is None, until the block ends."""
    token = _machine.set(name)
    try:
        yield
    finally:
        _machine.reset(token)


def record_audit_event(
    subject: Model,
    *,
    action: AuditAction,
    by: User | None,
    partner_account: PartnerAccount | None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> AuditEvent:
    """Write what was done to `subject`; `by` is None for a machine.

    That is the clock (rule 76), or whatever acting_as names.
    """
    chain = f"company:{partner_account.pk}" if partner_account else "portal"
    return AuditEvent.objects.create(
        chain=chain,
        partner_account=partner_account,
        actor=by,
        actor_name="" if by else _machine.get(),
        action=action,
        object_type=subject._meta.label_lower,
        object_id=str(subject.pk),
        before=before or {},
        after=after or {},
        reason=reason,
        request_id=request_id.get(""),
    )
