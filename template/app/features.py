"""Features are the folders of `app`: to add one, drop it in; to remove one, delete it.

A folder may have `models.py`, `router.py` (with a `router`) and `commands.py`
(with `commands`, a Typer application).
"""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import typer
from fastapi import APIRouter

import app


def import_models() -> None:
    """Import every feature's models, so that `Base.metadata` has all tables."""
    for _ in _modules("models"):
        pass


def routers() -> list[APIRouter]:
    """Collect every feature's router, in the order of the folders' names."""
    return [module.router for _, module in _modules("router")]


def commands() -> dict[str, typer.Typer]:
    """Collect every feature's commands, under the name of its folder."""
    return {feature: module.commands for feature, module in _modules("commands")}


def _modules(name: str) -> Iterator[tuple[str, ModuleType]]:
    for package in sorted(info.name for info in pkgutil.iter_modules(app.__path__) if info.ispkg):
        module = f"app.{package}.{name}"
        if find_spec(module):
            yield package, import_module(module)
