"""What drafts of bank and tax profiles have in common: steps, numbers, forgetting."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from profiles.models import BankProfileDraft, ProfileVersion, TaxProfileDraft

# How long a draft waits for whoever began it.
KEPT = timedelta(days=90)


def first_undone(
    draft: BankProfileDraft | TaxProfileDraft, steps: Iterable[str]
) -> str:
    """Return the first step that is not done; the last one looks at everything."""
    return next((step for step in steps if step not in draft.done), "check")


def mark_done(
    draft: BankProfileDraft | TaxProfileDraft, step: str, steps: Iterable[str]
) -> None:
    """Write down that a step is done, in the order of the way."""
    draft.done = [one for one in steps if one in {*draft.done, step}]
    draft.save()


@sensitive_variables()
def to_start_from(version: ProfileVersion) -> dict[str, str]:
    """Return what a change starts from: all but numbers that were returned.

    Those are what has to be mended: they are typed anew.
    """
    returned = {row["field"] for row in version.returned} if version.is_returned else ()
    schema = version.schema
    secret = {spec.key for spec in (schema.fields if schema else ()) if spec.is_secret}
    return {
        key: value
        for key, value in version.details.items()
        if not (key in returned and key in secret)
    }


def begin_on(
    draft: BankProfileDraft | TaxProfileDraft, version: ProfileVersion
) -> None:
    """Remember what a change starts from, so that it is not sent over something else."""
    draft.based_on, draft.is_mending = version, version.is_returned


def has_changed_since(draft: BankProfileDraft | TaxProfileDraft) -> bool:
    """Whether a profile is another one than the change of it was begun on.

    A version was sent, withdrawn or returned since. What was filled in then may hold an
    account that is over or was stopped: it is not sent (security.md T1).
    """
    if draft.profile_id is None:
        return False
    now = draft.profile.current_version
    return (
        now is None
        or draft.based_on_id != now.pk
        or (now.is_returned and not draft.is_mending)
    )


def refuse_changed(draft: BankProfileDraft | TaxProfileDraft) -> None:
    """Raise ValidationError (code "changed_since") for a change begun on something else."""
    if has_changed_since(draft):
        raise ValidationError(
            _(
                "The profile has changed since you began. Look at what changed, then "
                "begin anew with what you typed."
            ),
            code="changed_since",
        )


@sensitive_variables()
def typed_since(
    draft: BankProfileDraft | TaxProfileDraft,
) -> tuple[dict[str, str], set[str]]:
    """Return the details that somebody changed in a draft, and those they emptied.

    Of a draft that knows not what it was begun on, none: it is begun anew whole.
    """
    before = draft.based_on
    if before is None:
        return {}, set()
    old, new = dict(before.details), dict(draft.details)
    left_out = set(old) - set(to_start_from(before)) if draft.is_mending else set()
    typed = {key: value for key, value in new.items() if old.get(key) != value}
    return typed, set(old) - set(new) - left_out


def forgotten(drafts: QuerySet, *, at: datetime) -> QuerySet:
    """Return those that nobody went on with: numbers are not kept for nothing."""
    return drafts.filter(updated_at__lt=at - KEPT)
