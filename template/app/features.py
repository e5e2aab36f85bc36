"""Features are the folders of `app`: to add one, drop it in; to remove one, delete it.

A folder may have `models.py`, `router.py` (with a `router`) and `commands.py`
(with `commands`, a Typer application).
"""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import typer
from fastapi import APIRouter

import app


def import_models() -> None:
    """Import every feature's models, so that `Base.metadata` has all tables.

    Whatever uses one table needs all, because tables refer to each other.
    """
    for _ in _modules("models"):
        pass


def routers() -> list[APIRouter]:
    """Collect every feature's router, in the order of the folders' names."""
    import_models()
    return [module.router for _, module in _modules("router")]


def commands() -> dict[str, typer.Typer]:
    """Collect every feature's commands, under the name of its folder."""
    import_models()
    return {feature: module.commands for feature, module in _modules("commands")}


def _modules(name: str) -> Iterator[tuple[str, ModuleType]]:
    folders = (path for root in app.__path__ for path in Path(root).iterdir() if path.is_dir())
    for feature in sorted(path.name for path in folders if path.name.isidentifier()):
        module = f"app.{feature}.{name}"
        if find_spec(module):
            yield feature, import_module(module)
