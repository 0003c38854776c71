"""Telling partners of the year end: what it puts at risk before, what became of it.

The database remembers who was told: a notice moves on in the transaction that queues
the mails, so that a worker killed anywhere loses none and doubles none; the mails' keys
say the same once more. `at` is now.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.template.defaultfilters import capfirst
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import outbox
from accounts.holders import people_with
from accounts.models import (
    MailTopic,
    MutedMail,
    OutgoingEmail,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.roles import Permission, roles_with
from enrollment import renewal
from enrollment.changes import Change, Use, changes_between
from enrollment.forecast import (
    ADMIN,
    WORTH_TELLING,
    Compared,
    facts_of,
    found,
    in_words,
    reason_words,
)
from enrollment.models import (
    Criterion,
    Enrollment,
    EnrollmentEvent,
    FiscalCalendar,
    FiscalYear,
    ProgramTerms,
    RenewalPlan,
    RenewalPlanStatus,
    SetAside,
    YearEndNotice,
)
from enrollment.renewal_emails import (
    GROUPS,
    MOST_CHANGES,
    MOST_PROGRAMS,
    MOST_ROWS,
    EndedLine,
    ForecastLine,
    Summary,
    what_became_of_it,
    what_is_at_risk,
    what_was_undone,
)
from enrollment.states import FOLLOWS_PROFILES, EndReason, EnrollmentStatus

# Days before a year begins.
STEPS = (90, 60, 30, 7)
# A step that was missed is not caught up when the next one is as near as this.
NEAR = 7
PARTS = 8
PEOPLE_AT_ONCE = 100
# What people are told of afterwards; invitations that nobody answered lapse in silence.
_CONTINUED = (EndReason.CONTINUED, EndReason.CONTINUED_WITH_GAPS)
_ENDED = (EndReason.PROGRAM_ENDED, EndReason.NO_AGREEMENT, EndReason.NOT_ELIGIBLE)


def step_due(
    days_left: int, *, steps: Sequence[int] = STEPS, near: int = NEAR
) -> int | None:
    """Return which notice is due so many days before a day, if one is.

    A day that was missed is caught up, with the nearest step only, and not when the
    next one is as `near` as that.
    """
    passed = [step for step in steps if days_left <= step]
    if days_left < 1 or not passed:
        return None
    step = min(passed)
    later = [one for one in steps if one < step]
    if days_left < step and later and days_left - max(later) <= near:
        return None
    return step


@transaction.atomic
def begin_year_end_notices(*, at: datetime) -> int:
    """Begin what is due and not begun; return how many notices are open now.

    A step is overtaken by the next one: what is left of it is told there.
    """
    due = {
        (first_day, step)
        for first_day, (years, today) in _coming(at).items()
        if (step := step_due((first_day - today).days))
    }
    notices = [
        YearEndNotice(first_day=first_day, days_before=step, part=part)
        for first_day, step in sorted(due)
        for part in range(PARTS)
    ]
    untold = RenewalPlan.objects.filter(
        status=RenewalPlanStatus.FINISHED, notices=None
    ).order_by("pk")
    notices += [
        YearEndNotice(plan=plan, part=part) for plan in untold for part in range(PARTS)
    ]
    told = YearEndNotice.objects.filter(plan=OuterRef("pk"))
    decided = SetAside.objects.filter(plan=OuterRef("pk")).exclude(decided_at=None)
    undone = RenewalPlan.objects.filter(
        Exists(told.filter(mails__gt=0)) | Exists(decided),
        ~Exists(told.filter(tells_of_undoing=True)),
        status=RenewalPlanStatus.UNDONE,
    ).order_by("pk")
    notices += [
        YearEndNotice(plan=plan, tells_of_undoing=True, part=part)
        for plan in undone
        for part in range(PARTS)
    ]
    YearEndNotice.objects.bulk_create(notices, ignore_conflicts=True)
    unfinished = YearEndNotice.objects.filter(finished_at=None)
    # What is being undone is summed up for nobody any more.
    stands = RenewalPlan.objects.filter(status=RenewalPlanStatus.FINISHED)
    is_due = Q(plan__isnull=False, tells_of_undoing=True) | Q(plan__in=stands)
    for first_day, step in due:
        is_due |= Q(first_day=first_day, days_before=step)
    unfinished.exclude(is_due).update(finished_at=at)
    return unfinished.count()


@transaction.atomic
def tell_next_people(*, at: datetime) -> int | None:
    """Tell the next people of a notice that nobody else is at; None when none is left.

    Returns how many mails were queued.
    """
    notice = (
        YearEndNotice.objects.filter(finished_at=None)
        .select_for_update(of=("self",), skip_locked=True)
        .select_related("plan__into__calendar")
        .order_by("pk")
        .first()
    )
    if notice is None:
        return None
    is_summary = notice.plan is not None and not notice.tells_of_undoing
    people = _next_people(notice)
    if not people or (is_summary and not _still_stands(notice.plan)):
        notice.finished_at = at
        notice.save(update_fields=["finished_at"])
        return 0
    if notice.plan is None:
        mails = _forecasts(people, notice, at=at)
    elif notice.tells_of_undoing:
        mails = _corrections(people, notice.plan)
    else:
        mails = _summaries(people, notice.plan)
    queued = outbox.queue_many(mails)
    notice.last_person = max(people)
    notice.mails += len(queued)
    notice.save(update_fields=["last_person", "mails"])
    return len(queued)


def _still_stands(plan: RenewalPlan) -> bool:
    """Whether a run is finished and not being undone; so it stays until the mails are in.

    Whoever approves its undoing waits that long: who was told is told of that as well.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM enrollment_renewalplan "
            "WHERE id = %s AND status = %s FOR SHARE",
            [plan.pk, RenewalPlanStatus.FINISHED],
        )
        return cursor.fetchone() is not None


