"""Addresses of the pages of rows: a list has hundreds of one kind."""

from functools import lru_cache
from uuid import UUID

from django.conf import settings
from django.urls import get_script_prefix, get_urlconf, reverse

# No key, and nothing that an address has to quote.
_NOBODYS = UUID("00000000-0000-4000-8000-000000000000")
_NOWHERE = "0-0"


def address_of(page: str, key: UUID | str) -> str:
    """Return reverse(page, kwargs={"pk": key}), in less time.

    A key is a UUID, or numbers with dashes between them.
    """
    before, after = _around(
        page,
        isinstance(key, UUID),
        get_script_prefix(),
        get_urlconf() or settings.ROOT_URLCONF,
    )
    return f"{before}{key}{after}"


@lru_cache(maxsize=1024)
def _around(page: str, is_uuid: bool, prefix: str, urlconf: str) -> tuple[str, str]:
    """What stands before a key and after it: the same as long as the portal runs.

    The prefix names the company, for whoever belongs to several.
    """
    key = _NOBODYS if is_uuid else _NOWHERE
    before, _key, after = reverse(page, urlconf, kwargs={"pk": key}).rpartition(
        str(key)
    )
    return before, after
