"""Feature discovery. Each subfolder of `app` is a feature; no registration is needed.

A feature contains at least one of these modules:

    models.py    SQLAlchemy models
    router.py    `router`, an APIRouter
    commands.py  `commands`, a Typer application
    settings.py  `Settings`, a subclass of EnvironmentSettings
    install.py   `install(app)`, a function that adds middleware or exception handlers

Subfolders of `app/core` can contain them, too.
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
    """Import the models of all features, so that `Base.metadata` contains every table.

    Using one model requires all of them, because tables refer to each other.
    """
    _modules("models")


def settings_classes() -> list[type[EnvironmentSettings]]:
    """Return the settings classes of all features."""
    return [_get(module, "Settings", EnvironmentSettings) for module in _modules("settings")]


def install(app: FastAPI) -> None:
    """Call `install` of each feature; middleware of later features wraps that of earlier ones."""
    import_models()
    for module in _modules("install"):
        _get(module, "install", FunctionType)(app)


def routers(*, of_core: bool) -> list[APIRouter]:
    """Return the routers of the features in `app/core`, or of the service's own features."""
    import_models()
    return [
        _get(module, "router", APIRouter)
        for module in _modules("router")
        if module.__name__.startswith(f"{CORE}.") == of_core
    ]


def commands() -> dict[str, typer.Typer]:
    """Return the commands of all features, by folder name."""
    import typer  # only the command line needs it

    import_models()
    by_name: dict[str, typer.Typer] = {}
    for module in _modules("commands"):
        name = module.__name__.split(".")[-2]
        if name in {"db", "dev", "serve", *by_name}:
            raise SystemExit(
                f"{_path(module)}: the command `{name}` already exists; rename the folder."
            )
        by_name[name] = _get(module, "commands", typer.Typer)
    return by_name


def _get(module: ModuleType, name: str, kind: type) -> Any:
    """Return the object `name` of a feature's module: a subclass or an instance of `kind`.

    Raises:
        SystemExit: the object is missing or has the wrong type.
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
    """Import the module `name` of each feature that has one: core's first, then by folder name."""
    names = [f"{package}.{name}" for package in _packages()]
    return [import_module(module) for module in names if find_spec(module)]


def _packages() -> Iterator[str]:
    """Yield the package name of each feature.

    Raises:
        SystemExit: a folder of the service contains Python files, but is not a feature.
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
                    f"{parent}/{folder.name} is not a feature: a feature has a Python identifier as "
                    f"its name and one of {known}; other code belongs in a module next to main.py."
                )


def _folders(package: str) -> list[Path]:
    roots = import_module(package).__path__
    folders = (path for root in roots for path in Path(root).iterdir() if path.is_dir())
    return sorted(folders, key=lambda path: path.name)


def _names(folder: Path) -> set[str]:
    """Return the names of the modules and subpackages in a folder."""
    modules = {path.stem for path in folder.glob("*.py")}
    return modules | {path.parent.name for path in folder.glob("*/__init__.py")}