def _coming(at: datetime) -> dict[date, tuple[dict[FiscalYear, date], date]]:
    """The years to come by their first day; one that comes in several calendars once."""
    grouped: dict[date, dict[FiscalYear, date]] = defaultdict(dict)
    for year, today in FiscalCalendar.objects.days_at(at).coming.items():
        grouped[year.starts_on][year] = today
    return {
        first_day: (years, max(years.values())) for first_day, years in grouped.items()
    }


def _next_people(notice: YearEndNotice) -> dict[int, User]:
    """Whoever may enroll anywhere, in the order of their keys."""
    holders = (
        RoleAssignment.objects.live()
        .filter(
            role__in=roles_with(Permission.ENROLLMENT_EDIT),
            user_id__gt=notice.last_person,
        )
        .alias(part=F("user_id") % PARTS)
        .filter(part=notice.part)
        .order_by("user_id")
        .values_list("user_id", flat=True)
        .distinct()[:PEOPLE_AT_ONCE]
    )
    return User.objects.in_bulk(list(holders))


def _enrolling(people: Iterable[int]) -> QuerySet[RoleAssignment]:
    """The roles by which some people may enroll."""
    return RoleAssignment.objects.live().filter(
        role__in=roles_with(Permission.ENROLLMENT_EDIT), user__in=list(people)
    )


def _of_their_companies(
    enrollments: QuerySet[Enrollment], people: Iterable[int]
) -> QuerySet[Enrollment]:
    """Narrow to some people's companies, by key: little is read, of however many."""
    companies = _enrolling(people).order_by().values_list("partner_account", flat=True)
    return enrollments.filter(location__partner_account__in=sorted(set(companies)))


def _pairs(
    enrollments: QuerySet[Enrollment], people: Iterable[int]
) -> QuerySet[Enrollment]:
    """Each enrollment once for each `holder` among some people who may enroll it."""
    assignment = "location__partner_account__role_assignments"
    enrolling = _enrolling(people)
    theirs = _of_their_companies(enrollments, people)
    return theirs.annotate(
        assignment=F(assignment),
        holder=F(f"{assignment}__user"),
        only_location=F(f"{assignment}__location"),
        only_program=F(f"{assignment}__program"),
    ).filter(
        Q(only_location=None) | Q(only_location=F("location")),
        Q(only_program=None) | Q(only_program=F("terms__program")),
        assignment__in=enrolling.values("pk"),
    )


