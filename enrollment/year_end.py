"""The year end as operators see it: where a plan stands, its counts, its rows.

Reads what the rehearsal wrote down and what the run did with it; decides nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import BigIntegerField, Count, Exists, OuterRef, Q, QuerySet, Sum
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext_lazy

from accounts.holders import operators_with
from accounts.models import Location, PartnerAccount, User
from accounts.safe_csv import csv_lines
from enrollment import services
from enrollment.models import (
    Enrollment,
    FiscalYear,
    RenewalPlan,
    RenewalPlanStatus,
    RenewalRange,
    RenewalRow,
    SetAside,
)
from enrollment.models.renewals import NEWCOMER
from enrollment.renewal import criteria_of, ending
from enrollment.states import RENEWALS, SHOWN, Outcome, ShownStatus, Turn
from enrollment.wording import reason_words

APPROVE = "enrollment.approve_renewals"
MOST_EARLIER = 10
# How fast a run is: by what it did in this time.
LATELY = timedelta(minutes=2)
ONE_MINUTE = 60

SHOWN_PLANS: dict[str, ShownStatus] = {
    status: ShownStatus(status, status.label, turn, icon)
    for status, turn, icon in (
        (RenewalPlanStatus.ASKED, Turn.THEM, "clock"),
        (RenewalPlanStatus.REHEARSING, Turn.THEM, "clock"),
        (RenewalPlanStatus.REHEARSED, Turn.YOU, "eye"),
        (RenewalPlanStatus.PROPOSED, Turn.YOU, "people"),
        (RenewalPlanStatus.APPROVED, Turn.DONE, "check"),
        (RenewalPlanStatus.RUNNING, Turn.THEM, "refresh"),
        (RenewalPlanStatus.PAUSED, Turn.STOP, "pause"),
        (RenewalPlanStatus.FINISHED, Turn.DONE, "check-circle"),
        (RenewalPlanStatus.UNDOING, Turn.THEM, "refresh"),
        (RenewalPlanStatus.UNDONE, Turn.STOP, "archive"),
        (RenewalPlanStatus.WITHDRAWN, Turn.IDLE, "archive"),
    )
}

# What continues, what needs somebody, what ends.
SHOWN_ORDER = (
    Outcome.ENROLLED,
    Outcome.VALIDATING,
    Outcome.ACTION_REQUIRED,
    Outcome.AT_RISK,
    Outcome.NOT_ELIGIBLE,
    Outcome.NO_AGREEMENT,
    Outcome.PROGRAM_ENDED,
    Outcome.UNANSWERED,
    Outcome.OVER,
)

# The stages of a year end, and the plans that are at each; later ones have passed it.
STAGES = (
    (
        pgettext_lazy("year end", "Preview"),
        {RenewalPlanStatus.ASKED, RenewalPlanStatus.REHEARSING},
    ),
    (pgettext_lazy("year end", "Review"), {RenewalPlanStatus.REHEARSED}),
    (pgettext_lazy("year end", "Approve"), {RenewalPlanStatus.PROPOSED}),
    (
        pgettext_lazy("year end", "Run"),
        {
            RenewalPlanStatus.APPROVED,
            RenewalPlanStatus.RUNNING,
            RenewalPlanStatus.PAUSED,
        },
    ),
    (
        pgettext_lazy("year end", "Report"),
        {
            RenewalPlanStatus.FINISHED,
            RenewalPlanStatus.UNDOING,
            RenewalPlanStatus.UNDONE,
        },
    ),
)


def turn_of(outcome: str) -> Turn:
    """Whose turn an outcome makes it in the new year: the color of its bar."""
    if outcome == Outcome.OVER:
        return Turn.IDLE
    continues_as = RENEWALS[Outcome(outcome)].renews_as
    return SHOWN[continues_as].turn if continues_as else Turn.STOP


# --- Years and their plans ------------------------------------------------------------


@dataclass(frozen=True)
class YearRow:
    """A fiscal year that begins, and the plan that counts for it."""

    year: FiscalYear
    name: str
    when: str
    plan: RenewalPlan | None
    status: ShownStatus | None
    # Nothing is approved, so it can be rehearsed.
    is_open: bool
    # So near, or past, that a plan should be approved.
    is_near: bool


@dataclass(frozen=True)
class Stage:
    """One stage of the year end."""

    label: str
    is_done: bool
    is_current: bool


def year_rows(at: datetime) -> list[YearRow]:
    """List the years something ends for, the next first; last those that are done."""
    years = (
        FiscalYear.objects.filter(
            Exists(RenewalPlan.objects.filter(into=OuterRef("pk")))
            | Q(successions__isnull=False, starts_on__gt=at.date() - services.BEHIND)
        )
        .distinct()
        .select_related("calendar")
        .order_by("starts_on", "calendar__name", "pk")
    )
    plans: dict[int, RenewalPlan | None] = {year.pk: None for year in years}
    for plan in (
        RenewalPlan.objects.filter(into__in=years)
        .exclude(status=RenewalPlanStatus.WITHDRAWN)
        .order_by("into_id", "number")
    ):
        held = plans[plan.into_id]
        if held is None or not held.is_in_force:
            plans[plan.into_id] = plan
    names = year_names(years)
    rows = []
    for year in years:
        plan = plans[year.pk]
        if plan is None and not ending(Enrollment.objects.all(), into=year).exists():
            continue
        days = (year.starts_on - year.calendar.day_at(at)).days
        rows.append(
            YearRow(
                year=year,
                name=names[year.pk],
                when=when_words(days),
                plan=plan,
                status=SHOWN_PLANS[plan.status] if plan else None,
                is_open=plan is None or not plan.is_in_force,
                is_near=days <= services.AHEAD.days,
            )
        )
    done = [row for row in rows if row.plan and row.plan.is_finished]
    return [row for row in rows if row not in done] + done[::-1]


def year_names(years: Iterable[FiscalYear]) -> dict[int, str]:
    """Each year by the one that ends for it and itself: "2027 → 2028"."""
    years = list(years)
    numbers: dict[int, int] = {}
    before: dict[int, FiscalYear] = {}
    calendars = {year.calendar_id for year in years}
    for year in FiscalYear.objects.filter(calendar__in=calendars).order_by("starts_on"):
        if year.calendar_id in before:
            numbers[year.pk] = before[year.calendar_id].number
        before[year.calendar_id] = year
    return {
        year.pk: f"{numbers[year.pk]} → {year}" if year.pk in numbers else str(year)
        for year in years
    }


def plan_name(plan: RenewalPlan) -> str:
    """The year end that a plan is about: "Year end 2027 → 2028"."""
    return _("Year end %s") % year_names([plan.into])[plan.into_id]


def when_words(days: int) -> str:
    """How far away the first day is: "in 38 days", "3 days ago"."""
    if days == 0:
        return _("today")
    if days > 0:
        return ngettext("in %(count)d day", "in %(count)d days", days) % {"count": days}
    return ngettext("%(count)d day ago", "%(count)d days ago", -days) % {"count": -days}


def time_left_words(progress: "ShownProgress") -> str:
    """How fast it is and how long it will take: "41 a second, about 2 minutes left"."""
    if progress.seconds_left is None or not progress.rate:
        return ""
    rate = _("%d a second") % progress.rate
    if progress.seconds_left < ONE_MINUTE:
        left = ngettext(
            "about %(count)d second left",
            "about %(count)d seconds left",
            progress.seconds_left,
        ) % {"count": progress.seconds_left}
    else:
        minutes = round(progress.seconds_left / ONE_MINUTE)
        left = ngettext(
            "about %(count)d minute left", "about %(count)d minutes left", minutes
        ) % {"count": minutes}
    return f"{rate}, {left}"


def newer_plan(plan: RenewalPlan) -> RenewalPlan | None:
    """The newest rehearsal of the year, if it is newer than this one."""
    return (
        RenewalPlan.objects.filter(into=plan.into, number__gt=plan.number)
        .exclude(status=RenewalPlanStatus.WITHDRAWN)
        .order_by("-number")
        .first()
    )


def earlier_plans(plan: RenewalPlan) -> list[RenewalPlan]:
    """The other plans of the year that were rehearsed to the end, the newest first."""
    plans = RenewalPlan.objects.filter(into=plan.into).exclude(pk=plan.pk).whole()
    return list(plans.select_related("rehearsed_by").order_by("-number")[:MOST_EARLIER])


def approvers_of(plan: RenewalPlan) -> list[User]:
    """Who can approve a plan: operators with the right who did not prepare it."""
    prepared_by = (plan.proposed_by_id, plan.rehearsed_by_id)
    return [one for one in operators_with(APPROVE) if one.pk not in prepared_by]


def undo_approvers_of(plan: RenewalPlan) -> list[User]:
    """Who can approve the undoing: operators with the right who did not ask for it."""
    return [one for one in operators_with(APPROVE) if one.pk != plan.undo_asked_by_id]


def undone_counts(plan: RenewalPlan) -> dict[str, int]:
    """How far an undoing is: rows put back, rows kept, batches done of all."""
    ran = plan.ranges.exclude(done_at=None)
    return ran.aggregate(
        undone=Sum("undone", default=0),
        kept=Sum("kept", default=0),
        total=Count("pk"),
        done=Count("undone_at"),
    )


def time_taken(plan: RenewalPlan) -> timedelta | None:
    """How long a run took, in whole seconds."""
    if plan.finished_at is None:
        return None
    return timedelta(
        seconds=round((plan.finished_at - plan.started_at).total_seconds())
    )


def stages_of(plan: RenewalPlan) -> list[Stage]:
    """The five stages, and where the plan is; nowhere if it was withdrawn."""
    number = next(
        (number for number, (_label, at) in enumerate(STAGES) if plan.status in at), -1
    )
    return [
        Stage(
            str(label),
            is_done=own < number or (own == number and plan.is_finished),
            is_current=own == number and not plan.is_finished,
        )
        for own, (label, _at) in enumerate(STAGES)
    ]


# --- Counts ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ReasonCount:
    """How many rows of an outcome have a reason; one row may have several."""

    code: str
    words: str
    number: int


@dataclass(frozen=True)
class OutcomeCount:
    """How many rows have an outcome, why, and how many more than last time."""

    outcome: str
    label: str
    turn: Turn
    number: int
    difference: int
    reasons: list[ReasonCount]

    @property
    def signed(self) -> str:
        """The difference with its sign, a true minus."""
        return f"{self.difference:+d}".replace("-", "\u2212")


@dataclass(frozen=True)
class ChangeCount:
    """How many rows had another outcome in the rehearsal before."""

    before: str
    now: str
    number: int


def outcome_counts(plan: RenewalPlan) -> list[OutcomeCount]:
    """Count a plan's rows by outcome and reason, as the rehearsal wrote it down."""
    earlier = plan.compared_with.outcomes if plan.compared_with else plan.outcomes
    reasons = _reason_counts(plan)
    return [
        OutcomeCount(
            outcome=outcome.value,
            label=str(outcome.label),
            turn=turn_of(outcome),
            number=plan.outcomes.get(outcome, 0),
            difference=plan.outcomes.get(outcome, 0) - earlier.get(outcome, 0),
            reasons=reasons[outcome],
        )
        for outcome in SHOWN_ORDER
        if plan.outcomes.get(outcome) or earlier.get(outcome)
    ]


