"""How long the database may take: a page's time, a job's, or what its place asks for.

What ran out, or waited for somebody else for too long, is told by its error's code; the
page for it is incentives_portal.views.server_error (security.md §6.2, faults 23 and 50).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, connections

# PostgreSQL's codes: canceled; a lock not had in time, a deadlock, one writer too many.
RAN_OUT = "57014"
HELD = ("55P03", "40P01", "40001")
# Ended by its administrator, crashed, not up yet; too many connections.
AWAY = ("57P01", "57P02", "57P03", "53300")


class Trouble(Enum):
    """What a database that is whole may say for a moment, and not say again."""

    LONG = "long"
    HELD = "held"
    AWAY = "away"


def trouble_of(error: BaseException | None) -> Trouble | None:
    """Return what it is where trying again in a moment may help, else None."""
    if isinstance(error, InterfaceError):
        return Trouble.AWAY
    if not isinstance(error, OperationalError):
        return None
    code = getattr(error.__cause__, "pgcode", None)
    if code == RAN_OUT:
        return Trouble.LONG
    if code in HELD:
        return Trouble.HELD
    # A connection that broke, or never was, has no code.
    is_away = code is None or code.startswith("08") or code in AWAY
    return Trouble.AWAY if is_away else None


def is_held(error: BaseException) -> bool:
    """Whether somebody else held what a statement waited for."""
    return trouble_of(error) is Trouble.HELD


def serve_pages() -> None:
    """Give this process's connections a page's time: it serves pages and does no jobs."""
    limits = (
        f" -c statement_timeout={settings.PAGE_STATEMENT_SECONDS}s"
        f" -c lock_timeout={settings.PAGE_LOCK_SECONDS}s"
    )
    for known in connections.settings.values():
        options = known["OPTIONS"].get("options", "")
        # What comes last counts.
        if not options.endswith(limits):
            known["OPTIONS"] = known["OPTIONS"] | {"options": options + limits}
    connections.close_all()


@contextmanager
def at_length(seconds: int | None = None) -> Iterator[None]:
    """Let each statement take so many seconds, a job's without; none gets less than before.

    For what is known to take longer than a page's, at its place. In a transaction it
    ends with it at the latest. What waits for a lock gives up as soon as ever.
    """
    limit = f"{settings.JOB_STATEMENT_SECONDS if seconds is None else seconds}s"
    with connection.cursor() as cursor:
        cursor.execute(LENGTHEN, {"limit": limit, "local": connection.in_atomic_block})
        [before, _now] = cursor.fetchone()
    try:
        yield
    except BaseException:
        # A transaction that failed takes it back itself, and no statement any more.
        if not connection.in_atomic_block:
            with suppress(OperationalError, InterfaceError):
                _limit(before)
        raise
    _limit(before)


def _limit(limit: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, %s)",
            [limit, connection.in_atomic_block],
        )


# What was, and what is now; 0 is no limit.
LENGTHEN = """
SELECT before, set_config(
    'statement_timeout',
    CASE WHEN before::interval BETWEEN '1ms' AND %(limit)s THEN %(limit)s ELSE before END,
    %(local)s
) FROM current_setting('statement_timeout') before
"""
