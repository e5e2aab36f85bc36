"""A private PostgreSQL server for the tests, from a wheel, in a temporary folder."""

import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from sqlalchemy import URL, NullPool, TableClause
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.core.dev.database import private_database

MEMORY = Path("/dev/shm")  # noqa: S108
ROOM = 2**30
"""Bytes; several times the size of the test databases."""

DROP_SCHEMAS = """
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT nspname FROM pg_namespace
            WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
        LOOP
            EXECUTE format('DROP SCHEMA %I CASCADE', name);
        END LOOP;
    END $$
"""


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
        DROP_SCHEMAS,
        "CREATE SCHEMA public",
    )


async def empty(connection: AsyncConnection, tables: Sequence[TableClause]) -> None:
    """Delete all rows of `tables`, regardless of foreign keys between them."""
    preparer = connection.dialect.identifier_preparer
    if names := ", ".join(preparer.format_table(table) for table in tables):
        await connection.exec_driver_sql(f"TRUNCATE {names}")


async def _execute(url: URL, *statements: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)
