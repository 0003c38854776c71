"""Statements that are put together once and asked again with other values.

Putting a long statement together takes the ORM several times as long as PostgreSQL takes to
answer it. What a page asks in the same words each time is put together from the same
QuerySets as everywhere, with a Given in place of each value that differs: a parameter of
the statement still, never a part of its text.

How to answer a long statement about a few rows by their keys takes PostgreSQL longer to
decide than to answer it. `planned` has it decide once for a connection, whatever the keys
are. Only by keys: what is right for a company with one location is not for one with
thousands. `planned_for` has it decide once for each company.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial, wraps
from hashlib import sha256
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, NotSupportedError, connection
from django.db.models import Expression, QuerySet
from django.db.models.query import ModelIterable
from psycopg2.extensions import AsIs

# So many shapes of a question are kept: by roles, and by the day it is.
MOST_SHAPES = 200
# So many keys are a few.
FEW_KEYS = 100
# So many statements a connection keeps planned; then it begins anew.
MOST_PLANNED = 100
# So many are remembered that may be asked again.
MOST_ASKED = 500


class Given(Expression):
    """A value that a prepared question is given by this name when it is asked."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Given) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def as_sql(self, compiler, connection):
        """A parameter, whose value is still missing."""
        return "%s", [self]


def given_if(name: str, value: object) -> Given | None:
    """The place of a value that a question may have: None where it has none."""
    return None if value is None else Given(name)


class Prepared:
    """A QuerySet of rows or values as a statement; asked with a value for each Given."""

    def __init__(
        self, rows: QuerySet, *, is_planned: bool = False, planned_for: str = ""
    ) -> None:
        """Raises TypeError if rows bring others that are asked for afterwards.

        `is_planned` for all values, or `planned_for` each value of one of the Givens.
        """
        self.is_planned, self.planned_for = is_planned, planned_for
        self._compiler = compiler = rows.query.get_compiler(DEFAULT_DB_ALIAS)
        self._has_models = issubclass(rows._iterable_class, ModelIterable)
        self._is_ordered = rows.ordered
        if rows._prefetch_related_lookups:
            raise TypeError("What comes with these rows is asked for afterwards.")
        try:
            self.sql, self.parameters = compiler.as_sql()
        except EmptyResultSet:
            self.sql, self.parameters = "", ()
        # What a connection knows it by, where it is planned: the same statement in every
        # process, and no other one, whoever shares the connection.
        told = [self._is_told(one) for one in self.parameters]
        fixed = [str(one) for one in self.parameters if not isinstance(one, Given)]
        said = repr((self.sql, fixed, told)).encode()
        self.name = f"prepared_{sha256(said).hexdigest()[:32]}"

    def ask(self, **values: Any) -> list:
        """Return the rows for some values; nothing is asked where there can be none.

        Keys for `among` are a list: numbers, UUIDs or their text, nothing to be quoted.
        """
        if not self.sql:
            return []
        lists = {name: one for name, one in values.items() if isinstance(one, list)}
        values |= {name: _array(keys) for name, keys in lists.items()}
        are_few = all(len(keys) <= FEW_KEYS for keys in lists.values())
        with connection.cursor() as cursor:
            if are_few and (self.is_planned or self._is_asked_again(values)):
                self._ask_planned(cursor, values)
            else:
                cursor.execute(
                    self.sql,
                    [
                        values[one.name] if isinstance(one, Given) else one
                        for one in self.parameters
                    ],
                )
            found = cursor.fetchall()
        if self._has_models:
            return list(ModelIterable(_Answer(self._compiler, found, self._is_ordered)))
        return list(self._compiler.results_iter([found], tuple_expected=True))

    def name_for(self, values: Mapping[str, Any]) -> str:
        """Return what a connection knows it by that has planned it for some values.

        It is planned for keys that are numbers alone: a name is not quoted.
        """
        if not self.planned_for:
            return self.name
        return f"{self.name}_{int(values[self.planned_for])}"

    def _is_asked_again(self, values: Mapping[str, Any]) -> bool:
        """Whether it was asked of the same before, on this connection."""
        if not self.planned_for:
            return False
        name = self.name_for(values)
        if name in _planned.get(connection.connection, ()):
            return True
        asked = _asked.setdefault(connection.connection, {})
        if name in asked:
            del asked[name]
            return True
        asked[name] = None
        while len(asked) > MOST_ASKED:
            del asked[next(iter(asked))]
        return False

    def _is_told(self, one: object) -> bool:
        """Whether a parameter differs from one time to the next that it is planned for."""
        return isinstance(one, Given) and one.name != self.planned_for

    def _ask_planned(self, cursor, values: dict[str, Any]) -> None:
        """Ask by what PostgreSQL decided before, on this connection.

        Within a transaction it may plan a few times before it keeps what it decided:
        told otherwise, it would do so for all else that the transaction asks. A column
        that became another type meanwhile, by a migration, has all planned anew.
        """
        name = self.name_for(values)
        given = [values[one.name] for one in self.parameters if self._is_told(one)]
        decided = "" if connection.in_atomic_block else f"{_DECIDED}; "
        places = f"({', '.join(['%s'] * len(given))})" if given else ""
        asked = f"{decided}EXECUTE {name} {places}"
        self._plan(cursor, name, values)
        try:
            cursor.execute(asked, given)
        except NotSupportedError:
            _planned[connection.connection].add(_OUTDATED)
            if connection.in_atomic_block:
                raise
            self._plan(cursor, name, values)
            cursor.execute(asked, given)

    def _plan(self, cursor, name: str, values: Mapping[str, Any]) -> None:
        """Tell PostgreSQL the statement, once for a connection: no question of the page."""
        known = _planned.setdefault(connection.connection, set())
        is_begun_anew = _OUTDATED in known or len(known) >= MOST_PLANNED
        if name in known and _OUTDATED not in known:
            return
        numbers = count(1)
        given = [
            AsIs(f"${next(numbers)}")
            if self._is_told(one)
            else values[one.name]
            if isinstance(one, Given)
            else one
            for one in self.parameters
        ]
        with connection.wrap_database_errors:
            if is_begun_anew:
                cursor.cursor.execute("DEALLOCATE ALL")
                known.clear()
            cursor.cursor.execute(f"PREPARE {name} AS {self.sql}", given)
        known.add(name)


