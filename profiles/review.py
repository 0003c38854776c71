"""What a reviewer reads of a version: side by side, and what the portal checked."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import AuditAction, AuditEvent, User
from accounts.templatetags.portal import moment
from profiles import countries
from profiles.countries.tax_forms import (
    FORMS,
    answers_schema,
)
from profiles.drafts import has_changed_since
from profiles.models import (
    BankChangeStop,
    BankProfileDraft,
    BankProfileVersion,
    Profile,
    ProfileVersion,
    ReviewQuestion,
    TaxProfileDraft,
)
from profiles.services import (
    APPROVE_ACCOUNTS,
    Approval,
    AwaitedApproval,
    WhyTwo,
    awaited_approval,
    check_approving,
)
from profiles.states import ProfileStatus
from profiles.validators import MASK, visible_end


@dataclass(frozen=True)
class ComparedDetail:
    """One detail of the version under review beside the one in force; numbers masked."""

    label: Promise | str
    submitted: str
    in_force: str
    is_changed: bool
    is_secret: bool


@dataclass(frozen=True)
class NextApproval:
    """What approving a pending version would be: for whom, and what it does.

    `refusal` stands in the place of the button for who may not give it. `first` is the
    version, where one operator signed it already.
    """

    kind: Approval
    label: str
    label_and_next: str
    sentence: str
    refusal: str
    first: BankProfileVersion | None

    @property
    def may(self) -> bool:
        return not self.refusal

    @property
    def may_return(self) -> bool:
        """Who may give the second approval may also say no."""
        return self.kind == Approval.SECOND and self.may


def approval_of(
    version: ProfileVersion, *, awaited: AwaitedApproval | None = None, by: User
) -> NextApproval:
    """Return the approval that a pending version waits for, as one operator sees it."""
    awaited = awaited or awaited_approval(version)
    try:
        check_approving(version, awaited=awaited, by=by)
    except ValidationError as error:
        refusal = " ".join(error.messages)
    else:
        refusal = ""
    label, label_and_next = {
        Approval.ONLY: (_("Approve"), _("Approve and next")),
        Approval.FIRST: (
            _("Give the first approval"),
            _("Give the first approval and next"),
        ),
        Approval.SECOND: (
            _("Give the second approval"),
            _("Give the second approval and next"),
        ),
    }[awaited.kind]
    return NextApproval(
        kind=awaited.kind,
        label=label,
        label_and_next=label_and_next,
        sentence=_what_it_does(awaited, version),
        refusal=refusal,
        first=version if awaited.kind == Approval.SECOND else None,
    )


@dataclass(frozen=True)
class Claim:
    """Who is at a version now, as one operator reads it."""

    by: User
    at: datetime
    is_own: bool


def claim_of(version: ProfileVersion, *, by: User, at: datetime) -> Claim | None:
    """Return the claim that speaks now, if there is one."""
    if not version.is_claimed(at):
        return None
    return Claim(
        by=version.claimed_by,
        at=version.claimed_at,
        is_own=version.claimed_by_id == by.pk,
    )


@dataclass(frozen=True)
class Step:
    """One thing that happened to a profile, for the history of a review."""

    at: datetime
    by: User | None
    what: str
    text: str = ""


def history_of(version: ProfileVersion) -> list[Step]:
    """Return what happened to a profile up to now, newest first, in few questions.

    Sent, signed, decided, stopped, released, withdrawn; what was asked and answered.
    """
    versions = version.profile.versions.select_related(
        "submitted_by", "decided_by", *_SIGNERS[version.part]
    )
    own = f"{version.part}_version"
    questions = ReviewQuestion.objects.filter(
        **{f"{own}__profile": version.profile_id}
    ).select_related("asked_by", "answered_by", own)
    versions = list(versions.defer("details"))
    steps = [step for one in versions for step in _steps(one)]
    turns = turns_of(versions)
    for one in versions:
        for step in turns[one.pk]:
            number = {"number": one.number, "what": step.what}
            steps.append(replace(step, what=_("Version %(number)d: %(what)s") % number))
    for question in questions:
        steps += _steps_of_question(question)
    return sorted(steps, key=lambda step: step.at, reverse=True)


def turns_of(
    versions: Iterable[ProfileVersion], *, sees_evidence: bool = True
) -> dict[UUID, list[Step]]:
    """Return who stopped, released and withdrew versions of a profile, and when.

    How operators made sure before a release is for operators: `sees_evidence`.
    """
    turns: dict[UUID, list[Step]] = {version.pk: [] for version in versions}
    stops = BankChangeStop.objects.filter(version__in=list(turns)).select_related(
        "stopped_by", "checked_by", "released_by"
    )
    for stop in stops:
        turns[stop.version_id] += _steps_of_stop(stop, sees_evidence=sees_evidence)
    withdrawn = AuditEvent.objects.filter(
        object_type__in=["profiles.bankprofileversion", "profiles.taxprofileversion"],
        object_id__in=[str(key) for key in turns],
        action=AuditAction.PROFILE_WITHDRAWN,
    ).select_related("actor")
    for event in withdrawn:
        step = Step(event.at, event.actor, _("withdrawn"))
        turns[UUID(event.object_id)].append(step)
    return turns


def _steps_of_stop(stop: BankChangeStop, *, sees_evidence: bool) -> Iterator[Step]:
    if stop.follows_id:
        # Nobody did it now: the account was stopped before.
        what = _("stopped, as the account was stopped before")
        yield Step(stop.stopped_at, None, what)
    elif stop.stopped_by is None:
        what = _("stopped by the contact of the account so far")
        yield Step(stop.stopped_at, None, what)
    else:
        yield Step(stop.stopped_at, stop.stopped_by, _("stopped, it was not them"))
    if stop.checked_at:
        text = stop.evidence if sees_evidence else ""
        what = _("checked with the company")
        yield Step(stop.checked_at, stop.checked_by, what, text)
    if stop.released_at:
        yield Step(stop.released_at, stop.released_by, _("released"))


_SIGNERS = {"bank": ("seconded_by",), "tax": ()}


def _steps(version: ProfileVersion) -> Iterator[Step]:
    number = {"number": version.number}
    yield Step(
        version.submitted_at,
        version.submitted_by,
        _("Version %(number)d sent") % number,
    )
    if getattr(version, "seconded_at", None):
        what = _("Version %(number)d: first approval") % number
        yield Step(version.seconded_at, version.seconded_by, what)
    if version.decided_at:
        if version.returned:
            what = _("Version %(number)d: returned") % number
        else:
            what = _("Version %(number)d: approved") % number
        yield Step(version.decided_at, version.decided_by, what)


def _steps_of_question(question: ReviewQuestion) -> Iterator[Step]:
    number = {"number": question.version.number}
    asked, answered = (
        (
            _("Version %(number)d: escalated"),
            _("Version %(number)d: escalation answered"),
        )
        if question.is_escalated
        else (
            _("Version %(number)d: question to the partner"),
            _("Version %(number)d: the partner's answer"),
        )
    )
    yield Step(question.asked_at, question.asked_by, asked % number, question.text)
    if question.is_answered:
        what = answered % number
        yield Step(question.answered_at, question.answered_by, what, question.answer)


@dataclass(frozen=True)
class SignedOnce:
    """A bank account that one operator approved, as both sign it; numbers masked."""

    version: BankProfileVersion
    country: str
    holder: str
    is_new_account: bool
    changes: list[ComparedDetail]
    is_for_reader: bool


def signed_once(
    versions: Iterable[BankProfileVersion], *, by: User
) -> list[SignedOnce]:
    """Return what waits for the second operator, as one operator sees it."""
    versions = list(versions)
    in_force = {
        one.profile_id: one
        for one in BankProfileVersion.objects.filter(
            profile__in=[version.profile_id for version in versions],
            status=ProfileStatus.APPROVED,
        )
    }
    may_approve = by.has_perm(APPROVE_ACCOUNTS)
    return [
        SignedOnce(
            version=version,
            country=countries.country_name(version.country),
            holder=version.details.get("account_holder", ""),
            is_new_account=version.profile_id not in in_force,
            changes=_changes(version, in_force.get(version.profile_id)),
            is_for_reader=may_approve
            and by.pk not in (version.seconded_by_id, version.submitted_by_id),
        )
        for version in versions
    ]


def _changes(
    version: BankProfileVersion, in_force: BankProfileVersion | None
) -> list[ComparedDetail]:
    if in_force is None:
        return []
    return [shortened(row) for row in compared(version, in_force) if row.is_changed]


def shortened(row: ComparedDetail) -> ComparedDetail:
    """A changed number as its end: enough to tell two accounts apart in a list."""
    if not row.is_secret:
        return row
    return replace(row, submitted=end_of(row.submitted), in_force=end_of(row.in_force))


def end_of(number: str) -> str:
    """The end of a number, itself masked or not, behind four dots (R59)."""
    return f"{MASK * 4} {visible_end(number.replace(MASK, '0'))}" if number else ""


def _what_it_does(awaited: AwaitedApproval, version: ProfileVersion) -> str:
    kind, why = awaited.kind, awaited.why
    usable_from = getattr(version, "usable_from", None)
    if kind == Approval.SECOND and usable_from and usable_from > timezone.now():
        return _(
            "Yours is the second approval. Payments go to the new account from "
            "%(moment)s, unless somebody at the company stops the change before."
        ) % {"moment": moment(usable_from)}
    sentences = {
        (Approval.ONLY, None): _(
            "From then on it is in force for every enrollment that uses it."
        ),
        (Approval.FIRST, WhyTwo.CHANGE): _(
            "This changes a bank account in force, so two operators have to approve "
            "it. Yours is the first approval; the account in force stays until the "
            "second."
        ),
        (Approval.FIRST, WhyTwo.FIRST_ACCOUNT): _(
            "This is the company's first bank account, so two operators have to "
            "approve it. Yours is the first approval; nothing is paid there before the "
            "second."
        ),
        (Approval.FIRST, WhyTwo.FURTHER_ACCOUNT): _(
            "The company is not paid at this bank account yet, so two operators have "
            "to approve it. Yours is the first approval; nothing is paid there before "
            "the second."
        ),
        (Approval.SECOND, WhyTwo.CHANGE): _(
            "Yours is the second approval: from then on payments go to the new account."
        ),
        (Approval.SECOND, WhyTwo.FIRST_ACCOUNT): _(
            "Yours is the second approval: from then on payments go to this account."
        ),
        (Approval.SECOND, WhyTwo.FURTHER_ACCOUNT): _(
            "Yours is the second approval: from then on the company can be paid at "
            "this account."
        ),
    }
    return sentences[kind, why]


def compared(
    version: ProfileVersion, in_force: ProfileVersion | None
) -> list[ComparedDetail]:
    """Return every detail of either version, in the order the partner was asked."""
    versions = [version] if in_force is None else [version, in_force]
    specs = {
        spec.key: spec
        for one in versions
        for spec in (one.schema.fields if one.schema else ())
    }
    rows = [_compared_country(version, in_force)]
    if version.part == "tax":
        rows.append(_compared_expiry(version, in_force))
        rows += _compared_answers(version, in_force)
    for key, spec in specs.items():
        new = version.details.get(key, "")
        old = in_force.details.get(key, "") if in_force else ""
        if new or old:
            rows.append(
                ComparedDetail(
                    label=spec.label,
                    submitted=spec.masked(new) if new else "",
                    in_force=spec.masked(old) if old else "",
                    is_changed=in_force is not None and new != old,
                    is_secret=spec.is_secret,
                )
            )
    return rows


def compared_versions(profile: Profile, *, old: str, new: str) -> dict[str, Any]:
    """Return two versions of a profile beside each other, by their numbers as typed.

    Without numbers, or with some that are none of its versions: the newest beside the
    one that was last in force before it, else the one before.
    """
    versions = {
        str(version.number): version for version in profile.versions.order_by("-number")
    }
    newest = next(iter(versions.values()))
    later = versions.get(new, newest)
    in_force = profile.versions.filter(status=ProfileStatus.APPROVED)
    before = in_force.exclude(pk=later.pk).first() or next(
        (one for one in versions.values() if one.number < later.number), None
    )
    earlier = versions.get(old, before)
    return {
        "versions": list(versions.values()),
        "old": earlier,
        "new": later,
        "rows": compared(later, earlier),
    }


@dataclass(frozen=True)
class ChangedSince:
    """What became of a profile since a change of it was begun; numbers masked.

    `rows` are empty where it was only returned, or is not known what it was begun on.
    """

    now: ProfileVersion
    rows: list[ComparedDetail]


def changed_since(draft: BankProfileDraft | TaxProfileDraft) -> ChangedSince | None:
    """Return what changed, where a change must not be sent as it was begun."""
    if not has_changed_since(draft):
        return None
    now, before = draft.profile.current_version, draft.based_on
    rows = [] if before is None or before == now else compared(now, before)
    return ChangedSince(now, [shortened(row) for row in rows if row.is_changed])


def _compared_country(version, in_force) -> ComparedDetail:
    return ComparedDetail(
        label=gettext_lazy("Country"),
        submitted=countries.country_name(version.country),
        in_force=countries.country_name(in_force.country) if in_force else "",
        is_changed=in_force is not None and in_force.country != version.country,
        is_secret=False,
    )


def _compared_answers(version, in_force) -> list[ComparedDetail]:
    """The tax form that applies and the answers that say so."""
    before = in_force.setup if in_force else {}
    rows = [
        ComparedDetail(
            label=gettext_lazy("Tax form"),
            submitted=str(FORMS.get(version.form, version.form)),
            in_force=str(FORMS.get(in_force.form, in_force.form)) if in_force else "",
            is_changed=in_force is not None and in_force.form != version.form,
            is_secret=False,
        )
    ]
    for spec in answers_schema(version.country).fields:
        new, old = version.setup.get(spec.key, ""), before.get(spec.key, "")
        if new or old:
            rows.append(
                ComparedDetail(
                    label=spec.label,
                    submitted=spec.shown(new) if new else "",
                    in_force=spec.shown(old) if old else "",
                    is_changed=in_force is not None and new != old,
                    is_secret=False,
                )
            )
    return rows


def _compared_expiry(version, in_force) -> ComparedDetail:
    before = in_force.expires_on if in_force else None
    return ComparedDetail(
        label=gettext_lazy("Expires on"),
        submitted=version.expires_on.isoformat() if version.expires_on else "",
        in_force=before.isoformat() if before else "",
        is_changed=in_force is not None and before != version.expires_on,
        is_secret=False,
    )
