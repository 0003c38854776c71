"""The cast of people every test uses, and fixtures that keep the house strict."""

import gc
import inspect
import ipaddress
import os
import random
import shutil
import socket
import sys
import threading
import time
import types

import pytest
from _pytest.fixtures import FixtureManager
from django.conf import LazySettings, settings
from django.contrib.auth import login
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import cache, caches
from django.db import connection, connections, transaction
from django.db.backends.postgresql.operations import DatabaseOperations
from django.db.models.expressions import BaseExpression, Col
from django.db.models.query import ModelIterable
from django.http import HttpRequest
from django.template.base import FilterExpression, Variable, VariableDoesNotExist
from django.test import Client, TransactionTestCase
from django.urls import base as addresses
from django.utils import timezone, translation
from django.utils.functional import cached_property
from django.utils.translation import trans_real
from playwright.sync_api import sync_playwright

from accounts.tests import cast as people
from accounts.tests.canaries import WATCH, watch_everything
from accounts.tests.shared_rows import SharedRows, shared
from profiles.tests.known_numbers import DOCUMENT, NUMBERS, known_numbers

# Playwright's synchronous interface keeps a loop in the thread of the test.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


# One of these is on the machine; what never has a window takes a quarter less.
BROWSERS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
)
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--disable-gpu",
]

OWN_TEMPLATES = str(settings.BASE_DIR / "templates")
# These filters say what to show for a value that is not there.
MAY_BE_MISSING = {"default", "default_if_none"}


class UnknownTemplateVariable(Exception):
    """A template asked for a value its page does not have."""


def _is_page(name) -> bool:
    """One of our own templates; components have parameters that may be left out."""
    return str(name).startswith(OWN_TEMPLATES) and "/components/" not in str(name)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings, django_db_blocker):
    """Wait for the database to copy, if one is being made; do without if it fails."""
    test = connection.settings_dict["TEST"]
    if name := test.get("TEMPLATE"):
        began = time.monotonic()
        with django_db_blocker.unblock():
            while name not in (found := _databases(name, f"{name}_unfinished")):
                # While it is being made, a busy machine takes the time it needs.
                patience = 600 if found else 60
                if time.monotonic() - began > patience:
                    test["TEMPLATE"] = None
                    return
                time.sleep(0.2)


def _databases(*names: str) -> set[str]:
    """Those of these names that there are, at one moment."""
    with connection._nodb_cursor() as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE datname = ANY(%s)", [[*names]]
        )
        return {name for (name,) in cursor.fetchall()}


@pytest.fixture(autouse=True, scope="session")
def _unknown_template_variables_fail():
    """A misspelled variable in one of our templates is an error, not an empty string."""
    original = FilterExpression.resolve

    def strict(self, context, ignore_failures=False):
        if ignore_failures or not isinstance(self.var, Variable):
            return original(self, context, ignore_failures)
        try:
            value = self.var.resolve(context)
        except VariableDoesNotExist as error:
            names = {function.__name__ for function, _arguments in self.filters}
            template = context.render_context.template
            if names.isdisjoint(MAY_BE_MISSING) and _is_page(template.origin.name):
                raise UnknownTemplateVariable(
                    f"{self.var} in {template.origin.name}"
                ) from error
            return original(self, context)
        # Looked up once: what a page asks the database for, it asks once here too.
        if not self.filters:
            return value
        known = types.SimpleNamespace(is_var=False, var=value, filters=self.filters)
        return original(known, context)

    patch = pytest.MonkeyPatch()
    patch.setattr(FilterExpression, "resolve", strict)
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def _unordered_rows_are_shuffled():
    """Who needs an order has to ask the database for it."""
    original = ModelIterable.__iter__

    def shuffled(self):
        rows = list(original(self))
        if not self.queryset.ordered:
            random.shuffle(rows)
        return iter(rows)

    patch = pytest.MonkeyPatch()
    patch.setattr(ModelIterable, "__iter__", shuffled)
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def _parts_of_queries_are_copied_quickly():
    """The copy that Django makes of a part of a query, made without asking pickle how.

    Django's own puts the same attributes, but for the one it works out anew, into a new
    object of the same class; it takes seven times as long, and putting queries together
    is a third of what tests do.
    """

    def copied(self):
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.__dict__.pop("convert_value", None)
        return copy

    patch = pytest.MonkeyPatch()
    patch.setattr(BaseExpression, "copy", copied)
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def _columns_are_told_apart_quickly():
    """What tells a column of a query from others, without asking for a signature.

    The same three things that Django compares; it binds them to the names of the
    parameters first, for each column of each list that has an order.
    """

    def identity(self):
        given, named = self._constructor_args
        return self.__class__, *told_apart(*given, **named)

    def told_apart(alias, target, output_field=None):
        return alias, Col._identity(target), Col._identity(output_field)

    cached = cached_property(identity)
    cached.__set_name__(Col, "identity")
    patch = pytest.MonkeyPatch()
    patch.setattr(Col, "identity", cached, raising=False)
    yield
    patch.undo()


