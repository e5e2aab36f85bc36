"""Records which process serves this project, and with which database."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from app.core import features
from app.core.settings import EnvironmentSettings

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / ".dev"
FILE = FOLDER / "running"
"""Locked by the running process; contains its description."""


@dataclass(frozen=True)
class Running:
    """Description of the running process."""

    pid: int
    address: str
    database_url: str


class _Url(EnvironmentSettings):
    database_url: str | None = None


def has_database_url() -> bool:
    """Return whether DATABASE_URL is set, in the environment or in `.env`."""
    return _Url.load().database_url is not None


def use_running_database() -> None:
    """Use the database of the running process, unless DATABASE_URL is set, and its settings."""
    running = find()
    if running:
        use_development_settings()
    if running and not has_database_url():
        os.environ["DATABASE_URL"] = running.database_url


def use_development_settings() -> None:
    """Set the environment variables that features need for development."""
    for settings_class in features.settings_classes():
        os.environ.update(settings_class.for_development(FOLDER))


@contextmanager
def claim() -> Iterator[None]:
    """Hold the lock that allows a single process to serve this project.

    Raises:
        SystemExit: another process holds the lock, or the folder cannot be written.
    """
    import fcntl  # not available on Windows

    try:
        FOLDER.mkdir(exist_ok=True)
        file = FILE.open("a", encoding="utf-8")
    except OSError as error:
        raise SystemExit(f"Error: {FOLDER} cannot be written: {error.strerror}.") from None
    with file:
        FILE.chmod(0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = find()
            where = f"{running.address}, process {running.pid}" if running else "starting"
            raise SystemExit(
                f"Error: `dev` is already running for this project: {where}."
            ) from None
        file.truncate(0)
        yield


def describe(running: Running) -> None:
    """Write the description of this process, which must hold the lock."""
    FILE.write_text(json.dumps(asdict(running)), encoding="utf-8")


def find() -> Running | None:
    """Return the description of the running process; None if none is running, or it is starting."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        with FILE.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = FILE.read_text(encoding="utf-8")
        return Running(**json.loads(text)) if text else None
    except OSError:
        pass
    return None
