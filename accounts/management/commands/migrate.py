"""Migrate the database: Django's command, without the portal's limit on a statement."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management.commands import migrate
from django.db import connections

from accounts.commands import PortalCommand


@contextmanager
def as_long_as_it_takes(alias: str) -> Iterator[None]:
    """Let a statement over this connection run longer than a job's may.

    An index on ten million rows is built for minutes. What waits for a lock gives up as
    soon as a page would, for everybody's pages wait behind it (security.md, fault 50).
    """
    before = _limits(alias, "0", f"{settings.PAGE_LOCK_SECONDS}s")
    try:
        yield
    finally:
        _limits(alias, *before)


def _limits(alias: str, statement: str, lock: str) -> tuple[str, str]:
    """Set how long a statement and a lock may take; return how long they could."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
        )
        before = cursor.fetchone()
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, false), "
            "set_config('lock_timeout', %s, false)",
            [statement, lock],
        )
    return before


class Command(PortalCommand, migrate.Command):
    """Django's `migrate`; no statement of a migration ends for taking long."""

    def handle(self, *args, **options):
        with as_long_as_it_takes(options["database"]):
            super().handle(*args, **options)
