"""Migrate the database: Django's command, without the portal's limit on a statement."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.commands import migrate
from django.db import connections

from accounts.commands import PortalCommand


@contextmanager
def as_long_as_it_takes(alias: str) -> Iterator[None]:
    """Let a statement over this connection run longer than a page's may.

    An index on ten million rows is built for minutes. What waits for a lock still gives
    up as soon as a page would, for everybody else waits behind it.
    """
    with connections[alias].cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        [limit] = cursor.fetchone()
        cursor.execute("SET statement_timeout = 0")
    try:
        yield
    finally:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", [limit])


class Command(PortalCommand, migrate.Command):
    """Django's `migrate`; no statement of a migration ends for taking long."""

    def handle(self, *args, **options):
        with as_long_as_it_takes(options["database"]):
            super().handle(*args, **options)
