"""A review before its decision: claims, questions, escalation.

None of them decides: a claim is a word to the other reviewers, a question is answered
by the partner, an escalated one by the operators who give second approvals.
"""

from collections.abc import Iterable
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.models import AuditAction, User
from accounts.roles import Permission
from accounts.services import (
    check_second_person,
    check_still_may,
    lock_companies,
    record_audit_event,
)
from profiles import countries, emails
from profiles.models import ProfileVersion, ReviewQuestion
from profiles.services.rights import APPROVE_ACCOUNTS, own_submission, refuse_own
from profiles.services.words import checked_note, refuse_link
from profiles.signals import version_questioned

SHORTEST = 10


@transaction.atomic
def claim_versions(
    versions: Iterable[ProfileVersion],
    *,
    is_taken_over: bool = False,
    by: User,
    at: datetime | None = None,
) -> list[ProfileVersion]:
    """Say to the other reviewers that `by` is at some versions, all of one company.

    It keeps nobody from deciding, and ends by a release, a decision, or after two
    hours. Twice is once. Raises ValidationError where somebody else is at one of them
    (code "claimed"), unless it `is_taken_over`, for who submitted one (code
    "four_eyes"), and as check_second_person does.
    """
    at = at or timezone.now()
    versions = _locked(versions)
    for version in versions:
        refuse_own(version, by=by)
        is_others = version.is_claimed(at) and version.claimed_by_id != by.pk
        if is_others and not is_taken_over:
            raise ValidationError(
                _("%(name)s is at this. Take it over if you go on in their place."),
                code="claimed",
                params={"name": version.claimed_by.full_name},
            )
    for version in versions:
        is_live = version.is_claimed(at)
        if is_live and version.claimed_by_id == by.pk:
            continue
        before = {"by": version.claimed_by_id} if is_live else {}
        version.claimed_at, version.claimed_by = at, by
        version.save(update_fields=["claimed_at", "claimed_by"])
        _record(version, AuditAction.REVIEW_CLAIMED, by=by, before=before)
    return versions


@transaction.atomic
def release_versions(
    versions: Iterable[ProfileVersion], *, by: User
) -> list[ProfileVersion]:
    """Take back the claims that `by` made and return them; those of others stay."""
    own = [version for version in _locked(versions) if version.claimed_by_id == by.pk]
    for version in own:
        version.claimed_at = version.claimed_by = None
        version.save(update_fields=["claimed_at", "claimed_by"])
        _record(version, AuditAction.REVIEW_RELEASED, by=by)
    return own


@sensitive_variables()
@transaction.atomic
def ask_partner(
    version: ProfileVersion,
    *,
    text: str,
    field: str = "",
    by: User,
    at: datetime | None = None,
) -> ReviewQuestion:
    """Ask the partner about a version that waits; the promise stands still meanwhile.

    Whoever may change the profile is told by mail. Raises ValidationError when it is
    decided, when a question waits for its answer already (code "asked"), for a text
    that says nothing or holds a number, and as check_second_person does.
    """
    version = _locked([version])[0]
    question = _ask(
        version, ReviewQuestion.To.PARTNER, text=text, field=field, by=by, at=at
    )
    version.asked_at = question.asked_at
    version.save(update_fields=["asked_at"])
    version_questioned.send(sender=type(version), version=version, at=question.asked_at)
    _record(version, AuditAction.QUESTION_ASKED, by=by, reason=question.text)
    emails.question_asked(question)
    return question


@sensitive_variables()
@transaction.atomic
def escalate_version(
    version: ProfileVersion, *, text: str, by: User, at: datetime | None = None
) -> ReviewQuestion:
    """Ask the operators who give second approvals what to do; they are told by mail.

    Raises ValidationError as ask_partner does. The promise to the partner runs on.
    """
    version = _locked([version])[0]
    question = _ask(version, ReviewQuestion.To.APPROVERS, text=text, by=by, at=at)
    _record(version, AuditAction.REVIEW_ESCALATED, by=by, reason=question.text)
    emails.review_escalated(question, right=APPROVE_ACCOUNTS)
    return question


