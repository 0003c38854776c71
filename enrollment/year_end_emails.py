"""What the portal writes to operators about the year end: one function per event."""

from typing import Any

from django.conf import settings

from accounts import outbox
from accounts.companies import site_path
from accounts.holders import operators_with
from enrollment.models import FiscalYear, RenewalPlan, RenewalPlanStatus

# Those who can do something about it.
CONCERNED = ("enrollment.prepare_renewals", "enrollment.approve_renewals")


def year_end_waits(
    year: FiscalYear, *, plan: RenewalPlan | None, days: int, step: int
) -> None:
    """Remind operators that no plan is approved; `step` is told once to each.

    Once a run of the year was undone everything is told again.
    """
    undone = RenewalPlan.objects.filter(
        into=year, status=RenewalPlanStatus.UNDONE
    ).count()
    path = site_path("ops:renewals")
    if plan is not None:
        path = site_path("ops:renewal", pk=plan.pk)
    _tell(
        "year_end_waits",
        event=f"{year.pk}:{step}:{undone}" if undone else f"{year.pk}:{step}",
        path=path,
        context={"year": year, "plan": plan, "days": days, "days_late": -days},
    )


def set_aside_waits(plan: RenewalPlan, *, count: int, step: int) -> None:
    """Remind operators that a run left something to decide; `step` is told once."""
    _tell(
        "set_aside_waits",
        event=f"{plan.pk}:{step}",
        path=site_path("ops:set_aside", pk=plan.pk),
        context={"year": plan.into, "count": count},
    )


def _tell(name: str, *, event: str, path: str, context: dict[str, Any]) -> None:
    people = {person for right in CONCERNED for person in operators_with(right)}
    outbox.queue_many(
        outbox.prepare(
            name,
            to=person,
            dedupe_key=f"{name}:{event}:{person.pk}",
            context=context | {"url": settings.PUBLIC_BASE_URL + path},
            about_url=path,
        )
        for person in sorted(people, key=lambda person: person.pk)
    )
