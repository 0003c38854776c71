"""What the services of profiles share: rows read alone, one line for status, the trail."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import AuditAction, User
from accounts.roles import Permission
from accounts.services import check_still_may, lock_companies, record_audit_event
from accounts.templatetags.portal import within
from profiles.countries import CountrySchema
from profiles.models import BankProfile, Profile, ProfileVersion
from profiles.signals import profile_status_changed
from profiles.states import CANDIDATE, CURRENT, ProfileStatus


def locked(profile: Profile) -> Profile:
    """Lock a profile against other changes, not against rows that refer to it."""
    lock_companies(_company_key(profile))
    rows = type(profile).objects.select_for_update(of=("self",), no_key=True)
    return rows.get(pk=profile.pk)


def locked_by_editor(profile: Profile, *, by: User) -> Profile:
    """Lock a profile for somebody who may still change it (T5)."""
    profile = locked(profile)
    check_still_may(profile, permission=Permission.PROFILE_EDIT, by=by)
    return profile


def _company_key(profile: Profile) -> int:
    if isinstance(profile, BankProfile):
        return profile.partner_account_id
    return profile.location.partner_account_id


def locked_version(version: ProfileVersion) -> tuple[Profile, ProfileVersion]:
    profile = locked(version.profile)
    return profile, type(version).objects.select_for_update(of=("self",)).get(
        pk=version.pk
    )


def newest_current(profile: Profile) -> ProfileVersion:
    """The version a change is compared with: the candidate, else the one in force."""
    return profile.versions.filter(status__in=CURRENT).order_by("-number")[0]


def next_number(profile: Profile) -> int:
    newest = profile.versions.order_by("-number").values_list("number", flat=True)
    return (newest.first() or 0) + 1


def replace_candidate(profile: Profile) -> None:
    candidate = profile.versions.filter(status__in=CANDIDATE).first()
    if candidate is not None:
        move(candidate, ProfileStatus.REPLACED)


def move(
    version: ProfileVersion,
    status: ProfileStatus,
    *,
    by: User | None = None,
    at: datetime | None = None,
) -> None:
    """Set a version's status: the only line that does."""
    if not version.can_become(status):
        raise ValidationError(
            _("This version is %(status)s and cannot change that way."),
            code="transition",
            params={"status": within(version.get_status_display())},
        )
    version.status = status
    # Whoever was at it is not any more.
    version.claimed_at = version.claimed_by = None
    fields = ["status", "claimed_at", "claimed_by"]
    if by is not None:
        version.decided_at = at or timezone.now()
        version.decided_by = by
        fields += ["decided_at", "decided_by"]
    version.save(update_fields=fields)


def announce(
    version: ProfileVersion,
    *,
    by: User | None,
    action: AuditAction,
    after: dict[str, Any] | None = None,
) -> None:
    # The company's audit chain is a lock too; it is taken last.
    profile_status_changed.send(sender=type(version), version=version, by=by)
    record(version, action, by=by, after=after)


def record(
    version: ProfileVersion,
    action: AuditAction,
    *,
    by: User | None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> None:
    profile = version.profile
    record_audit_event(
        version,
        action=action,
        by=by,
        partner_account=profile.account,
        after={"profile": str(profile.pk), "version": version.number} | (after or {}),
        location=getattr(profile, "location", None),
        reason=reason,
    )


def refuse_archived(profile: Profile) -> None:
    if profile.archived_at is not None:
        raise ValidationError(
            _("This profile is archived. Choose or add another."), code="archived"
        )


def refuse_unchanged(newest: ProfileVersion) -> None:
    if newest.is_approved:
        raise ValidationError(
            _("Everything is as in the approved version. There is nothing to send."),
            code="unchanged",
        )


def known_schema(schema: CountrySchema | None) -> CountrySchema:
    if schema is None:
        raise ValidationError({"country": _("Choose a country from the list.")})
    return schema
