"""What waits for the operators: invitations, profiles to validate, second signatures.

Questions over several models, each with a constant number of queries. The promise of
two days makes "oldest first" the same as "overdue on top" (R43); it stands still while
the partner owes an answer, so what was asked comes after what waits for an operator.
"""

from enrollment.queues.invitations import (
    ProgramInvitations,
    lapsed_invitations,
    program_invitations,
)
from enrollment.queues.rows import (
    PartStatus,
    Waiting,
    next_address,
    next_waiting,
    part_status,
    seconded_versions,
    waiting_behind,
    waiting_rows,
)
from enrollment.queues.today import (
    Queue,
    queues_today,
)
from enrollment.queues.waiting import (
    MOST_WAITING,
    ORDER,
    PARTNERS_TURN,
    WaitingKeys,
    countries_of,
    place_of,
    read_waiting,
    some_waiting,
    validation_queue,
    values_at,
)
from enrollment.queues.words import (
    CLAIMS,
    PARTS,
    RISKS,
    TURNS,
    age,
)

__all__ = [
    "CLAIMS",
    "MOST_WAITING",
    "ORDER",
    "PARTNERS_TURN",
    "PARTS",
    "RISKS",
    "TURNS",
    "PartStatus",
    "ProgramInvitations",
    "Queue",
    "Waiting",
    "WaitingKeys",
    "age",
    "countries_of",
    "lapsed_invitations",
    "next_address",
    "next_waiting",
    "part_status",
    "place_of",
    "program_invitations",
    "queues_today",
    "read_waiting",
    "seconded_versions",
    "some_waiting",
    "validation_queue",
    "values_at",
    "waiting_behind",
    "waiting_rows",
]
