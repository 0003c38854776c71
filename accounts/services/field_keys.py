"""The rotation of the keys that seal bank and tax numbers and secrets."""

from dataclasses import dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from accounts.field_keys import SealedColumn
from accounts.models import AuditAction, AuditEvent
from accounts.sealing import DecryptionError, newest_key_id
from accounts.services.audit import record_audit_event

BATCH = 1_000


@dataclass(frozen=True)
class SealedBatch:
    """What one batch did; `last` is the key of the row after which the next begins."""

    last: Any
    sealed: int
    unreadable: list[Any]


@sensitive_variables()
@transaction.atomic
def seal_next_batch(
    column: SealedColumn, *, after: Any = None, most: int = BATCH
) -> SealedBatch | None:
    """Seal the next values of a column with the newest key; None when none is left.

    All of them or none: whoever stops it loses at most the batch at work, and every
    value opens at every moment while both keys are known (security.md §6.2). A value
    that no key opens stays as it is and is named by its row.
    """
    values = column.lock_stale(after=after, most=most)
    if not values:
        return None
    anew, unreadable = [], []
    for value in values:
        try:
            anew.append((value, column.sealed_anew(value)))
        except DecryptionError:
            unreadable.append(value.pk)
    sealed = column.write(anew)
    return SealedBatch(last=values[-1].pk, sealed=sealed, unreadable=unreadable)


@transaction.atomic
def finish_rotation(column: SealedColumn) -> bool:
    """Remember, once, that the newest key seals all values; False while one is left."""
    newest = newest_key_id()
    counted = column.values_by_key()
    if set(counted) - {newest}:
        return False
    table = ContentType.objects.get_for_model(column.model)
    after = {"column": column.name, "sealed_with": newest}
    known = AuditEvent.objects.filter(
        action=AuditAction.FIELD_KEY_ROTATED, after__contains=after
    )
    if counted and not known.exists():
        record_audit_event(
            table,
            action=AuditAction.FIELD_KEY_ROTATED,
            by=None,
            partner_account=None,
            after=after | {"values": counted[newest]},
        )
    return True
