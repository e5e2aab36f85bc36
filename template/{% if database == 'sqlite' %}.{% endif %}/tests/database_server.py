"""SQLite for the tests: files of their own, in a folder that goes away."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from sqlalchemy import URL, delete, table
from sqlalchemy.ext.asyncio import AsyncConnection

from app.engine import DRIVER


@contextmanager
def database_server() -> Iterator[URL]:
    """Make a folder for databases, and name a file in it."""
    with TemporaryDirectory(prefix="tests-") as folder:
        yield URL.create(DRIVER, database=f"{folder}/test.db")


@asynccontextmanager
async def temporary_database(server: URL) -> AsyncIterator[URL]:
    """Name a database file beside the one in `server`; delete it afterwards."""
    beside = Path(server.database or "test.db")
    path = beside.with_name(f"{beside.stem}_{uuid4().hex[:8]}.db")
    url = server.set(database=str(path))
    try:
        yield url
    finally:
        await clear(url)


async def clear(url: URL) -> None:
    """Drop all that is in a database."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{url.database}{suffix}").unlink(missing_ok=True)


async def empty(connection: AsyncConnection, tables: Sequence[str]) -> None:
    """Delete all rows of `tables`, in whichever order they refer to each other."""
    await connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    for name in tables:
        await connection.execute(delete(table(name)))


class Detour:
    """Another way to a database file, which can be interrupted while nobody has the file open."""

    def __init__(self, url: URL) -> None:
        self._file = Path(url.database or "")
        self._folder = self._file.with_suffix(".detour")
        self.url = url.set(database=str(self._folder / self._file.name))

    async def interrupt(self) -> None:
        """Put the file out of reach."""
        if self._folder.exists():
            (self._folder / self._file.name).rename(self._file)
            self._folder.rmdir()

    async def resume(self) -> None:
        """Put the file within reach."""
        self._folder.mkdir()
        self._file.rename(self._folder / self._file.name)


@asynccontextmanager
async def detour(url: URL) -> AsyncIterator[Detour]:
    """Make another way to the database at `url`, and remove it afterwards."""
    way = Detour(url)
    await way.resume()
    try:
        yield way
    finally:
        await way.interrupt()
