"""Numbers of a large owner's overview pages, kept for a minute by each process.

Counting a million takes seconds, and a minute later nobody decides otherwise. Numbers and
what is chosen by only: never what a rule decides, never what partners read. Whoever keeps
them names in the key what they depend on, the rights of the reader among it; the page says
as of when they are. What is not large is counted anew each time.

Each process keeps its own, so two loads of a page may tell numbers of two moments, each
with its own, and the first reader of each process waits for the counting. A store for all
would be the database, a 16th question of Today and of the queue (performance.md: 15), or
Redis, without which pages answer.
"""

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import TypeVar

from django.core.cache import caches

Numbers = TypeVar("Numbers")
KEPT_FOR = 60
# So many rows are counted each time.
MANY = 10_000


def kept(
    key: str,
    count: Callable[[], Numbers],
    *,
    at: datetime,
    is_large: Callable[[Numbers], bool],
) -> tuple[Numbers, datetime | None]:
    """Return numbers, and as of when they are: None if they were not worth keeping.

    The key may be of any length.
    """
    store, place = caches["numbers"], sha256(key.encode()).hexdigest()
    found = store.get(place)
    if found is None:
        numbers = count()
        if not is_large(numbers):
            return numbers, None
        found = numbers, at
        store.set(place, found, KEPT_FOR)
    return found
