"""Two people at the same moment: threads with a database connection each."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import connection, connections


def at_once(*actions: Callable[[], Any]) -> list:
    """Do things in threads; return what came of them: an answer or an exception."""
    outcomes = []
    start = threading.Barrier(len(actions), timeout=30)

    def do(action):
        try:
            connection.ensure_connection()
            start.wait()
            outcomes.append(action())
        except Exception as error:  # noqa: BLE001 - it is the outcome
            outcomes.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=do, args=[action]) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return outcomes


def wait_at(barrier: threading.Barrier) -> None:
    """Wait for the other one, as long as the other one can get there."""
    with suppress(threading.BrokenBarrierError):
        barrier.wait(timeout=2)


def meet(monkeypatch, module, step: str, barrier: threading.Barrier) -> None:
    """Make whoever takes a step wait for the other one just before it."""
    real = getattr(module, step)

    def together(*args, **kwargs):
        wait_at(barrier)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, step, together)
