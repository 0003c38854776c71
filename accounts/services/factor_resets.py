"""Lost second factors: asked for after the password, reset by two other people (T7).

An admin of the company says that it is the person, an operator resets; where nobody in
the company can, and for operators, two operators do. The person has a day to stop it.
"""

from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts import emails
from accounts.holders import needs_operators, vouchers_of
from accounts.link_tokens import STOP_RESET, fingerprint_of, token_for
from accounts.models import (
    AuditAction,
    FactorReset,
    Membership,
    PartnerAccount,
    ResetState,
    User,
)
from accounts.proof import second_factors_of
from accounts.services.audit import record_audit_event
from accounts.services.companies import lock_companies
from accounts.services.second_person import check_second_person
from accounts.services.signin import sign_out_everywhere, told_otherwise

DECIDE = "accounts.decide_factorreset"
# Several people are written to each time: it may not be used to flood them (T19).
MOST_A_MONTH = 3


@transaction.atomic
def request_factor_reset(
    account: PartnerAccount | None, *, reason: str, by: User
) -> FactorReset:
    """Ask for a reset of one's own second factors; asking again changes nothing.

    `by` has shown the password and nothing else; `account` is the company whose admins
    are asked, None for operators and for whom no company is left. The person and
    whoever can help are told. Raises ValidationError when the person has no second
    factor (code "nothing_lost"), is not of the company (code "stranger"), or asked too
    often (code "too_many").
    """
    _lock(account)
    User.objects.select_for_update(of=("self",), no_key=True).get(pk=by.pk)
    now = timezone.now()
    own = FactorReset.objects.filter(user=by)
    _lapse(own.overtaken(), at=now)
    asked = own.open().select_related("user", "partner_account").first()
    if asked is not None:
        return asked
    _refuse_bad_asker(account, by=by)
    if not reason.strip():
        raise ValidationError({"reason": _("Say what happened.")})
    if own.filter(asked_at__gt=now - timedelta(days=30)).count() >= MOST_A_MONTH:
        raise ValidationError(
            _("This was asked for too often. Write to the program owner."),
            code="too_many",
        )
    reset = FactorReset(user=by, partner_account=account, reason=reason, asked_at=now)
    reset.token_sha256 = fingerprint_of(token_for(reset.pk, purpose=STOP_RESET))
    reset.full_clean(validate_constraints=False)
    reset.save()
    _record_step(reset, AuditAction.FACTOR_RESET_ASKED, by=by, reason=reason)
    emails.factor_reset_asked(reset)
    return reset


@transaction.atomic
def vouch_for_person(reset: FactorReset, *, evidence: str, by: User) -> FactorReset:
    """Say that it is the person who asks, and how one knows; the first of two steps.

    Twice is once. Raises ValidationError for the person (code "own"), for an admin who
    took the role alone (code "self_granted"), for operators while the company has
    somebody (code "company_first"), for everybody else (code "not_vouching"), when it
    was answered or vouched for, and without evidence.
    """
    reset = _held(reset)
    _refuse_bad_voucher(reset, by=by)
    if reset.state == ResetState.VOUCHED and reset.vouched_by_id == by.pk:
        return reset
    _refuse_answered(reset)
    if reset.state == ResetState.VOUCHED:
        raise ValidationError(
            _("%(who)s has vouched for %(person)s already."),
            code="vouched",
            params={
                "who": reset.vouched_by.full_name,
                "person": reset.user.full_name,
            },
        )
    if not evidence.strip():
        raise ValidationError({"evidence": _("Say how you made sure.")})
    reset.state, reset.evidence = ResetState.VOUCHED, evidence
    reset.vouched_by, reset.vouched_at = by, timezone.now()
    reset.save(update_fields=["state", "evidence", "vouched_by", "vouched_at"])
    _record_step(reset, AuditAction.FACTOR_RESET_VOUCHED, by=by, reason=evidence)
    emails.factor_reset_vouched(reset)
    return reset


@transaction.atomic
def reset_second_factors(reset: FactorReset, *, by: User) -> FactorReset:
    """Remove every second factor of the person and end their sessions; the second step.

    Twice is once. The person sets up a new one before anything else. Raises
    ValidationError before somebody vouched (code "not_vouched"), for whoever vouched
    (code "same_person"), for the person (code "own"), while the person can still stop
    it (code "too_early"), for everybody who is no operator with this right (code
    "not_deciding"), and when it was answered.
    """
    reset = _held(reset)
    _refuse_unless_deciding(reset, by=by)
    if reset.state == ResetState.GRANTED and reset.answered_by_id == by.pk:
        return reset
    _refuse_answered(reset)
    if reset.state != ResetState.VOUCHED:
        raise ValidationError(
            _("Nobody has vouched for the person yet."), code="not_vouched"
        )
    same_person = ValidationError(
        _("You vouched for the person. Another operator resets."), code="same_person"
    )
    check_second_person(by, rights=[DECIDE], first=[(reset.vouched_by_id, same_person)])
    if timezone.now() < reset.decided_from:
        raise ValidationError(
            _("The person can stop it until %(moment)s."),
            code="too_early",
            params={
                "moment": date_format(
                    timezone.localtime(reset.decided_from), "DATETIME_FORMAT"
                )
            },
        )
    # One mail says it all; the trail keeps each of them.
    with told_otherwise():
        for factor in reset.user.authenticator_set.order_by("pk"):
            factor.delete()
    sign_out_everywhere(reset.user, by=by)
    _answer(reset, state=ResetState.GRANTED, by=by)
    _record_step(reset, AuditAction.FACTORS_RESET, by=by, reason=reset.evidence)
    emails.factors_reset(reset)
    return reset


