"""Runs for a changed function only the tests that come by the changed lines, at once.

A plugin of pytest, used by _mutation_tests.py. All tests run once with a module that
notes which of its lines each of them comes by. Then, for each change, a process is forked from this one, where the portal is imported and the database is there: it puts the changed
code into the functions that are, wherever they are used, and runs those tests. What has
run on import cannot be changed this way: a process that imports the portal anew has to
try it.
"""

import ast
import builtins
import contextlib
import difflib
import gc
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType, SimpleNamespace

import pytest
from _pytest.runner import runtestprotocol
from django.core.cache import caches
from django.db import connections

OPTIMIZED = 1  # of inspect: functions have it, modules and the bodies of classes do not
STARTING_OVER = 60
# What runs once, on import, and what has no statements.
WITHOUT_A_PATH = (ast.Module, ast.ClassDef, ast.Lambda, ast.IfExp)
NAMES = (
    "co_code co_names co_varnames co_freevars co_cellvars co_flags co_argcount "
    "co_kwonlyargcount co_posonlyargcount"
).split()


@dataclass
class Known:
    """What the unchanged run of a test told."""

    item: pytest.Item
    place: int
    lines: set[int] = field(default_factory=set)
    noticed: int = 0


class Warm:
    """Serves changes of one module over a socket, after the tests ran once."""

    def __init__(self, module: str, door: socket.socket):
        self.path = Path(module).absolute()
        self.source = self.path.read_text()
        self.door = door
        self.at_first: set[int] = set()
        builtins.came_by = self.at_first.add
        name = module.removesuffix(".py").replace("/", ".")
        self.finder = NotingFinder(name, self.path)
        sys.meta_path.insert(0, self.finder)

    def pytest_runtestloop(self, session) -> bool:
        began = time.monotonic()
        # After each test only what is for the whole run stays.
        self.alone = SimpleNamespace(listchain=lambda: [session])
        self.known = [Known(item, place) for place, item in enumerate(session.items)]
        for known, after in zip(
            self.known, [*session.items[1:], self.alone], strict=True
        ):
            builtins.came_by = known.lines.add
            reports = runtestprotocol(known.item, log=False, nextitem=after)
            if any(report.failed for report in reports):
                self.door.sendall(f"1 {known.item.nodeid}\n".encode())
                return True
        self.seconds = STARTING_OVER + 3 * int(time.monotonic() - began)
        self.functions = self._functions()
        self._put(every_function(self._code(self.source)))
        connections.close_all()
        caches.close_all()
        gc.collect()
        gc.freeze()
        self.door.sendall(f"0 {len(self.known)} tests\n".encode())
        while self.door.recv(2):
            self.door.sendall(f"{self.answer()}\n".encode())
        return True

    def answer(self) -> str:
        """Say 1 and which test noticed, 0 if none did, or `cold` if it cannot be told."""
        try:
            changed = self.path.read_text()
            swaps = swapped(self._code(self.source), self._code(changed))
        except SyntaxError:
            return "1 no Python"
        if swaps is None:
            return self._imported() or "cold"
        if any(
            not fits(function, code)
            for key, code in swaps.items()
            for function in self.functions.get(key, ())
        ):
            return "cold"
        if not swaps:
            return "0 the same code"
        lines = changed_lines(self.source, changed)
        if lines & self.at_first:
            return "cold"
        asked = [known for known in self.known if known.lines & lines]
        if not asked:
            return "0 no test comes by"
        asked.sort(key=lambda known: (-known.noticed, known.place))
        return self._asked_in_child(swaps, asked)

    def _imported(self) -> str:
        """Say whether the changed module cannot even be imported, as some cannot."""
        spec = spec_from_file_location(self.finder.name, self.path)
        with contextlib.suppress(Exception):
            spec.loader.exec_module(module_from_spec(spec))
            return ""
        return "1 it cannot be imported"

    def _asked_in_child(self, swaps, asked: list[Known]) -> str:
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            number = len(asked)
            try:
                signal.alarm(self.seconds)
                self._put(swaps)
                number = self._first_to_notice(asked)
            finally:
                os.write(theirs, str(number).encode())
                os._exit(0)
        os.close(theirs)
        with os.fdopen(ours) as pipe:
            number = pipe.read()
        os.waitpid(child, 0)
        if number == str(len(asked)):
            return f"0 {len(asked)} tests"
        if not number:
            return "1 it takes too long"
        asked[int(number)].noticed += 1
        return f"1 {asked[int(number)].item.nodeid}"

    def _first_to_notice(self, asked: list[Known]) -> int:
        following = [*(known.item for known in asked[1:]), self.alone]
        for number, (known, after) in enumerate(zip(asked, following, strict=True)):
            reports = runtestprotocol(known.item, log=False, nextitem=after)
            if any(report.failed for report in reports):
                # What the file of the test has open is undone with its connection.
                return number
        return len(asked)

    def _put(self, codes: dict[tuple, CodeType]) -> None:
        for key, code in codes.items():
            for function in self.functions.get(key, ()):
                function.__code__ = code

    def _code(self, source: str) -> CodeType:
        return compile(source, str(self.path), "exec", dont_inherit=True)

    def _functions(self) -> dict[tuple, list[FunctionType]]:
        """Return the functions of the module that are, by name and first line."""
        found: dict[tuple, list[FunctionType]] = {}
        gc.unfreeze()  # what the tests froze is not looked at otherwise
        for one in gc.get_objects():
            if type(one) is FunctionType:  # others may wake when asked
                code = one.__code__
                if code.co_filename == str(self.path):
                    key = (code.co_qualname, code.co_firstlineno)
                    found.setdefault(key, []).append(one)
        return found