def _reason_counts(plan: RenewalPlan) -> dict[str, list[ReasonCount]]:
    """The reasons of each outcome, the most frequent first."""
    found = [(*key.partition(" ")[::2], number) for key, number in plan.reasons.items()]
    criteria = criteria_of(code for _outcome, code, _number in found)
    counts: dict[str, list[ReasonCount]] = defaultdict(list)
    for outcome, code, number in sorted(found, key=lambda one: (-one[2], one[1])):
        (words,) = reason_words([code], criteria=criteria)
        counts[outcome].append(ReasonCount(code, words, number))
    return counts


def reasons_of(plan: RenewalPlan) -> dict[str, str]:
    """The reasons among a plan's rows, by code, in words."""
    codes = {key.partition(" ")[2] for key in plan.reasons}
    criteria = criteria_of(codes)
    words = {code: reason_words([code], criteria=criteria)[0] for code in codes}
    return dict(sorted(words.items(), key=lambda one: (one[1], one[0])))


def change_counts(plan: RenewalPlan) -> list[ChangeCount]:
    """Say which rows changed since the rehearsal before, the most frequent first."""
    changes = []
    for key, number in plan.changes.items():
        before, _space, now = key.partition(" ")
        changes.append(
            ChangeCount(
                before=_outcome_words(before) or _("was not there"),
                now=_outcome_words(now) or _("is not there any more"),
                number=number,
            )
        )
    return sorted(changes, key=lambda one: (-one.number, one.before, one.now))