def _in_order(enrollments: QuerySet[Enrollment]) -> QuerySet[Enrollment]:
    return enrollments.order_by(
        "holder",
        "location__partner_account__name",
        "location__name",
        "terms__program__name",
        "pk",
    )


# --- Before: what is at risk -------------------------------------------------


def _forecasts(
    people: dict[int, User], notice: YearEndNotice, *, at: datetime
) -> list[OutgoingEmail]:
    years, _today = _coming(at).get(notice.first_day, ({}, None))
    theirs = _of_their_companies(Enrollment.objects.all(), people)
    rows = {
        key: row
        for key, row in found(theirs, years).items()
        if row.outcome in WORTH_TELLING
    }
    awaiting: dict[int, list] = defaultdict(list)
    at_risk = Enrollment.objects.filter(pk__in=list(rows))
    for person, key in (
        _in_order(_pairs(at_risk, people)).values_list("holder", "pk").distinct()
    ):
        awaiting[person].append(key)
    for person in _who_want_none(awaiting):
        del awaiting[person]
    known = Enrollment.objects.for_pages().in_bulk(
        {key for keys in awaiting.values() for key in keys}
    )
    by_row = {one: rows[key] for key, one in known.items()}
    facts = facts_of(by_row, years)
    compared = Compared.of(
        {one: row.next_terms for one, row in by_row.items() if row.next_terms}
    )
    mails = []
    for person, keys in awaiting.items():
        mine = {known[key]: by_row[known[key]] for key in keys if key in known}
        with translation.override(people[person].language):
            told = in_words(mine, facts, reader=lambda one: ADMIN)
            lines = [
                ForecastLine(one, told[one.pk], _news(compared, one, told[one.pk]))
                for one in mine
            ]
            mails.append(
                what_is_at_risk(
                    people[person],
                    lines,
                    first_day=notice.first_day,
                    step=notice.days_before,
                )
            )
    return mails


def _who_want_none(people: Iterable[int]) -> list[int]:
    """Of some people, those who can do without this mail (experience.md §6.2)."""
    muted = MutedMail.objects.filter(user__in=list(people), topic=MailTopic.RENEWALS)
    return list(muted.order_by("pk").values_list("user", flat=True))


def _news(compared: Compared, enrollment: Enrollment, forecast) -> list:
    if enrollment not in compared.following:
        return []
    return compared.changes(enrollment, continues=not forecast.is_end)[:MOST_CHANGES]


# --- After: what became of it ------------------------------------------------


@dataclass
class _Gathered:
    """One person's rows, no more of each group than a mail lists."""

    counts: Counter = field(default_factory=Counter)
    rows: dict[str, list[Enrollment]] = field(default_factory=lambda: defaultdict(list))

    def add(self, row: Enrollment) -> None:
        group = _group(row)
        self.counts[group] += 1
        if len(self.rows[group]) < MOST_ROWS:
            self.rows[group].append(row)

    @property
    def all(self) -> list[Enrollment]:
        return [row for rows in self.rows.values() for row in rows]


def tell_of_decisions(rows: Sequence[SetAside]) -> None:
    """Tell who may enroll there what was decided of enrollments set aside, each once.

    Where its place in the new year was taken, nothing is told: it is there already.
    The part of renewals.decide_alike() that mails.
    """
    by_plan: dict[RenewalPlan, list[SetAside]] = defaultdict(list)
    for row in rows:
        by_plan[row.plan].append(row)
    for plan, decided in by_plan.items():
        _tell_of_decisions(decided, into=plan.into)


