"""The catalog of reasons: operators add, change, retire; nothing is deleted."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import AuditAction, User
from accounts.services import record_audit_event
from accounts.text import clean_line
from profiles.models import ReturnReason
from profiles.reasons import KEPT, known_fields
from profiles.services.words import refuse_link

# Whoever keeps the catalog: program managers and validators.
KEEP_REASONS = "profiles.change_returnreason"
WORDS = (
    "title_en",
    "title_sv",
    "text_en",
    "text_sv",
    "remedy_en",
    "remedy_sv",
    "example",
)
CODE = re.compile(r"[A-Z][A-Z0-9_]{2,39}")


@transaction.atomic
def add_reason(*, code: str, by: User, **values: Any) -> ReturnReason:
    """Add a reason that reviewers can choose from now on.

    `values` are the words of WORDS, `parts` and `field_keys`. Raises ValidationError
    with one message per field: every word is there in both languages, the code is
    plain and new.
    """
    code = code.strip().upper()
    if not CODE.fullmatch(code):
        raise ValidationError(
            {"code": _("Use 3 to 40 capital letters, digits and underscores.")}
        )
    reason = ReturnReason(code=code, changed_at=timezone.now(), changed_by=by)
    taken = ValidationError({"code": _("This code has a meaning already.")})
    if _is_taken(code):
        raise taken
    _put(reason, values)
    try:
        with transaction.atomic():
            reason.save(force_insert=True)
    except IntegrityError:
        # Somebody added it at the same moment.
        if not _is_taken(code):
            raise
        raise taken from None
    _record(reason, AuditAction.REASON_ADDED, by=by, after=_facts(reason))
    return reason


@transaction.atomic
def change_reason(
    reason: ReturnReason, *, seen: str | None = None, by: User, **values: Any
) -> ReturnReason:
    """Say it better; the code and its meaning stay.

    What was returned for it before is read in the new words too. Without a difference
    nothing is written. `seen` is reason_seen() of what the operator looked at. Raises
    ValidationError as add_reason does, and where somebody changed it since (code
    "changed").
    """
    reason = _locked(reason)
    before = _facts(reason)
    if seen is not None and seen != reason_seen(reason):
        raise ValidationError(
            _(
                "%(name)s changed this reason since you looked. Read what it says now; "
                "saved again, yours takes its place."
            ),
            code="changed",
            params={"name": getattr(reason.changed_by, "full_name", _("Somebody"))},
        )
    _put(reason, values)
    after = _facts(reason)
    changed = [name for name, value in after.items() if before[name] != value]
    if not changed:
        return reason
    reason.changed_at, reason.changed_by = timezone.now(), by
    reason.save(update_fields=[*changed, "changed_at", "changed_by"])
    _record(
        reason,
        AuditAction.REASON_CHANGED,
        by=by,
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
    )
    return reason


def reason_seen(reason: ReturnReason) -> str:
    """Return what stands for everything a reason says now."""
    facts = json.dumps(_facts(reason), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(facts.encode()).hexdigest()


@transaction.atomic
def retire_reason(reason: ReturnReason, *, by: User) -> ReturnReason:
    """Let nobody choose it any more; what was returned for it says so for good.

    Twice is once. Raises ValidationError for the reasons that the portal itself gives.
    """
    reason = _locked(reason)
    if reason.code in KEPT:
        raise ValidationError(_("The portal needs this reason, so it stays."))
    if not reason.is_retired:
        reason.retired_at = timezone.now()
        reason.save(update_fields=["retired_at"])
        _record(reason, AuditAction.REASON_RETIRED, by=by)
    return reason


@transaction.atomic
def revive_reason(reason: ReturnReason, *, by: User) -> ReturnReason:
    """Let reviewers choose a retired reason again. Twice is once."""
    reason = _locked(reason)
    if reason.is_retired:
        reason.retired_at = None
        reason.save(update_fields=["retired_at"])
        _record(reason, AuditAction.REASON_REVIVED, by=by)
    return reason


def _is_taken(code: str) -> bool:
    return ReturnReason.objects.filter(code=code).exists()


def _put(reason: ReturnReason, values: Mapping[str, Any]) -> None:
    """Write checked values on a reason."""
    errors = {}
    for name in WORDS:
        length = ReturnReason._meta.get_field(name).max_length
        word = values.get(name, "").strip()
        try:
            word = clean_line(word, max_length=length) if word else ""
            refuse_link(word)
        except ValidationError as error:
            errors[name] = error.messages
            continue
        if not word and name != "example":
            errors[name] = _("Say it in both languages.")
        setattr(reason, name, word)
    parts = [part for part in ("bank", "tax") if part in values.get("parts", ())]
    if not parts:
        errors["parts"] = _("Choose bank, tax or both.")
    keys = sorted(set(values.get("field_keys", ())))
    known = {key for part in parts for key in known_fields(part)}
    if set(keys) - known:
        errors["field_keys"] = _("Choose fields of what the reason is for.")
    if errors:
        raise ValidationError(errors)
    reason.parts, reason.field_keys = parts, keys


def _facts(reason: ReturnReason) -> dict[str, Any]:
    names = (*WORDS, "parts", "field_keys")
    return {name: getattr(reason, name) for name in names}


def _locked(reason: ReturnReason) -> ReturnReason:
    return ReturnReason.objects.select_for_update(of=("self",)).get(pk=reason.pk)


def _record(
    reason: ReturnReason,
    action: AuditAction,
    *,
    by: User,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    record_audit_event(
        reason,
        action=action,
        by=by,
        partner_account=None,
        before=before,
        after={"code": reason.code} | (after or {}),
    )