def _outcome_words(code: str) -> str:
    return str(Outcome(code).label) if code in Outcome.values else ""


# --- How far a run or a rehearsal is ---------------------------------------------------


@dataclass(frozen=True)
class ShownProgress:
    """How far it is, how fast, and how long it will take at that rate."""

    done: int
    total: int
    rate: int
    seconds_left: int | None
    renewed: int
    ended: int
    set_aside: int


def shown_progress(plan: RenewalPlan, *, at: datetime) -> ShownProgress:
    """Add up what is done; the rate is that of the last two minutes."""
    is_run = plan.started_at is not None
    progress = (services.renewal_progress if is_run else services.rehearsal_progress)(
        plan
    )
    name, began = (
        ("done_at", plan.started_at) if is_run else ("rehearsed_at", plan.rehearsed_at)
    )
    since = max(began, at - LATELY)
    lately = plan.ranges.filter(**{f"{name}__gt": since}).values_list(
        "rows_count", flat=True
    )
    seconds = max((at - since).total_seconds(), 1)
    rate = sum(lately.order_by()) / seconds
    left = max(plan.rows_count - progress.done, 0)
    return ShownProgress(
        done=progress.done,
        total=plan.rows_count,
        rate=round(rate),
        seconds_left=round(left / rate) if rate else None,
        renewed=progress.renewed,
        ended=progress.ended,
        set_aside=progress.set_aside,
    )


