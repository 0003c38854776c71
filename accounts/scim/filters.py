"""Filters: what the table can answer is asked of the table, the rest decides in memory.

The library reads a filter and says of a resource whether it matches. What is asked of
the table first only makes the list shorter: it never leaves out what would match.
"""

from collections.abc import Callable
from functools import reduce
from operator import and_, or_
from unicodedata import normalize

from django.db.models import Q
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    FilterVisitor,
    LogicalExpr,
    LogicalOperator,
    Not,
    Present,
    ValuePath,
)

from accounts.scim.resources import CORE

# Keys are whole numbers of 64 bits.
MOST_DIGITS = 18

Narrowed = Callable[[str, object], Q | None]


class Narrowing(FilterVisitor[Q | None]):
    """What a filter asks of the table; None where the table cannot tell."""

    def __init__(self, narrowed: Narrowed, *, within: str = ""):
        self.narrowed = narrowed
        # The attribute whose entries the names are of, as in emails[type eq "work"].
        self.within = within

    def visit_comparison(self, node: Comparison) -> Q | None:
        if node.op != CompareOperator.eq or not _is_ours(node.attr_path):
            return None
        parts = (self.within, node.attr_path.attr, node.attr_path.sub_attr)
        name, value = ".".join(filter(None, parts)).lower(), node.value
        if isinstance(value, str):
            value = normalize("NFC", value)
            if not _is_storable(value):
                return Q(pk__in=())
        if name == "id":
            return Q(pk=key) if (key := key_of(value)) is not None else Q(pk__in=())
        return self.narrowed(name, value)

    def visit_present(self, node: Present) -> None:
        return None

    def visit_not(self, node: Not) -> None:
        return None

    def visit_logical_expr(self, node: LogicalExpr) -> Q | None:
        terms = [self.visit(term) for term in node.terms]
        known = [term for term in terms if term is not None]
        if node.op == LogicalOperator.and_:
            return reduce(and_, known) if known else None
        return reduce(or_, known) if len(known) == len(terms) else None

    def visit_value_path(self, node: ValuePath) -> Q | None:
        if self.within or node.attr_path.sub_attr or not _is_ours(node.attr_path):
            return None
        return Narrowing(self.narrowed, within=node.attr_path.attr).visit(
            node.val_filter
        )


def narrowing(filter_: FilterNode, narrowed: Narrowed) -> Q:
    """Return a condition that everything a filter matches meets."""
    return Narrowing(narrowed).visit(filter_) or Q()


def key_of(value: object) -> int | None:
    """Return the key an id stands for; None for what is no id of ours."""
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isdecimal()
        and len(value) <= MOST_DIGITS
        and (value == "0" or not value.startswith("0"))
    ):
        return int(value)
    return None


def _is_ours(path: AttrPath) -> bool:
    return path.uri is None or path.uri.lower().startswith(CORE)


def _is_storable(text: str) -> bool:
    """Whether a table could hold it: no NUL, no half of a pair."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)
