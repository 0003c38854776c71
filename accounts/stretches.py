"""Lists that go on from a row and are not counted: the last page is as fast as the first.

Where pages have numbers, rows are counted to a limit, and nothing is joined to the rows
that are passed over.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet
from django.utils.functional import cached_property

# Whose place in the list the address names.
AFTER, BEFORE = "after", "before"
_LONGEST_KEY = 60

# So many of what waits are counted; of more it is said that they are more.
MOST_COUNTED = 100
# Further no list is counted whose pages have numbers, nor do its pages go.
MOST_PAGED = 10_000


class CappedPaginator(Paginator):
    """Numbered pages of the first MOST_PAGED rows of a list of any length."""

    @cached_property
    def _counted(self) -> int:
        return self.object_list.order_by()[: MOST_PAGED + 1].count()

    @cached_property
    def count(self) -> int:
        """How many rows the pages have."""
        return min(self._counted, MOST_PAGED)

    @property
    def has_more(self) -> bool:
        """Whether there are rows behind the last page."""
        return self._counted > MOST_PAGED

    def page(self, number) -> Page:
        """Find the rows by their keys alone, then all that is shown of them."""
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        keys = self.object_list.values_list("pk", flat=True)
        shown = list(keys[first : min(first + self.per_page, MOST_PAGED)])
        return self._get_page(self.object_list.filter(pk__in=shown), number, self)


@dataclass(frozen=True)
class Stretch:
    """Some rows of a list in its order, and the addresses of those before and after."""

    rows: list
    previous: str
    next: str

    @property
    def is_whole(self) -> bool:
        """Whether there are no other rows."""
        return not (self.previous or self.next)


@dataclass(frozen=True)
class Part:
    """Which rows a stretch asks for, without the values it begins at.

    So that a question can be prepared by it. `place` is "group" for those of one value of
    the first column, "beyond" for those behind it in the order, "" for whichever.
    """

    order: tuple[str, ...]
    most: int
    is_back: bool
    has_edge: bool
    place: str = ""
    # By what else a group's rows are found.
    narrowed: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The values that of() takes."""
        edge = tuple(f"edge_{number}" for number, _one in enumerate(self.order))
        group = ("group",) if self.place else ()
        return (edge if self.has_edge else ()) + group + self.narrowed

    def of(self, rows: QuerySet, values: Mapping[str, Any]) -> QuerySet:
        """Return the rows of a list, nearest first; the values may be Givens."""
        edge = None
        if self.has_edge:
            edge = tuple(values[f"edge_{n}"] for n, _one in enumerate(self.order))
        sides = tuple(map(_turned, self.order)) if self.is_back else self.order
        if self.place == "group":
            # Of one group the first column says nothing: an index begins with the second.
            asked = {self.order[0]: values["group"]}
            asked |= {name: values[name] for name in self.narrowed}
            rows, sides = rows.filter(**asked), sides[1:]
            if edge:
                rows = rows.filter(beyond(self.order[1:], edge[1:], self.is_back))
        elif self.place == "beyond":
            side = "lt" if self.is_back else "gt"
            rows = rows.filter(**{f"{self.order[0]}__{side}": values["group"]})
        else:
            rows = rows.filter(beyond(self.order, edge, self.is_back))
        return rows.order_by(*sides)[: self.most]


# Reads a part of a list, by its values.
Reader = Callable[[Part, Mapping[str, Any]], list]


def reader_of(rows: QuerySet) -> Reader:
    """Return what reads a list as it is, put together each time."""
    return lambda part, values: list(part.of(rows, values))


def stretch_of(
    request,
    read: Reader,
    *,
    order: Sequence[str],
    size: int,
    values_of: Callable[[str], tuple | None],
    key_of: Callable[[object], object],
    groups: Mapping[object, dict[str, Any]] = MappingProxyType({}),
) -> Stretch:
    """Return the rows after, or before, the one that the address names by its key.

    `order` are columns that are never empty, as for order_by(), the last of them unique;
    `values_of` says a key's values of them, None where there is no such row: then the
    list begins anew. `key_of` says the key of a row that was found. `groups` are all
    values of the first column in their order, if they are known, each with what else its
    rows are found by: the group the stretch begins in is asked for alone, and only where
    it does not fill it are the others.
    """
    after, before = (
        request.GET.get(name, "").replace("\0", "")[:_LONGEST_KEY]
        for name in (AFTER, BEFORE)
    )
    edge = values_of(after or before) if after or before else None
    is_back = bool(edge and not after)
    found = _beside(read, tuple(order), edge, is_back, size, groups)
    if edge and not found:
        # Nothing is there any more: begin again.
        is_back, edge = False, None
        found = _beside(read, tuple(order), edge, is_back, size, groups)
    has_more, found = len(found) > size, found[:size]
    if is_back:
        found.reverse()
    has_next = is_back or has_more
    has_previous = has_more if is_back else bool(edge)
    return Stretch(
        rows=found,
        previous=_address(request, BEFORE, key_of(found[0])) if has_previous else "",
        next=_address(request, AFTER, key_of(found[-1])) if has_next else "",
    )


def _beside(read: Reader, order, edge: tuple | None, is_back, size, groups) -> list:
    """The rows after an edge, or before it, nearest first; and one more."""
    wanted, group = size + 1, edge[0] if edge else next(iter(groups), None)
    part = Part(order, wanted, is_back, has_edge=bool(edge))
    values = {f"edge_{number}": one for number, one in enumerate(edge or ())}
    if not groups or order[0][0] == "-":
        return read(part, values)
    narrow, known = groups.get(group, {}), list(groups)
    here = replace(part, place="group", narrowed=tuple(narrow))
    found = read(here, values | {"group": group} | narrow)
    if len(found) >= wanted or group == known[0 if is_back else -1]:
        return found
    further = replace(part, place="beyond", has_edge=False)
    if len(known) == 2:
        # There is one other.
        group = known[0 if is_back else 1]
        narrow = groups[group]
        further = replace(further, place="group", narrowed=tuple(narrow))
        return found + read(further, {"group": group} | narrow)[: wanted - len(found)]
    return found + read(further, {"group": group})[: wanted - len(found)]


def beyond(order: Sequence[str], edge: tuple | None, is_back: bool = False) -> Q:
    """Whether a row comes after the edge; by its first column, too, for an index."""
    condition = Q()
    for column, value in reversed(list(zip(order, edge or (), strict=bool(edge)))):
        name, is_falling = column.lstrip("-"), column[0] == "-"
        side = "lt" if is_falling != is_back else "gt"
        further = Q(**{f"{name}__{side}": value})
        condition = further | Q(**{name: value}) & condition if condition else further
    if not condition:
        return condition
    return Q(**{f"{name}__{side}e": value}) & condition


def _turned(column: str) -> str:
    return column[1:] if column[0] == "-" else f"-{column}"


def _address(request, name: str, key) -> str:
    query = request.GET.copy()
    for place in (AFTER, BEFORE, "page"):
        query.pop(place, None)
    query[name] = str(key)
    return f"?{query.urlencode()}"


def is_number(text: str) -> bool:
    """Whether a text of an address can be a key that is a number."""
    return text.isascii() and text.isdigit() and len(text) < 19
