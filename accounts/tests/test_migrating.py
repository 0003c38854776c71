"""Migrating: how long a statement may take, and what a database then is."""

import os
import subprocess
import sys
from contextlib import closing
from io import StringIO

import psycopg2
import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connection
from django.db.models.signals import pre_migrate

pytestmark = pytest.mark.django_db

JOBS = ("1min", "10s")


def limits() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
        )
        return cursor.fetchone()


@pytest.fixture
def told():
    """How long a statement and a lock may take, asked as migrations are about to run."""
    answers = []

    def ask(**_kwargs):
        answers.append(limits())

    accounts = apps.get_app_config("accounts")
    pre_migrate.connect(ask, sender=accounts)
    yield answers
    pre_migrate.disconnect(ask, sender=accounts)


def test_a_migration_takes_what_it_takes_but_waits_for_a_lock_as_a_page_does(told):
    call_command("migrate", "sessions", verbosity=0)
    assert (told, limits()) == ([("0", "3s")], JOBS)

    # The control: Django's own command has a job's time.
    call_command(migrate.Command(), "sessions", verbosity=0)
    assert told == [("0", "3s"), JOBS]


def test_the_limits_are_back_after_a_migration_that_failed():
    with pytest.raises(CommandError, match="Cannot find a migration"):
        call_command("migrate", "sessions", "9999_nowhere", verbosity=0)

    assert limits() == JOBS


def test_rules_of_all_mail_and_tax_versions_are_looked_up_while_others_write():
    for app, number in (("accounts", "0039"), ("profiles", "0022")):
        out = StringIO()
        call_command("sqlmigrate", app, number, stdout=out)
        assert "NOT VALID" in out.getvalue()

    with connection.cursor() as cursor:
        cursor.execute("SELECT conname FROM pg_constraint WHERE NOT convalidated")
        assert cursor.fetchall() == []


# Columns, constraints, indexes, triggers, and what the portal begins with.
ALL_OF_IT = """
SELECT attrelid::regclass::text, concat_ws(' ', attnum, attname),
       concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attidentity),
       pg_get_expr(adbin, adrelid)
  FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE relnamespace = 'public'::regnamespace AND NOT attisdropped AND attnum > 0
UNION ALL
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated::text
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT tablename, indexname, indexdef, '' FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(pg_trigger.oid), prosrc
  FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid WHERE NOT tgisinternal
UNION ALL
SELECT 'groups', auth_group.name, codename, ''
  FROM auth_group JOIN auth_group_permissions ON group_id = auth_group.id
  JOIN auth_permission ON auth_permission.id = permission_id
UNION ALL
SELECT 'reasons', code, title_en, text_sv FROM profiles_returnreason
ORDER BY 1, 2, 3, 4
"""


def everything_in(name: str) -> list:
    """Say what a database is made of."""
    there = psycopg2.connect(**connection.get_connection_params() | {"dbname": name})
    with closing(there), there.cursor() as cursor:
        cursor.execute(ALL_OF_IT)
        return cursor.fetchall()


@pytest.mark.long
def test_a_database_made_quickly_is_the_one_that_migrate_makes():
    quick, plain = (f"{connection.settings_dict['NAME']}_{end}" for end in ("q", "p"))
    address, _slash, _name = os.environ["DATABASE_URL"].rpartition("/")
    try:
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {plain}")
        for command, more in (
            (["script/_test_template.py"], {"TEST_DB_TEMPLATE": quick}),
            (["manage.py", "migrate"], {"DATABASE_URL": f"{address}/{plain}"}),
        ):
            subprocess.run(
                [sys.executable, *command],
                cwd=settings.BASE_DIR,
                env={**os.environ, "PYTHONPATH": ".", **more},
                stdout=subprocess.DEVNULL,
                check=True,
            )

        assert everything_in(quick) == everything_in(plain)
    finally:
        with connection._nodb_cursor() as cursor:
            for name in (quick, plain):
                cursor.execute(f"DROP DATABASE IF EXISTS {name}")
