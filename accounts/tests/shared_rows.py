"""Rows that stay while tests that ask for them follow each other.

A fixture marked `shared` makes rows, and asks for `db` and other rows only. The first test
of a file that asks for it has it made, below the test's own transaction; a test that
comes next and asks for it too finds it as it was made, for what a test does is undone to
a savepoint, and objects are handed out as copies. Rows that a test does not ask for it
does not find: they are undone before it begins. So that little is undone, tests of a
file, or of a class in it, that ask for the same run one after the other.

A test has rows made for itself alone, as without the mark, where it has transactions of
its own, where it asks for them by name in its midst, where they rest on a fixture that
is no rows (a file's own `program`, say), and where it is marked `own_rows`: because the
clock was moved, or settings were changed, before they are made.
"""

import copy
from itertools import groupby
from unittest import TestCase

import pytest
from django.db import connection, transaction

_MAKERS = set()
TRANSACTIONS = {"transactional_db", "live_server"}


def shared(make):
    """Mark a fixture whose rows tests share; it returns something that can be copied."""
    _MAKERS.add(make)
    return pytest.fixture(make)


class Layer:
    """What one fixture made, in a savepoint of its own above those it rests on."""

    def __init__(self, fixture, below: dict):
        self.fixture = fixture
        # By name; what is made here may change what it rests on.
        self.values = copy.deepcopy(below)
        given = {name: self.values.get(name) for name in fixture.argnames}
        self._atomic = transaction.atomic()
        self._atomic.__enter__()
        try:
            self.values[fixture.argname] = made = fixture.func(**given)
            assert made is not None, f"{fixture.argname} returns nothing"
            assert not callable(made), f"{fixture.argname} would keep what it holds"
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        transaction.set_rollback(True)
        self._atomic.__exit__(None, None, None)


class SharedRows:
    """The rows that are there now, the oldest first, and what each test asks for."""

    def __init__(self):
        self._layers = []
        self._wanted = {}
        # What the test that runs now is given, by the fixture that made it.
        self._copies = {}
        self._blocker = None

    def plan(self, items) -> None:
        """Sort tests that ask for the same next to each other, within file and class."""
        known = {}
        self._wanted = {item: _rows_of(item, known) for item in items}
        ordered = []
        for _where, some in groupby(items, lambda item: (item.path, item.cls)):
            ordered += sorted(
                some, key=lambda item: [one.argname for one in self._wanted[item]]
            )
        items[:] = ordered

    def make_way(self, item) -> None:
        """Undo what this test does not ask for."""
        self._copies = {}
        keep = 0
        for layer, fixture in zip(
            self._layers, self._wanted.get(item, ()), strict=False
        ):
            if layer.fixture is not fixture:
                break
            keep += 1
        if len(self._layers) > keep:
            with self._blocker.unblock():
                while len(self._layers) > keep:
                    self._layers.pop().undo()

    def make(self, item, blocker) -> None:
        """Make what is not there yet, and copies of all."""
        self._blocker = blocker
        wanted = self._wanted.get(item, ())
        with blocker.unblock():
            for fixture in wanted[len(self._layers) :]:
                self._layers.append(Layer(fixture, self._values))
                # What is looked at when a transaction ends is looked at here, once.
                connection.check_constraints()
        values = copy.deepcopy(self._values)
        self._copies = {fixture: values[fixture.argname] for fixture in wanted}

    @property
    def _values(self) -> dict:
        return self._layers[-1].values if self._layers else {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        self.plan(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        self.make_way(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef, request):
        if fixturedef.argname == "_django_db_helper":
            # The test's own transaction begins now.
            blocker = request.getfixturevalue("django_db_blocker")
            try:
                self.make(request.node, blocker)
            except BaseException as fault:
                # As pytest notes a fixture that failed: its end is looked for too.
                key = fixturedef.cache_key(request)
                fixturedef.cached_result = (None, key, (fault, fault.__traceback__))
                raise
        value = self._copies.get(fixturedef)
        if value is not None:
            fixturedef.cached_result = (value, fixturedef.cache_key(request), None)
        return value

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item, nextitem):
        result = yield
        if nextitem is None or nextitem.path != item.path:
            self.make_way(None)
        return result


def _rows_of(item, known: dict) -> list:
    """The fixtures of a test whose rows may be shared, in the order they are made in."""
    if not isinstance(item, pytest.Function) or _has_its_own(item):
        return []
    fixtures = {
        name: found[-1] for name, found in item._fixtureinfo.name2fixturedefs.items()
    }
    asked = tuple(item.fixturenames), tuple(map(id, fixtures.values()))
    if asked not in known:
        known[asked] = _shared_of(item.fixturenames, fixtures)
    return known[asked]


def _has_its_own(item) -> bool:
    """Whether this test says that it has transactions, or rows, of its own."""
    if item.cls is not None and issubclass(item.cls, TestCase):
        return True
    marker = item.get_closest_marker("django_db")
    return (marker is not None and marker.kwargs.get("transaction", False)) or (
        item.get_closest_marker("own_rows") is not None
    )


def _shared_of(names: list[str], fixtures: dict) -> list:
    if not TRANSACTIONS.isdisjoint(fixtures) or any(
        map(_keeps_a_transaction, fixtures.values())
    ):
        return []
    found = {}
    for name in names:
        _look(name, fixtures, found)
    return [fixtures[name] for name in found if found[name]]


def _keeps_a_transaction(fixture) -> bool:
    """Whether it holds more tests than one in a transaction of its own."""
    return (
        fixture.scope in ("class", "module")
        and "django_db_blocker" in fixture.argnames
        and not fixture.argname.startswith("_django")
    )


def _look(name: str, fixtures: dict, found: dict) -> bool:
    """Whether a fixture makes rows to share; what it rests on is noted before it."""
    if name == "db":
        return True
    fixture = fixtures.get(name)
    if name not in found and fixture is not None:
        # What overrides one and asks for it rests on another of its own name.
        below = [
            one != name and _look(one, fixtures, found) for one in fixture.argnames
        ]
        made_by = getattr(fixture.func, "__func__", fixture.func)
        found[name] = made_by in _MAKERS and all(below)
    return found.get(name, False)
