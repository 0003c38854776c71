"""Recovery: the program owner appoints a Global admin where nobody else can.

Who asks proves to one operator that they speak for the company; everybody there is
told and has time to object; another operator appoints. `at` is when it happened, for
what is loaded afterwards; without it, now.
"""

from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts import emails
from accounts.holders import needs_recovery, roles_given_by
from accounts.models import (
    AuditAction,
    Membership,
    PartnerAccount,
    RecoveryRequest,
    RecoveryState,
    User,
)
from accounts.roles import Role
from accounts.services.audit import acting_as, record_audit_event
from accounts.services.companies import lock_companies
from accounts.services.granting import assign_role
from accounts.services.refused import noting_refusals
from accounts.services.second_person import check_second_person

DECIDE = "accounts.decide_recovery"
# Everybody in the company is written to: it may not be used to flood them (T19).
MOST_A_MONTH = 3


@transaction.atomic
def request_recovery(
    account: PartnerAccount, *, reason: str, by: User, at: datetime | None = None
) -> RecoveryRequest:
    """Ask the program owner to become Global admin; asking again changes nothing.

    The company's people are told. Raises ValidationError when somebody in the company
    can be asked (code "not_needed"), somebody else has asked (code "asked"), the person
    is a guest or not of the company, or the company asked too often.
    """
    lock_companies(account.pk)
    _refuse_bad_asker(account, by=by)
    now = at or timezone.now()
    of_company = RecoveryRequest.objects.of_company(account)
    _lapse(of_company.overtaken(), at=now)
    asked = of_company.open().select_related("user").first()
    if asked is not None and asked.user_id == by.pk:
        return asked
    if asked is not None:
        raise ValidationError(
            _("%(person)s has asked already. The program owner decides on that first."),
            code="asked",
            params={"person": asked.user.full_name},
        )
    if not needs_recovery(by, account):
        raise ValidationError(
            _("Somebody in %(company)s can give roles. Ask for access there."),
            code="not_needed",
            params={"company": account.name},
        )
    if not reason.strip():
        raise ValidationError({"reason": _("Say what happened.")})
    if of_company.filter(asked_at__gt=now - timedelta(days=30)).count() >= MOST_A_MONTH:
        raise ValidationError(
            _("This was asked for too often. Write to the program owner."),
            code="too_many",
        )
    recovery = RecoveryRequest(
        partner_account=account, user=by, reason=reason, asked_at=now
    )
    recovery.full_clean(validate_constraints=False)
    recovery.save()
    _record_step(recovery, AuditAction.RECOVERY_REQUESTED, by=by, reason=reason)
    emails.recovery_requested(recovery)
    return recovery


@transaction.atomic
def review_recovery(
    recovery: RecoveryRequest, *, evidence: str, by: User, at: datetime | None = None
) -> RecoveryRequest:
    """Note which evidence an operator saw; the first of two steps. Twice is once.

    Raises ValidationError when it was answered or checked, without evidence, and as
    check_second_person does: for everybody who is no operator with this right.
    """
    recovery = _held(recovery)
    _refuse_unless_deciding(by)
    if recovery.state == RecoveryState.REVIEWED and recovery.reviewed_by_id == by.pk:
        return recovery
    _refuse_answered(recovery)
    if recovery.state == RecoveryState.REVIEWED:
        raise ValidationError(
            _("%(who)s has checked the evidence already."),
            code="reviewed",
            params={"who": recovery.reviewed_by.full_name},
        )
    if not evidence.strip():
        raise ValidationError({"evidence": _("Say what you checked, and how.")})
    recovery.state = RecoveryState.REVIEWED
    recovery.evidence = evidence
    recovery.reviewed_by, recovery.reviewed_at = by, at or timezone.now()
    recovery.save(update_fields=["state", "evidence", "reviewed_by", "reviewed_at"])
    _record_step(recovery, AuditAction.RECOVERY_REVIEWED, by=by, reason=evidence)
    return recovery


@transaction.atomic
def appoint_recovered(recovery: RecoveryRequest, *, by: User) -> RecoveryRequest:
    """Make who asked Global admin; the second step, by another operator. Twice is once.

    Raises ValidationError before the evidence is checked, for the operator who checked
    it (code "same_operator"), before the company had time to object (code "too_early"),
    and as review_recovery does.
    """
    recovery = _held(recovery)
    _refuse_unless_deciding(by)
    if recovery.state == RecoveryState.GRANTED and recovery.answered_by_id == by.pk:
        return recovery
    _refuse_answered(recovery)
    if recovery.state != RecoveryState.REVIEWED:
        raise ValidationError(
            _("Nobody has checked the evidence yet."), code="not_reviewed"
        )
    same_operator = ValidationError(
        _("You checked the evidence. Another operator appoints."), code="same_operator"
    )
    check_second_person(
        by, rights=[DECIDE], first=[(recovery.reviewed_by_id, same_operator)]
    )
    if timezone.now() < recovery.decided_from:
        raise ValidationError(
            _("The company's people can object until %(moment)s."),
            code="too_early",
            params={
                "moment": date_format(
                    timezone.localtime(recovery.decided_from), "DATETIME_FORMAT"
                )
            },
        )
    # Operators hold no role in a company: it is the program owner who appoints.
    with acting_as("Recovery"):
        assign_role(
            recovery.user,
            role=Role.GLOBAL_ADMIN,
            account=recovery.partner_account,
            by=None,
        )
    _answer(recovery, state=RecoveryState.GRANTED, by=by)
    _record_step(recovery, AuditAction.ADMIN_RECOVERED, by=by, reason=recovery.evidence)
    emails.recovery_granted(recovery)
    return recovery


