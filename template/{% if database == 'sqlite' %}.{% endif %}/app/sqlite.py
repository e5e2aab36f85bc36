"""SQLite's dialect: SQLAlchemy's own, with real transactions and fewer waits for a thread."""

import sqlite3
from collections.abc import Iterable
from functools import partial
from typing import Any, Self

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite


class Cursor:
    """A cursor that its statement makes, and that is closed only if rows are left.

    To make and to close one of aiosqlite's means to wait for its thread twice,
    which takes longer than most queries.
    """

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._cursor: Any = None
        self._rows_are_left = False

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Iterable[Any] = ()) -> None:
        """Run a statement."""
        self._cursor = await self._connection.execute(statement, parameters)
        self._rows_are_left = self._cursor.description is not None

    async def executemany(self, statement: str, parameters: Iterable[Iterable[Any]]) -> None:
        """Run a statement once for each set of parameters."""
        self._cursor = await self._connection.executemany(statement, parameters)

    async def fetchall(self) -> Iterable[Any]:
        """Read the rows that are left."""
        self._rows_are_left = False
        rows: Iterable[Any] = await self._cursor.fetchall()
        return rows

    async def close(self) -> None:
        """Let go of the rows that are left."""
        if self._rows_are_left:
            await self._cursor.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class Dialect(SQLiteDialect_aiosqlite):
    """A dialect whose transactions begin with a BEGIN.

    A dialect rather than an event, which would cost each statement time.
    """

    supports_statement_cache = True
    # A transaction that reads first and writes later fails if another one wrote
    # in between, so it takes the write lock at once.
    begin = "BEGIN IMMEDIATE"

    def connect(self, *args: Any, **options: Any) -> Any:
        """Open a connection."""
        # Where this fails, aiosqlite would leave a thread that may outlive the event loop.
        sqlite3.connect(*args, **options).close()
        connection: Any = super().connect(*args, **options)
        driver = connection.driver_connection
        driver.cursor = partial(Cursor, driver)
        return connection

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begin a transaction, unless each statement is to be one."""
        if self.detect_autocommit_setting(dbapi_connection):
            return
        dbapi_connection.dbapi_connection.run_async(lambda driver: driver.execute(self.begin))
