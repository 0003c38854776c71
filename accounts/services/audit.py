"""The trail of who changed what, and of who was refused what."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from accounts import origin
from accounts.holders import follow
from accounts.logs import PATTERN, REDACTED, request_id
from accounts.models import (
    AuditAction,
    AuditEvent,
    Location,
    PartnerAccount,
    User,
)

# Never written, whatever it is called with: what opens a door or moves money.
SECRET_NAME = re.compile(
    r"(?:^|_)(?:account_?(?:number|no)|iban|bic|swift|routing|sort_?code|clearing"
    r"|bankgiro|plusgiro|org_?(?:number|nr)|vat|tax_?(?:number|id)|utr|ein|ssn"
    r"|password|secret|cookie|csrf|authorization|otp|holder|beneficiary)(?:$|_)",
    re.IGNORECASE,
)
# Ids, moments, fingerprints and amounts of money are no account numbers.
AMOUNT = re.compile(r"-?\d{1,12}\.\d{1,6}")


@dataclass(frozen=True)
class _Machine:
    name: str = ""
    for_whom: User | None = None


_machine: ContextVar[_Machine | None] = ContextVar("machine", default=None)
_carrier: ContextVar[User | None] = ContextVar("carrier", default=None)


@contextmanager
def acting_as(name: str, *, on_behalf_of: User | None = None) -> Iterator[None]:
    """Let the trail say which machine acts, where `by` is None, until the block ends.

    `on_behalf_of` is the person whose right the machine uses.
    """
    token = _machine.set(_Machine(name, on_behalf_of))
    try:
        yield
    finally:
        _machine.reset(token)


def acting_for() -> User | None:
    """Return the person whose right the machine uses that acts now, if one does."""
    machine = _machine.get()
    return machine.for_whom if machine else None


@contextmanager
def carried_out_by(person: User) -> Iterator[None]:
    """Let the trail say that a person acts by the right of whoever `by` names.

    Until the block ends events have this person as actor, and `by` as the one on whose
    behalf it is done.
    """
    token = _carrier.set(person)
    try:
        yield
    finally:
        _carrier.reset(token)


def record_audit_event(
    subject: Model,
    *,
    action: AuditAction,
    by: User | None,
    partner_account: PartnerAccount | None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
    location: Location | None = None,
) -> AuditEvent:
    """Write what was done to `subject`; `by` is None for a machine.

    That is the clock (rule 76), or whatever acting_as names. Whom and which place it is
    about is read from "person" and "location" in `after` or `before`, else from the
    subject itself. Bank and tax numbers and secrets are masked, should a caller pass
    any (security.md T14).
    """
    before, after = _masked(before or {}), _masked(after or {})
    return AuditEvent.objects.create(
        **written_by(by),
        **coming_from_here(),
        **chain_of(partner_account and partner_account.pk),
        action=action,
        object_type=subject._meta.label_lower,
        object_id=str(subject.pk),
        person_id=_person_of(subject, before, after),
        location_id=location.pk if location else _location_of(subject, before, after),
        before=before,
        after=after,
        reason=masked_text(reason)[:500],
    )


def record_of_person(
    user: User,
    action: AuditAction,
    *,
    by: User | None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write what was done to a person with each company they belong to."""
    companies = PartnerAccount.objects.with_member(user).order_by("pk")
    told = {"person": user.pk}
    for company in list(companies) or [None]:
        record_audit_event(
            user,
            action=action,
            by=by,
            partner_account=company,
            before=told | before if before else None,
            after=told | (after or {}),
        )


def chain_of(company: int | None) -> dict[str, Any]:
    """Return the chain that events of a company, or of none, are written in."""
    return {
        "chain": f"company:{company}" if company else "portal",
        "partner_account_id": company,
    }


def masked_text(text: str) -> str:
    """Return a text without what looks like a bank or tax number."""
    if AMOUNT.fullmatch(text):
        return text
    return PATTERN.sub(_kept_or_masked, text)


def _kept_or_masked(match: re.Match[str]) -> str:
    # Addresses of people are no secret of the trail: it says who was invited.
    if match["keep"] or "@" in match[0]:
        return match[0]
    return (match["name"] or match["sentence_name"] or "") + REDACTED


def _masked(value: Any, name: str = "") -> Any:
    if name and SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, dict):
        return {key: _masked(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(one) for one in value]
    return masked_text(value) if isinstance(value, str) else value


def written_by(by: User | None) -> dict[str, Any]:
    """Return who acts, and on whose behalf; `by` is None for a machine."""
    machine, carrier = _machine.get() or _Machine(), _carrier.get()
    if by is None:
        return {"actor_name": machine.name, "on_behalf_of": machine.for_whom}
    if carrier is not None and carrier.pk != by.pk:
        return {"actor": carrier, "on_behalf_of": by}
    return {"actor": by}


def coming_from_here() -> dict[str, str]:
    """Return the door, the place and the request of what is being done."""
    here = origin.current()
    if here is None:
        return {"request_id": request_id.get("")}
    return {
        "request_id": here.request_id,
        "door": here.door,
        "door_name": here.name[:80],
        "place": here.place,
        "device": here.device[:60],
        "session_hash": here.session(),
    }


def _person_of(subject: Model, *told: dict[str, Any]) -> int | None:
    for values in told:
        if isinstance(values.get("person"), int):
            return values["person"]
    return subject.pk if isinstance(subject, User) else None


def _location_of(subject: Model, *told: dict[str, Any]) -> int | None:
    for values in told:
        if isinstance(values.get("location"), int):
            return values["location"]
    scope = getattr(subject._meta.model._default_manager.all(), "scope", None)
    if scope is None or not scope.location:
        return None
    return follow(subject, scope.location)
