"""What a mail server does wrong by chance: at any stage of the talk, by a seed."""

import random
from dataclasses import dataclass, field

HANGS_UP = "hangs up"
GOES_SILENT = "goes silent"
IS_LATE = "is late"
# It takes the text and hangs up before it says so: nobody can know (security.md 18).
HANGS_UP_AFTER = "hangs up after"
GOES_SILENT_AFTER = "goes silent after"
# It takes its leave and goes; others say 421 and stay.
CLOSES = "421 The service closes"

# What may happen at each stage, and how often beside the others.
STAGES: dict[str, dict[str, int]] = {
    "connect": {HANGS_UP: 3, GOES_SILENT: 1},
    "EHLO": {"421 Busy": 3, "550 Not you": 3, HANGS_UP: 3},
    "MAIL": {"451 Later": 3, "530 Sign in": 1, HANGS_UP: 3, IS_LATE: 3},
    "RCPT": {
        "450 Later": 6,
        "421 Busy": 2,
        CLOSES: 2,
        "550 Nobody": 2,
        HANGS_UP: 3,
        IS_LATE: 3,
    },
    "DATA": {"451 Later": 3, "554 No": 1, HANGS_UP: 3, IS_LATE: 3},
    "amid": {HANGS_UP: 3, GOES_SILENT: 1},
    "text": {
        "452 Full": 3,
        "552 Too large": 1,
        HANGS_UP_AFTER: 6,
        GOES_SILENT_AFTER: 1,
        IS_LATE: 3,
    },
}


@dataclass
class Weather:
    """Decides at each stage whether something goes wrong, in `share` of all times."""

    seed: int
    share: float
    # Longer than the portal waits.
    silence: float
    delay: float = 0.05
    # What went wrong, and to whom it was said that no mail will be taken.
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def __post_init__(self):
        self._chance = random.Random(self.seed)

    def at(self, stage: str, address: str = "") -> str:
        """Return what goes wrong now; "" where nothing does."""
        if self._chance.random() >= self.share:
            return ""
        faults = STAGES[stage]
        (fault,) = self._chance.choices([*faults], [*faults.values()])
        self.counts[stage, fault] = self.counts.get((stage, fault), 0) + 1
        if address and fault.startswith("5"):
            self.refused.add(address)
        return fault
