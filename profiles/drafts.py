"""What drafts of bank and tax profiles have in common: steps, numbers, forgetting."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import QuerySet
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


def forgotten(drafts: QuerySet, *, at: datetime) -> QuerySet:
    """Return those that nobody went on with: numbers are not kept for nothing."""
    return drafts.filter(updated_at__lt=at - KEPT)
