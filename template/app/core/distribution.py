"""Name and version of the installed service."""

import shutil
from functools import cache
from importlib.metadata import entry_points


@cache  # reading the metadata of all packages is slow
def distribution() -> tuple[str, str]:
    """Return the name and version of the service; the name is also that of its command."""
    for command in entry_points(group="console_scripts", value="app.core.cli:main"):
        if command.dist:
            return command.name, command.dist.version
    return "<slug>", "0"


def command_line(arguments: str) -> str:
    """Return a command of the service, for messages; images and wheels have no uv."""
    prefix = "uv run " if shutil.which("uv") else ""
    return f"{prefix}{distribution()[0]} {arguments}"


def version() -> str:
    """Return the service's version, from pyproject.toml."""
    return distribution()[1]
