"""The ways of a year end that are compared, each called in a process of its own."""

import time
from datetime import UTC, datetime

BEFORE = datetime(2027, 6, 20, 9, tzinfo=UTC)
NIGHT = datetime(2027, 7, 1, 0, 0, tzinfo=UTC)
LOOPED = 2_000
# Of more rows than these, as many are written in chunks, evenly over all of them.
CHUNKED = 100_000
CHUNK = 10_000


def fill(rows: int) -> dict:
    from django.core.management import call_command

    from enrollment.tests.year_ends import fill_year_end

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)
    fill_year_end(rows)
    return {}


def _year():
    from enrollment.models import FiscalYear

    return FiscalYear.objects.get(number=2028)


def rehearse() -> dict:
    """Time the rehearsal; propose and approve it."""
    from django.contrib.auth.models import Group

    from accounts.models import User
    from enrollment import services

    mina, lucia = (
        User.objects.create(
            email=f"{name}@owner.example", full_name=name, is_staff=True
        )
        for name in ("mina", "lucia")
    )
    lucia.groups.add(Group.objects.get(name="Approver"))
    began = time.perf_counter()
    plan = services.rehearse_renewals(_year(), by=mina, at=BEFORE)
    seconds = time.perf_counter() - began
    services.propose_renewals(plan, by=mina)
    services.approve_renewals(plan, digest=plan.digest, by=lucia)
    return {"seconds": seconds}


def start() -> dict:
    from enrollment import services
    from enrollment.models import RenewalPlan

    services.start_renewals(RenewalPlan.objects.get(), by=None, at=NIGHT)
    return {}


def run() -> dict:
    """Take ranges until none is left; say how long each took for a thousand rows."""
    from django.db import connection

    from enrollment import services
    from enrollment.models import RenewalPlan

    plan = RenewalPlan.objects.get()
    connection.ensure_connection()
    ranges, began = [], time.time()
    while True:
        start_of_range = time.perf_counter()
        one = services.renew_next_range(plan, at=NIGHT)
        if one is None:
            break
        seconds = time.perf_counter() - start_of_range
        ranges.append(1e6 * seconds / max(one.rows_count, 1))
    services.finish_renewals(plan, at=NIGHT)
    return {"began": began, "ended": time.time(), "ranges": ranges}


# --- One raw statement, the limit --------------------------------------------

