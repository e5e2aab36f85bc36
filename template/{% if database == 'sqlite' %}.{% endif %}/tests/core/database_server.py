"""SQLite database files for the tests, in a temporary folder."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from sqlalchemy import URL, TableClause, delete
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.dialect import DRIVER


@contextmanager
def database_server() -> Iterator[URL]:
    """Create a folder for databases, and yield the URL of a file in it."""
    with TemporaryDirectory(prefix="tests-") as folder:
        yield URL.create(DRIVER, database=f"{folder}/test.db")


@asynccontextmanager
async def temporary_database(server: URL) -> AsyncIterator[URL]:
    """Yield the URL of a file next to the one of `server`, and delete the file on exit."""
    base = Path(server.database or "test.db")
    path = base.with_name(f"{base.stem}_{uuid4().hex[:8]}.db")
    path.touch()
    url = server.set(database=str(path))
    try:
        yield url
    finally:
        _delete(url)


async def clear(url: URL) -> None:
    """Delete the contents of a database."""
    _delete(url)
    Path(url.database or "").touch()


async def empty(connection: AsyncConnection, tables: Sequence[TableClause]) -> None:
    """Delete all rows of `tables`, regardless of foreign keys between them."""
    await connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    for table in tables:
        await connection.execute(delete(table))


def _delete(url: URL) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{url.database}{suffix}").unlink(missing_ok=True)
