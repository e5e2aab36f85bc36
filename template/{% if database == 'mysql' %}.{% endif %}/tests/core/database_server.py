"""MySQL or MariaDB for the tests: a private server, in a temporary folder."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn
from uuid import uuid4

import pytest
from sqlalchemy import URL, NullPool, delete, table
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.core.dialect import DRIVER

START_TIMEOUT = 60.0
"""Seconds."""


@contextmanager
def database_server() -> Iterator[URL]:
    """Start a server, and stop it at the end; end the test run if none is installed."""
    # Some packages install servers in folders that only root's PATH has.
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    server = shutil.which("mariadbd", path=search) or shutil.which("mysqld", path=search)
    if server is None:
        pytest.exit(
            "The tests need a MySQL or MariaDB server: install one so that `mariadbd` or `mysqld` "
            "is on PATH, or set TEST_DATABASE_URL to a database on a running server.",
            returncode=1,
        )
    with TemporaryDirectory(prefix="tests-", ignore_cleanup_errors=True) as folder:
        data, log = Path(folder, "data"), Path(folder, "log")
        # MariaDB empties its folder for temporary tables, even if another server uses it.
        options = [f"--datadir={data}", f"--tmpdir={folder}"]
        if os.geteuid() == 0:
            options.append("--user=root")
        with log.open("wb") as output:
            initialized = subprocess.run(
                [*_initialize(server, search), *options], stdout=output, stderr=output, check=False
            )
            if initialized.returncode:
                _give_up(log)
            process = subprocess.Popen(
                [
                    server,
                    "--no-defaults",
                    *options,
                    f"--socket={folder}/socket",
                    f"--pid-file={folder}/pid",
                    "--skip-networking",
                    # Durability does not matter here, and waiting for the disk takes time.
                    "--innodb-flush-log-at-trx-commit=0",
                    "--sync-binlog=0",
                ],
                stdout=output,
                stderr=output,
            )
        try:
            _wait(process, f"{folder}/socket", log)
            yield URL.create(
                DRIVER, "root", database="test", query={"unix_socket": f"{folder}/socket"}
            )
        finally:
            process.terminate()
            process.wait()


@asynccontextmanager
async def temporary_database(server: URL) -> AsyncIterator[URL]:
    """Create a database next to the one of `server`; drop it at the end."""
    url = server.set(database=f"{server.database}_{uuid4().hex[:8]}")
    await _execute(server, f"CREATE DATABASE `{url.database}`")
    try:
        yield url
    finally:
        await _execute(server, f"DROP DATABASE `{url.database}`")


async def clear(url: URL) -> None:
    """Drop everything in a database."""
    await _execute(url, f"DROP DATABASE `{url.database}`", f"CREATE DATABASE `{url.database}`")


async def empty(connection: AsyncConnection, tables: Sequence[str]) -> None:
    """Delete all rows of `tables`, whichever of them refer to each other."""
    # A leaked connection can hold a lock for ever.
    await connection.exec_driver_sql("SET foreign_key_checks = 0, innodb_lock_wait_timeout = 5")
    for name in tables:
        await connection.execute(delete(table(name)))
    await connection.exec_driver_sql(
        "SET foreign_key_checks = 1, innodb_lock_wait_timeout = DEFAULT"
    )


def _initialize(server: str, search: str) -> list[str]:
    """Return the command that creates a data folder whose root user has no password."""
    if "MariaDB" not in subprocess.check_output([server, "--version"], text=True):
        return [server, "--no-defaults", "--initialize-insecure"]
    names = ("mariadb-install-db", "mysql_install_db")
    install = next(filter(None, (shutil.which(name, path=search) for name in names)), None)
    if install is None:
        pytest.exit("`mariadb-install-db` was not found: install it, or set TEST_DATABASE_URL.", 1)
    return [
        install,
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]


def _wait(process: subprocess.Popen[bytes], path: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket(socket.AF_UNIX) as attempt:
            attempt.settimeout(START_TIMEOUT)
            # It listens before it is ready, and ignores SIGTERM until then.
            if attempt.connect_ex(path) == 0 and attempt.recv(1):
                return
        time.sleep(0.05)
    _give_up(log)


def _give_up(log: Path) -> NoReturn:
    tail = log.read_text(errors="replace")[-1000:]
    pytest.exit(f"The database server for the tests does not start; its log ends:\n{tail}", 1)


async def _execute(server: URL, *statements: str) -> None:
    # The database that `server` names does not exist on a new server.
    engine = create_async_engine(server.set(database=""), poolclass=NullPool)
    async with engine.connect() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)
