"""The modules with the steps of an enrollment, for tests that replace something in all."""

from types import ModuleType

from enrollment.services import (
    choosing,
    enrollments,
    following,
    lapsing,
    moving,
    refusing,
)

STEPS = (choosing, enrollments, following, lapsing, moving, refusing)


def steps_with(name: str) -> list[ModuleType]:
    """Return the modules in which a name is used: each has it for itself."""
    return [module for module in STEPS if hasattr(module, name)]


def replace_in_steps(monkeypatch, name: str, replacement) -> None:
    """Let every step use something else in the place of a function."""
    for module in steps_with(name):
        monkeypatch.setattr(module, name, replacement)
