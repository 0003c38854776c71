"""The keys of a company's directory, and which of its groups hold which role."""

import hashlib
import secrets
from datetime import date, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

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
from accounts.services.audit import record_audit_event
from accounts.services.companies import lock_companies
from accounts.services.directory import sync_roles
from accounts.services.roles import check_scopes

TOKEN_BYTES = 32
# Says what it is where somebody finds it: in a repository, a mail, a log.
TOKEN_PREFIX = "scim_"
# How old "last used" may be before it is written anew.
USE_NOTED = timedelta(minutes=1)


@transaction.atomic
def create_provisioning_token(
    account: PartnerAccount,
    *,
    name: str,
    expires_on: date | None = None,
    by: User | None,
) -> tuple[ProvisioningToken, str]:
    """Make a key for a company's directory; return it once, since only a hash stays.

    `by` is None for the program owner. Raises ValidationError when `by` may not set
    provisioning up, the name is taken by a token in use, or the last day is past.
    """
    lock_companies(account.pk)
    _refuse_unless_provisioning(by, account=account)
    if expires_on is not None and expires_on < timezone.localdate():
        raise ValidationError(
            {"expires_on": _("The last day is in the past. Choose today or later.")}
        )
    in_use = ProvisioningToken.objects.of_company(account).filter(revoked_at=None)
    if in_use.filter(name__iexact=name).exists():
        raise ValidationError(
            {
                "name": _(
                    "A token of this name exists. Choose another name, or revoke that "
                    "one first."
                )
            },
            code="taken",
        )
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
    record_audit_event(
        token,
        action=AuditAction.TOKEN_CREATED,
        by=by,
        partner_account=account,
        after={"name": name, "expires_on": expires_on and expires_on.isoformat()},
    )
    return token, secret


@transaction.atomic
def revoke_provisioning_token(
    token: ProvisioningToken, *, by: User | None
) -> ProvisioningToken:
    """End a key at once; ending it twice changes nothing.

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
    return token


def use_provisioning_token(secret: str) -> ProvisioningToken | None:
    """Return the key that opens the door now, noting the use; None if it opens none."""
    now = timezone.now()
    tokens = ProvisioningToken.objects.live(timezone.localdate())
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