# What Django keeps for each thread: the language, the clock, the connections.
OF_A_THREAD = (
    (trans_real, "_active"),
    (timezone, "_active"),
    (addresses, "_prefixes"),
    (addresses, "_urlconfs"),
    (connections, "_connections"),
    (caches, "_connections"),
)


@pytest.fixture(autouse=True, scope="session")
def _what_is_asked_all_the_time_is_at_hand():
    """Settings, and what belongs to a thread, without the detours for other uses.

    Nothing here is asynchronous: what belongs to a task belongs to its thread. Settings
    are no stand-in whose every attribute is looked at twice.
    """
    known = [*connections.all(initialized_only=True)]
    patch = pytest.MonkeyPatch()
    patch.setattr(LazySettings, "__getattribute__", object.__getattribute__)
    for owner, name in OF_A_THREAD:
        patch.setattr(owner, name, threading.local())
    for one in known:
        connections[one.alias] = one
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def _tables_are_emptied_quickly():
    """After a test with transactions only the tables that it filled are emptied.

    Django makes all of them anew, and writes its permissions and groups again; here
    these stay, unless the test changed them. Nobody but tests may empty history.
    """
    statements = DatabaseOperations.sql_flush
    empty_all = TransactionTestCase._fixture_teardown
    left = []

    def allowed(self, *args, **kwargs):
        return [
            "SET LOCAL portal.allow_truncate = 'on';",
            *statements(self, *args, **kwargs),
        ]

    def empty(self):
        if left and left == [_written_by_django()] and _may_do_everything():
            _empty_what_is_full()
        else:
            empty_all(self)
            left[:] = [_written_by_django()]

    patch = pytest.MonkeyPatch()
    patch.setattr(DatabaseOperations, "sql_flush", allowed)
    patch.setattr(TransactionTestCase, "_fixture_teardown", empty)
    yield
    patch.undo()


# What Django writes when the tables are made, and again when they were emptied.
OF_DJANGO = (
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "django_content_type",
    # What a portal begins with.
    "profiles_returnreason",
)


def _written_by_django() -> list:
    with connection.cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join(
                f"SELECT md5(string_agg(row::text, ' ' ORDER BY id)) FROM {name} row"
                for name in OF_DJANGO
            )
        )
        return cursor.fetchall()


def _may_do_everything() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        return cursor.fetchone()[0]


def _empty_what_is_full() -> None:
    """Delete all rows, without a word from triggers and keys."""
    names = {*connection.introspection.django_table_names(only_existing=True)}
    asked = (
        f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})"
        for name in sorted(names.difference(OF_DJANGO))
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(asked))
        full = [name for (name,) in cursor.fetchall()]
        cursor.execute("SET LOCAL session_replication_role = 'replica'")
        for name in full:
            cursor.execute(f"DELETE FROM {name}")


