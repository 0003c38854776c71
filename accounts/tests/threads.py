"""Two people at the same moment: threads with a database connection each."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import connection, connections

# The threads that have not come to their end.
BUSY: set[threading.Thread] = set()


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
            BUSY.discard(threading.current_thread())

    threads = [threading.Thread(target=do, args=[action]) for action in actions]
    BUSY.update(threads)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return outcomes


def wait_at(barrier: threading.Barrier) -> None:
    """Wait for the other one, as long as the other one can get there.

    Who waits in the database for what this one has locked cannot, nor who has ended.
    """
    is_over = threading.Event()
    me = connection.connection.info.backend_pid
    watcher = threading.Thread(target=_watch, args=[barrier, me, is_over])
    watcher.start()
    with suppress(threading.BrokenBarrierError):
        barrier.wait(timeout=2)
    is_over.set()
    watcher.join()


def wait_for(happened: threading.Event) -> None:
    """Wait for what the other one does, as long as the other one can do it."""
    for _look in range(100):
        if happened.wait(0.02) or _is_waited_for(
            connection.connection.info.backend_pid
        ):
            return


def _watch(barrier: threading.Barrier, me: int, is_over: threading.Event) -> None:
    """Open the barrier as soon as nobody will come."""
    try:
        while not is_over.wait(0.02):
            if _is_waited_for(me) or 0 < len(BUSY) < barrier.parties:
                barrier.abort()
                return
    finally:
        connections.close_all()


def _is_waited_for(me: int) -> bool:
    """Whether somebody waits in the database for what a connection has locked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks"
            " WHERE NOT granted AND %s = ANY (pg_blocking_pids(pid)))",
            [me],
        )
        return cursor.fetchone()[0]


def meet(monkeypatch, module, step: str, barrier: threading.Barrier) -> None:
    """Make whoever takes a step wait for the other one just before it."""
    real = getattr(module, step)

    def together(*args, **kwargs):
        wait_at(barrier)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, step, together)
