"""SQLite: engines, URLs and error codes."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiosqlite
from sqlalchemy import URL, Connection, DateTime, ExceptionContext, ExecutionContext, Numeric, event
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidatePoolError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState
from sqlalchemy.util import await_only

from app.core.distribution import command_line

if TYPE_CHECKING:
    from app.core.settings import DatabaseSettings

DRIVER = "sqlite+aiosqlite"
URL_EXAMPLE = f"{DRIVER}:///path/to/file.db"
DRIVER_PACKAGES = frozenset({"aiosqlite", "sqlite3"})

DATETIME = DateTime()

DIGITS, PLACES = 15, 6
"""SQLite stores doubles, which are exact for up to 15 digits."""
DECIMAL = Numeric(DIGITS, PLACES, asdecimal=False)

PROBES = {"database_pool_size": 1}
"""Settings for probes, which must not wait for the connections of requests."""

LARGEST_INTEGER = 2**63 - 1

INSTRUCTIONS = 100_000
"""Virtual machine instructions, a few milliseconds, between checks of the deadline."""

UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
    }
)

logging.getLogger("aiosqlite").setLevel(logging.INFO)  # at DEBUG, it logs values of statements


def check_url(url: URL) -> None:
    """Raise ValueError if the URL does not name a file."""
    if url.database in (None, "", ":memory:") or "uri" in url.query:
        raise ValueError(f"it must name a file: {URL_EXAMPLE}")


def create_engine(
    settings: DatabaseSettings, pool: dict[str, Any], *, read_only: bool
) -> AsyncEngine:
    """Create an engine with isolated transactions and enforced foreign keys.

    It neither creates the file nor keeps connections to a file that was removed.
    """
    path = Path(settings.database_url.database or "").absolute()
    limit = settings.database_statement_timeout or inf
    engine = create_async_engine(
        settings.database_url,
        **pool,
        hide_parameters=True,
        connect_args={
            "async_creator_fn": partial(_connect, read_only=read_only),
            "timeout": settings.database_lock_timeout,
        },
    )
    # A transaction that reads before it writes fails if another one wrote in between,
    # so writers take the write lock immediately. Readers never wait.
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @event.listens_for(engine.sync_engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        if connection.dialect.detect_autocommit_setting(raw):
            return
        try:
            raw.run_async(lambda driver: driver.execute(begin))
        except sqlite3.Error as error:
            raise OperationalError(begin, None, error) from error

    @event.listens_for(engine.sync_engine, "reset")
    def end_transaction(connection: Any, _: Any, state: PoolResetState) -> None:
        # After a deferred constraint fails on commit, SQLAlchemy considers the transaction
        # ended, but it is still open and locks the file.
        if state.asyncio_safe and connection.driver_connection.in_transaction:
            connection.rollback()

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, entry: ConnectionPoolEntry) -> None:
        entry.info["file"] = _file_id(path)

        def is_overdue() -> bool:
            deadline: float = entry.info.get("deadline", inf)
            return time.monotonic() > deadline

        connection.run_async(lambda driver: driver.set_progress_handler(is_overdue, INSTRUCTIONS))
        if not read_only:
            cursor = connection.cursor()
            cursor.execute("PRAGMA foreign_keys = ON")
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute(f"PRAGMA synchronous = {settings.database_synchronous}")
            cursor.close()

    @event.listens_for(engine.sync_engine, "checkout")
    def check_file(_: Any, entry: ConnectionPoolEntry, __: Any) -> None:
        if entry.info["file"] != _file_id(path):
            raise InvalidatePoolError

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def set_deadline(
        connection: Connection, _: Any, __: str, ___: Any, context: ExecutionContext, ____: bool
    ) -> None:
        # A streamed result can be read slowly.
        streams = context.execution_options.get("stream_results")
        connection.info["deadline"] = inf if streams else time.monotonic() + limit

    @event.listens_for(engine.sync_engine, "handle_error")
    def stop_statement(context: ExceptionContext) -> None:
        """Stop the statement of a canceled request, and release its lock."""
        if isinstance(context.original_exception, asyncio.CancelledError) and context.connection:
            driver: Any = context.connection.connection.driver_connection
            await_only(driver.interrupt())
            await_only(driver.rollback())

    return engine


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


async def _connect(path: str, *, read_only: bool, **options: Any) -> aiosqlite.Connection:
    uri = f"{Path(path).as_uri()}?mode={'ro' if read_only else 'rw'}"
    try:
        # When aiosqlite cannot open a file, it leaves a thread that can outlive the event loop.
        sqlite3.connect(uri, uri=True, **options).close()
    except sqlite3.OperationalError as error:
        raise _explained(error, Path(path)) from None
    return await aiosqlite.connect(uri, uri=True, **options)


def _explained(error: sqlite3.OperationalError, file: Path) -> sqlite3.OperationalError:
    if not file.parent.is_dir() or file.exists():
        return error
    command = command_line("db upgrade")
    missing = sqlite3.OperationalError(f"{file} does not exist, `{command}` creates it")
    vars(missing).update(vars(error))  # its code and name
    return missing


def error_code(error: DBAPIError) -> str | None:
    """Return SQLite's name for the error, for example `SQLITE_BUSY`."""
    return getattr(error.orig, "sqlite_errorname", None)


def is_conflict(error: DBAPIError) -> bool:
    """Return whether a constraint is violated, except by a missing value."""
    return isinstance(error, IntegrityError) and error_code(error) != "SQLITE_CONSTRAINT_NOTNULL"


def is_unstorable(error: DBAPIError) -> bool:
    """Return whether the database cannot store a value."""
    return error_code(error) in {"SQLITE_TOOBIG", "SQLITE_MISMATCH"}


def violated_constraint(error: DBAPIError) -> str | None:
    """Return the name of the violated constraint, or its columns: `users.name, users.city`."""
    _, _, what = str(error.orig).partition(" constraint failed: ")
    return what.removeprefix("index ").strip("'") or None


def is_unavailable(error: DBAPIError) -> bool:
    """Return whether the error is temporary, so that retrying may succeed."""
    code = getattr(error.orig, "sqlite_errorcode", 0)
    return (code & 0xFF) in UNAVAILABLE
