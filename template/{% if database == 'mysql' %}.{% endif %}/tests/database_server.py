"""MySQL or MariaDB for the tests: a server of their own, in a folder that goes away."""

import asyncio
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

from app.engine import DRIVER
from tests.relay import Relay, Streams

DEADLOCK = "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"
"""A statement that fails like one that lost a deadlock."""

START_TIMEOUT = 60.0
"""Seconds."""


@contextmanager
def database_server() -> Iterator[URL]:
    """Start a server, and stop it afterwards; without one to be had, end the test run."""
    # Some packages put servers where only root looks.
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    server = shutil.which("mariadbd", path=search) or shutil.which("mysqld", path=search)
    if server is None:
        pytest.exit(
            "The tests need a MySQL or MariaDB server: install one so that `mariadbd` or `mysqld` "
            "is on PATH, or set TEST_DATABASE_URL to a database on a server that runs.",
            returncode=1,
        )
    with TemporaryDirectory(prefix="tests-", ignore_cleanup_errors=True) as folder:
        data, log = Path(folder, "data"), Path(folder, "log")
        # MariaDB deletes what it finds in its folder for temporary tables, those of another server too.
        options = [f"--datadir={data}", f"--tmpdir={folder}"]
        if os.geteuid() == 0:
            options.append("--user=root")
        with log.open("wb") as output:
            initialized = subprocess.run(
                [*_initialize(server), *options], stdout=output, stderr=output, check=False
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
                    # What is lost in a crash does not matter here, and waiting for the disk does.
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
    """Create a database beside the one in `server`; drop it afterwards."""
    url = server.set(database=f"{server.database}_{uuid4().hex[:8]}")
    await _execute(server, f"CREATE DATABASE `{url.database}`")
    try:
        yield url
    finally:
        await _execute(server, f"DROP DATABASE `{url.database}`")


async def clear(url: URL) -> None:
    """Drop all that is in a database."""
    await _execute(url, f"DROP DATABASE `{url.database}`", f"CREATE DATABASE `{url.database}`")


async def empty(connection: AsyncConnection, tables: Sequence[str]) -> None:
    """Delete all rows of `tables`, in whichever order they refer to each other."""
    # A connection that was not given back may hold a lock for ever.
    await connection.exec_driver_sql("SET foreign_key_checks = 0, innodb_lock_wait_timeout = 5")
    for name in tables:
        await connection.execute(delete(table(name)))
    await connection.exec_driver_sql(
        "SET foreign_key_checks = 1, innodb_lock_wait_timeout = DEFAULT"
    )


@asynccontextmanager
async def detour(url: URL) -> AsyncIterator[Relay]:
    """Make a way to the database at `url` that can be interrupted."""

    async def connect() -> Streams:
        if path := url.query.get("unix_socket"):
            return await asyncio.open_unix_connection(str(path))
        return await asyncio.open_connection(str(url.host), url.port or 3306)

    async with Relay(connect) as relay:
        relay.url = url.set(host="127.0.0.1", port=relay.port, query={})
        yield relay


def _initialize(server: str) -> list[str]:
    """Name the command that makes a data folder whose root user has no password."""
    if "MariaDB" not in subprocess.check_output([server, "--version"], text=True):
        return [server, "--no-defaults", "--initialize-insecure"]
    install = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
    if install is None:
        pytest.exit(f"`mariadb-install-db` is missing beside `{server}`: install it too.", 1)
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
            # It listens before it is ready, and until then forgets that it was told to stop.
            if attempt.connect_ex(path) == 0 and attempt.recv(1):
                return
        time.sleep(0.05)
    _give_up(log)


def _give_up(log: Path) -> NoReturn:
    tail = log.read_text(errors="replace")[-1000:]
    pytest.exit(f"The database server for the tests does not start; its log ends:\n{tail}", 1)


async def _execute(server: URL, *statements: str) -> None:
    # The database that `server` names need not exist on a new server.
    engine = create_async_engine(server.set(database=""), poolclass=NullPool)
    async with engine.connect() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)
