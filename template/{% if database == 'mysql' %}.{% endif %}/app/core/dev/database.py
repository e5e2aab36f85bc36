"""MySQL or MariaDB for development and tests, using the installed server."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL

from app.core.dev import server
from app.core.dialect import DRIVER

SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
"""Some packages install servers in folders that are only on root's PATH."""


@contextmanager
def private_database(folder: Path, *, durable: bool = True) -> Iterator[URL]:
    """Run a server with its data in `folder`, and yield the URL of a database.

    Args:
        folder: an existing folder; the data is created there if it does not exist.
        durable: whether the data survives a crash of the machine.

    Raises:
        SystemExit: the server cannot be started; the message contains the reason.
    """
    program = _find("mariadbd", "mysqld")
    data, log, pid_file = folder.resolve() / "data", folder / "log", folder.resolve() / "pid"
    # The folder for temporary tables must not be shared, because MariaDB empties it.
    with TemporaryDirectory(prefix="mysql-", ignore_cleanup_errors=True) as temporary:
        options = ["--no-defaults", f"--tmpdir={temporary}"]
        if os.geteuid() == 0:
            options.append("--user=root")
        if not durable:
            options += ["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0"]
            options.append("--loose-innodb-log-file-size=16M")  # creating 96 MB takes a second
        if not data.exists():
            initialize = _initialize(program, options)
            link = Path(temporary, "data")  # mariadb-install-db fails for paths with spaces
            server.create(data, lambda new: [*initialize, _datadir(link, new)], log=log)
        if not (data / "mysql").is_dir():
            raise SystemExit(
                f"Error: {data} is not the data of a MySQL or MariaDB server: "
                "move it away, and try again."
            )
        server.stop_left_over(pid_file, f"--datadir={data}", signal.SIGTERM)
        start = Path(temporary, "start.sql")
        start.write_text("CREATE DATABASE IF NOT EXISTS dev;\n")
        path = f"{temporary}/socket"  # in the project, its path could be too long
        command = [
            *(program, *options, f"--datadir={data}", f"--socket={path}", "--skip-networking"),
            *(f"--pid-file={pid_file}", f"--init-file={start}"),
        ]
        with server.running(command, log=log, is_ready=lambda: _greets(path)):
            yield URL.create(DRIVER, "root", database="dev", query={"unix_socket": path})


def _find(*names: str) -> str:
    """Return the path of the first of these programs that is installed."""
    for name in names:
        if path := shutil.which(name, path=SEARCHED):
            return path
    raise SystemExit(
        f"Error: Neither `{'` nor `'.join(names)}` was found: install MariaDB or MySQL, or set "
        "DATABASE_URL (TEST_DATABASE_URL for tests) to a database on another server."
    )


def _initialize(program: str, options: list[str]) -> list[str]:
    """Return the command that creates the data, with a root user without a password."""
    version = subprocess.check_output([program, "--version"], text=True)  # noqa: S603
    if "MariaDB" not in version:
        return [program, *options, "--initialize-insecure"]
    install = _find("mariadb-install-db", "mysql_install_db")
    return [install, *options, "--auth-root-authentication-method=normal", "--skip-test-db"]


def _datadir(link: Path, data: Path) -> str:
    link.symlink_to(data)
    return f"--datadir={link}"


def _greets(path: str) -> bool:
    """Return whether the server is ready: it listens earlier, but sends a greeting only then."""
    with socket.socket(socket.AF_UNIX) as attempt:
        attempt.settimeout(server.START_TIMEOUT)
        return attempt.connect_ex(path) == 0 and bool(attempt.recv(1))
