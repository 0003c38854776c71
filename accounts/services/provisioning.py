"""The keys of a company's directory, and which of its groups hold which role."""

import hashlib
import re
import secrets
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import emails
from accounts.models import (
    AuditAction,
    GroupMapping,
    IncentiveProgram,
    Location,
    PartnerAccount,
    ProvisioningToken,
    RoleAssignment,
    User,
)
from accounts.roles import Permission, Role, roles_with
from accounts.scoping import today
from accounts.services.audit import acting_as, record_audit_event
from accounts.services.companies import lock_companies
from accounts.services.directory import sync_roles
from accounts.services.refused import note_refusal, noting_refusals
from accounts.services.roles import check_scopes

TOKEN_BYTES = 32
# Says what it is where somebody finds it: in a repository, a mail, a log.
TOKEN_PREFIX = "scim_"
# How old "last used" may be before it is written anew.
USE_NOTED = timedelta(minutes=1)
# How long a replaced token still works: time to take the new one to the directory.
OVERLAP = timedelta(days=7)
# Leaves room for a number behind the name.
MOST_STEM = 70


@noting_refusals
@transaction.atomic
def create_provisioning_token(
    account: PartnerAccount,
    *,
    name: str,
    expires_on: date | None = None,
    by: User | None,
) -> tuple[ProvisioningToken, str]:
    """Make a key for a company's directory; return it once, since only a hash stays.

    Every Global admin is told (T1). `by` is None for the program owner. Raises
    ValidationError when `by` may not set provisioning up, the name is taken by a token
    in use, or the last day is past.
    """
    lock_companies(account.pk)
    _refuse_unless_provisioning(by, account=account)
    if expires_on is not None and expires_on < today():
        raise ValidationError(
            {"expires_on": _("The last day is in the past. Choose today or later.")}
        )
    if _is_name_in_use(account, name):
        raise ValidationError(
            {
                "name": _(
                    "A token of this name exists. Choose another name, or revoke that "
                    "one first."
                )
            },
            code="taken",
        )
    token, secret = _make_token(account, name=name, expires_on=expires_on, by=by)
    record_audit_event(
        token,
        action=AuditAction.TOKEN_CREATED,
        by=by,
        partner_account=account,
        after=_token_facts(token),
    )
    emails.provisioning_token_changed(token, news="created", by=by)
    return token, secret


@noting_refusals
@transaction.atomic
def replace_provisioning_token(
    token: ProvisioningToken, *, by: User | None
) -> tuple[ProvisioningToken, str]:
    """Make a new key in place of one; return it once, as create_provisioning_token does.

    The old one works for a week more, or until its own last day if that is sooner; the
    new one works as long as the old one was meant to. Every Global admin is told.
    Raises ValidationError when `by` may not set provisioning up, and when the old one
    no longer works.
    """
    lock_companies(token.partner_account_id)
    account = token.partner_account
    _refuse_unless_provisioning(by, account=account)
    old = ProvisioningToken.objects.select_for_update(of=("self",)).get(pk=token.pk)
    if old.is_over(today()):
        raise ValidationError(
            _("This token no longer works. Create a new one instead."), code="over"
        )
    expires_on = None
    if old.expires_on is not None:
        made_on = timezone.localdate(old.created_at)
        expires_on = today() + (old.expires_on - made_on)
    new, secret = _make_token(
        account, name=_next_name(account, old.name), expires_on=expires_on, by=by
    )
    before = _token_facts(old)
    last_day = today() + OVERLAP
    old.expires_on = min(old.expires_on or last_day, last_day)
    old.save(update_fields=["expires_on"])
    record_audit_event(
        new,
        action=AuditAction.TOKEN_CREATED,
        by=by,
        partner_account=account,
        before=before,
        after=_token_facts(new) | {"replaces": _token_facts(old)},
    )
    emails.provisioning_token_changed(new, news="replaced", replaced=old, by=by)
    return new, secret


@noting_refusals
@transaction.atomic
def revoke_provisioning_token(
    token: ProvisioningToken, *, by: User | None
) -> ProvisioningToken:
    """End a key at once; ending it twice changes nothing. Every Global admin is told.

    Raises ValidationError when `by` may not set provisioning up.
    """
    lock_companies(token.partner_account_id)
    account = token.partner_account
    _refuse_unless_provisioning(by, account=account)
    token = ProvisioningToken.objects.select_for_update(of=("self",)).get(pk=token.pk)
    if token.revoked_at is not None:
        return token
    token.revoked_at = timezone.now()
    token.revoked_by = by
    token.save(update_fields=["revoked_at", "revoked_by"])
    record_audit_event(
        token,
        action=AuditAction.TOKEN_REVOKED,
        by=by,
        partner_account=account,
        before={"name": token.name},
    )
    emails.provisioning_token_changed(token, news="revoked", by=by)
    return token


