"""How many generated cases a test tries: few in every run, more where asked for.

TRIES=10 in the environment lets each try ten times as many: for the night, and before
what they guard is changed.
"""

import os

TRIES = int(os.environ.get("TRIES", "1"))


def tries(count: int) -> int:
    """Return so many cases, or as many times more as were asked for."""
    return count * TRIES
