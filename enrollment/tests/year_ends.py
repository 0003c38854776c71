"""Year ends of any size: one enrollment per line of the table, multiplied in SQL."""

from dataclasses import dataclass
from datetime import date

from django.db import connection, models

from accounts.models import Location, PartnerAccount
from enrollment.models import (
    Agreement,
    Enrollment,
    FiscalYear,
    MeasuredValue,
    PayoutAssignment,
)
from enrollment.tests.test_renewal import BankFact, TaxFact, Value, World, made
from profiles.models import (
    BankProfile,
    BankProfileVersion,
    TaxProfile,
    TaxProfileVersion,
)

KNOWN_ON = date(2027, 6, 20)
# One of each line of the table, and how many of a hundred companies are like it.
MIX = {
    "continues": (World(), 68),
    "form expires": (World(tax=TaxFact(expires=-1)), 6),
    "validating": (World(status="validating", bank=BankFact("pending")), 3),
    "returned": (
        World(status="action_required", bank=BankFact("action_required")),
        4,
    ),
    "no agreement": (World(agreement=None), 3),
    "not eligible": (World(asks=True, value=Value(9, 0), on=KNOWN_ON), 3),
    "discontinued": (World(discontinued=True), 2),
    "no terms": (World(has_terms=False), 2),
    "invited": (World(status="invited"), 5),
    "declined": (World(status="declined"), 2),
    "inactive": (World(status="inactive"), 2),
}
LOCATIONS_EACH = 5
# Keys and PartnerIDs of copies begin here.
FIRST_COPY = 100_000_000


@dataclass(frozen=True)
class Copies:
    """Which copies of a row are made, and how a copy's key follows from the row's.

    `key` is the SQL of a number that no other copy of any row has.
    """

    key: str
    series: str


def fill_year_end(rows: int) -> FiscalYear:
    """Store about so many ending enrollments, five in each company; return the new year.

    What one company has is made by the factories; the others are its copies.
    """
    series = 0
    for world, share in MIX.values():
        enrollment, into = made(world)
        companies = max(1, rows * share // 100 // LOCATIONS_EACH)
        _multiply(enrollment, companies=companies, first=FIRST_COPY + series)
        series += companies
    count_anew()
    return into


def count_anew() -> None:
    """Let PostgreSQL count our tables, by which it plans.

    Only ours: ANALYZE without names waits for whoever does so in any database.
    """
    names = connection.introspection.django_table_names(only_existing=True)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(sorted(names))}")


def _multiply(enrollment: Enrollment, *, companies: int, first: int) -> None:
    by_company = Copies(
        "n", f"generate_series({first}, {first + companies - 1}) AS copies (n)"
    )
    by_location = Copies(
        f"(n * {LOCATIONS_EACH} + m)",
        f"{by_company.series}, generate_series(0, {LOCATIONS_EACH - 1}) AS each (m)",
    )
    location = enrollment.location
    account = location.partner_account
    banks = BankProfile.objects.filter(partner_account=account)
    taxes = TaxProfile.objects.filter(location=location)

    of_account = {"partner_account_id": "n"}
    of_location = {"location_id": by_location.key}
    copy_rows(
        PartnerAccount.objects.filter(pk=account.pk),
        by_company,
        {"id": "n", "partner_id": "n::text"},
    )
    copy_rows(Agreement.objects.filter(partner_account=account), by_company, of_account)
    copy_rows(banks, by_company, of_account | renamed("id", by_company))
    copy_rows(
        BankProfileVersion.objects.filter(profile__in=banks),
        by_company,
        renamed("id", by_company) | renamed("profile_id", by_company),
    )
    copy_rows(
        Location.objects.filter(pk=location.pk),
        by_location,
        of_account | {"id": by_location.key, "partner_id": f"{by_location.key}::text"},
    )
    copy_rows(MeasuredValue.objects.filter(location=location), by_location, of_location)
    copy_rows(taxes, by_location, of_location | renamed("id", by_location))
    copy_rows(
        TaxProfileVersion.objects.filter(profile__in=taxes),
        by_location,
        renamed("id", by_location) | renamed("profile_id", by_location),
    )
    copy_rows(
        Enrollment.objects.filter(pk=enrollment.pk),
        by_location,
        of_account | of_location | renamed("id", by_location),
    )
    copy_rows(
        PayoutAssignment.objects.filter(enrollment=enrollment),
        by_location,
        of_account
        | of_location
        | renamed("enrollment_id", by_location)
        | renamed("bank_profile_id", by_company)
        | renamed("bank_version_id", by_company)
        | renamed("tax_profile_id", by_location)
        | renamed("tax_version_id", by_location),
    )


def renamed(column: str, copies: Copies) -> dict[str, str]:
    """A key of the copy that every row of the copy finds by itself."""
    return {column: f"md5(t.{column}::text || {copies.key})::uuid"}


def copy_rows(rows: models.QuerySet, copies: Copies, changed: dict[str, str]) -> None:
    """Store copies of rows, with some columns changed."""
    model = rows.model
    columns = [
        field.column
        for field in model._meta.concrete_fields
        if field.column in changed or not isinstance(field, models.AutoField)
    ]
    values = [changed.get(column, f't."{column}"') for column in columns]
    keys = list(rows.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{model._meta.db_table}" '
            f"({', '.join(columns)}) SELECT {', '.join(values)} "
            f'FROM "{model._meta.db_table}" t, {copies.series} '
            f"WHERE t.{model._meta.pk.column}::text = ANY (%s)",
            [[str(key) for key in keys]],
        )
