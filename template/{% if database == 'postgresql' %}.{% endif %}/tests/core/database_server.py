"""A private PostgreSQL server for the tests, from a wheel, in a temporary folder."""

import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from sqlalchemy import URL, NullPool
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.core.dev.database import private_database

MEMORY = Path("/dev/shm")  # noqa: S108
ROOM = 2**30
"""Bytes; several times the size of the test databases."""


@contextmanager
def database_server() -> Iterator[URL]:
    """Run a server."""
    # Use memory if there is room: creating a thousand files on a disk takes a second.
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    with (
        TemporaryDirectory(
            prefix="tests-", dir=MEMORY if in_memory else None, ignore_cleanup_errors=True
        ) as folder,
        private_database(Path(folder), durable=False) as url,
    ):
        yield url


@asynccontextmanager
async def temporary_database(server: URL) -> AsyncIterator[URL]:
    """Create a database next to the one of `server`, and drop it on exit."""
    url = server.set(database=f"{server.database}_{uuid4().hex[:8]}")
    await _execute(server, f'CREATE DATABASE "{url.database}"')
    try:
        yield url
    finally:
        await _execute(server, f'DROP DATABASE "{url.database}" WITH (FORCE)')


async def clear(url: URL) -> None:
    """Delete the contents of a database, which is faster than dropping the database."""
    await _execute(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
    )


async def empty(connection: AsyncConnection, tables: Sequence[str]) -> None:
    """Delete all rows of `tables`, regardless of foreign keys between them."""
    if names := ", ".join(f'"{table}"' for table in tables):
        await connection.exec_driver_sql(f"TRUNCATE {names}")


async def _execute(url: URL, *statements: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)
