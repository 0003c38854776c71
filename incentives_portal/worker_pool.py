"""The worker's pool of processes, mended where Celery 5.7.0 ends a whole worker."""

from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool as PreforkPool


class Pool(AsynPool):
    """Processes that may die while the broker is away.

    Celery forgets the watch on a process that ended, but may keep the process in its
    list. If the connection to the broker is lost before it is replaced, watching it
    anew fails with "file descriptor is None" and the worker ends
    (github.com/celery/celery/issues/9250). Here it is watched again as if for the
    first time: its end is then seen at once, and it is replaced.
    """

    def _track_child_process(self, proc, hub):
        if getattr(proc, "_sentinel_poll", self) is None:
            del proc._sentinel_poll
        super()._track_child_process(proc, hub)


class TaskPool(PreforkPool):
    """Celery's prefork pool with the mended list of processes."""

    Pool = Pool
