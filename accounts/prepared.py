"""Statements that are put together once and asked again with other values.

Putting a long statement together takes the ORM several times as long as PostgreSQL takes to
answer it. What a page asks in the same words each time is put together from the same
QuerySets as everywhere, with a Given in place of each value that differs: a parameter of
the statement still, never a part of its text.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Expression, QuerySet

# So many shapes of a question are kept: by roles, and by the day it is.
MOST_SHAPES = 200


class Given(Expression):
    """A value that a prepared question is given by this name when it is asked."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler, connection):
        """A parameter, whose value is still missing."""
        return "%s", [self]


def given_if(name: str, value: object) -> Given | None:
    """The place of a value that a question may have: None where it has none."""
    return None if value is None else Given(name)


class Prepared:
    """A QuerySet of values as a statement; asked with a value for each Given."""

    def __init__(self, rows: QuerySet) -> None:
        """Raises TypeError if the values are not what PostgreSQL returns them as."""
        compiler = rows.query.get_compiler(DEFAULT_DB_ALIAS)
        try:
            self.sql, self.parameters = compiler.as_sql()
        except EmptyResultSet:
            self.sql, self.parameters = "", ()
        else:
            shown = (column[0] for column in compiler.select)
            if compiler.get_converters(shown):
                raise TypeError("These values are converted after they were read.")

    def ask(self, **values: Any) -> list[tuple]:
        """Return the rows for some values; nothing is asked where there can be none."""
        if not self.sql:
            return []
        given = [
            values[one.name] if isinstance(one, Given) else one
            for one in self.parameters
        ]
        with connection.cursor() as cursor:
            cursor.execute(self.sql, given)
            return cursor.fetchall()


def prepared(rows_of: Callable[..., QuerySet]) -> Callable[..., Prepared]:
    """Prepare what a function returns, once for the same arguments."""
    return wraps(rows_of)(
        lru_cache(maxsize=MOST_SHAPES)(lambda *shape: Prepared(rows_of(*shape)))
    )