def use_provisioning_token(secret: str) -> ProvisioningToken | None:
    """Return the key that opens the door now, noting the use; None if it opens none."""
    now = timezone.now()
    tokens = ProvisioningToken.objects.live(today())
    token = (
        tokens.filter(token_sha256=_fingerprint(secret))
        .select_related("partner_account", "created_by")
        .first()
    )
    if token is not None and _is_long_ago(token.last_used_at, now=now):
        ProvisioningToken.objects.filter(
            Q(last_used_at=None) | Q(last_used_at__lt=now - USE_NOTED), pk=token.pk
        ).update(last_used_at=now)
    return token


def note_refused_token(secret: str) -> None:
    """Remember that somebody showed a key which opens nothing; a former one is told of.

    Whether there ever was such a key is found out after the answer, as for any refusal.
    """
    with acting_as("SCIM"):
        note_refusal(
            ProvisioningToken,
            {"token_sha256": _fingerprint(secret)},
            wanted="token",
            by=None,
        )


@noting_refusals
@transaction.atomic
def map_group(
    account: PartnerAccount,
    *,
    group_name: str,
    role: Role | str,
    location: Location | None = None,
    program: IncentiveProgram | None = None,
    by: User | None,
) -> GroupMapping:
    """Let the members of a group hold a role, now and as the group changes.

    Doing it twice changes nothing. Raises ValidationError when `by` may not set
    provisioning up or give this role (R5, R13), or the scope is not of the company.
    """
    lock_companies(account.pk)
    role = Role(role)
    _refuse_unless_provisioning(by, account=account)
    check_scopes(
        role,
        account=account,
        locations=[location] if location else [],
        programs=[program] if program else [],
        by=by,
    )
    held = GroupMapping.objects.of_company(account).filter(
        group_name__iexact=group_name, role=role, location=location, program=program
    )
    mapping = held.first()
    if mapping is not None:
        return mapping
    mapping = GroupMapping(
        partner_account=account,
        group_name=group_name,
        role=role,
        location=location,
        program=program,
        created_by=by,
    )
    mapping.full_clean()
    mapping.save()
    record_audit_event(
        mapping,
        action=AuditAction.GROUP_MAPPED,
        by=by,
        partner_account=account,
        after=_described(mapping),
    )
    sync_roles(account, by=by)
    return mapping


@noting_refusals
@transaction.atomic
def unmap_group(mapping: GroupMapping, *, by: User | None) -> None:
    """Take the role away that a group gives; what people gave stays.

    Raises ValidationError when `by` may not set provisioning up or end this role, and
    when the company would be left without a Global admin (rule 75).
    """
    account = mapping.partner_account
    lock_companies(account.pk)
    _refuse_unless_provisioning(by, account=account)
    described = _described(mapping)
    record_audit_event(
        mapping,
        action=AuditAction.GROUP_UNMAPPED,
        by=by,
        partner_account=account,
        before=described,
    )
    mapping.delete()
    sync_roles(account, by=by)


def _make_token(
    account: PartnerAccount, *, name: str, expires_on: date | None, by: User | None
) -> tuple[ProvisioningToken, str]:
    secret = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    token = ProvisioningToken(
        partner_account=account,
        name=name,
        token_sha256=_fingerprint(secret),
        expires_on=expires_on,
        created_by=by,
    )
    token.full_clean()
    token.save()
    return token, secret


def _is_name_in_use(account: PartnerAccount, name: str) -> bool:
    in_use = ProvisioningToken.objects.of_company(account).filter(revoked_at=None)
    return in_use.filter(name__iexact=name).exists()


def _next_name(account: PartnerAccount, name: str) -> str:
    """Return a free name like "Entra ID 2" for what takes the place of a token."""
    stem = re.sub(r" \d{1,3}$", "", name)[:MOST_STEM]
    return next(
        candidate
        for candidate in (f"{stem} {number}" for number in count(2))
        if not _is_name_in_use(account, candidate)
    )


def _token_facts(token: ProvisioningToken) -> dict[str, Any]:
    last_day = token.expires_on
    return {"name": token.name, "expires_on": last_day and last_day.isoformat()}


def _is_long_ago(moment: datetime | None, *, now: datetime) -> bool:
    return moment is None or moment < now - USE_NOTED


def _fingerprint(secret: str) -> str:
    # Not a password: 256 random bits need no slow hash.
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _described(mapping: GroupMapping) -> dict[str, Any]:
    return {
        "group": mapping.group_name,
        "role": mapping.role,
        "location": mapping.location_id,
        "program": mapping.program_id,
    }


def _refuse_unless_provisioning(by: User | None, *, account: PartnerAccount) -> None:
    if by is None or (by.is_staff and by.is_superuser):
        return
    holders = RoleAssignment.objects.live().filter(
        user=by,
        partner_account=account,
        role__in=roles_with(Permission.PROVISIONING_EDIT),
    )
    if not holders.exists():
        raise ValidationError(
            _("Only Global admins of %(company)s can set up provisioning."),
            code="not_provisioning",
            params={"company": account.name},
        )
