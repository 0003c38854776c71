"""Losing and regaining eligibility: enrollments follow it, set-based.

Somebody is not eligible once a requirement is known not to be met, or the agreement a
program needs is not active. What is not known any more ends nothing, and brings nothing
back (experience.md P7). An import moves what its values turn; what a day, an agreement
or changed terms turn, follow_requirements() finds.
"""

from datetime import date, datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models import BigIntegerField, Exists, Func, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.models import AuditAction, IncentiveProgram, PartnerAccount, User
from accounts.services import lock_companies, record_audit_event
from enrollment.eligibility import (
    eligible_again,
    not_eligible_any_more,
    waits_for_part,
    with_gaps,
)
from enrollment.models import (
    Enrollment,
    EnrollmentEvent,
    FiscalCalendar,
    ImportEffect,
    PayoutAssignment,
    ProgramTerms,
    RequirementCheck,
    ValueImport,
)
from enrollment.services.following import reassess
from enrollment.states import (
    ENDS_WITH_PROGRAM,
    FOLLOWS_PROFILES,
    OPEN,
    EndReason,
    EnrollmentStatus,
)

# So many in one transaction: their companies are held as long as it takes.
ENROLLMENTS_AT_ONCE = 5000
# With what somebody decided; the rest the clock does (tasks.py).
AT_ONCE = 4


# --- What a day, an agreement or changed terms turn ------------------------------------


def terms_to_sweep(*, at: datetime) -> list[ProgramTerms]:
    """Return this year's terms whose requirements were not held against everybody today.

    A day is the program's own (R66). What a clock that stood still left is due as well.
    """
    due = [
        ProgramTerms.objects.current(day)
        .offered()
        .filter(fiscal_year__calendar__in=calendars)
        .exclude(standing_on=day)
        for day, calendars in FiscalCalendar.objects.by_day(at).items()
    ]
    return [
        terms
        for some in due
        for terms in some.select_related("program", "fiscal_year__calendar").order_by(
            "pk"
        )
    ]


@transaction.atomic
def follow_requirements(
    terms: ProgramTerms,
    *,
    at: datetime,
    by: User | None = None,
    company: PartnerAccount | None = None,
) -> int:
    """Move the next enrollments to where this year's requirements put them today.

    Who does not meet one any more becomes Not eligible, with what is not met in the
    event; who meets all of them again goes back to where it was, and follows its
    profiles. Of one company, or of all. Returns how many it looked at: call it until
    that is 0. Twice is once.
    """
    on = terms.fiscal_year.calendar.day_at(at)
    if not terms.fiscal_year.contains(on) or terms.program.discontinued_at is not None:
        return 0
    lost = not_eligible_any_more(terms, on=on)
    found = _held_alone(_of(lost, company))
    if found:
        _lose(lost.filter(pk__in=found), on=on, by=by, at=at)
        return len(found)
    back = eligible_again(terms, on=on)
    found = _held_alone(_of(back, company))
    if found:
        keys = _regain(back.filter(pk__in=found), by=by, at=at)
        _follow_profiles(Enrollment.objects.filter(pk__in=keys), on=on, by=by, at=at)
    return len(found)


@transaction.atomic
def finish_sweep(terms: ProgramTerms, *, at: datetime) -> None:
    """Note that everybody stands where the requirements of a day put them.

    Unless what they ask changed since the terms were read.
    """
    on = terms.fiscal_year.calendar.day_at(at)
    ProgramTerms.objects.filter(pk=terms.pk, standing_on=terms.standing_on).update(
        standing_on=on
    )


@transaction.atomic
def follow_agreements(
    company: PartnerAccount, *, by: User | None, at: datetime | None = None
) -> None:
    """Move a company's enrollments after its agreement was recorded or terminated."""
    at = at or timezone.now()
    for day, calendars in FiscalCalendar.objects.by_day(at).items():
        asking = ProgramTerms.objects.current(day).filter(
            Exists(
                Enrollment.objects.filter(
                    terms=OuterRef("pk"), location__partner_account=company
                )
            ),
            needs_agreement=True,
            fiscal_year__calendar__in=calendars,
        )
        for terms in asking.select_related("program", "fiscal_year__calendar").order_by(
            "pk"
        ):
            while follow_requirements(terms, at=at, by=by, company=company):
                pass