# --- Rows -----------------------------------------------------------------------------


PAGE_SIZE = 50
BATCH = 1000


@dataclass(frozen=True)
class PlanRow:
    """What a plan says of one enrollment, and what the run did with it."""

    row: RenewalRow
    enrollment: Enrollment
    before: ShownStatus | None
    outcome: str
    turn: Turn
    after: ShownStatus | None
    ends_as: str
    reasons: list[str]
    mail: str
    earlier: str
    done: str


@dataclass(frozen=True)
class RowPage:
    """Some rows of a plan, and the key to those after them."""

    rows: list[PlanRow]
    last: str


def plan_rows(plan: RenewalPlan, **asked: Any) -> QuerySet[RenewalRow]:
    """Return the rows of a plan that are asked for.

    `outcome`, `reason` (a code), `program`, `company` (a part of its name, or its or a
    location's PartnerID), `changed` since the rehearsal before. Ranges that hold none
    are left out, so that a rare row of a million is found quickly.
    """
    ranges = RenewalRange.objects.filter(plan=plan)
    rows = RenewalRow.objects.all()
    if outcome := asked.get("outcome"):
        ranges = ranges.filter(outcomes__has_key=outcome)
        rows = rows.filter(outcome=outcome)
    if reason := asked.get("reason"):
        rows = rows.filter(reasons__contains=[reason])
    if asked.get("changed"):
        ranges = ranges.exclude(changes={})
        rows = rows.exclude(was="")
    if program := asked.get("program"):
        rows = rows.filter(enrollment__terms__program=program)
    if company := asked.get("company"):
        companies = companies_named(company)
        ranges = ranges.filter(
            Exists(
                companies.filter(
                    pk__gte=OuterRef("first_company"), pk__lte=OuterRef("last_company")
                )
            )
        )
        rows = rows.filter(
            enrollment__location__partner_account__in=companies.values("pk")
        )
    return rows.filter(range__in=list(ranges.order_by().values_list("pk", flat=True)))


def companies_named(text: str) -> QuerySet[PartnerAccount]:
    """Companies by a part of their name, their PartnerID or a location's."""
    text = text.strip()
    at_location = Location.objects.filter(partner_id=text).values("partner_account")
    return PartnerAccount.objects.filter(
        Q(partner_id=text) | Q(name__icontains=text) | Q(pk__in=at_location)
    )


