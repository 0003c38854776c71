"""Runs an approved year end by processes that die at work: a program of its own.

It is called with RUNNERS, DEATHS, a SEED and maybe "hasty", once Django is set up.
RUNNERS processes at once take ranges until none is left. Each dies before or after a
statement of its own, by `kill -9` or because its connection is ended, until DEATHS have
died; those that follow live. Hasty ones note a range as done before they do it, in a
transaction of its own. Says how many died.

Or with "endure", RUNNERS and maybe "hasty": whenever the database is away they begin
anew, as the clock does. Says how often they had to.
"""

import os
import random
import signal
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime

from django.db import InterfaceError, OperationalError, connection, transaction

from enrollment import services
from enrollment.models import RenewalPlan

NIGHT = datetime(2027, 7, 1, 0, 0, tzinfo=UTC)
# Statements until a runner dies: from the first to the next range's.
LONGEST_LIFE = 40
# Seconds between a runner's ranges, where the database is restarted.
PAUSE = 0.05
MOST_TOLD = 100


class Death:
    """Ends the process around its so-manieth statement."""

    def __init__(self, chance: random.Random):
        self.left = chance.randint(1, LONGEST_LIFE)
        self.is_before = chance.random() < 0.5
        self.is_kill = chance.random() < 0.7

    def __call__(self, execute, sql, params, many, context):
        self.left -= 1
        if self.left:
            return execute(sql, params, many, context)
        if not self.is_before:
            execute(sql, params, many, context)
        if self.is_kill:
            os.kill(os.getpid(), signal.SIGKILL)
        own = "SELECT pg_terminate_backend(pg_backend_pid())"
        return execute(own, None, False, context)


def take_ranges(*, is_hasty: bool) -> None:
    """Take ranges until none is left, and close the run."""
    plan = RenewalPlan.objects.get()
    if is_hasty:
        while take_hastily(plan):
            pass
        return
    while services.renew_next_range(plan, at=NIGHT):
        pass
    services.finish_renewals(plan, at=NIGHT)


def take_hastily(plan: RenewalPlan, *, pause: float = 0) -> bool:
    """Note a range as done, and do it afterwards; False where none is left."""
    one = plan.ranges.waiting().order_by("?").first()
    if one is None:
        return False
    plan.ranges.filter(pk=one.pk).update(done_at=NIGHT)
    time.sleep(pause)
    with transaction.atomic():
        plan.ranges.filter(pk=one.pk).update(done_at=None)
        services.renew_next_range(plan, at=NIGHT)
    return True


def begin(death: Death | None, *, is_hasty: bool) -> int:
    """Start a runner; return its process."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        with ExitStack() as stack:
            if death:
                stack.enter_context(connection.execute_wrapper(death))
            take_ranges(is_hasty=is_hasty)
        status = 0
    finally:
        os._exit(status)


def endure(runners: int, *, is_hasty: bool) -> int:
    """Let so many processes go on, whenever the database was away; count how often."""
    pids = []
    for _ in range(runners):
        child = os.fork()
        if not child:
            os._exit(_go_on(is_hasty=is_hasty))
        pids.append(child)
    return sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)


def _go_on(*, is_hasty: bool) -> int:
    """Take ranges, slowly, until the run is over; return how often it broke off."""
    times = 0
    while True:
        try:
            plan = RenewalPlan.objects.get()
            while is_hasty and take_hastily(plan, pause=PAUSE):
                pass
            while services.renew_next_range(plan, at=NIGHT):
                time.sleep(PAUSE)
            if services.finish_renewals(plan, at=NIGHT):
                return min(times, MOST_TOLD)
        except (OperationalError, InterfaceError):
            times += 1
        connection.close()
        time.sleep(PAUSE)


def main() -> None:
    if sys.argv[1] == "endure":
        broken_off = endure(int(sys.argv[2]), is_hasty="hasty" in sys.argv)
        sys.stdout.write(f"{broken_off}\n")
        return
    runners, deaths, seed = map(int, sys.argv[1:4])
    is_hasty = "hasty" in sys.argv
    chance = random.Random(seed)
    died = 0
    while True:
        fates = [Death(chance) if died < deaths else None for _ in range(runners)]
        pids = [begin(fate, is_hasty=is_hasty) for fate in fates]
        ends = [os.waitpid(pid, 0)[1] for pid in pids]
        died += sum(end != 0 for end in ends)
        if not any(ends):
            break
    sys.stdout.write(f"{died}\n")