RAW = """
WITH following AS (
    SELECT o.id AS terms_id, n.id AS next_terms, n.needs_agreement, n.methods,
           y.starts_on, y.ends_on, p.discontinued_at
    FROM enrollment_programterms o
    JOIN enrollment_fiscalyear oy ON oy.id = o.fiscal_year_id
    JOIN enrollment_fiscalyear y
        ON y.calendar_id = oy.calendar_id AND y.starts_on = oy.ends_on + 1
    JOIN accounts_incentiveprogram p ON p.id = o.program_id
    LEFT JOIN enrollment_programterms n
        ON n.program_id = o.program_id AND n.fiscal_year_id = y.id
), decided AS MATERIALIZED (
    SELECT e.*, f.next_terms, f.methods, f.starts_on, f.ends_on,
        CASE
            WHEN f.discontinued_at IS NOT NULL OR f.next_terms IS NULL
                THEN 'program_ended'
            WHEN e.status IN ('enrolled', 'validating', 'action_required')
                 AND f.needs_agreement AND NOT EXISTS (
                     SELECT FROM enrollment_agreement g
                     WHERE g.partner_account_id = l.partner_account_id
                       AND g.starts_on <= f.starts_on
                       AND (g.ends_on IS NULL OR g.ends_on >= f.starts_on)
                       AND (g.terminated_on IS NULL OR g.terminated_on > f.starts_on)
                 ) THEN 'no_agreement'
            WHEN e.status IN ('enrolled', 'validating', 'action_required')
                 AND (l.closed_at IS NOT NULL OR EXISTS (
                     SELECT FROM enrollment_requirement r
                     JOIN enrollment_measuredvalue v
                         ON v.criterion_id = r.criterion_id AND v.location_id = l.id
                     WHERE r.terms_id = f.next_terms AND v.value < r.at_least
                 )) THEN 'not_eligible'
            WHEN e.status = 'enrolled' AND EXISTS (
                     SELECT FROM enrollment_payoutassignment a
                     LEFT JOIN profiles_bankprofileversion b ON b.id = a.bank_version_id
                     LEFT JOIN profiles_taxprofileversion t ON t.id = a.tax_version_id
                     WHERE a.enrollment_id = e.id
                       AND (b.status IS DISTINCT FROM 'approved'
                            OR t.status IS DISTINCT FROM 'approved'
                            OR t.expires_on < f.starts_on)
                 ) THEN 'at_risk'
            WHEN e.status = 'invited' OR e.status = 'declined' THEN 'unanswered'
            WHEN e.status IN ('enrolled', 'validating', 'action_required')
                THEN e.status
            ELSE 'over'
        END AS outcome
    FROM enrollment_enrollment e
    JOIN following f ON f.terms_id = e.terms_id
    JOIN accounts_location l ON l.id = e.location_id
    WHERE e.status <> 'expired'
), fresh AS (
    INSERT INTO enrollment_enrollment
        (id, location_id, partner_account_id, terms_id, status, status_since,
         invited_at, enroll_by, accepted_at, accepted_by_id, agreement_version,
         submitted_at,
         submitted_by_id, enrolled_at, earns_from, end_reason, renewed_from_id)
    SELECT gen_random_uuid(), d.location_id, d.partner_account_id, d.next_terms,
           m.renews_as, %(at)s, d.invited_at, d.ends_on, d.accepted_at, d.accepted_by_id,
           d.agreement_version, d.submitted_at, d.submitted_by_id,
           CASE WHEN m.renews_as = 'enrolled' THEN %(at)s::timestamptz END,
           CASE WHEN m.renews_as = 'enrolled' THEN d.starts_on END, '', d.id
    FROM decided d
    JOIN (VALUES {map}) m (outcome, ends_as, renews_as) ON m.outcome = d.outcome
    WHERE m.renews_as <> ''
    RETURNING id, location_id, terms_id, status, renewed_from_id
), paid AS (
    INSERT INTO enrollment_payoutassignment
        (enrollment_id, earning_type_id, location_id, partner_account_id, method,
         bank_profile_id, tax_profile_id, currency, bank_version_id, tax_version_id)
    SELECT n.id, x.id, n.location_id, a.partner_account_id, a.method,
           a.bank_profile_id, a.tax_profile_id, a.currency, a.bank_version_id,
           a.tax_version_id
    FROM fresh n
    JOIN enrollment_earningtype x ON x.terms_id = n.terms_id
    JOIN enrollment_payoutassignment a ON a.enrollment_id = n.renewed_from_id
), ended AS (
    UPDATE enrollment_enrollment e
    SET status = 'expired', status_since = %(at)s, end_reason = m.ends_as
    FROM decided d
    JOIN (VALUES {map}) m (outcome, ends_as, renews_as) ON m.outcome = d.outcome
    WHERE e.id = d.id
    RETURNING e.id, d.status AS was
)
INSERT INTO enrollment_enrollmentevent
    (enrollment_id, code, from_status, to_status, note, at)
SELECT id, 'year_ended', was, 'expired', '', %(at)s FROM ended
UNION ALL
SELECT id, 'renewed', '', status, '', %(at)s FROM fresh
"""


def _mapping() -> str:
    from enrollment.states import RENEWALS

    return ", ".join(
        f"('{outcome}', '{end.ends_as}', '{end.renews_as or ''}')"
        for outcome, end in RENEWALS.items()
    )


