"""What happened to an enrollment, year after year: who, when and why, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts.roles import Permission
from enrollment import renewal
from enrollment.forecast import reason_words
from enrollment.models import Criterion, Enrollment, EnrollmentEvent
from enrollment.models.terms import on_its_day
from enrollment.states import VEILED, EnrollmentStatus
from enrollment.unmet import criteria_unmet, unmet_words

Code = EnrollmentEvent.Code
# Their notes are codes of renewal.with_outcome().
_OF_THE_YEAR_END = (Code.YEAR_ENDED, Code.RENEWED)


@dataclass(frozen=True)
class Step:
    """One step as a partner reads it."""

    what: str
    why: str
    at: datetime
    # Somebody of the company by name; the program owner's people stay unnamed.
    by: str


def history_of(enrollment: Enrollment, *, sees_progress: bool) -> dict:
    """Return an enrollment's steps, and the years before and after it.

    Whoever reads "Enrolling" is told of no step between invitation and end (R42).
    """
    events = enrollment.events.select_related("by").order_by("-at", "-pk")
    if not sees_progress:
        events = events.exclude(to_status__in=VEILED).exclude(
            code__in=[Code.BANK_CONFIRMED, Code.TAX_CONFIRMED]
        )
    steps = list(events)
    criteria = renewal.criteria_of(
        code
        for event in steps
        if event.code in _OF_THE_YEAR_END
        for code in event.note.split()
    )
    criteria |= criteria_unmet(
        event.note for event in steps if event.code == Code.ELIGIBILITY_LOST
    )
    related = _years_beside(enrollment)
    return {
        "steps": [_step(event, criteria, tells_why=sees_progress) for event in steps],
        "continues": next(
            (one for one in related if one.pk == enrollment.renewed_from_id), None
        ),
        "continued_as": next(
            (one for one in related if one.renewed_from_id == enrollment.pk), None
        ),
    }


@dataclass(frozen=True)
class RecentStep:
    """One step among those of several enrollments."""

    step: Step
    enrollment: Enrollment


def lately(user, *, company, terms: int, most: int) -> list[RecentStep]:
    """Return the last steps under some terms, where a person sees progress (R42)."""
    events = (
        EnrollmentEvent.objects.where_user_may(user, Permission.ENROLLMENT_SEE_PROGRESS)
        .of_company(company)
        .filter(enrollment__terms=terms)
        .exclude(code__in=_OF_THE_YEAR_END)
        .select_related("by", "enrollment__location")
        .order_by("-at", "-pk")[:most]
    )
    return [
        RecentStep(_step(event, {}, tells_why=True), event.enrollment)
        for event in events
    ]


def _years_beside(enrollment: Enrollment) -> list[Enrollment]:
    """The enrollment it continues and the one that continues it, as far as there are."""
    if not (
        enrollment.renewed_from_id or enrollment.status == EnrollmentStatus.EXPIRED
    ):
        return []
    return list(
        Enrollment.objects.filter(
            Q(pk=enrollment.renewed_from_id) | Q(renewed_from=enrollment)
        )
        .select_related("terms__fiscal_year")
        .order_by("terms__fiscal_year__starts_on", "pk")
    )


def past_years(user, *, company, days) -> QuerySet[Enrollment]:
    """Enrollments in a person's scope of years that are over (R10).

    `days` come from FiscalCalendar.objects.days_at().
    """
    return (
        Enrollment.objects.where_user_may(user, Permission.ENROLLMENT_VIEW)
        .of_company(company)
        .filter(
            on_its_day(
                days,
                "terms__fiscal_year__calendar",
                lambda day: Q(terms__fiscal_year__ends_on__lt=day),
            )
        )
    )


def _step(
    event: EnrollmentEvent, criteria: Mapping[str, Criterion], *, tells_why: bool
) -> Step:
    why = ""
    if not tells_why:
        pass
    elif event.code in _OF_THE_YEAR_END:
        why = " ".join(reason_words(event.note.split(), criteria=criteria))
    elif event.code == Code.ELIGIBILITY_LOST:
        why = "; ".join(unmet_words(event.note, criteria=criteria))
    elif event.code == Code.ACCEPTED and event.note:
        why = _("agreement version %(version)s") % {"version": event.note}
    else:
        why = event.note
    by = ""
    if event.by is not None:
        by = _("the program owner") if event.by.is_staff else event.by.full_name
    return Step(what=event.get_code_display(), why=why, at=event.at, by=by)
