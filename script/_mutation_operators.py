"""What cosmic-ray's own operators leave alone: arguments, statements, and the tables.

Loaded by cosmic-ray in the environment of script/mutate, nowhere else. The first three
take something away: a condition of a filter, a refusal, a role of a line. The last one
adds a role to a line of the tables in accounts/roles.py.
"""

import parso
from cosmic_ray.operators.operator import Operator

ROLES = ("_GLOBAL", "_ACCOUNT", "_USERS", "_MPN", "_ADMIN", "_READER")


def _instead_of(node, code: str):
    """Return code as a node that stands where another one stood."""
    written = parso.parse(code).children[0]
    written.get_first_leaf().prefix = node.get_first_leaf().prefix
    return written


def _items(node, opening: str) -> list:
    """Return what stands between brackets, without the commas."""
    if len(node.children) != 3 or node.children[0] != opening:
        return []
    inside = node.children[1]
    if inside.type in ("arglist", "testlist_comp", "dictorsetmaker"):
        if any(
            child.type == "sync_comp_for" or child == ":" for child in inside.children
        ):
            return []
        return [child for child in inside.children if child != ","]
    return [inside]


def _without(node, items: list, index: int) -> str:
    left = [item.get_code() for place, item in enumerate(items) if place != index]
    opening, closing = node.children[0].value, node.children[-1].value
    return f"{opening}{', '.join(left)}{closing}"


class _Own(Operator):
    def mutation_positions(self, node):
        for _change in self.changes(node):
            yield (node.start_pos, node.end_pos)

    def mutate(self, node, index):
        return self.changes(node)[index]

    def changes(self, node) -> list:
        """Return what the node may become."""
        raise NotImplementedError

    @classmethod
    def examples(cls):
        return ()


class RemoveArgument(_Own):
    """f(a, b) becomes f(b) and f(a)."""

    def changes(self, node) -> list:
        if node.type != "trailer":
            return []
        items = _items(node, "(")
        return [
            parso.parse(f"f{_without(node, items, place)}").children[0].children[1]
            for place in range(len(items))
        ]


class RemoveElement(_Own):
    """{a, b} becomes {b} and {a}; [a] becomes []."""

    def changes(self, node) -> list:
        if node.type != "atom":
            return []
        for opening in "{[":
            items = _items(node, opening)
            if len(items) > (opening == "{"):
                return [
                    _instead_of(node, _without(node, items, place))
                    for place in range(len(items))
                ]
        return []


class RemoveStatement(_Own):
    """A call whose answer nobody reads becomes nothing."""

    def changes(self, node) -> list:
        if node.type != "simple_stmt" or node.children[0].type != "atom_expr":
            return []
        return [_instead_of(node, "pass\n")]


class AddRole(_Own):
    """Give one role more a capability, or one role more to give."""

    def changes(self, node) -> list:
        if node.type != "atom_expr":
            return []
        name, _, arguments = node.get_code().strip().partition("(")
        if name == "_for":
            held = {word.strip() for word in arguments.split(",")}
            return [
                _instead_of(node, f"_for({role}, {arguments}")
                for role in ROLES
                if role not in held
            ]
        if name == "Grant":
            gives, _, source = arguments.partition(",")
            held = set(ROLES) if "Role" in gives else set()
            if gives == "INCENTIVE_ROLES":
                held = {"_ADMIN", "_READER"}
            return [
                _instead_of(node, f"Grant({gives} | {{{role}}},{source}")
                for role in ROLES
                if role not in held
            ]
        return []


class Provider:
    """The operators by name, as cosmic-ray asks for them."""

    known = {
        one.__name__: one
        for one in (RemoveArgument, RemoveElement, RemoveStatement, AddRole)
    }

    def __iter__(self):
        return iter(self.known)

    def __getitem__(self, name):
        return self.known[name]
