"""A process of the worker that dies while the broker is away costs one process only."""

import os
from types import SimpleNamespace

import pytest
from celery.concurrency import get_implementation
from celery.concurrency.asynpool import AsynPool
from django.conf import settings
from kombu.asynchronous import Hub

from incentives_portal.worker_pool import Pool, TaskPool


@pytest.fixture
def ended():
    """A process that ended, whose watch was forgotten, and that nobody replaced yet."""
    reader, writer = os.pipe()
    os.close(writer)
    yield SimpleNamespace(_sentinel_poll=None, _popen=SimpleNamespace(sentinel=reader))
    os.close(reader)


@pytest.fixture
def pool():
    """Counts how often it is asked to replace what ended."""
    asked = []
    pool = SimpleNamespace(maintain_pool=lambda: asked.append("maintain"), asked=asked)
    for name in ("_event_process_exit", "_untrack_child_process"):
        method = getattr(AsynPool, name)
        setattr(pool, name, method.__get__(pool))
    return pool


def watch(pool, process, *, kind) -> Hub:
    hub = Hub()
    # What `super()` reads: the class decides, not the instance.
    real = kind.__new__(kind)
    real.__dict__.update(pool.__dict__)
    kind._track_child_process(real, process, hub)
    return hub


def test_a_process_that_ended_is_watched_again_and_replaced(pool, ended):
    hub = watch(pool, ended, kind=Pool)

    for _ in range(3):
        next(hub.loop)

    assert pool.asked == ["maintain"]
    hub.close()


def test_control_without_the_mend_the_worker_ends(pool, ended):
    with pytest.raises(ValueError, match="file descriptor is None"):
        watch(pool, ended, kind=AsynPool)


def test_the_worker_uses_it():
    assert get_implementation(settings.CELERY_WORKER_POOL) is TaskPool
