"""A pytest plugin: says at the end what script/test has to say, and fails for it."""

import os

import pytest

WORDS = [line for line in os.environ.get("CLOSING_WORDS", "").splitlines() if line]


def pytest_terminal_summary(terminalreporter):
    for line in WORDS:
        terminalreporter.write_sep("*", line, red=True, bold=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    # Not in xdist's workers: what they end with is not what the run ends with.
    if hasattr(session.config, "workerinput"):
        return
    if session.exitstatus == 0 and any("FAILED" in line for line in WORDS):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