@transaction.atomic
def decline_factor_reset(reset: FactorReset, *, reason: str, by: User) -> FactorReset:
    """Say no, with the reason the person reads; one who could say yes is enough.

    Raises ValidationError for everybody else, when it was answered, without a reason.
    """
    reset = _held(reset)
    if by.is_staff:
        _refuse_unless_deciding(reset, by=by)
    else:
        _refuse_bad_voucher(reset, by=by)
    if reset.state == ResetState.DECLINED and reset.answered_by_id == by.pk:
        return reset
    _refuse_answered(reset)
    if not reason.strip():
        raise ValidationError({"reason": _("Say why. The person reads it.")})
    _answer(reset, state=ResetState.DECLINED, by=by, answer=reason)
    _record_step(reset, AuditAction.FACTOR_RESET_DECLINED, by=by, reason=reason)
    emails.factor_reset_declined(reset)
    return reset


@transaction.atomic
def stop_factor_reset(reset: FactorReset) -> FactorReset:
    """Stop it as the person, by the link of the mail. Twice is once.

    Raises ValidationError when it was answered.
    """
    reset = _held(reset)
    if reset.state == ResetState.STOPPED:
        return reset
    _refuse_answered(reset)
    _stop(reset)
    return reset


@transaction.atomic
def find_factor_again(user: User) -> None:
    """Stop what somebody asked for in the name of a person who has a second factor."""
    asked = FactorReset.objects.filter(user=user).open().first()
    if asked is None:
        return
    reset = _held(asked)
    if reset.answered_at is None:
        _stop(reset)


@transaction.atomic
def lapse_factor_resets(*, at: datetime) -> int:
    """Close the requests that can be no more; return how many."""
    overtaken = FactorReset.objects.overtaken()
    companies = overtaken.exclude(partner_account=None).order_by()
    lock_companies(*companies.values_list("partner_account_id", flat=True))
    return _lapse(overtaken, at=at)


def _lapse(requests, *, at: datetime) -> int:
    overtaken = list(requests.select_related("partner_account").order_by("asked_at"))
    for reset in overtaken:
        reset.state, reset.answered_at = ResetState.LAPSED, at
        reset.save(update_fields=["state", "answered_at"])
        _record_step(reset, AuditAction.FACTOR_RESET_LAPSED, by=None)
    return len(overtaken)


def _stop(reset: FactorReset) -> None:
    _answer(reset, state=ResetState.STOPPED, by=reset.user)
    _record_step(reset, AuditAction.FACTOR_RESET_STOPPED, by=reset.user)


def _refuse_bad_asker(account: PartnerAccount | None, *, by: User) -> None:
    if not second_factors_of(by):
        raise ValidationError(
            _("You have no second factor here: your password is enough to sign in."),
            code="nothing_lost",
        )
    memberships = Membership.objects.current().filter(user=by)
    if account is None:
        is_theirs = by.is_staff or not memberships.exists()
    else:
        is_theirs = not by.is_staff and memberships.of_company(account).exists()
    if not is_theirs:
        raise ValidationError(_("You do not belong to this company."), code="stranger")


def _refuse_bad_voucher(reset: FactorReset, *, by: User) -> None:
    _refuse_own(reset, by=by)
    if by.is_staff:
        _refuse_unless_deciding(reset, by=by)
        if not needs_operators(reset):
            raise ValidationError(
                _("An admin of %(company)s vouches for the person, or nobody does."),
                code="company_first",
                params={"company": reset.partner_account.name},
            )
    elif by not in vouchers_of(reset):
        raise ValidationError(
            _(
                "Only a Global or Account admin of the person's company vouches for "
                "them, and not by a role they gave themselves."
            ),
            code="not_vouching",
        )


def _refuse_unless_deciding(reset: FactorReset, *, by: User) -> None:
    check_second_person(by, rights=[DECIDE], first=[(reset.user_id, _about_oneself())])


def _refuse_own(reset: FactorReset, *, by: User) -> None:
    if by.pk == reset.user_id:
        raise _about_oneself()


def _about_oneself() -> ValidationError:
    return ValidationError(
        _("This is about your own second factor. Two others decide."), code="own"
    )


def _lock(account: PartnerAccount | None) -> None:
    if account is not None:
        lock_companies(account.pk)


def _held(reset: FactorReset) -> FactorReset:
    """Lock the company and the person's requests, then read what it is by now."""
    company = FactorReset.objects.filter(pk=reset.pk).values_list(
        "partner_account_id", flat=True
    )
    lock_companies(*filter(None, company))
    return (
        FactorReset.objects.select_for_update(of=("self",), no_key=True)
        .select_related("partner_account", "user", "vouched_by", "answered_by")
        .get(pk=reset.pk)
    )


def _refuse_answered(reset: FactorReset) -> None:
    if reset.answered_by is not None:
        raise ValidationError(
            _("%(who)s has answered this already."),
            code="answered",
            params={"who": reset.answered_by.full_name},
        )
    if not FactorReset.objects.open().filter(pk=reset.pk).exists():
        raise ValidationError(
            _("This is over: it is too old, or the person is gone."), code="overtaken"
        )


def _answer(
    reset: FactorReset, *, state: ResetState, by: User, answer: str = ""
) -> None:
    reset.state, reset.answer = state, answer
    reset.answered_by, reset.answered_at = by, timezone.now()
    reset.save(update_fields=["state", "answer", "answered_by", "answered_at"])


def _record_step(
    reset: FactorReset, action: AuditAction, *, by: User | None, reason: str = ""
) -> None:
    record_audit_event(
        reset,
        action=action,
        by=by,
        partner_account=reset.partner_account,
        after={"person": reset.user_id},
        reason=reason,
    )
