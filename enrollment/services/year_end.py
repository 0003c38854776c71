"""The clock at the year end: rehearsals by itself, and reminders of what nobody did.

Each asks what is due and not done, so that a clock that stood still catches up, and two
clocks tell nothing twice.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef

from enrollment import year_end_emails
from enrollment.models import (
    FiscalYear,
    RenewalPlan,
    RenewalPlanStatus,
    SetAside,
)
from enrollment.renewal import years_ending
from enrollment.services.renewals import ask_for_rehearsal

# So long before a year begins it is rehearsed and reminded of, and so long after.
AHEAD = timedelta(days=28)
BEHIND = timedelta(days=60)
WEEK = 7
# Days before the first one on which a missing approval is told of; every day after it.
MILESTONES = (0, 1, 3, 7, 14, 21)
# Days after a run on which it is told that something is not decided; then every week.
AFTERWARDS = (0, 1, 3)


def prepare_year_ends(*, at: datetime) -> None:
    """Rehearse the years that begin soon, and remind operators of what they left open.

    A year is rehearsed from four weeks before, each week, in the last week each day, as
    long as nothing is proposed or approved. Mail goes to those who prepare and approve.
    """
    for year in years_ending(at, ahead=AHEAD, behind=BEHIND):
        plans = RenewalPlan.objects.filter(into=year)
        if plans.in_force().exists():
            continue
        days = (year.starts_on - year.calendar.day_at(at)).days
        if _is_rehearsal_due(year, days=days, at=at):
            ask_for_rehearsal(year, by=None, at=at)
        if days <= max(MILESTONES):
            _remind_of_approval(year, days=days)
    undecided = SetAside.objects.filter(plan=OuterRef("pk")).undecided()
    finished = RenewalPlan.objects.filter(
        Exists(undecided), status=RenewalPlanStatus.FINISHED
    )
    for plan in finished.select_related("into__calendar").order_by("pk"):
        _remind_of_set_aside(plan, at=at)


def _is_rehearsal_due(year: FiscalYear, *, days: int, at: datetime) -> bool:
    plans = RenewalPlan.objects.filter(into=year)
    if plans.filter(status=RenewalPlanStatus.PROPOSED).exists():
        # Another one would take away what waits for approval.
        return False
    last = plans.order_by("-number").first()
    if last is None:
        return True
    since = year.calendar.day_at(at) - year.calendar.day_at(last.rehearsed_at)
    return since.days >= (1 if days <= WEEK else WEEK)


@transaction.atomic
def _remind_of_approval(year: FiscalYear, *, days: int) -> None:
    if days >= 0:
        step = min(one for one in MILESTONES if one >= days)
    else:
        step = days if days > -WEEK else days // WEEK * WEEK
    newest = (
        RenewalPlan.objects.filter(into=year)
        .exclude(status=RenewalPlanStatus.WITHDRAWN)
        .order_by("-number")
        .first()
    )
    year_end_emails.year_end_waits(year, plan=newest, days=days, step=step)


@transaction.atomic
def _remind_of_set_aside(plan: RenewalPlan, *, at: datetime) -> None:
    days = (at - plan.finished_at).days
    step = (
        max(one for one in AFTERWARDS if one <= days) if days < WEEK else days // 7 * 7
    )
    count = SetAside.objects.filter(plan=plan).undecided().count()
    year_end_emails.set_aside_waits(plan, count=count, step=step)
