"""Where an action comes from, bound around it so that services need no request.

Places are shortened on purpose: enough to tell one's own office from elsewhere, too
little to follow a person (security.md §6.5, experience.md P18).
"""

import hashlib
import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

# How much of an address is kept: a network, not a machine.
KEPT_BITS = {4: 24, 6: 48}


class Door(models.TextChoices):
    """The way by which an action came in."""

    WEB = "web", _("the portal")
    TASK = "task", _("a scheduled task")
    COMMAND = "command", _("a command of the operators")


@dataclass(frozen=True)
class Refused:
    """An access that was refused: what to, and who asked; written down afterwards.

    `model` and `key` are what an address asked for; whether there is such a row is
    found out after the answer, so that the answer takes the same time either way. A
    page that is about no row has no model: `key` names it.
    """

    model: str
    key: tuple[tuple[str, Any], ...]
    wanted: str
    person: int | None
    # The company the refused one was working in, for what belongs to none.
    company: int | None
    # Who acted, and on whose behalf, as an event says it.
    written_by: dict[str, Any]


@dataclass
class Origin:
    """One request, task or command."""

    door: Door
    name: str = ""
    place: str = ""
    device: str = ""
    request_id: str = ""
    session: Callable[[], str] = str
    refused: list[Refused] = field(default_factory=list)


_current: ContextVar[Origin | None] = ContextVar("origin", default=None)


def current() -> Origin | None:
    """Return where the present action comes from; None where nobody said."""
    return _current.get()


@contextmanager
def coming_from(origin: Origin) -> Iterator[Origin]:
    """Let everything inside the block come from there."""
    token = _current.set(origin)
    try:
        yield origin
    finally:
        _current.reset(token)


def network_of(address: str) -> str:
    """Return the network of an address, "192.0.2.0/24"; nothing if it is none."""
    try:
        machine = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    machine = getattr(machine, "ipv4_mapped", None) or machine
    bits = KEPT_BITS[machine.version]
    return str(ipaddress.ip_network((machine, bits), strict=False))


def fingerprint_of_session(key: str | None) -> str:
    """Return what tells sessions apart and opens none of them."""
    return hashlib.sha256(key.encode()).hexdigest()[:16] if key else ""
