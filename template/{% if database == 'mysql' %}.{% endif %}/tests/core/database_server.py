"""A private MySQL or MariaDB server for the tests, in a temporary folder."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from sqlalchemy import URL, NullPool, TableClause, delete
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.core.dev.database import private_database


@contextmanager
def database_server() -> Iterator[URL]:
    """Run a server."""
    with (
        TemporaryDirectory(prefix="tests-", ignore_cleanup_errors=True) as folder,
        private_database(Path(folder), durable=False) as url,
    ):
        yield url


@asynccontextmanager
async def temporary_database(server: URL) -> AsyncIterator[URL]:
    """Create a database next to the one of `server`, and drop it on exit."""
    url = server.set(database=f"{server.database}_{uuid4().hex[:8]}")
    await _execute(server, f"CREATE DATABASE `{url.database}`")
    try:
        yield url
    finally:
        await _execute(server, f"DROP DATABASE `{url.database}`")


async def clear(url: URL) -> None:
    """Delete the contents of a database."""
    await _execute(url, f"DROP DATABASE `{url.database}`", f"CREATE DATABASE `{url.database}`")


async def empty(connection: AsyncConnection, tables: Sequence[TableClause]) -> None:
    """Delete all rows of `tables`, regardless of foreign keys between them."""
    await connection.exec_driver_sql("SET foreign_key_checks = 0")
    for table in tables:
        await connection.execute(delete(table))
    await connection.exec_driver_sql("SET foreign_key_checks = 1")


async def _execute(server: URL, *statements: str) -> None:
    # On a new server, the database of the URL does not exist yet.
    engine = create_async_engine(server.set(database=""), poolclass=NullPool)
    async with engine.connect() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)