def _array(keys: list) -> str:
    return f"{{{','.join(map(str, keys))}}}"


_DECIDED = "SET LOCAL plan_cache_mode = force_generic_plan"
# The names of the statements that each connection has planned.
_planned: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
# Those that it was asked lately, the first first, of what is planned for who asks again.
_asked: WeakKeyDictionary[Any, dict[str, None]] = WeakKeyDictionary()
# Stands among the names of a connection that has to put all of them away first.
_OUTDATED = ""


class _Answer:
    """What ModelIterable wants of a QuerySet and its compiler, of rows that were read."""

    db = DEFAULT_DB_ALIAS
    _known_related_objects: dict = {}

    def __init__(self, compiler, found: list[tuple], is_ordered: bool) -> None:
        self.query, self.found, self.ordered = self, found, is_ordered
        self.results_iter = compiler.results_iter
        self.select, self.klass_info = compiler.select, compiler.klass_info
        self.annotation_col_map = compiler.annotation_col_map

    def get_compiler(self, using: str) -> "_Answer":
        return self

    def execute_sql(self, **_how) -> Iterator[list[tuple]]:
        return iter([self.found])


def prepared(rows_of: Callable[..., QuerySet]) -> Callable[..., Prepared]:
    """Prepare what a function returns, once for the same arguments."""
    return _kept_by_shape(rows_of, how=lambda *_shape: {})


def planned(rows_of: Callable[..., QuerySet]) -> Callable[..., Prepared]:
    """Prepare it, and have PostgreSQL decide once for each connection how to answer it.

    For rows by their keys; of more than FEW_KEYS it decides each time.
    """
    return _kept_by_shape(rows_of, how=lambda *_shape: {"is_planned": True})


def planned_for(
    name: str, *, where: Callable[..., bool]
) -> Callable[[Callable[..., QuerySet]], Callable[..., Prepared]]:
    """Plan a question for each value of a Given that it is asked of again.

    For what is asked by company: what PostgreSQL decides is right for that company, with
    one location or thousands. Whoever is asked about once in a while is planned for each
    time. Only where something holds of the function's arguments.
    """
    return partial(
        _kept_by_shape,
        how=lambda *shape: {"planned_for": name if where(*shape) else ""},
    )


def _kept_by_shape(
    rows_of: Callable[..., QuerySet], *, how: Callable[..., dict[str, Any]]
) -> Callable[..., Prepared]:
    return wraps(rows_of)(
        lru_cache(maxsize=MOST_SHAPES)(
            lambda *shape: Prepared(rows_of(*shape), **how(*shape))
        )
    )