class NotingLoader(SourceFileLoader):
    """Loads a module so that each statement of its functions says it is come by."""

    def get_code(self, fullname: str) -> CodeType:
        tree = ast.parse(Path(self.path).read_text())
        for node in ast.walk(tree):
            for name in ("body", "orelse", "finalbody"):
                held = getattr(node, name, None)
                if isinstance(held, list) and not isinstance(node, WITHOUT_A_PATH):
                    setattr(node, name, [one for line in held for one in noted(line)])
        return compile(tree, self.path, "exec", dont_inherit=True)


class NotingFinder:
    """Finds the one module that is to be loaded so."""

    def __init__(self, name: str, path: Path):
        self.name, self.path = name, path

    def find_spec(self, fullname, _path, _target=None):
        if fullname != self.name:
            return None
        loader = NotingLoader(fullname, str(self.path))
        return spec_from_file_location(fullname, self.path, loader=loader)


def noted(line: ast.stmt) -> list[ast.stmt]:
    if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
        return [line]  # what a function says of itself stands first
    (said,) = ast.parse(f"came_by({line.lineno})").body
    for node in ast.walk(said):
        ast.copy_location(node, line)
    return [said, line]


def every_function(code: CodeType) -> dict[tuple, CodeType]:
    """Return each function of a module, those inside others too."""
    found: dict[tuple, CodeType] = {}
    for inner in nested(code):
        if inner.co_flags & OPTIMIZED:
            found[inner.co_qualname, inner.co_firstlineno] = inner
        found |= every_function(inner)
    return found


def swapped(before: CodeType, after: CodeType) -> dict[tuple, CodeType] | None:
    """Return the functions whose code changed, by name and line; None for the rest."""
    if not is_same(before, after, deep=False):
        return None
    swaps: dict[tuple, CodeType] = {}
    for one, other in zip(nested(before), nested(after), strict=True):
        if is_same(one, other, deep=True):
            continue
        if not one.co_flags & OPTIMIZED:
            inner = swapped(one, other)
            if inner is None:
                return None
            swaps |= inner
            continue
        swaps[one.co_qualname, one.co_firstlineno] = other
        # What it made before, such as a guarded view, is another function.
        if is_same(one, other, deep=False):
            swaps |= swapped(one, other) or {}
    return swaps


def is_same(one: CodeType, other: CodeType, *, deep: bool) -> bool:
    """Whether two pieces of code do the same; with what stands inside them, if deep."""
    if any(getattr(one, name) != getattr(other, name) for name in NAMES):
        return False
    values = [
        [(type(value), value) for value in code.co_consts if not is_code(value)]
        for code in (one, other)
    ]
    inner = nested(one), nested(other)
    return (
        repr(values[0]) == repr(values[1])
        and len(inner[0]) == len(inner[1])
        and (
            not deep
            or all(is_same(*pair, deep=True) for pair in zip(*inner, strict=True))
        )
    )


def is_code(value) -> bool:
    return isinstance(value, CodeType)


def nested(code: CodeType) -> list[CodeType]:
    return [value for value in code.co_consts if is_code(value)]


def fits(function: FunctionType, code: CodeType) -> bool:
    """Whether a function can be given other code: it finds as many names outside."""
    return len(function.__code__.co_freevars) == len(code.co_freevars)


def changed_lines(before: str, after: str) -> set[int]:
    """Return the lines, as they were, of the statements that changed."""
    old, new = before.splitlines(), after.splitlines()
    matched = difflib.SequenceMatcher(None, old, new, autojunk=False)
    touched = {
        line + 1
        for tag, start, end, _start, _end in matched.get_opcodes()
        if tag != "equal"
        for line in range(start, max(end, start + 1))
    }
    lines: set[int] = set()
    for line in touched:
        around = [span for span in map(span_of, statements(before)) if line in span]
        # Such as an `except`: whoever comes by what it stands around.
        around = around or [
            range(one.lineno, one.end_lineno + 1)
            for one in statements(before)
            if one.lineno <= line <= one.end_lineno
        ]
        if around:
            lines |= set(min(around, key=len))
    return lines


def statements(source: str) -> list[ast.stmt]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]


def span_of(statement: ast.stmt) -> range:
    """Return the lines of a statement; of one with others inside, those before them."""
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if body else statement.end_lineno
    return range(statement.lineno, max(last, statement.lineno) + 1)
