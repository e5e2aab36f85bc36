"""Features are the folders of `app`: drop one in to add it, delete it to remove it.

A feature's folder has at least one of these modules:

    models.py    tables
    router.py    `router`, an APIRouter
    commands.py  `commands`, a Typer application
    settings.py  `Settings`, a subclass of EnvironmentSettings
    install.py   `install(app)`, a function that adds middleware or exception handlers

Folders of `app/core` can have them too.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI

from app.core.settings import EnvironmentSettings

if TYPE_CHECKING:
    import typer

MODULES = {"models", "router", "commands", "settings", "install"}
CORE = __name__.rpartition(".")[0]
ROOT = CORE.rpartition(".")[0]


def import_models() -> None:
    """Import every feature's models, so that `Base.metadata` has all tables.

    All of them are needed to use one, because tables refer to each other.
    """
    _modules("models")


def settings_classes() -> list[type[EnvironmentSettings]]:
    """Return every feature's settings class."""
    return [_get(module, "Settings", EnvironmentSettings) for module in _modules("settings")]


def install(app: FastAPI) -> None:
    """Call every feature's `install`; a later folder's middleware is outside an earlier one's."""
    import_models()
    for module in _modules("install"):
        _get(module, "install", FunctionType)(app)


def routers() -> list[APIRouter]:
    """Return every feature's router."""
    import_models()
    return [_get(module, "router", APIRouter) for module in _modules("router")]


def commands() -> dict[str, typer.Typer]:
    """Return every feature's commands, by the name of its folder."""
    import typer  # a server does not need it

    import_models()
    by_name: dict[str, typer.Typer] = {}
    for module in _modules("commands"):
        name = module.__name__.split(".")[-2]
        if name in {"db", *by_name}:
            raise SystemExit(
                f"{_path(module)}: the command `{name}` already exists; rename the folder."
            )
        by_name[name] = _get(module, "commands", typer.Typer)
    return by_name


def _get(module: ModuleType, name: str, kind: type) -> Any:
    """Return what a feature's module must define: a subclass of settings, or an instance.

    Raises:
        SystemExit: the module does not define it.
    """
    found = getattr(module, name, None)
    if kind is EnvironmentSettings:
        fits, what = isinstance(found, type) and issubclass(found, kind), "a subclass of"
    else:
        fits, what = isinstance(found, kind), "an instance of"
    if not fits:
        raise SystemExit(f"{_path(module)} must define `{name}`, {what} {kind.__name__}.")
    return found


def _path(module: ModuleType) -> str:
    return module.__name__.replace(".", "/") + ".py"


def _modules(name: str) -> list[ModuleType]:
    """Import the modules of that name, in the order of the folders' names, core's first."""
    names = [f"{package}.{name}" for package in _packages()]
    return [import_module(module) for module in names if find_spec(module)]


def _packages() -> Iterator[str]:
    """Find the features.

    Raises:
        SystemExit: a folder of the service has Python files, but is not a feature.
    """
    for parent in (CORE, ROOT):
        for folder in _folders(parent):
            name, modules = f"{parent}.{folder.name}", _names(folder)
            if name == CORE:
                continue
            if modules & MODULES and folder.name.isidentifier():
                yield name
            elif modules and parent == ROOT:
                known = ", ".join(f"{module}.py" for module in sorted(MODULES))
                raise SystemExit(
                    f"{parent}/{folder.name} is not a feature: give it a Python identifier as name, "
                    f"and one of {known}, or move its code to a module next to main.py."
                )


def _folders(package: str) -> list[Path]:
    roots = import_module(package).__path__
    folders = (path for root in roots for path in Path(root).iterdir() if path.is_dir())
    return sorted(folders, key=lambda path: path.name)


def _names(folder: Path) -> set[str]:
    """Return the names of the modules and packages in a folder."""
    modules = {path.stem for path in folder.glob("*.py")}
    return modules | {path.parent.name for path in folder.glob("*/__init__.py")}