def raw() -> dict:
    from django.db import connection, transaction

    connection.ensure_connection()
    began = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(RAW.format(map=_mapping()), {"at": NIGHT})
    return {"seconds": time.perf_counter() - began} | picture_of_all()


# --- The usual Django ways ---------------------------------------------------


def _successor(old, status: str):
    """The new year's enrollment and its payments, as instances."""
    from enrollment.models import Enrollment, PayoutAssignment

    year = old.next_terms_row.fiscal_year
    is_enrolled = status == "enrolled"
    new = Enrollment(
        location_id=old.location_id,
        terms_id=old.next_terms,
        status=status,
        status_since=NIGHT,
        invited_at=old.invited_at,
        enroll_by=year.ends_on,
        accepted_at=old.accepted_at,
        accepted_by_id=old.accepted_by_id,
        agreement_version=old.agreement_version,
        submitted_at=old.submitted_at,
        submitted_by_id=old.submitted_by_id,
        enrolled_at=NIGHT if is_enrolled else None,
        earns_from=year.starts_on if is_enrolled else None,
        renewed_from_id=old.pk,
    )
    old_payments = list(old.payout_assignments.all())
    payments = [
        PayoutAssignment(
            enrollment=new,
            earning_type=earning_type,
            location_id=payment.location_id,
            partner_account_id=payment.partner_account_id,
            method=payment.method,
            bank_profile_id=payment.bank_profile_id,
            tax_profile_id=payment.tax_profile_id,
            currency=payment.currency,
            bank_version_id=payment.bank_version_id,
            tax_version_id=payment.tax_version_id,
        )
        for earning_type in old.next_terms_row.earning_types.all()
        for payment in old_payments
    ]
    return new, payments


def _events(old, new, was: str) -> list:
    from enrollment.models import EnrollmentEvent

    events = [
        EnrollmentEvent(
            enrollment_id=old.pk,
            code="year_ended",
            from_status=was,
            to_status="expired",
            at=NIGHT,
        )
    ]
    if new is not None:
        events.append(
            EnrollmentEvent(
                enrollment=new, code="renewed", to_status=new.status, at=NIGHT
            )
        )
    return events


def _decided(keys):
    """Enrollments with their outcome, their payments and the terms that follow."""
    from enrollment.models import Enrollment, ProgramTerms
    from enrollment.renewal import with_outcome

    year = _year()
    terms = {
        one.pk: one
        for one in ProgramTerms.objects.select_related("fiscal_year").prefetch_related(
            "earning_types"
        )
    }
    found = with_outcome(
        Enrollment.objects.filter(pk__in=keys), into=year, on=BEFORE.date()
    ).prefetch_related("payout_assignments")
    for old in found:
        old.next_terms_row = terms.get(old.next_terms)
        yield old


def _ending_keys() -> list:
    from enrollment.models import Enrollment
    from enrollment.renewal import ending

    return list(
        ending(Enrollment.objects.all(), into=_year())
        .order_by("pk")
        .values_list("pk", flat=True)
    )


