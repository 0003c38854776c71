"""The modules of profiles.services, for tests that take a part of one out."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from profiles import services

PATHS = sorted(Path(services.__file__).parent.glob("[!_]*.py"))


def modules_with(name: str) -> list[ModuleType]:
    """Return the modules in which a name is used: each has it for itself."""
    modules = [import_module(f"profiles.services.{path.stem}") for path in PATHS]
    return [module for module in modules if hasattr(module, name)]


def replace_everywhere(monkeypatch, name: str, replacement) -> None:
    """Let every service use something else in the place of a function."""
    for module in modules_with(name):
        monkeypatch.setattr(module, name, replacement)