def _tell_of_decisions(rows: Sequence[SetAside], *, into: FiscalYear) -> None:
    keys = [row.enrollment_id for row in rows]
    ended = {
        one.pk: one for one in _with_what_became(Enrollment.objects.filter(pk__in=keys))
    }
    people: dict[int, User] = {}
    theirs: dict[int, _Gathered] = defaultdict(_Gathered)
    for row in rows:
        became = ended[row.enrollment_id]
        if not _is_told(became) if row.is_applied else row.found == "":
            continue
        company = became.location.partner_account
        for one in people_with(Permission.ENROLLMENT_EDIT, company=company, row=became):
            people[one.pk] = one
            theirs[one.pk].add(became)
    terms = _terms_of(theirs.values())
    criteria = _criteria_of(theirs.values())
    # Each row is decided once: no two mails have the same first one.
    event = f"{rows[0].plan_id}:aside-{min(row.pk for row in rows)}"
    outbox.queue_many(
        _mail_of(
            people[person],
            theirs[person],
            into=into,
            event=event,
            terms=terms,
            criteria=criteria,
        )
        for person in sorted(theirs)
    )


def _summaries(people: dict[int, User], plan: RenewalPlan) -> list[OutgoingEmail]:
    """One summary for each person; what is set aside is told when it is decided."""
    theirs: dict[int, _Gathered] = defaultdict(_Gathered)
    last = None
    for row in _ended_rows(plan, people).iterator(chunk_size=2000):
        # Two roles of a person can reach the same enrollment.
        if (row.holder, row.pk) != last:
            theirs[row.holder].add(row)
        last = (row.holder, row.pk)
    waiting = _waiting_for(plan, people)
    terms = _terms_of(theirs.values())
    criteria = _criteria_of(theirs.values())
    return [
        _mail_of(
            people[person],
            theirs[person],
            into=plan.into,
            event=str(plan.pk),
            terms=terms,
            criteria=criteria,
            waiting=waiting.get(person, []),
        )
        for person in sorted({*theirs, *waiting})
    ]


def _corrections(people: dict[int, User], plan: RenewalPlan) -> list[OutgoingEmail]:
    """One mail to everybody who was told what became of it, when it was undone.

    By the summary of the run, or when what was set aside was decided.
    """
    told = OutgoingEmail.objects.filter(
        to_user__in=list(people), dedupe_key__startswith=f"year_end:{plan.pk}:"
    )
    companies = _companies_of(people)
    mails = []
    for person in sorted(set(told.values_list("to_user", flat=True))):
        with translation.override(people[person].language):
            mails.append(what_was_undone(people[person], companies[person], plan=plan))
    return mails


def _companies_of(people: Iterable[int]) -> dict[int, PartnerAccount]:
    """The first company in which each person may enroll."""
    held = (
        RoleAssignment.objects.live()
        .filter(role__in=roles_with(Permission.ENROLLMENT_EDIT), user__in=list(people))
        .select_related("partner_account")
        .order_by("-partner_account__name")
    )
    return {one.user_id: one.partner_account for one in held}


def _ended_rows(plan: RenewalPlan, people: Iterable[int]) -> QuerySet[Enrollment]:
    ended = Enrollment.objects.filter(
        terms__succession__fiscal_year=plan.into,
        status=EnrollmentStatus.EXPIRED,
        status_since__gte=plan.started_at,
        end_reason__in=[*_CONTINUED, *_ENDED],
    ).exclude(set_aside__plan=plan)
    rows = _in_order(_pairs(_with_what_became(ended), people))
    return rows.filter(was__in=FOLLOWS_PROFILES)


def _with_what_became(enrollments: QuerySet[Enrollment]) -> QuerySet[Enrollment]:
    """Annotate what each was, why it ended, and what continues it."""
    events = EnrollmentEvent.objects.filter(
        enrollment=OuterRef("pk"), code=EnrollmentEvent.Code.YEAR_ENDED
    ).order_by("-at", "-pk")
    following = Enrollment.objects.filter(renewed_from=OuterRef("pk")).order_by("pk")
    return enrollments.annotate(
        was=Subquery(events.values("from_status")[:1]),
        why=Subquery(events.values("note")[:1]),
        new=Subquery(following.values("pk")[:1]),
        new_status=Subquery(following.values("status")[:1]),
        new_terms=Subquery(following.values("terms")[:1]),
    ).select_related("location__partner_account", "terms__program")