def row_page(rows: QuerySet[RenewalRow], *, plan: RenewalPlan, after: str) -> RowPage:
    """Return one page of rows; `after` is the key of the last row seen."""
    if key := _key(after):
        number, enrollment = key
        rows = rows.filter(range__gte=number).filter(
            Q(range__gt=number) | Q(enrollment__gt=enrollment)
        )
    found = list(_for_pages(rows)[: PAGE_SIZE + 1])
    has_more, found = len(found) > PAGE_SIZE, found[:PAGE_SIZE]
    return RowPage(
        rows=shown_rows(found, plan=plan),
        last=f"{found[-1].range_id}-{found[-1].enrollment_id}" if has_more else "",
    )


def _for_pages(rows: QuerySet[RenewalRow]) -> QuerySet[RenewalRow]:
    return rows.select_related(
        "range",
        "enrollment__location__partner_account",
        "enrollment__terms__program",
    ).order_by("range_id", "enrollment_id")


def _key(text: str) -> tuple[int, UUID] | None:
    number, _dash, key = text.partition("-")
    try:
        return min(int(number), BigIntegerField.MAX_BIGINT), UUID(key)
    except ValueError:
        return None


def shown_rows(found: Iterable[RenewalRow], *, plan: RenewalPlan) -> list[PlanRow]:
    """Say rows in words: from which state to which, why, with which mail."""
    found = list(found)
    criteria = criteria_of(code for row in found for code in row.reasons)
    aside = {
        row.enrollment_id: row
        for row in SetAside.objects.filter(
            plan=plan, enrollment__in=[row.enrollment_id for row in found]
        )
    }
    return [
        PlanRow(
            row=row,
            enrollment=row.enrollment,
            before=SHOWN.get(row.status),
            outcome=str(Outcome(row.outcome).label),
            turn=turn_of(row.outcome),
            after=_after(row.outcome),
            ends_as=str(RENEWALS[Outcome(row.outcome)].ends_as.label),
            reasons=reason_words(row.reasons, criteria=criteria),
            mail=_mail(row.outcome),
            earlier=_earlier(row.was),
            done=_done(row, aside.get(row.enrollment_id), plan=plan),
        )
        for row in found
    ]


def _after(outcome: str) -> ShownStatus | None:
    status = RENEWALS[Outcome(outcome)].renews_as
    return SHOWN[status] if status else None


def _mail(outcome: str) -> str:
    mail = RENEWALS[Outcome(outcome)].mail
    return str(mail.label) if mail else ""


def _earlier(was: str) -> str:
    return _("was not there") if was == NEWCOMER else _outcome_words(was)


def _done(row: RenewalRow, aside: SetAside | None, *, plan: RenewalPlan) -> str:
    """What the run did with a row; nothing before it began."""
    if plan.started_at is None:
        return ""
    if aside is not None:
        return decision_words(aside)
    return _("Carried out") if row.range.done_at else _("Not yet")


def decision_words(aside: SetAside) -> str:
    """What became of a row that was set aside."""
    if aside.decided_at is None:
        return _("Set aside, not decided")
    if aside.is_applied:
        return _("Set aside, carried out as found")
    return _("Set aside, left as it was")


# --- The whole plan as a table ---------------------------------------------------------


def plan_table(plan: RenewalPlan, *, language: str) -> Iterator[bytes]:
    """Every row of a plan in one language, written while it is read.

    Read a range at a time, a batch of it at a time: no question is ever large. Last
    come the rows that the run found and the plan did not know.
    """
    lines = csv_lines(*_header_and_rows(plan, language))
    while True:
        with translation.override(language):
            line = next(lines, None)
        if line is None:
            return
        yield line


def _header_and_rows(plan: RenewalPlan, language: str) -> tuple[list, Iterator[list]]:
    with translation.override(language):
        header = [
            _("Company"),
            _("PartnerID of the company"),
            _("Location"),
            _("PartnerID of the location"),
            _("Program"),
            _("Code"),
            _("Status before"),
            _("Outcome"),
            _("Ends because"),
            _("Status in the new year"),
            _("Why"),
            _("Mail"),
            _("Outcome in the rehearsal before"),
            _("What the run did"),
        ]
    return header, _cells_of(plan)