@transaction.atomic
def decline_recovery(
    recovery: RecoveryRequest, *, reason: str, by: User
) -> RecoveryRequest:
    """Say no, with the reason the person reads; one operator is enough.

    Raises ValidationError as review_recovery does, and without a reason.
    """
    recovery = _held(recovery)
    _refuse_unless_deciding(by)
    if recovery.state == RecoveryState.DECLINED and recovery.answered_by_id == by.pk:
        return recovery
    _refuse_answered(recovery)
    if not reason.strip():
        raise ValidationError({"reason": _("Say why. The person reads it.")})
    _answer(recovery, state=RecoveryState.DECLINED, by=by, answer=reason)
    _record_step(recovery, AuditAction.RECOVERY_DECLINED, by=by, reason=reason)
    emails.recovery_declined(recovery)
    return recovery


@noting_refusals
@transaction.atomic
def stop_recovery(recovery: RecoveryRequest, *, by: User) -> RecoveryRequest:
    """Let a Global admin who is there after all stop it. Twice is once.

    Raises ValidationError when it was answered, and for everybody else.
    """
    recovery = _held(recovery)
    if Role.GLOBAL_ADMIN not in roles_given_by(by, recovery.partner_account):
        raise ValidationError(
            _("Only a Global admin of %(company)s can stop this."),
            code="not_granting",
            params={"company": recovery.partner_account.name},
        )
    if recovery.state == RecoveryState.STOPPED and recovery.answered_by_id == by.pk:
        return recovery
    _refuse_answered(recovery)
    _answer(recovery, state=RecoveryState.STOPPED, by=by)
    _record_step(recovery, AuditAction.RECOVERY_STOPPED, by=by)
    emails.recovery_declined(recovery)
    return recovery


@transaction.atomic
def lapse_recoveries(*, at: datetime) -> int:
    """Close the requests nobody needs any more; return how many."""
    overtaken = RecoveryRequest.objects.overtaken()
    lock_companies(*overtaken.values_list("partner_account_id", flat=True))
    return _lapse(overtaken, at=at)


def _lapse(requests, *, at: datetime) -> int:
    overtaken = list(requests.select_related("partner_account").order_by("asked_at"))
    for recovery in overtaken:
        recovery.state, recovery.answered_at = RecoveryState.LAPSED, at
        recovery.save(update_fields=["state", "answered_at"])
        _record_step(recovery, AuditAction.RECOVERY_LAPSED, by=None)
    return len(overtaken)


def _refuse_bad_asker(account: PartnerAccount, *, by: User) -> None:
    members = Membership.objects.current().of_company(account)
    if by.is_staff or not members.filter(user=by).exists():
        raise ValidationError(_("You do not belong to this company."), code="stranger")
    if not account.welcomes(by.email):
        raise ValidationError(
            _(
                "Your address is not one of %(company)s. Somebody with an address of "
                "the company asks."
            ),
            code="guest",
            params={"company": account.name},
        )
    if Role.GLOBAL_ADMIN in roles_given_by(by, account):
        raise ValidationError(_("You are Global admin already."), code="held")


def _held(recovery: RecoveryRequest) -> RecoveryRequest:
    """Lock the company, then read what the request is by now."""
    lock_companies(recovery.partner_account_id)
    return RecoveryRequest.objects.select_related(
        "partner_account", "user", "reviewed_by", "answered_by"
    ).get(pk=recovery.pk)


def _refuse_unless_deciding(by: User) -> None:
    """Who asks is the first person; whoever decides is the second."""
    check_second_person(by, rights=[DECIDE], first=[])


def _refuse_answered(recovery: RecoveryRequest) -> None:
    if recovery.answered_by is not None:
        raise ValidationError(
            _("%(who)s has answered this already."),
            code="answered",
            params={"who": recovery.answered_by.full_name},
        )
    if not RecoveryRequest.objects.open().filter(pk=recovery.pk).exists():
        raise ValidationError(
            _(
                "%(person)s does not need this any more: the role was given otherwise, "
                "or the person is gone."
            ),
            code="overtaken",
            params={"person": recovery.user.full_name},
        )


def _answer(
    recovery: RecoveryRequest, *, state: RecoveryState, by: User, answer: str = ""
) -> None:
    recovery.state, recovery.answer = state, answer
    recovery.answered_by, recovery.answered_at = by, timezone.now()
    recovery.save(update_fields=["state", "answer", "answered_by", "answered_at"])


def _record_step(
    recovery: RecoveryRequest, action: AuditAction, *, by: User | None, reason: str = ""
) -> None:
    record_audit_event(
        recovery,
        action=action,
        by=by,
        partner_account=recovery.partner_account,
        after={"person": recovery.user_id, "role": Role.GLOBAL_ADMIN.value},
        reason=reason,
    )