def _of(
    enrollments: QuerySet[Enrollment], company: PartnerAccount | None
) -> QuerySet[Enrollment]:
    if company is None:
        return enrollments
    return enrollments.filter(location__partner_account=company)


def _held_alone(enrollments: QuerySet[Enrollment]) -> list[UUID]:
    """Return the next keys, and hold their companies until the transaction ends."""
    some = list(
        enrollments.order_by().values_list("pk", "location__partner_account")[
            :ENROLLMENTS_AT_ONCE
        ]
    )
    lock_companies(*{company for _key, company in some})
    return [key for key, _company in some]


class _Chosen(Func):
    """A column of the enrollment that a statement asks of."""

    output_field = BigIntegerField()


def _lose(
    enrollments: QuerySet[Enrollment], *, on: date, by: User | None, at: datetime
) -> None:
    chosen, values = _compiled(enrollments, "pk", "status", "location_id", "terms_id")
    unmet, asked = unmet_words(on=on)
    with connection.cursor() as cursor:
        cursor.execute(
            LOSE_CHOSEN.format(chosen=chosen, unmet=unmet),
            [*values, at, by.pk if by else None, at, *asked],
        )


def _regain(
    enrollments: QuerySet[Enrollment], *, by: User | None, at: datetime
) -> list[UUID]:
    chosen, values = _compiled(enrollments, "pk")
    with connection.cursor() as cursor:
        cursor.execute(
            REGAIN_CHOSEN.format(chosen=chosen),
            [*values, list(map(str, OPEN)), at, by.pk if by else None, at],
        )
        return [key for (key,) in cursor.fetchall()]


def unmet_words(*, on: date) -> tuple[str, tuple]:
    """Return the question what is not met on a day, for a row that is named `chosen`."""
    here = {
        "location": _Chosen(template="chosen.location_id"),
        "terms": _Chosen(template="chosen.terms_id"),
    }
    unmet = RequirementCheck.objects.filter(**here).unmet(on).order_by()
    return _compiled(unmet, "criterion__code", "value", "needed", "position")


def _compiled(rows: QuerySet, *columns: str) -> tuple[str, tuple]:
    return rows.order_by().values_list(*columns).query.sql_with_params()


# --- A program that is withdrawn ---------------------------------------------------------


@transaction.atomic
def discontinue_program(
    program: IncentiveProgram, *, by: User | None, at: datetime | None = None
) -> int:
    """Withdraw a program: what is under way ends as Discontinued (R67); say how much.

    From now on nobody enrolls in it. The first enrollments end with this, the rest the
    clock ends; each person is told once (standing_notices.py).
    """
    program = IncentiveProgram.objects.select_for_update(of=("self",)).get(
        pk=program.pk
    )
    at = at or timezone.now()
    if program.discontinued_at is None:
        program.discontinued_at = at
        program.save(update_fields=["discontinued_at"])
    ending = Enrollment.objects.filter(
        terms__program=program, status__in=ENDS_WITH_PROGRAM
    ).count()
    record_audit_event(
        program,
        action=AuditAction.PROGRAM_DISCONTINUED,
        by=by,
        partner_account=None,
        after={"ended": ending},
    )
    for _turn in range(AT_ONCE):
        if not end_next_of_program(program, by=by, at=at):
            break
    return ending


def programs_to_end() -> list[IncentiveProgram]:
    """Return discontinued programs of which not every enrollment ended."""
    left = Enrollment.objects.filter(
        terms__program=OuterRef("pk"), status__in=ENDS_WITH_PROGRAM
    )
    return list(
        IncentiveProgram.objects.filter(
            Exists(left), discontinued_at__isnull=False
        ).order_by("pk")
    )