@pytest.fixture(autouse=True, scope="session")
def _no_network():
    """Tests speak to servers of this machine only."""
    original = socket.socket.connect

    def only_here(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            is_here = host == "localhost" or ipaddress.ip_address(host).is_loopback
            assert is_here, f"a test tried to reach {host}"
        return original(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", only_here)
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def _known_numbers_are_watched():
    """Account and tax numbers, and documents, stay where they belong (security.md T14)."""
    patch = pytest.MonkeyPatch()
    WATCH.know(known_numbers(), encoded=False)
    WATCH.know([*NUMBERS, DOCUMENT])
    watch_everything(WATCH, patch)
    yield
    patch.undo()


def pytest_configure(config):
    """Collect without going through all modules, and all fixtures, again and again.

    pydantic asks which module a frame is of, for each frame below each model, to find
    what its attributes' comments say: a third of all that collecting took.
    """
    search = inspect.getmodule

    def module_of(thing, *more):
        if inspect.isframe(thing):
            return sys.modules.get(thing.f_globals.get("__name__"))
        return search(thing, *more)

    find = FixtureManager.getfixtureclosure
    found = {}

    def closure(manager, parentnode, initialnames, ignore_args):
        # Tests of one file that ask for the same have the same fixtures.
        asked = parentnode.parent, initialnames, frozenset(ignore_args)
        if asked not in found:
            found[asked] = find(manager, parentnode, initialnames, ignore_args)
        names, definitions = found[asked]
        return [*names], {**definitions}

    patch = pytest.MonkeyPatch()
    patch.setattr(inspect, "getmodule", module_of)
    patch.setattr(FixtureManager, "getfixtureclosure", closure)
    config.add_cleanup(patch.undo)
    config.pluginmanager.register(SharedRows())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """Fail a test that lets a known number out."""
    try:
        result = yield
    except BaseException:
        # It failed already; the next one starts anew.
        WATCH.take()
        raise
    WATCH.complain()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown():
    """The same of what happens after it, as when a portal stops that ran beside it."""
    result = yield
    WATCH.complain()
    return result


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """Look for garbage less often, and not among what was imported.

    Everything there is by now stays to the end: looking through it again and again
    took a tenth of all tests' time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Let what waits most begin: servers and browsers, then tests with transactions.

    What is long is left out of a run of everything, unless it is asked for.
    """
    if os.environ.get("LONG") == "":
        config.hook.pytest_deselected(
            items=[item for item in items if item.get_closest_marker("long")]
        )
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    items.sort(key=_place_in_line)


# Long tests that would otherwise run on alone when all others are done.
ALSO_EARLY = ("test_permissions.py", "test_admin_permissions.py")


def _place_in_line(item) -> int:
    if item.path.name in ALSO_EARLY:
        return 1
    if any(item.get_closest_marker(name) for name in ("browser", "faults")):
        return 0
    marker = item.get_closest_marker("django_db")
    is_slow = marker is not None and marker.kwargs.get("transaction", False)
    return 1 if is_slow or "transactional_db" in item.fixturenames else 2


@pytest.fixture(autouse=True)
def _fresh_rate_limits(request):
    """Rate limits live in the cache; one test's sign-ins are not another's, nor numbers."""
    if "db" in request.fixturenames or "transactional_db" in request.fixturenames:
        request.getfixturevalue("db")
        cache.clear()
        caches["numbers"].clear()


@pytest.fixture(autouse=True)
def _own_language():
    """A request leaves its reader's language behind; the next test does not speak it."""
    yield
    translation.deactivate()


@shared
def nordvik(db):
    """The company of the cast, in Sweden, with people at partner.example."""
    return people.nordvik()


@shared
def goteborg(nordvik):
    """The location Ida works for."""
    return people.goteborg(nordvik)


@shared
def malmo(nordvik):
    """A location of the same company that Ida has nothing to do with."""
    return people.malmo(nordvik)


@shared
def program(db):
    """A program of the cast."""
    return people.program()


@shared
def greta(nordvik):
    """Global admin."""
    return people.greta(nordvik)


@shared
def alice(nordvik):
    """Account admin."""
    return people.alice(nordvik)


@shared
def ida(goteborg):
    """Incentives admin of one location, all programs."""
    return people.ida(goteborg)


@shared
def uma(nordvik):
    """Incentives user of the whole company."""
    return people.uma(nordvik)


@shared
def lars(nordvik):
    """Belongs to the company, holds no role."""
    return people.lars(nordvik)


@shared
def sam(db):
    """A stranger: Incentives admin of another company, everywhere."""
    return people.sam()


@shared
def oscar(db):
    """An operator who validates."""
    return people.oscar()


@shared
def lucia(db):
    """A second operator, who validates and gives second approvals."""
    return people.operator("Lucia Ferrer", "Reader", "Validator", "Approver")


@shared
def mina(db):
    """An operator who manages programs and invitations."""
    return people.mina()


@shared
def cast(greta, alice, ida, uma, lars, sam, oscar, mina):
    """Everybody at once."""
    return types.SimpleNamespace(
        greta=greta,
        alice=alice,
        ida=ida,
        uma=uma,
        lars=lars,
        sam=sam,
        oscar=oscar,
        mina=mina,
    )


class PersonsClient(Client):
    """Signs in as Django's own does, which writes the session three times."""

    def _login(self, user, backend=None):
        request = HttpRequest()
        session = request.session = SessionStore()
        session._session_key, session._session_cache = (
            session._get_new_session_key(),
            {},
        )
        # Nobody knew the key before.
        session.cycle_key = lambda: None
        login(request, user, backend)
        session.save(must_create=True)
        self._set_login_cookies(request)


@pytest.fixture
def client_of():
    """A signed-in test client for a person."""

    def signed_in(user, **options):
        client = PersonsClient(**options)
        client.force_login(user)
        return client

    return signed_in


@pytest.fixture
def served(transactional_db, monkeypatch):
    """Pages may be served as wsgi.py does; afterwards this process does jobs again."""
    known = connections.settings["default"]
    monkeypatch.setitem(known, "OPTIONS", known["OPTIONS"])
    yield
    connections.close_all()


@pytest.fixture(scope="module")
def chromium():
    """The machine's browser, without a window; ended before another module's begins."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, BROWSERS))),
            args=BROWSER_ARGUMENTS,
        )
        yield browser
        browser.close()
