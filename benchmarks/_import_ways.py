"""The ways of importing measured values that are compared, each in a process."""

import csv
import os
import time
from pathlib import Path

# Of a hundred lines: unknown locations, and values that are no numbers.
BAD_EVERY = 67
CRITERIA = ("revenue", "people", "score")
BLOCK = 64 * 1024


def table() -> Path:
    return Path(os.environ["BENCH_FILE"])


# --- The same database for all of them ---------------------------------------


def fill(rows: int) -> dict:
    """Three criteria at a third as many locations; half of the values are known.

    Three programs ask for one to three of them; every tenth location is enrolled.
    """
    from django.core.management import call_command
    from django.db import connection

    from enrollment.tests.factories import (
        CriterionFactory,
        FiscalYearFactory,
        ProgramTermsFactory,
        RequirementFactory,
    )

    call_command("migrate", verbosity=0)
    places = rows // len(CRITERIA) + 1
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_location DISABLE TRIGGER USER")
        cursor.execute(COMPANIES, {"companies": places // 400 + 1})
        cursor.execute(PLACES, {"places": places, "companies": places // 400 + 1})
        cursor.execute("ALTER TABLE accounts_location ENABLE TRIGGER USER")
    year = FiscalYearFactory()
    criteria = [CriterionFactory(code=code) for code in CRITERIA]
    for number in (1, 2, 3):
        terms = ProgramTermsFactory(fiscal_year=year, needs_agreement=number == 3)
        for criterion in criteria[:number]:
            RequirementFactory(terms=terms, criterion=criterion, at_least=1000 * number)
    with connection.cursor() as cursor:
        cursor.execute(KNOWN, {"criteria": [one.pk for one in criteria]})
        cursor.execute(ENROLLED, {"terms": terms.pk, "last": year.ends_on})
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    write_lines(rows)
    return {}


COMPANIES = """
INSERT INTO accounts_partneraccount
    (partner_id, name, legal_name, country, email_domains, created_at, must_migrate)
SELECT (7000000 + n)::text, 'Company ' || n, 'Company ' || n, 'SE', '{}', now(), false
FROM generate_series(1, %(companies)s) n
"""
PLACES = """
INSERT INTO accounts_location
    (partner_id, name, legal_name, country, street, postcode, city, created_at,
     partner_account_id, closing_reason)
SELECT (10000000 + n)::text, 'Place ' || n, 'Company', 'SE', 'Street 1', '111 11',
       'Town', now(), (SELECT min(id) FROM accounts_partneraccount) + n %% %(companies)s,
       ''
FROM generate_series(1, %(places)s) n
"""
# Half of the pairs are known: 97 of 100 meet what is asked, and will.
KNOWN = """
INSERT INTO enrollment_measuredvalue
    (location_id, criterion_id, value, measured_on, source)
SELECT l.id, c, CASE WHEN l.id %% 100 < 3 THEN 10 ELSE 5000 END, '2026-01-01', 'report'
FROM accounts_location l
CROSS JOIN unnest(%(criteria)s) c
WHERE (l.id + c) %% 2 = 0
"""
ENROLLED = """
INSERT INTO enrollment_enrollment
    (id, location_id, partner_account_id, terms_id, status, status_since, invited_at,
     enroll_by, agreement_version, end_reason)
SELECT gen_random_uuid(), l.id, l.partner_account_id, %(terms)s, 'invited', now(), now(), %(last)s, '', ''
FROM accounts_location l
WHERE l.id %% 10 = 0
"""


def write_lines(rows: int) -> None:
    """A file that knows every pair, half of them new, in another order than stored."""
    with table().open("w", newline="", encoding="utf-8") as file:
        write = csv.writer(file).writerow
        write(["partner_id", "criterion", "value", "measured_on", "source"])
        places = rows // len(CRITERIA) + 1
        for number in range(rows):
            place = 10000001 + number % places
            code = CRITERIA[number // places % len(CRITERIA)]
            value = 20 if number % 100 < 2 else 6000 + number % 1000
            if number % BAD_EVERY == 0:
                write([place, code, "much", "2026-02-01", "monthly report"])
            else:
                write([place, code, f"{value}.50", "2026-02-01", "monthly report"])


# --- The limit ---------------------------------------------------------------------

RAW_TABLE = """
CREATE UNLOGGED TABLE raw_lines (
    partner_id text, criterion text, value text, measured_on text, source text
)
"""
RAW_CHECK = """
CREATE UNLOGGED TABLE raw_values AS
SELECT l.id AS location_id, c.id AS criterion_id, r.value::numeric(16, 2) AS value,
       r.measured_on::date AS measured_on, r.source
FROM raw_lines r
JOIN accounts_location l ON l.partner_id = r.partner_id
JOIN enrollment_criterion c ON c.code = r.criterion
WHERE r.value ~ '^-?[0-9]{1,14}(\\.[0-9]{1,2})?$'
  AND r.measured_on ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'
"""
RAW_UPSERT = """
INSERT INTO enrollment_measuredvalue
    (location_id, criterion_id, value, measured_on, source)
SELECT location_id, criterion_id, value, measured_on, source FROM raw_values
ON CONFLICT (location_id, criterion_id) DO UPDATE
SET value = excluded.value, measured_on = excluded.measured_on, source = excluded.source
WHERE (enrollment_measuredvalue.value, enrollment_measuredvalue.measured_on,
       enrollment_measuredvalue.source)
      IS DISTINCT FROM (excluded.value, excluded.measured_on, excluded.source)
"""


def raw() -> dict:
    """COPY the file as it is, check and upsert by one statement each."""
    from django.db import connection, transaction

    began = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(RAW_TABLE)
        with table().open("rb") as file:
            cursor.copy_expert("COPY raw_lines FROM STDIN CSV HEADER", file)
        cursor.execute("ANALYZE raw_lines")
        cursor.execute(RAW_CHECK)
        cursor.execute(RAW_UPSERT)
    return {"seconds": time.perf_counter() - began, "picture": picture()}


# --- Ours ---------------------------------------------------------------------------


def ours() -> dict:
    """Keep, read, compare and apply, as the command does."""
    from django.conf import settings

    from enrollment import services

    settings.IMPORT_HOLD_PERCENT = 100
    steps, began = {}, time.perf_counter()

    def lap(name: str) -> None:
        steps[name] = time.perf_counter() - began - sum(steps.values())

    with table().open("rb") as file:
        pieces = iter(lambda: file.read(BLOCK), b"")
        one = services.keep_file(pieces, name="values.csv", by=None).value_import
    lap("keep")
    first = services.first_rows(one)
    one = services.name_columns(
        one, columns=first.columns, delimiter=first.delimiter, by=None
    )
    while one.read_to < one.file_size:
        one = services.read_next_lines(one)
    lap("read")
    one = services.read_next_lines(one)
    lap("compare")
    one = services.carry_out_import(services.apply_import(one, by=None))
    lap("apply")
    return {
        "seconds": time.perf_counter() - began,
        "steps": {name: round(seconds, 2) for name, seconds in steps.items()},
        "difference": one.difference | {"rejected": one.rejected},
        "picture": picture(),
    }


# --- The peer -----------------------------------------------------------------------


def import_export(rows: int, *, is_bulk: bool) -> dict:
    """The first lines of the file by django-import-export, checks included."""
    import tablib
    from import_export import fields, resources, widgets

    from accounts.models import Location
    from enrollment.models import Criterion, MeasuredValue

    class Values(resources.ModelResource):
        location = fields.Field(
            attribute="location",
            column_name="partner_id",
            widget=widgets.ForeignKeyWidget(Location, "partner_id"),
        )
        criterion = fields.Field(
            attribute="criterion",
            column_name="criterion",
            widget=widgets.ForeignKeyWidget(Criterion, "code"),
        )

        class Meta:
            model = MeasuredValue
            import_id_fields = ("location", "criterion")
            fields = ("location", "criterion", "value", "measured_on", "source")
            skip_unchanged = True
            report_skipped = True
            use_bulk = is_bulk
            batch_size = 1000

    with table().open(encoding="utf-8", newline="") as file:
        lines = [line for _n, line in zip(range(rows + 1), file, strict=False)]
    began = time.perf_counter()
    dataset = tablib.Dataset().load("".join(lines), format="csv")
    result = Values().import_data(dataset, dry_run=False, raise_errors=False)
    seconds = time.perf_counter() - began
    totals = {name: number for name, number in result.totals.items() if number}
    return {"seconds": seconds, "rows": len(dataset), "totals": totals}


def picture() -> list:
    """What is known in the end, in a few numbers that no mistake leaves alone."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), sum(value), sum(value * (location_id %% 9973)), "
            "sum(criterion_id * (measured_on - '2020-01-01')), "
            "sum(length(source)) FROM enrollment_measuredvalue",
            [],
        )
        return [str(value) for value in cursor.fetchone()]
