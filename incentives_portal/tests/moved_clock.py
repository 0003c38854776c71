"""Runs a module on a clock that a test moves: a program of its own.

Called with a FILE, a MODULE and the module's own arguments. The file says how many
seconds the clock is ahead; what runs, and every process it forks, follows it.
"""

import os
import runpy
import sys
import threading
import time
from pathlib import Path

from time_machine import escape_hatch, travel

# Seconds until a clock that was moved is noticed.
NOTICED = 0.05


def machine_time() -> float:
    """What the machine's own clock says, wherever this process's is."""
    return escape_hatch.time.time() if escape_hatch.is_travelling() else time.time()


class MovedClock:
    """This process's clock, as far ahead as the file says."""

    def __init__(self, file: Path):
        self._file = file
        self._ahead = None
        self._traveller = None

    def follow(self) -> None:
        """Be where the file says, now and whenever it changes, after a fork too."""
        self._look()
        threading.Thread(target=self._keep_looking, daemon=True).start()

    def _keep_looking(self) -> None:
        while True:
            time.sleep(NOTICED)
            self._look()

    def _look(self) -> None:
        ahead = float(self._file.read_text())
        if ahead == self._ahead:
            return
        self._ahead = ahead
        moment = machine_time() + ahead
        if self._traveller is None:
            self._traveller = travel(moment, tick=True).start()
        else:
            self._traveller.move_to(moment, tick=True)


def main() -> None:
    file, module, *arguments = sys.argv[1:]
    clock = MovedClock(Path(file))
    clock.follow()
    os.register_at_fork(after_in_child=clock.follow)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
