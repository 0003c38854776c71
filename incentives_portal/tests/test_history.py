"""History is kept: what the database refuses for every table that is written once."""

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

pytestmark = pytest.mark.django_db

KEPT = (
    "accounts_auditevent",
    "accounts_auditchain",
    "profiles_bankprofileversion",
    "profiles_taxprofileversion",
    "profiles_taxdocument",
    "profiles_bankchangestop",
    "enrollment_enrollmentevent",
    "enrollment_renewalrow",
)
GUARDED = """
SELECT DISTINCT t.tgrelid::regclass::text
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE p.proname = ANY (%s)
"""


def guarded_by(*functions: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(GUARDED, [list(functions)])
        return {name for (name,) in cursor.fetchall()}


def empty(table: str, *, allowed: str = "off") -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('portal.allow_truncate', %s, true)", [allowed]
        )
        cursor.execute(f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize("table", KEPT)
def test_history_is_not_emptied(table):
    with pytest.raises(IntegrityError, match="is not emptied"):
        empty(table)


@pytest.mark.parametrize("table", KEPT)
def test_where_it_is_allowed_it_would_be_emptied(table):
    """The control of the test above."""
    empty(table, allowed="on")


def test_history_is_not_emptied_through_what_it_refers_to():
    with pytest.raises(IntegrityError, match="is not emptied"):
        empty("accounts_user")


def test_nobody_empties_the_database_by_command(monkeypatch):
    # Without what lets tests do it (conftest.py).
    operations = type(connection.ops)
    patched = operations.sql_flush
    monkeypatch.setattr(
        operations,
        "sql_flush",
        lambda self, *args, **kwargs: patched(self, *args, **kwargs)[1:],
    )

    with pytest.raises(CommandError, match="couldn't be flushed"):
        call_command("flush", "--no-input", verbosity=0)


def test_every_table_that_is_written_once_is_kept():
    written_once = guarded_by("portal_refuse_change", "profiles_refuse_edit")

    assert written_once <= guarded_by("portal_refuse_truncate") == set(KEPT)
