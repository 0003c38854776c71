"""Which approval a version waits for, and whether two operators are needed."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, auto

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Case, QuerySet, When
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.models import User
from accounts.sealing import blind_index
from accounts.services import check_second_person
from accounts.templatetags.portal import moment
from profiles.models import (
    BankChangeStop,
    BankProfile,
    BankProfileVersion,
    ProfileVersion,
)
from profiles.services.rights import (
    APPROVE_ACCOUNTS,
    VALIDATE,
    own_submission,
    refuse_own,
)
from profiles.states import ProfileStatus


class Approval(StrEnum):
    """Which approval of a version is to be given next."""

    ONLY = auto()
    FIRST = auto()
    SECOND = auto()


class WhyTwo(StrEnum):
    """Why a bank account needs two operators (domain.md §10.7)."""

    FIRST_ACCOUNT = auto()
    FURTHER_ACCOUNT = auto()
    CHANGE = auto()


@dataclass(frozen=True)
class AwaitedApproval:
    """The approval a version waits for; `why` two are needed, where they are.

    `stop` is that of the same account, while nobody has released it.
    """

    kind: Approval
    why: WhyTwo | None
    stop: BankChangeStop | None = None


def check_approving(
    version: ProfileVersion, *, awaited: AwaitedApproval | None = None, by: User
) -> Approval:
    """Return which approval of a pending version somebody may give; change nothing.

    `awaited` is what awaited_approval said, where it was asked already. Raises
    ValidationError as check_second_person does: for who submitted it (rule 78), for who
    gave the first approval (code "second_operator"), and without the right to validate,
    or for the second approval to approve bank accounts; and for an account that
    somebody at the company stopped and nobody released (code "stopped").
    """
    awaited = awaited or awaited_approval(version)
    if awaited.stop is not None:
        raise ValidationError(
            _(
                "Somebody at the company said of this account that it was not them. "
                "Release the change that they stopped, or return this version."
            ),
            code="stopped",
        )
    if awaited.kind != Approval.SECOND:
        refuse_own(version, by=by, rights=[VALIDATE])
        return awaited.kind
    is_same = ValidationError(
        _("You gave the first approval. This bank account needs a second operator."),
        code="second_operator",
    )
    check_second_person(
        by,
        rights=[APPROVE_ACCOUNTS],
        first=[
            (version.submitted_by_id, own_submission()),
            (version.seconded_by_id, is_same),
        ],
    )
    return awaited.kind


def standing_stop(version: BankProfileVersion) -> BankChangeStop | None:
    """Return the stop of the same account that nobody released, if there is one.

    Of an account that the company is paid at already, in the same name, there is none:
    what was stopped was another holder (docs/adr/0010).
    """
    if why_two_operators(version) is None:
        return None
    return _stop_of(version)


def _stop_of(version: BankProfileVersion) -> BankChangeStop | None:
    return BankChangeStop.objects.standing_against(version).first()


def awaited_approval(version: ProfileVersion) -> AwaitedApproval:
    """Return which approval a pending version waits for, and why two are needed."""
    why = why_two_operators(version)
    if why is None:
        return AwaitedApproval(Approval.ONLY, why)
    is_signed = has_first_approval(version)
    kind = Approval.SECOND if is_signed else Approval.FIRST
    return AwaitedApproval(kind, why, stop=_stop_of(version))


def has_first_approval(version: ProfileVersion) -> bool:
    """Whether one operator has approved exactly what is there now, and still may.

    A first approval lapses with anything it was given for: the details, the version
    in force beside them, the right of who gave it (security.md T5).
    """
    return (
        version.part == "bank"
        and version.seconded_by is not None
        and version.seconded_digest == signature_of(version)
        and version.seconded_by.is_staff
        and version.seconded_by.has_perm(VALIDATE)
    )


@sensitive_variables()
def signature_of(version: ProfileVersion) -> str:
    """Return what stands for everything an operator approves: keyed, so it tells nothing.

    Company, profile, country, every detail, and what they take the place of.
    """
    in_force = (
        version.profile.versions.filter(status=ProfileStatus.APPROVED)
        .exclude(pk=version.pk)
        .values_list("pk", flat=True)
        .first()
    )
    signed = {
        "company": version.profile.account.pk,
        "profile": str(version.profile_id),
        "version": str(version.pk),
        "country": version.country,
        "details": dict(version.details),
        "instead_of": str(in_force or ""),
    }
    text = json.dumps(signed, sort_keys=True, ensure_ascii=False)
    return blind_index(text, purpose="approval")


def needs_second_operator(version: ProfileVersion) -> bool:
    """Say whether one operator is not enough (domain.md §10.7)."""
    return why_two_operators(version) is not None


def why_two_operators(version: ProfileVersion) -> WhyTwo | None:
    """Say why a bank version takes two operators; None where it takes one.

    It takes one where the company is paid there already: at the same account, held in
    the same name. A profile is compared with what was approved in it last: returning
    the version in force does not make the next one a first one. A new profile is
    compared with the accounts in force in the company's others: any of its locations
    can be paid there the next minute, by default or by choice (security.md T1).
    """
    if version.part != "bank":
        return None
    is_same = Case(When(profile=version.profile_id, then=1), default=0)
    is_paid_at = Case(
        When(
            status=ProfileStatus.APPROVED,
            profile__archived_at=None,
            blind_index=version.blind_index,
            then=1,
        ),
        default=0,
    )
    before = (
        BankProfileVersion.objects.filter(
            approved_at__isnull=False,
            profile__partner_account=version.profile.partner_account_id,
        )
        .exclude(pk=version.pk)
        .annotate(is_same=is_same, is_paid_at=is_paid_at)
        .order_by("-is_same", "-is_paid_at", "-number", "pk")
        .first()
    )
    if before is None:
        return WhyTwo.FIRST_ACCOUNT
    is_known = before.is_same or before.is_paid_at
    # What one operator signed is not decided by one, whatever was approved since; nor is
    # what was to wait from the start.
    is_signed = version.seconded_by_id is not None or version.is_change
    if is_known and _payee(before) == _payee(version) and not is_signed:
        return None
    return WhyTwo.CHANGE if before.is_same else WhyTwo.FURTHER_ACCOUNT


def cooling_off() -> timedelta:
    """How long a changed account waits from the request on (security.md T1)."""
    return timedelta(hours=settings.BANK_CHANGE_COOLING_OFF_HOURS)


def takes_place_from(profile: BankProfile) -> datetime | None:
    """Say from when an account may take another's place; None: at any time.

    As a changed account waits from the request on, so does a further one before it
    becomes a default or replaces a profile (docs/adr/0013). The company's first
    account, and one in the same name that was in force before, need not wait; a request
    that was withdrawn, stopped or returned is no waiting time. Asked for before anybody
    could be told of it, an account waits from its approval.
    """
    version = profile.version_in_force or profile.current_version
    same, others = _in_force_once(version)
    approved_at = same[0].approved_at if same else timezone.now()
    if not others.filter(approved_at__lt=approved_at).exists():
        return None
    asked_at = min((one.submitted_at for one in same), default=version.submitted_at)
    is_told = others.filter(approved_at__lt=asked_at).exists()
    return (asked_at if is_told else approved_at) + cooling_off()


def is_told_when_sent(version: BankProfileVersion) -> bool:
    """Whether all admins heard of a further account when it was sent.

    Nobody is told of an account that was asked for while the company had none, or was
    paid there already.
    """
    same, others = _in_force_once(version)
    before = version.submitted_at
    return others.filter(approved_at__lt=before).exists() and not any(
        one.approved_at < before for one in same
    )


def _in_force_once(version) -> tuple[list[BankProfileVersion], QuerySet]:
    """Return what of a company was in force at some time: the same payee's, the others."""
    in_force_once = BankProfileVersion.objects.filter(
        profile__partner_account=version.profile.partner_account_id,
        approved_at__isnull=False,
    ).order_by("approved_at", "pk")
    same = [
        one
        for one in in_force_once.filter(blind_index=version.blind_index)
        if _payee(one) == _payee(version)
    ]
    return same, in_force_once.exclude(pk__in=[one.pk for one in same])


def refuse_too_new(
    profile: BankProfile, *, field: str, at: datetime | None = None
) -> None:
    """Raise ValidationError at a field while an account may take no other's place.

    It is too new (code "too_new"), or somebody stopped it (code "stopped").
    """
    if profile.version_in_force is None and profile.current_version.is_stopped:
        raise ValidationError(
            {
                field: ValidationError(
                    _(
                        "Somebody stopped the account of %(profile)s. The program "
                        "owner has to check it first."
                    ),
                    code="stopped",
                    params={"profile": profile.name},
                )
            }
        )
    earliest = takes_place_from(profile)
    if earliest is not None and earliest > (at or timezone.now()):
        raise ValidationError(
            {
                field: ValidationError(
                    _(
                        "The account of %(profile)s is new: it can take the place of "
                        "another from %(moment)s. Every admin was told of it, so that "
                        "anybody can say if it was not you."
                    ),
                    code="too_new",
                    params={"profile": profile.name, "moment": moment(earliest)},
                )
            }
        )


def _payee(version: ProfileVersion) -> tuple[str, str]:
    """Who is paid where: the account, and the name it is held in."""
    return version.blind_index, version.details.get("account_holder", "")