def in_chunks() -> dict:
    """Instances, bulk_create and bulk_update, ten thousand rows at once.

    Of very many rows only a part is written, and nothing compared.
    """
    from django.db import transaction

    from enrollment.models import Enrollment, EnrollmentEvent, PayoutAssignment
    from enrollment.states import RENEWALS

    began = time.perf_counter()
    keys = _ending_keys()
    is_whole = len(keys) <= CHUNKED
    keys = keys[:: max(1, len(keys) // CHUNKED)]
    for first in range(0, len(keys), CHUNK):
        with transaction.atomic():
            olds, news, payments, events = [], [], [], []
            for old in _decided(keys[first : first + CHUNK]):
                end, was, new = RENEWALS[old.outcome], old.status, None
                if end.renews_as:
                    new, paid = _successor(old, end.renews_as)
                    news.append(new)
                    payments += paid
                events += _events(old, new, was)
                old.status, old.status_since = "expired", NIGHT
                old.end_reason = end.ends_as
                olds.append(old)
            Enrollment.objects.bulk_create(news)
            PayoutAssignment.objects.bulk_create(payments)
            Enrollment.objects.bulk_update(
                olds, ["status", "status_since", "end_reason"], batch_size=1000
            )
            EnrollmentEvent.objects.bulk_create(events)
    seconds = time.perf_counter() - began
    picture = picture_of_all() if is_whole else {}
    return {"seconds": seconds, "rows": len(keys)} | picture


def in_a_loop() -> dict:
    """Save one after the other, each in its transaction; a part of the rows.

    What becomes of them is asked for once: asked for row by row, planning that question
    alone takes a tenth of a second.
    """
    from django.db import transaction

    from enrollment.states import RENEWALS

    keys = _ending_keys()
    # Evenly over all of them, so that the part has the mix of the whole.
    keys = keys[:: max(1, len(keys) // LOOPED)]
    began = time.perf_counter()
    for old in list(_decided(keys)):
        end, was, new = RENEWALS[old.outcome], old.status, None
        with transaction.atomic():
            if end.renews_as:
                new, payments = _successor(old, end.renews_as)
                new.save()
                for payment in payments:
                    payment.save()
            old.status, old.status_since = "expired", NIGHT
            old.end_reason = end.ends_as
            old.save()
            for event in _events(old, new, was):
                event.save()
    return {"seconds": time.perf_counter() - began, "rows": len(keys)}


# --- Is it the same? ---------------------------------------------------------

# A digest of each table as the year end left it, without keys made anew.
PICTURES = (
    """
    SELECT md5(string_agg(row::text, '|' ORDER BY row::text COLLATE "C"))
    FROM (SELECT ROW (location_id, terms_id, status, end_reason, renewed_from_id,
                      earns_from, enroll_by, accepted_at, submitted_at) AS row
          FROM enrollment_enrollment) rows
    """,
    """
    SELECT md5(string_agg(row::text, '|' ORDER BY row::text COLLATE "C"))
    FROM (SELECT ROW (e.location_id, e.terms_id, a.earning_type_id, a.method,
                      a.currency, a.bank_version_id, a.tax_version_id) AS row
          FROM enrollment_payoutassignment a
          JOIN enrollment_enrollment e ON e.id = a.enrollment_id) rows
    """,
    """
    SELECT md5(string_agg(row::text, '|' ORDER BY row::text COLLATE "C"))
    FROM (SELECT ROW (e.location_id, e.terms_id, v.code, v.from_status,
                      v.to_status) AS row
          FROM enrollment_enrollmentevent v
          JOIN enrollment_enrollment e ON e.id = v.enrollment_id) rows
    """,
)


def picture_of_all() -> dict:
    from django.db import connection

    with connection.cursor() as cursor:
        found = []
        for statement in PICTURES:
            cursor.execute(statement)
            found += cursor.fetchone()
    return {"picture": found}


# --- The portal during a run -------------------------------------------------


def sign_in() -> dict:
    """Sign somebody in who sees one company; return cookie and addresses."""
    from django.conf import settings
    from django.test import Client
    from django.urls import reverse

    from accounts.models import Membership, RoleAssignment, User
    from accounts.roles import Role
    from enrollment.models import Enrollment

    enrolled = (
        Enrollment.objects.filter(status="enrolled").order_by("-location").first()
    )
    account = enrolled.location.partner_account
    person = User.objects.create(email="anna@partner.example", full_name="Anna")
    Membership.objects.create(user=person, partner_account=account, added_by=person)
    RoleAssignment.objects.create(
        user=person,
        partner_account=account,
        role=Role.INCENTIVES_ADMIN,
        granted_by=person,
    )
    client = Client()
    client.force_login(person)
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    return {
        "cookie": f"{settings.SESSION_COOKIE_NAME}={key}",
        "pages": {
            "bare": "/bare/",
            "Home": reverse("home"),
            "Overview": reverse("enrollment:overview"),
        },
    }