@transaction.atomic
def end_next_of_program(
    program: IncentiveProgram, *, by: User | None, at: datetime
) -> int:
    """End the next enrollments of a discontinued program (R67); return how many.

    Whatever its status, what is under way, in force or waits to be eligible again is
    Discontinued: nothing of it stays open. Call it until nothing is left.
    """
    rows = Enrollment.objects.filter(
        terms__program=program, status__in=ENDS_WITH_PROGRAM
    )
    found = _held_alone(rows)
    if not found:
        return 0
    chosen, values = _compiled(rows.filter(pk__in=found), "pk", "status")
    with connection.cursor() as cursor:
        cursor.execute(
            END_CHOSEN.format(chosen=chosen),
            [
                *values,
                EnrollmentStatus.DISCONTINUED,
                EndReason.PROGRAM_ENDED,
                at,
                EnrollmentEvent.Code.DISCONTINUED,
                EnrollmentStatus.DISCONTINUED,
                by.pk if by else None,
                at,
            ],
        )
    return len(found)


# --- What an import turns -------------------------------------------------------------------


def move_by_effects(
    value_import: ValueImport, *, on: date, by: User | None, at: datetime
) -> dict[str, int]:
    """Move the enrollments that an import's effects reach; return how many each way.

    What is not eligible any more goes to Not eligible, with the unmet requirements in
    its event; what is eligible again goes back to where it was. Each effect remembers
    what it moved. The companies are held until the transaction ends.
    """
    facts = {
        "import": value_import.pk,
        "open": [str(status) for status in OPEN],
        "by": by.pk if by else None,
        "at": at,
    }
    unmet, asked = unmet_words(on=on)
    with connection.cursor() as cursor:
        cursor.execute(COMPANIES, facts)
        lock_companies(*(key for (key,) in cursor.fetchall()))
        cursor.execute(
            LOSE.format(unmet=unmet),
            [value_import.pk, facts["open"], at, facts["by"], at, *asked],
        )
        lost = cursor.fetchone()[0]
        cursor.execute(REGAIN, facts)
        regained = cursor.fetchone()[0]
    if regained:
        back = value_import.effects.filter(becomes="met", enrollment__isnull=False)
        _follow_profiles(
            Enrollment.objects.filter(pk__in=back.values("enrollment")),
            on=on,
            by=by,
            at=at,
        )
    return {"enrollments_lost": lost, "enrollments_regained": regained}


def move_back(
    value_import: ValueImport, *, on: date, by: User | None, at: datetime
) -> dict[str, int]:
    """Put the enrollments that an import moved back, as far as that is right on a day.

    What moved since stays. So does what would be in force though its location is closed,
    its program discontinued, or a requirement as it is now not met; and what would be Not
    eligible though all are met. What comes back follows its profiles (R38, R44).
    """
    moved = value_import.effects.filter(enrollment__isnull=False)
    with connection.cursor() as cursor:
        cursor.execute(COMPANIES_MOVED, {"import": value_import.pk})
        lock_companies(*(key for (key,) in cursor.fetchall()))
        columns = ("enrollment", "enrollment__status", "was_status")
        chosen, values = _compiled(_to_put_back(value_import, on=on), *columns)
        cursor.execute(
            PUT_BACK.format(chosen=chosen),
            [*values, at, by.pk if by else None, at],
        )
        back = [key for (key,) in cursor.fetchall()]
    _follow_profiles(Enrollment.objects.filter(pk__in=back), on=on, by=by, at=at)
    return {
        "enrollments_back": len(back),
        "enrollments_kept": moved.count() - len(back),
    }


def moved_on(value_import: ValueImport) -> Exists:
    """Ask of an effect whether the enrollment that it moved did anything since."""
    since = EnrollmentEvent.objects.filter(
        enrollment=OuterRef("enrollment"), pk__gt=value_import.last_event or 0
    )
    return Exists(since)


