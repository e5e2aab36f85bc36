"""Database connections that tests can interrupt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import URL

from app.core.dialect import DRIVER
from tests.proofs.relay import Relay, Streams

DATABASE = DRIVER.partition("+")[0]

DEADLOCK = {
    "mysql": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213",
    "postgresql": "DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$",
}.get(DATABASE, "")
"""A statement that fails like the victim of a deadlock."""

DEMOTED = {
    "mysql": "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1290",
    "postgresql": "DO $$ BEGIN RAISE SQLSTATE '25006'; END $$",
}.get(DATABASE, "")
"""A statement that fails like a write on a server that became a replica."""

CONNECTION_ID = {"mysql": "SELECT connection_id()", "postgresql": "SELECT pg_backend_pid()"}.get(
    DATABASE, ""
)

ENDLESS = {
    "mysql": "SELECT sleep(60)",
    "postgresql": "SELECT pg_sleep(60)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
}[DATABASE]
"""A statement that takes a minute, or forever."""


class FileDetour:
    """Another path to a database file, which can be interrupted while the file is closed."""

    def __init__(self, url: URL) -> None:
        self._file = Path(url.database or "")
        self._folder = self._file.with_suffix(".detour")
        self.url = url.set(database=str(self._folder / self._file.name))

    async def interrupt(self) -> None:
        """Make the file unreachable."""
        if self._folder.exists():
            for file in self._folder.iterdir():
                file.rename(self._file.with_name(file.name))
            self._folder.rmdir()

    async def resume(self) -> None:
        """Make the file reachable again."""
        self._folder.mkdir()
        for suffix in ("", "-wal", "-shm"):
            file = Path(f"{self._file}{suffix}")
            if file.exists():
                file.rename(self._folder / file.name)


@asynccontextmanager
async def detour(url: URL) -> AsyncIterator[FileDetour | Relay]:
    """Provide another way to the database at `url` temporarily."""
    if DRIVER.startswith("sqlite"):
        way = FileDetour(url)
        await way.resume()
        try:
            yield way
        finally:
            await way.interrupt()
        return

    port = url.port or (3306 if DRIVER.startswith("mysql") else 5432)

    async def connect() -> Streams:
        host = str(url.query.get("host", url.host))
        if DRIVER.startswith("mysql"):
            path = str(url.query.get("unix_socket", ""))
        else:
            path = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else ""
        if path:
            return await asyncio.open_unix_connection(path)
        return await asyncio.open_connection(host, port)

    async with Relay(connect) as relay:
        relay.url = url.set(host="127.0.0.1", port=relay.port, query={})
        yield relay
