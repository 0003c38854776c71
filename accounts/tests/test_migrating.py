"""Migrating has no limit on how long a statement takes; everything else has."""

from io import StringIO

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connection
from django.db.models.signals import pre_migrate

pytestmark = pytest.mark.django_db


def longest_statement() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return cursor.fetchone()[0]


@pytest.fixture
def told():
    """How long a statement may take, asked as migrations are about to run."""
    answers = []

    def ask(**_kwargs):
        answers.append(longest_statement())

    accounts = apps.get_app_config("accounts")
    pre_migrate.connect(ask, sender=accounts)
    yield answers
    pre_migrate.disconnect(ask, sender=accounts)


def test_a_statement_of_a_migration_may_take_longer_than_a_pages(told):
    call_command("migrate", "sessions", verbosity=0)
    assert (told, longest_statement()) == (["0"], "1min")

    # The control: Django's own command ends it as a page's.
    call_command(migrate.Command(), "sessions", verbosity=0)
    assert told == ["0", "1min"]


def test_the_limit_is_back_after_a_migration_that_failed():
    with pytest.raises(CommandError, match="Cannot find a migration"):
        call_command("migrate", "sessions", "9999_nowhere", verbosity=0)

    assert longest_statement() == "1min"


def test_rules_of_all_mail_and_tax_versions_are_looked_up_while_others_write():
    for app, number in (("accounts", "0039"), ("profiles", "0022")):
        out = StringIO()
        call_command("sqlmigrate", app, number, stdout=out)
        assert "NOT VALID" in out.getvalue()

    with connection.cursor() as cursor:
        cursor.execute("SELECT conname FROM pg_constraint WHERE NOT convalidated")
        assert cursor.fetchall() == []
