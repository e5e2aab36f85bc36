"""SQLite: how to connect to it, and what its errors mean."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Annotated, Any

from alembic.util import CommandError
from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.dialects import registry
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolResetState

from app.sqlite import Dialect

DRIVER = "sqlite+aiosqlite"


def _compare_server_default(*arguments: Any) -> bool | None:
    """Leave it to Alembic, but for text: an empty one, or one with a quote, always seems new to it."""
    found, default, _ = arguments[3:]
    if found is None or default is None or not isinstance(default.arg, str):
        return None
    literal = "'" + default.arg.replace("'", "''") + "'"
    return bool(found.strip("()") != literal)


MIGRATION_OPTIONS: dict[str, Any] = {
    "render_as_batch": True,
    "transactional_ddl": True,
    "compare_server_default": _compare_server_default,
}
"""SQLite can hardly alter a table: Alembic copies it instead. With the BEGIN below,
DDL is part of the transaction, which Alembic does not expect of SQLite."""

UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
    }
)

MALFORMED = (ArgumentError, ValueError)
"""What SQLAlchemy raises for a URL that is none."""


def _parse_url(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        url = make_url(value)
    except MALFORMED:
        raise ValueError(f"it must look like {DRIVER}:///path/to/file.db") from None
    if url.drivername != DRIVER:
        raise ValueError(f"it must start with {DRIVER}://, not {url.drivername}://")
    if url.database in (None, "", ":memory:"):
        raise ValueError(f"it must name a file: {DRIVER}:///path/to/file.db")
    return url


class DatabaseSettings(BaseSettings, arbitrary_types_allowed=True):
    """Where the database is, and how many connections to it there may be."""

    database_url: Annotated[URL, NoDecode, BeforeValidator(_parse_url)] = make_url(
        f"{DRIVER}:///app.db"
    )
    database_pool_size: int = Field(default=15, ge=1)
    database_pool_timeout: float = Field(default=5, gt=0)
    """Seconds that a request waits for a connection before it is answered with 503."""
    database_busy_timeout: float = Field(default=5, gt=0)
    """Seconds that a transaction waits for another one's write to end."""


registry.register("sqlite.transactional", Dialect.__module__, Dialect.__name__)


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Make an engine whose transactions isolate, and whose foreign keys hold."""
    engine = create_async_engine(
        settings.database_url.set(drivername="sqlite+transactional"),
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout,
        pool_reset_on_return=None,
        hide_parameters=True,
        connect_args={"timeout": settings.database_busy_timeout},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    @event.listens_for(engine.sync_engine, "reset")
    def reset(connection: Any, _: Any, state: PoolResetState) -> None:
        # Instead of a rollback in any case, which costs a wait for aiosqlite's thread.
        # After a commit that a deferred constraint refuses, the transaction is open,
        # and the file locked, though SQLAlchemy takes it for ended.
        if state.asyncio_safe and connection.driver_connection.in_transaction:
            connection.rollback()

    return engine


def reading(engine: AsyncEngine) -> AsyncEngine:
    """Return the same engine for transactions that only read: they wait for no writer."""
    dialect: Any = copy(engine.dialect)
    dialect.begin = "BEGIN DEFERRED"
    reader = engine.execution_options()
    reader.sync_engine.dialect = dialect
    return reader


def error_code(error: DBAPIError) -> str | None:
    """Return the name that SQLite's manual lists the error under."""
    return getattr(error.orig, "sqlite_errorname", None)


def is_unavailable(error: DBAPIError) -> bool:
    """Whether the error is that of a file which is busy or out of reach, and may go away."""
    code = getattr(error.orig, "sqlite_errorcode", 0)
    return (code & 0xFF) in UNAVAILABLE


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Keep foreign keys off while tables are copied, and check them before each commit.

    With foreign keys on, dropping the original of a copied table deletes the
    rows that refer to it: https://www.sqlite.org/lang_altertable.html#otheralter
    """
    # Straight to the driver: in a transaction the pragma would do nothing.
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    event.listen(connection, "commit", _check_foreign_keys)
    try:
        yield
    finally:
        event.remove(connection, "commit", _check_foreign_keys)
        connection.rollback()
        # After a commit that was refused, the transaction is still open for the driver alone.
        connection.connection.rollback()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken:
        raise CommandError(f"The migration leaves rows in {broken[0]} that refer to missing rows.")
