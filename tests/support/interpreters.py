"""The Python interpreters on this machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from support.programs import environment, uv
from support.questions import read_questions

WANTED = [str(version) for version in read_questions()["python_version"].answers]
"""The versions that the template offers, oldest first."""

Version = tuple[int, int]


def parse(version: str) -> Version:
    """Return "3.11" as (3, 11)."""
    major, minor = version.split(".")
    return int(major), int(minor)


def at_least(version: str) -> Path:
    """Return the oldest installed interpreter that is at least `version`."""
    for candidate in WANTED:
        if parse(candidate) >= parse(version) and (found := find(candidate)):
            return found
    msg = f"Python {version} or newer was not found."
    raise LookupError(msg)


def missing() -> list[str]:
    """Return the versions that the template offers but this machine lacks."""
    return [version for version in WANTED if not find(version)]


@cache
def find(version: str) -> Path | None:
    """Return a working interpreter of that minor version, or None."""
    return next(filter(lambda path: _runs(path, version), _candidates(version)), None)


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    # The base interpreter of the suite's own environment.
    yield Path(sys.base_prefix) / "bin" / name
    if on_path := shutil.which(name, path=environment()["PATH"]):
        yield Path(on_path)
    # Interpreters installed by uv are not necessarily on PATH.
    command = [uv(), "python", "find", "--no-project", "--no-python-downloads", version]
    managed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if managed.returncode == 0:
        yield Path(managed.stdout.strip())
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"), reverse=True)


def _runs(path: Path, version: str) -> bool:
    """Return whether the interpreter works; it can be missing, or a shim without a target."""
    code = "import sys, ssl, sqlite3; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [path, "-c", code], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.stdout.strip() == version