def _cells_of(plan: RenewalPlan) -> Iterator[list]:
    for one in plan.ranges.order_by("number"):
        rows = RenewalRow.objects.filter(range=one)
        while found := list(_for_pages(rows)[:BATCH]):
            for row in shown_rows(found, plan=plan):
                yield _cells(row)
            rows = rows.filter(enrollment__gt=found[-1].enrollment_id)
    for aside in _asides(plan).filter(planned="").iterator(chunk_size=BATCH):
        yield _aside_cells(aside)


def _cells(row: PlanRow) -> list[str]:
    return [
        *_place_cells(row.enrollment),
        row.before.label if row.before else "",
        row.outcome,
        row.ends_as,
        row.after.label if row.after else "",
        " ".join(row.reasons),
        row.mail,
        row.earlier,
        row.done,
    ]


def _aside_cells(aside: SetAside) -> list[str]:
    criteria = criteria_of(aside.reasons)
    return [
        *_place_cells(aside.enrollment),
        "",
        _outcome_words(aside.found),
        "",
        "",
        " ".join(reason_words(aside.reasons, criteria=criteria)),
        "",
        "",
        decision_words(aside),
    ]


def _place_cells(enrollment: Enrollment) -> list[str]:
    location, program = enrollment.location, enrollment.terms.program
    return [
        location.partner_account.name,
        location.partner_account.partner_id,
        location.name,
        location.partner_id,
        program.name,
        program.code,
    ]


# --- What was set aside -----------------------------------------------------------------


@dataclass(frozen=True)
class AsideKind:
    """Enrollments set aside alike: what was planned, what was found, how many."""

    key: str
    planned: str
    found: str
    number: int


@dataclass(frozen=True)
class AsideRow:
    """One enrollment set aside: what was approved, what the rule says now, why."""

    aside: SetAside
    status: ShownStatus
    planned: str
    found: str
    reasons: list[str]
    decision: str

    @property
    def key(self) -> str:
        return str(self.aside.pk)


def aside_kinds(plan: RenewalPlan) -> list[AsideKind]:
    """Count what is not decided by kind, the most frequent first."""
    kinds = (
        SetAside.objects.filter(plan=plan)
        .undecided()
        .order_by()
        .values_list("planned", "found")
        .annotate(rows=Count("pk"))
    )
    return [
        AsideKind(f"{planned}-{found}", *_drift(planned, found), rows)
        for planned, found, rows in sorted(kinds, key=lambda one: (-one[2], one[:2]))
    ]


def asides(plan: RenewalPlan, *, kind: str = "") -> QuerySet[SetAside]:
    """What was set aside, or what of it is not decided and of a kind."""
    rows = _asides(plan)
    if not kind:
        return rows
    planned, _dash, found = kind.partition("-")
    return rows.undecided().filter(planned=planned, found=found)


def undecided_count(plan: RenewalPlan) -> int:
    """How many rows wait for a decision; none of a run that is undone."""
    if plan.is_undoing or plan.is_undone:
        return 0
    return SetAside.objects.filter(plan=plan).undecided().count()


def _asides(plan: RenewalPlan) -> QuerySet[SetAside]:
    return (
        SetAside.objects.filter(plan=plan)
        .select_related(
            "decided_by",
            "enrollment__location__partner_account",
            "enrollment__terms__program",
        )
        .order_by("decided_at", "pk")
    )


def aside_rows(found: Iterable[SetAside]) -> list[AsideRow]:
    """Say in words what was set aside."""
    found = list(found)
    criteria = criteria_of(code for aside in found for code in aside.reasons)
    return [
        AsideRow(
            aside,
            SHOWN[aside.enrollment.status],
            *_drift(aside.planned, aside.found),
            reason_words(aside.reasons, criteria=criteria),
            decision_words(aside) if aside.decided_at else "",
        )
        for aside in found
    ]


def _drift(planned: str, found: str) -> tuple[str, str]:
    """What was approved and what the run found, where one of them may be nothing."""
    return (
        _outcome_words(planned) or _("Not in the plan: it came later"),
        _outcome_words(found) or _("Ended meanwhile, or its place is taken"),
    )
