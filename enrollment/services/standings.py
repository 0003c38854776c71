"""Losing and regaining eligibility: enrollments follow it, set-based.

Somebody is not eligible once a requirement is known not to be met. What is not known
any more ends nothing, and brings nothing back (experience.md P7).
"""

from datetime import date, datetime

from django.db import connection
from django.db.models import Exists, OuterRef

from accounts.models import User
from accounts.services import lock_companies
from enrollment.eligibility import waits_for_part, with_gaps
from enrollment.models import Enrollment, PayoutAssignment, ValueImport
from enrollment.services.enrollments import reassess
from enrollment.states import FOLLOWS_PROFILES, OPEN, EnrollmentStatus


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
        "on": on,
        "by": by.pk if by else None,
        "at": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(COMPANIES, facts)
        lock_companies(*(key for (key,) in cursor.fetchall()))
        cursor.execute(LOSE, facts)
        lost = cursor.fetchone()[0]
        cursor.execute(REGAIN, facts)
        regained = cursor.fetchone()[0]
    if regained:
        _follow_profiles(value_import, on=on, by=by, at=at)
    return {"enrollments_lost": lost, "enrollments_regained": regained}


def move_back(
    value_import: ValueImport, *, by: User | None, at: datetime
) -> dict[str, int]:
    """Put the enrollments that an import moved back; what moved since stays."""
    facts = {
        "import": value_import.pk,
        "by": by.pk if by else None,
        "at": at,
        "since": value_import.applied_at,
    }
    with connection.cursor() as cursor:
        cursor.execute(COMPANIES_MOVED, facts)
        lock_companies(*(key for (key,) in cursor.fetchall()))
        cursor.execute(PUT_BACK, facts)
        moved, all_of_them = cursor.fetchone()
    return {"enrollments_back": moved, "enrollments_kept": all_of_them - moved}


def _follow_profiles(
    value_import: ValueImport, *, on: date, by: User | None, at: datetime
) -> None:
    """Let what came back follow what became of its profiles meanwhile (R40, R41)."""
    lacking = with_gaps(
        PayoutAssignment.objects.filter(enrollment=OuterRef("pk")), on=on
    ).exclude(bank_gap="", tax_gap="", currency_gap="")
    back = Enrollment.objects.filter(
        pk__in=value_import.effects.filter(
            becomes="met", enrollment__isnull=False
        ).values("enrollment"),
        submitted_at__isnull=False,
        status__in=FOLLOWS_PROFILES,
    )
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

# What is not met is asked of the view that every page asks, after the values count.
LOSE = """
WITH chosen AS MATERIALIZED (
    SELECT e.id, e.status AS was, f.id AS effect, f.location_id, f.terms_id
    FROM enrollment_importeffect f
    JOIN enrollment_enrollment e
        ON e.location_id = f.location_id AND e.terms_id = f.terms_id
    WHERE f.value_import_id = %(import)s
      AND f.becomes = 'unmet'
      AND e.status = ANY (%(open)s)
), moved AS (
    UPDATE enrollment_enrollment e
    SET status = 'ineligible', status_since = %(at)s
    FROM chosen c
    WHERE e.id = c.id
    RETURNING e.id
), noted AS (
    UPDATE enrollment_importeffect f
    SET enrollment_id = c.id, was_status = c.was
    FROM chosen c
    WHERE f.id = c.effect
), told AS (
    INSERT INTO enrollment_enrollmentevent
        (enrollment_id, code, from_status, to_status, by_id, note, at)
    SELECT c.id, 'eligibility_lost', c.was, 'ineligible', %(by)s,
           COALESCE(unmet.words, ''), %(at)s
    FROM chosen c
    CROSS JOIN LATERAL (
        SELECT left(string_agg(
            k.code || '=' || COALESCE(r.value::text, '') || '/' || r.needed, '; '
            ORDER BY r.position, k.code
        ), 400) AS words
        FROM enrollment_requirementcheck r
        JOIN enrollment_criterion k ON k.id = r.criterion_id
        WHERE r.location_id = c.location_id
          AND r.terms_id = c.terms_id
          AND NOT r.is_met
          AND r.valid_from <= %(on)s
          AND (r.valid_until IS NULL OR r.valid_until >= %(on)s)
    ) unmet
)
SELECT count(*) FROM moved
"""

REGAIN = """
WITH chosen AS MATERIALIZED (
    SELECT e.id, f.id AS effect, COALESCE(before.was, 'invited') AS back
    FROM enrollment_importeffect f
    JOIN enrollment_enrollment e
        ON e.location_id = f.location_id AND e.terms_id = f.terms_id
    LEFT JOIN LATERAL (
        SELECT v.from_status AS was
        FROM enrollment_enrollmentevent v
        WHERE v.enrollment_id = e.id
          AND v.to_status = 'ineligible'
          AND v.from_status = ANY (%(open)s)
        ORDER BY v.id DESC
        LIMIT 1
    ) before ON true
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

# Only where the import's own step is still the last one.
PUT_BACK = """
WITH chosen AS MATERIALIZED (
    SELECT e.id, e.status AS now, f.was_status AS back
    FROM enrollment_importeffect f
    JOIN enrollment_enrollment e ON e.id = f.enrollment_id
    WHERE f.value_import_id = %(import)s
      AND NOT EXISTS (
          SELECT FROM enrollment_enrollmentevent v
          WHERE v.enrollment_id = e.id AND v.at > %(since)s
      )
), moved AS (
    UPDATE enrollment_enrollment e
    SET status = c.back, status_since = %(at)s
    FROM chosen c
    WHERE e.id = c.id
    RETURNING e.id
), told AS (
    INSERT INTO enrollment_enrollmentevent
        (enrollment_id, code, from_status, to_status, by_id, note, at)
    SELECT c.id, 'eligibility_undone', c.now, c.back, %(by)s, '', %(at)s
    FROM chosen c
)
SELECT (SELECT count(*) FROM moved),
       (SELECT count(*) FROM enrollment_importeffect f
        WHERE f.value_import_id = %(import)s AND f.enrollment_id IS NOT NULL)
"""