def _to_put_back(value_import: ValueImport, *, on: date) -> QuerySet[ImportEffect]:
    checks = RequirementCheck.objects.filter(
        location=OuterRef("location"), terms=OuterRef("terms")
    )
    was_out = Q(was_status=EnrollmentStatus.INELIGIBLE)
    return value_import.effects.filter(
        ~moved_on(value_import),
        was_out & Exists(checks.failing(on)) | ~was_out & ~Exists(checks.unmet(on)),
        enrollment__isnull=False,
        enrollment__location__closed_at=None,
        enrollment__terms__program__discontinued_at=None,
    )


def _follow_profiles(
    enrollments: QuerySet[Enrollment], *, on: date, by: User | None, at: datetime
) -> None:
    """Let what came back follow what became of its profiles meanwhile (R40, R41)."""
    lacking = with_gaps(
        PayoutAssignment.objects.filter(enrollment=OuterRef("pk")), on=on
    ).exclude(bank_gap="", tax_gap="", currency_gap="")
    back = enrollments.filter(submitted_at__isnull=False, status__in=FOLLOWS_PROFILES)
    enrolled = back.filter(status=EnrollmentStatus.ENROLLED)
    for changed in (
        enrolled.filter(Exists(lacking)),
        enrolled.filter(waits_for_part("bank")),
        enrolled.filter(waits_for_part("tax")),
        back.filter(status=EnrollmentStatus.VALIDATING).filter(Exists(lacking)),
    ):
        for enrollment in changed.for_pages().order_by("pk"):
            reassess(enrollment, by=by, at=at)


# --- The statements --------------------------------------------------------------

COMPANIES = """
SELECT DISTINCT l.partner_account_id
FROM enrollment_importeffect f
JOIN enrollment_enrollment e
    ON e.location_id = f.location_id AND e.terms_id = f.terms_id
JOIN accounts_location l ON l.id = f.location_id
WHERE f.value_import_id = %(import)s
  AND ((f.becomes = 'unmet' AND e.status = ANY (%(open)s))
       OR (f.becomes = 'met' AND e.status = 'ineligible'))
"""

COMPANIES_MOVED = """
SELECT DISTINCT l.partner_account_id
FROM enrollment_importeffect f
JOIN accounts_location l ON l.id = f.location_id
WHERE f.value_import_id = %(import)s AND f.enrollment_id IS NOT NULL
"""

# What is not met is asked as every page asks it, after the values count; the words are
# read again by enrollment/history.py.
UNMET = """
    CROSS JOIN LATERAL (
        SELECT left(string_agg(
            COALESCE(u.code || '=' || u.value || '/' || u.needed, 'agreement'), '; '
            ORDER BY u.position, u.code
        ), 400) AS words
        FROM ({unmet}) u (code, value, needed, position)
    ) unmet
"""

# Where it was before it became Not eligible: there it goes back to.
BEFORE = """
    LEFT JOIN LATERAL (
        SELECT v.from_status AS was
        FROM enrollment_enrollmentevent v
        WHERE v.enrollment_id = {whose}
          AND v.to_status = 'ineligible'
          AND v.from_status = ANY ({open})
        ORDER BY v.id DESC
        LIMIT 1
    ) before ON true
"""

LOSE = f"""
WITH chosen AS MATERIALIZED (
    SELECT e.id, e.status AS was, f.id AS effect, f.location_id, f.terms_id
    FROM enrollment_importeffect f
    JOIN enrollment_enrollment e
        ON e.location_id = f.location_id AND e.terms_id = f.terms_id
    WHERE f.value_import_id = %s
      AND f.becomes = 'unmet'
      AND e.status = ANY (%s)
), moved AS (
    UPDATE enrollment_enrollment e
    SET status = 'ineligible', status_since = %s
    FROM chosen
    WHERE e.id = chosen.id
    RETURNING e.id
), noted AS (
    UPDATE enrollment_importeffect f
    SET enrollment_id = chosen.id, was_status = chosen.was
    FROM chosen
    WHERE f.id = chosen.effect
), told AS (
    INSERT INTO enrollment_enrollmentevent
        (enrollment_id, code, from_status, to_status, by_id, note, at)
    SELECT chosen.id, 'eligibility_lost', chosen.was, 'ineligible', %s,
           COALESCE(unmet.words, ''), %s
    FROM chosen
    {UNMET}
)
SELECT count(*) FROM moved
"""

