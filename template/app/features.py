"""Features are the folders of `app`: to add one, drop it in; to remove one, delete it.

A folder can have any of these modules:

    models.py    tables
    router.py    `router`, an APIRouter
    commands.py  `commands`, a Typer application
    settings.py  `Settings`, a class whose fields the service's settings then have as well
    install.py   `install(app, settings)`, a function that adds middleware or error handlers
"""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import typer
from fastapi import APIRouter, FastAPI
from pydantic_settings import BaseSettings

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
    return [_get(module, "router", APIRouter) for _, module in _modules("router")]


def commands() -> dict[str, typer.Typer]:
    """Collect every feature's commands, under the name of its folder."""
    import_models()
    return {
        feature: _get(module, "commands", typer.Typer) for feature, module in _modules("commands")
    }


def settings_classes() -> list[type[Any]]:
    """Collect every feature's settings class, in the order of the folders' names."""
    return [_get(module, "Settings", type) for _, module in _modules("settings")]


def install(app: FastAPI, settings: BaseSettings) -> None:
    """Call every feature's `install`, in the order of the folders' names.

    The middleware of a later folder is outside that of an earlier one.
    """
    import_models()
    for _, module in _modules("install"):
        _get(module, "install", FunctionType)(app, settings)


def _get(module: ModuleType, name: str, kind: type) -> Any:
    """Return what a module of a feature is there for.

    Raises:
        SystemExit: the module does not have it, or has something of another type.
    """
    found = getattr(module, name, None)
    if isinstance(found, kind):
        return found
    path = module.__name__.replace(".", "/")
    raise SystemExit(f"{path}.py must define `{name}`: app/features.py says what it is.")


def _modules(name: str) -> Iterator[tuple[str, ModuleType]]:
    folders = (path for root in app.__path__ for path in Path(root).iterdir() if path.is_dir())
    for feature in sorted(path.name for path in folders if path.name.isidentifier()):
        module = f"app.{feature}.{name}"
        if find_spec(module):
            yield feature, import_module(module)
