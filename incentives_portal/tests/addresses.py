"""Every address the portal answers to, read from the URLconf itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from django.urls import URLPattern, URLResolver, get_resolver


@dataclass(frozen=True)
class Address:
    """One named address: its full name, its view, and the names of its parts."""

    name: str
    view: Callable
    parts: tuple[str, ...] = field(default=())


@cache
def every_address() -> tuple[Address, ...]:
    """Return every pattern of the URLconf, namespaces included."""
    return tuple(
        sorted(_walk(get_resolver().url_patterns, "", ()), key=lambda one: one.name)
    )


def _walk(patterns, namespace: str, parts: tuple[str, ...]):
    for pattern in patterns:
        mine = (*parts, *pattern.pattern.converters)
        if isinstance(pattern, URLResolver):
            inner = (
                f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            )
            yield from _walk(pattern.url_patterns, inner, mine)
        elif isinstance(pattern, URLPattern):
            name = pattern.name or str(pattern.pattern)
            yield Address(f"{namespace}{name}", pattern.callback, mine)