LOSE_CHOSEN = f"""
WITH chosen (id, was, location_id, terms_id) AS MATERIALIZED (
    {{chosen}}
), moved AS (
    UPDATE enrollment_enrollment e
    SET status = 'ineligible', status_since = %s
    FROM chosen
    WHERE e.id = chosen.id
)
INSERT INTO enrollment_enrollmentevent
    (enrollment_id, code, from_status, to_status, by_id, note, at)
SELECT chosen.id, 'eligibility_lost', chosen.was, 'ineligible', %s,
       COALESCE(unmet.words, ''), %s
FROM chosen
{UNMET}
"""

REGAIN_CHOSEN = f"""
WITH asked (id) AS MATERIALIZED (
    {{chosen}}
), chosen AS MATERIALIZED (
    SELECT asked.id, COALESCE(before.was, 'invited') AS back
    FROM asked
    {BEFORE.format(whose="asked.id", open="%s")}
), moved AS (
    UPDATE enrollment_enrollment e
    SET status = chosen.back, status_since = %s
    FROM chosen
    WHERE e.id = chosen.id
)
INSERT INTO enrollment_enrollmentevent
    (enrollment_id, code, from_status, to_status, by_id, note, at)
SELECT chosen.id, 'eligibility_regained', 'ineligible', chosen.back, %s, '', %s
FROM chosen
RETURNING enrollment_id
"""

END_CHOSEN = """
WITH chosen (id, was) AS MATERIALIZED (
    {chosen}
), moved AS (
    UPDATE enrollment_enrollment e
    SET status = %s, end_reason = %s, status_since = %s
    FROM chosen
    WHERE e.id = chosen.id
)
INSERT INTO enrollment_enrollmentevent
    (enrollment_id, code, from_status, to_status, by_id, note, at)
SELECT chosen.id, %s, chosen.was, %s, %s, '', %s
FROM chosen
"""

REGAIN = f"""
WITH chosen AS MATERIALIZED (
    SELECT e.id, f.id AS effect, COALESCE(before.was, 'invited') AS back
    FROM enrollment_importeffect f
    JOIN enrollment_enrollment e
        ON e.location_id = f.location_id AND e.terms_id = f.terms_id
    {BEFORE.format(whose="e.id", open="%(open)s")}
    WHERE f.value_import_id = %(import)s
      AND f.becomes = 'met'
      AND e.status = 'ineligible'
), moved AS (
    UPDATE enrollment_enrollment e
    SET status = c.back, status_since = %(at)s
    FROM chosen c
    WHERE e.id = c.id
    RETURNING e.id
), noted AS (
    UPDATE enrollment_importeffect f
    SET enrollment_id = c.id, was_status = 'ineligible'
    FROM chosen c
    WHERE f.id = c.effect
), told AS (
    INSERT INTO enrollment_enrollmentevent
        (enrollment_id, code, from_status, to_status, by_id, note, at)
    SELECT c.id, 'eligibility_regained', 'ineligible', c.back, %(by)s, '', %(at)s
    FROM chosen c
)
SELECT count(*) FROM moved
"""

PUT_BACK = """
WITH chosen (id, now, back) AS MATERIALIZED (
    {chosen}
), moved AS (
    UPDATE enrollment_enrollment e
    SET status = chosen.back, status_since = %s
    FROM chosen
    WHERE e.id = chosen.id
)
INSERT INTO enrollment_enrollmentevent
    (enrollment_id, code, from_status, to_status, by_id, note, at)
SELECT chosen.id, 'eligibility_undone', chosen.now, chosen.back, %s, '', %s
FROM chosen
RETURNING enrollment_id
"""