def _is_told(row: Enrollment) -> bool:
    return row.was in FOLLOWS_PROFILES and row.end_reason in (*_CONTINUED, *_ENDED)


def _group(row: Enrollment) -> str:
    if row.new is None:
        return "ended"
    if row.new_status == EnrollmentStatus.ACTION_REQUIRED:
        return "needs_you"
    return "continued"


def _waiting_for(
    plan: RenewalPlan, people: Iterable[int]
) -> dict[int, list[Enrollment]]:
    """What the program owner still looks at, by person."""
    aside = Enrollment.objects.filter(
        set_aside__plan=plan, set_aside__decided_at=None, status__in=FOLLOWS_PROFILES
    )
    pairs = list(
        _in_order(_pairs(aside, people)).values_list("holder", "pk").distinct()
    )
    known = Enrollment.objects.for_pages().in_bulk({key for _person, key in pairs})
    waiting: dict[int, list[Enrollment]] = defaultdict(list)
    for person, key in pairs:
        waiting[person].append(known[key])
    return waiting


def _terms_of(some: Iterable[_Gathered]) -> dict[int, ProgramTerms]:
    keys = {
        key
        for one in some
        for row in one.all
        if row.new_terms
        for key in (row.terms_id, row.new_terms)
    }
    return (
        ProgramTerms.objects.prefetch_related(
            "earning_types", "requirements__criterion"
        )
        .select_related("program")
        .in_bulk(keys)
    )


def _criteria_of(some: Iterable[_Gathered]) -> dict[str, Criterion]:
    return renewal.criteria_of(
        code for one in some for row in one.all for code in (row.why or "").split()
    )


def _mail_of(
    person: User,
    gathered: _Gathered,
    *,
    into: FiscalYear,
    event: str,
    terms: dict[int, ProgramTerms],
    criteria: dict[str, Criterion],
    waiting: Sequence[Enrollment] = (),
) -> OutgoingEmail:
    """One person's mail, in their language."""
    with translation.override(person.language):
        summary = Summary(
            counts={name: gathered.counts[name] for name in GROUPS},
            **{
                name: [_line(row, criteria) for row in gathered.rows[name]]
                for name in GROUPS
            },
            waiting=len(waiting),
            news=_news_of(gathered, terms),
        )
        return what_became_of_it(
            person,
            summary,
            into=into,
            event=event,
            locations=[one.location for one in waiting],
        )


def _line(row: Enrollment, criteria: dict[str, Criterion]) -> EndedLine:
    sentences = reason_words((row.why or "").split(), criteria=criteria)
    if row.status != EnrollmentStatus.EXPIRED:
        sentences = [_("The program owner decided not to continue it.")]
    elif row.new is None:
        sentences = [f"{capfirst(row.get_end_reason_display())}.", *sentences]
    return EndedLine(
        location=row.location,
        program=row.terms.program.name,
        page=row if row.new is None else Enrollment(pk=row.new),
        reasons=" ".join(sentences),
    )


def _news_of(
    gathered: _Gathered, terms: dict[int, ProgramTerms]
) -> list[tuple[str, list[Change]]]:
    """What the new terms of each program that goes on say otherwise."""
    pairs = {
        (row.terms_id, row.new_terms): row.location.country
        for row in gathered.all
        if row.new_terms
    }
    news = (
        (
            terms[before].program.name,
            changes_between(terms[before], terms[after], use=Use(country=country)),
        )
        for (before, after), country in pairs.items()
    )
    return [(name, changes[:MOST_CHANGES]) for name, changes in news if changes][
        :MOST_PROGRAMS
    ]
