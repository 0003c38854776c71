"""Reads and applies a file by processes that die at work: a program of its own.

It is called with DEATHS and a SEED. One process after the other goes on with the only
import there is; each is killed around a statement of its own until DEATHS have died, and
the next one lives. Says how many died.
"""

import os
import random
import sys

from django.db import connection
from django.utils import timezone

from enrollment import services
from enrollment.models import ValueImport
from enrollment.services import imports
from enrollment.tests.killed_runners import Death


def go_on() -> None:
    """Do whatever is left to do with the file."""
    for one in services.imports_to_read():
        while services.read_next_lines(one):
            pass
    one = ValueImport.objects.get()
    if one.is_ready:
        services.apply_import(one, by=None)
    for one in services.imports_to_apply(at=timezone.now()):
        services.carry_out_import(one)


def main() -> None:
    imports.LINES_AT_ONCE = 3
    deaths, seed = map(int, sys.argv[1:])
    chance, died = random.Random(seed), 0
    while True:
        child = os.fork()
        if child == 0:
            if died < deaths:
                death = Death(chance)
                death.is_kill = True
                with connection.execute_wrapper(death):
                    go_on()
            else:
                go_on()
            os._exit(0)
        chance.random()
        _pid, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            if os.WEXITSTATUS(status):
                raise SystemExit("It failed.")
            break
        died += 1
    sys.stdout.write(f"{died}\n")
