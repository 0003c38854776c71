"""Many cases of one test, on what was made once for all of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction


@contextmanager
def tried(*case: object) -> Iterator[None]:
    """Undo what is done within, so that the next case finds what this one found.

    A failure says which case it was.
    """
    try:
        with transaction.atomic():
            yield
            transaction.set_rollback(True)
    except BaseException as error:
        error.add_note(f"This was tried with: {case}")
        raise