@sensitive_variables()
@transaction.atomic
def answer_question(
    question: ReviewQuestion, *, answer: str, by: User, at: datetime | None = None
) -> ReviewQuestion:
    """Answer a question, once; who asked is told by mail.

    The partner's answer lets the promise run on from where it stood. Raises
    ValidationError when it was answered or the version decided meanwhile (code
    "answered"), for an answer that says nothing or holds a number, and for whoever may
    not answer: check_still_may of partners, check_second_person of operators.
    """
    at = at or timezone.now()
    version = _locked([question.version])[0]
    question = (
        ReviewQuestion.objects.select_for_update(of=("self",))
        .select_related("asked_by")
        .get(pk=question.pk)
    )
    own = ValidationError(
        _("You asked this. Somebody else answers it."), code="four_eyes"
    )
    if question.is_escalated:
        check_second_person(
            by,
            rights=[APPROVE_ACCOUNTS],
            first=[
                (version.submitted_by_id, own_submission()),
                (question.asked_by_id, own),
            ],
        )
    else:
        check_still_may(version.profile, permission=Permission.PROFILE_EDIT, by=by)
        if question.asked_by_id == by.pk:
            raise own
    if question.is_answered or not version.is_pending or version.profile.is_archived:
        raise ValidationError(
            _("This was answered or decided meanwhile. There is nothing to answer."),
            code="answered",
        )
    question.answer = _checked("answer", answer, version=version)
    question.answered_at, question.answered_by = at, by
    question.save(update_fields=["answer", "answered_at", "answered_by"])
    if question.is_escalated:
        _record(version, AuditAction.REVIEW_ADVISED, by=by, reason=question.answer)
    else:
        waited = at - question.asked_at
        start = version.promised_from or version.submitted_at
        version.asked_at, version.promised_from = None, start + waited
        version.save(update_fields=["asked_at", "promised_from"])
        version_questioned.send(sender=type(version), version=version, at=at)
        _record(version, AuditAction.QUESTION_ANSWERED, by=by, reason=question.answer)
    emails.question_answered(question)
    return question


def _ask(
    version: ProfileVersion,
    to: ReviewQuestion.To,
    *,
    text: str,
    field: str = "",
    by: User,
    at: datetime | None,
) -> ReviewQuestion:
    refuse_own(version, by=by)
    if not version.is_pending or version.profile.is_archived:
        raise ValidationError(
            _("This does not wait for a decision any more: %(status)s."),
            code="decided",
            params={"status": version.get_status_display()},
        )
    asked = ReviewQuestion.objects.about(version).open().filter(to=to)
    if asked.exists():
        raise ValidationError(
            _("A question waits for its answer already. Wait for it, or decide."),
            code="asked",
        )
    known = countries.field_keys(
        version.country, version.part, version=version.schema_version
    )
    if field and field not in known:
        raise ValidationError({"field": _("Choose a field from the list.")})
    return ReviewQuestion.objects.create(
        **{f"{version.part}_version": version},
        to=to,
        field=field,
        text=_checked("text", text, version=version),
        asked_at=at or timezone.now(),
        asked_by=by,
    )


def _checked(field: str, text: str, *, version: ProfileVersion) -> str:
    """Return a text as it is kept and mailed: it says something, and holds no number
    and no link."""
    try:
        text = checked_note(text, version=version)
        refuse_link(text)
    except ValidationError as error:
        raise ValidationError({field: error.messages}) from None
    if len(text) < SHORTEST:
        raise ValidationError(
            {field: _("Write at least %(count)d characters.") % {"count": SHORTEST}}
        )
    return text


def _locked(versions: Iterable[ProfileVersion]) -> list[ProfileVersion]:
    """Lock versions of one company, always in the same order, and read them anew."""
    versions = sorted(versions, key=lambda version: (version.part, version.pk))
    if versions:
        lock_companies(versions[0].profile.account.pk)
    return [
        type(version)
        .objects.select_for_update(of=("self",))
        .select_related("profile", "claimed_by")
        .get(pk=version.pk)
        for version in versions
    ]


def _record(
    version: ProfileVersion,
    action: AuditAction,
    *,
    by: User,
    before: dict | None = None,
    reason: str = "",
) -> None:
    """Write it to the trail: of the company what it took part in, else the portal's."""
    is_shared = action in (AuditAction.QUESTION_ASKED, AuditAction.QUESTION_ANSWERED)
    record_audit_event(
        version,
        action=action,
        by=by,
        partner_account=version.profile.account if is_shared else None,
        before=before,
        after={"profile": str(version.profile_id), "version": version.number},
        location=getattr(version.profile, "location", None) if is_shared else None,
        reason=reason,
    )
