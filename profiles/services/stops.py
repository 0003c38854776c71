""" "This was not us": stopping a change, releasing it, taking it back (security.md §6.2)."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import AuditAction, User
from accounts.roles import Permission
from accounts.services import check_second_person, check_still_may
from profiles import emails
from profiles.models import BankChangeStop, BankProfileVersion, ProfileVersion
from profiles.services.rights import (
    APPROVE_ACCOUNTS,
    VALIDATE,
    own_submission,
    refuse_own,
)
from profiles.services.versions import announce, locked_version, move, record
from profiles.services.words import checked_note
from profiles.signals import version_questioned
from profiles.states import STOPPABLE, ProfileStatus


@transaction.atomic
def stop_change(
    version: BankProfileVersion, *, by: User | None, at: datetime | None = None
) -> BankProfileVersion:
    """Stop a change of a bank account: nobody can approve it, and no time brings it.

    `by` is an admin of the company; None is the previous contact, whose link works
    once. Other changes to the same account stop with it. Everybody is told. Stopping
    what is stopped changes nothing. Raises
    ValidationError when it is in force already (code "too_late"), when nothing waits
    (code "over"), and for a link that was used (code "used").
    """
    profile, version = locked_version(version)
    if by is not None:
        check_still_may(profile, permission=Permission.PROFILE_KNOW, by=by)
    if version.is_stopped:
        return version
    if version.is_approved:
        raise ValidationError(
            _(
                "The change is in force already. Write to the program owner at once, "
                "and change the account back."
            ),
            code="too_late",
        )
    if not version.is_stoppable:
        raise ValidationError(
            _("This change is over. The account in force stays."), code="over"
        )
    if by is None and version.stops.filter(stopped_by=None, follows=None).exists():
        raise ValidationError(
            _(
                "This link was used. The program owner checked the change with the "
                "company since. Write to the program owner if you doubt it."
            ),
            code="used",
        )
    at = at or timezone.now()
    stop = _stop(version, by=by, at=at)
    emails.bank_change(version, step=emails.Step.STOPPED, by=by)
    for other in _same_account(version):
        _stop(other, by=by, at=at, follows=stop)
        emails.bank_change(other, step=emails.Step.STOPPED, by=by)
    return version


def stop_again(
    version: BankProfileVersion, stop: BankChangeStop, *, by: User, at: datetime
) -> None:
    """Stop a version that was sent with an account that is stopped already.

    Withdrawing a change is no way around who stopped it (docs/adr/0010). `by` sent it;
    it stands as stopped by who stopped it first. Everybody is told.
    """
    first = stop.follows or stop
    _stop(version, by=first.stopped_by, at=at, follows=first)
    emails.bank_change(version, step=emails.Step.AGAIN, by=by)


def _stop(
    version: BankProfileVersion,
    *,
    by: User | None,
    at: datetime,
    follows: BankChangeStop | None = None,
) -> BankChangeStop:
    move(version, ProfileStatus.STOPPED)
    version_questioned.send(sender=type(version), version=version, at=at)
    stop = BankChangeStop.objects.create(
        version=version, stopped_by=by, stopped_at=at, follows=follows
    )
    after = {"stop": str(stop.pk)} | ({} if by else {"by": "previous contact"})
    after |= {"follows": str(follows.pk)} if follows else {}
    # Who stopped the account before does nothing now.
    actor = by if follows is None else None
    record(version, AuditAction.PROFILE_STOPPED, by=actor, after=after)
    emails.bank_change_to_check(version, right=VALIDATE, besides=[])
    return stop


def _same_account(version: BankProfileVersion) -> list[BankProfileVersion]:
    """Other changes of the company to the same account, which can still be stopped."""
    rows = (
        BankProfileVersion.objects.select_for_update(of=("self",))
        .select_related("profile__partner_account")
        .filter(
            profile__partner_account=version.profile.partner_account_id,
            blind_index=version.blind_index,
            status__in=STOPPABLE,
            usable_from__isnull=False,
        )
    )
    return list(rows.exclude(pk=version.pk).order_by("pk"))


@transaction.atomic
def check_stopped_change(
    version: BankProfileVersion,
    *,
    evidence: str,
    by: User,
    at: datetime | None = None,
) -> BankChangeStop:
    """Say how one made sure that the company wants a stopped change; the first of two.

    Twice is once. Raises ValidationError as check_second_person does, for who sent the
    change (code "four_eyes"), when somebody checked it already (code "checked"), when
    it is not stopped, and without evidence or with a number in it.
    """
    _profile, version = locked_version(version)
    refuse_own(version, by=by, rights=[VALIDATE])
    stop = _open_stop(version)
    if stop.checked_by_id is not None and stop.checked_by_id == by.pk:
        return stop
    if stop.checked_by is not None:
        raise ValidationError(
            _("%(name)s checked this already. Another operator releases it."),
            code="checked",
            params={"name": stop.checked_by.full_name},
        )
    try:
        evidence = checked_note(evidence, version=version)
    except ValidationError as error:
        raise ValidationError({"evidence": error.messages}) from None
    if len(evidence) < 20:
        raise ValidationError(
            {"evidence": _("Say in at least 20 characters how you made sure.")}
        )
    stop.checked_by, stop.checked_at = by, at or timezone.now()
    stop.evidence = evidence
    stop.save(update_fields=["checked_by", "checked_at", "evidence"])
    record(
        version,
        AuditAction.PROFILE_RELEASED,
        by=by,
        after={"stop": str(stop.pk), "step": 1},
        reason=evidence,
    )
    emails.bank_change_to_check(version, right=APPROVE_ACCOUNTS, besides=[by])
    return stop


@transaction.atomic
def release_change(
    version: BankProfileVersion, *, by: User, at: datetime | None = None
) -> BankProfileVersion:
    """Release a stopped change after somebody else checked it; the second of two.

    It is where it was before: waiting for approval, or for its cooling-off to be over.
    Everybody is told. Raises ValidationError as check_second_person does, for who sent
    the change (code "four_eyes") or checked it (code "second_operator"), before
    somebody checked (code "not_checked"), and when it is not stopped.
    """
    _profile, version = locked_version(version)
    stop = _open_stop(version)
    is_same = ValidationError(
        _("You checked this change. Another operator releases it."),
        code="second_operator",
    )
    check_second_person(
        by,
        rights=[APPROVE_ACCOUNTS],
        first=[
            (version.submitted_by_id, own_submission()),
            (stop.checked_by_id, is_same),
        ],
    )
    if stop.checked_by_id is None:
        raise ValidationError(
            _("Nobody has checked this change with the company yet."),
            code="not_checked",
        )
    at = at or timezone.now()
    stop.released_by, stop.released_at = by, at
    stop.save(update_fields=["released_by", "released_at"])
    was_approved = version.decided_at is not None
    move(version, ProfileStatus.COOLING if was_approved else ProfileStatus.PENDING)
    version_questioned.send(sender=type(version), version=version, at=at)
    after = {"stop": str(stop.pk), "step": 2}
    record(version, AuditAction.PROFILE_RELEASED, by=by, after=after)
    emails.bank_change(version, step=emails.Step.RELEASED)
    return version


@transaction.atomic
def withdraw_change(version: ProfileVersion, *, by: User) -> ProfileVersion:
    """Take a new version back; the one in force stays, as if nothing had been sent.

    Also of a change that was stopped. Twice is once. Raises ValidationError when the
    version is in force, or when nothing is in force beside it (code "not_beside").
    """
    profile, version = locked_version(version)
    check_still_may(profile, permission=Permission.PROFILE_EDIT, by=by)
    if version.status == ProfileStatus.REPLACED:
        return version
    if not profile.versions.filter(status=ProfileStatus.APPROVED).exists() or (
        version.is_approved
    ):
        raise ValidationError(
            _("There is no version in force beside it. Change this one instead."),
            code="not_beside",
        )
    move(version, ProfileStatus.REPLACED)
    announce(version, by=by, action=AuditAction.PROFILE_WITHDRAWN)
    if version.is_change:
        emails.bank_change(version, step=emails.Step.WITHDRAWN, by=by)
    return version


def _open_stop(version: BankProfileVersion) -> BankChangeStop:
    stop = (
        version.stops.open()
        .select_for_update(of=("self",))
        .select_related("checked_by")
        .first()
    )
    if stop is None or not version.is_stopped:
        raise ValidationError(
            _("This change is not stopped any more: %(status)s."),
            code="not_stopped",
            params={"status": version.get_status_display()},
        )
    return stop
