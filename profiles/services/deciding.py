"""Approving and returning versions, and the clock that brings changes into force."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.models import AuditAction, User
from profiles import emails
from profiles.models import BankProfileVersion, Profile, ProfileVersion
from profiles.services.approvals import (
    Approval,
    WhyTwo,
    awaited_approval,
    check_approving,
    has_first_approval,
    is_told_when_sent,
    signature_of,
    takes_place_from,
)
from profiles.services.rights import APPROVE_ACCOUNTS, VALIDATE, refuse_own
from profiles.services.versions import announce, locked_version, move, record
from profiles.services.words import checked_reasons
from profiles.states import CANDIDATE, ProfileStatus


@transaction.atomic
def approve_version(
    version: ProfileVersion,
    *,
    seen: str | None = None,
    by: User,
    at: datetime | None = None,
) -> ProfileVersion:
    """Approve a pending version; the version in force before it is replaced.

    A bank account that its company is not paid at yet takes two operators (domain.md
    §10.7): the first approval only signs it, the second brings it into force, a change
    of one in force not before its cooling-off is over (docs/adr/0010). The first is of
    exactly what was there: where anything differs since, it has lapsed. `seen` is the
    signature of what the operator looked at; a page always says it. Approving what is approved changes
    nothing. Raises ValidationError as check_approving does, when somebody decided
    meanwhile, when the change is stopped (code "stopped"), or the partner archived the
    profile.
    """
    profile, version = locked_version(version)
    refuse_own(version, by=by)
    if version.is_approved or version.is_cooling:
        return version
    _refuse_put_away(profile)
    _refuse_stopped_approval(version)
    _refuse_decided(version, ProfileStatus.APPROVED)
    if seen is not None and seen != signature_of(version):
        raise ValidationError(
            _("Something changed since you looked. Look at what is here now."),
            code="changed",
        )
    at = at or timezone.now()
    awaited = awaited_approval(version)
    if check_approving(version, awaited=awaited, by=by) == Approval.FIRST:
        return _sign_first(version, by=by, at=at)
    if not _is_usable(version, at=at):
        move(version, ProfileStatus.COOLING, by=by, at=at)
        after = {"usable_from": version.usable_from.isoformat()}
        announce(version, by=by, action=AuditAction.PROFILE_APPROVED, after=after)
        emails.bank_change(version, step=emails.Step.APPROVED)
        return version
    _take_force(version, by=by, at=at)
    announce(version, by=by, action=AuditAction.PROFILE_APPROVED)
    if version.is_change:
        emails.bank_change(version, step=emails.Step.IN_FORCE)
    elif awaited.why == WhyTwo.FURTHER_ACCOUNT:
        _tell_if_nobody_was(version)
    return version


def _tell_if_nobody_was(version: BankProfileVersion) -> None:
    """Tell of a further account that was none yet when it was sent (docs/adr/0013)."""
    usable_from = takes_place_from(version.profile)
    if usable_from is not None and not is_told_when_sent(version):
        by = version.submitted_by
        emails.account_added(version, usable_from=usable_from, by=by)


def bring_changes_into_force(*, at: datetime) -> int:
    """Let every approved change take effect whose cooling-off is over; return how many.

    The clock's: it asks what is due, never what time it was last asked, so that a late
    call catches up and a second one finds nothing. Each change stands alone.
    """
    due = BankProfileVersion.objects.due(at).order_by("usable_from", "pk")
    return sum(bring_into_force(version, at=at) for version in list(due))


@transaction.atomic
def bring_into_force(version: BankProfileVersion, *, at: datetime) -> bool:
    """Let an approved change take effect, if it is due; say whether it did.

    Enrollments that use the profile are validated with it from then on. What was
    stopped, returned, replaced or put away meanwhile stays out of force.
    """
    profile, version = locked_version(version)
    if not version.is_cooling or profile.archived_at or not _is_usable(version, at=at):
        return False
    _take_force(version, at=at)
    announce(version, by=None, action=AuditAction.PROFILE_IN_FORCE)
    emails.bank_change(version, step=emails.Step.IN_FORCE)
    return True


@sensitive_variables()
@transaction.atomic
def return_version(
    version: ProfileVersion,
    *,
    returned: list[dict[str, str]],
    by: User,
    at: datetime | None = None,
) -> ProfileVersion:
    """Return a version with reasons, each tied to a field (R41).

    Also an approved version can be returned: it is then out of force for everybody
    who uses it. Raises ValidationError without a reason, with a reason that does not
    belong to a field, when somebody decided meanwhile, or when `by` submitted it or
    may not decide it; whoever may give the second approval may return instead.
    """
    profile, version = locked_version(version)
    is_signed = version.is_pending and has_first_approval(version)
    rights = [VALIDATE, APPROVE_ACCOUNTS] if is_signed else [VALIDATE]
    refuse_own(version, by=by, rights=rights)
    _refuse_put_away(profile)
    _refuse_decided(version, ProfileStatus.ACTION_REQUIRED)
    returned = checked_reasons(version, returned)
    if version.is_approved and profile.versions.filter(status__in=CANDIDATE).exists():
        raise ValidationError(
            _("A newer version is waiting. Decide that one first."), code="newer"
        )
    give_back(version, returned, by=by, at=at)
    return version


def give_back(
    version: ProfileVersion,
    returned: list[dict[str, str]],
    *,
    by: User,
    at: datetime | None = None,
) -> None:
    """Return a version with reasons that were checked."""
    version.returned = returned
    version.save(update_fields=["returned"])
    move(version, ProfileStatus.ACTION_REQUIRED, by=by, at=at)
    announce(
        version,
        by=by,
        action=AuditAction.PROFILE_RETURNED,
        after={"reasons": [reason["code"] for reason in returned]},
    )


def _is_usable(version: ProfileVersion, *, at: datetime) -> bool:
    """Whether its cooling-off is over, if it has one: the only place that says so.

    BankProfileVersion.objects.due() asks the same of many, and a trigger of the table
    refuses everything else.
    """
    return not version.is_change or version.usable_from <= at


def _take_force(
    version: ProfileVersion, *, by: User | None = None, at: datetime
) -> None:
    """Put a version in the place of the one in force."""
    in_force = version.profile.versions.filter(status=ProfileStatus.APPROVED).first()
    if in_force is not None:
        move(in_force, ProfileStatus.REPLACED)
    if version.part == "bank":
        version.approved_at = at
        version.save(update_fields=["approved_at"])
    move(version, ProfileStatus.APPROVED, by=by, at=at)


def _sign_first(
    version: BankProfileVersion, *, by: User, at: datetime
) -> BankProfileVersion:
    """Write down the first of two approvals, and for what; tell who gives the second."""
    lapsed = version.seconded_by_id
    version.seconded_at, version.seconded_by = at, by
    version.seconded_digest = signature_of(version)
    # The second operator finds it free.
    version.claimed_at = version.claimed_by = None
    fields = ["seconded_at", "seconded_by", "seconded_digest"]
    version.save(update_fields=[*fields, "claimed_at", "claimed_by"])
    after = {"step": 1} | ({"lapsed": lapsed} if lapsed else {})
    record(version, AuditAction.PROFILE_APPROVED, by=by, after=after)
    emails.second_approval_needed(version, right=APPROVE_ACCOUNTS)
    return version


def _refuse_stopped_approval(version: ProfileVersion) -> None:
    if version.is_stopped:
        raise ValidationError(
            _("This change was stopped. Two operators release it after checking."),
            code="stopped",
        )


def _refuse_put_away(profile: Profile) -> None:
    if profile.archived_at is not None:
        raise ValidationError(
            _("The partner archived this profile. There is nothing to decide."),
            code="archived",
        )


def _refuse_decided(version: ProfileVersion, wanted: ProfileStatus) -> None:
    if version.can_become(wanted):
        return
    if version.decided_by_id is None:
        raise ValidationError(
            _("The partner replaced this version meanwhile. Decide the new one."),
            code="decided",
        )
    raise ValidationError(
        _("%(name)s decided this already: %(status)s."),
        code="decided",
        params={
            "name": version.decided_by.full_name,
            "status": version.get_status_display(),
        },
    )
