"""PostgreSQL: how to connect to it, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import uuid4

import alembic_postgresql_enum as alembic_postgresql_enum  # shows enum types to Alembic
import asyncpg
from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode
from sqlalchemy import JSON, URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

DRIVER = "postgresql+asyncpg"
CONNECT_TIMEOUT = 5.0
"""Seconds."""


def _compare_server_default(*arguments: Any) -> bool | None:
    """Leave it to Alembic, but for JSON and quotes, with which the query that it asks would fail."""
    column, found, default = arguments[2:5]
    if found is None or default is None:
        return None
    is_json = isinstance(column.type, JSON)
    if isinstance(default.arg, str) and (is_json or "'" in default.arg):
        literal = "'" + default.arg.replace("'", "''") + "'"
        return bool(found.partition("::")[0] != literal)
    return False if is_json else None


MIGRATION_OPTIONS: dict[str, Any] = {
    "transaction_per_migration": False,
    "compare_server_default": _compare_server_default,
}
"""Of several pending migrations all are done or none is, up to an `autocommit_block`."""

MIGRATION_LOCK = 4_707_110_471_067
"""Any number will do, as long as nothing else locks it."""

UNAVAILABLE = ("08", "57P01", "57P02", "57P03", "53300", "40001", "40P01", "55P03")
"""Connection errors, shutdown, crash, start-up, too many connections, and what is to be
tried again: serialization failures, deadlocks, locks that were waited for too long:
https://www.postgresql.org/docs/current/errcodes-appendix.html"""

MALFORMED = (ArgumentError, ValueError)
"""What SQLAlchemy raises for a URL that is none."""

URL_OPTIONS = frozenset(
    {
        *("host", "port", "user", "password", "database", "passfile", "service", "servicefile"),
        *("ssl", "target_session_attrs", "krbsrvname", "gsslib"),
        "prepared_statement_cache_size",
    }
)
"""What can be in a URL's query: asyncpg's options that are text, and SQLAlchemy's."""


def _parse_url(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        url = make_url(value)
    except MALFORMED:
        raise ValueError(f"it must look like {DRIVER}://user:password@host:5432/name") from None
    if url.drivername != DRIVER:
        raise ValueError(f"it must start with {DRIVER}://, not {url.drivername}://")
    if unknown := set(url.query) - URL_OPTIONS:
        names = ", ".join(sorted(unknown))
        raise ValueError(f"it must not have the option {names}; libpq's sslmode is asyncpg's ssl")
    if url.port is not None and not 0 < url.port < 2**16:
        raise ValueError("its port must be between 1 and 65535")
    return url


class DatabaseSettings(BaseSettings, arbitrary_types_allowed=True):
    """Where the database is, and how many connections to it there may be."""

    database_url: Annotated[URL, NoDecode, BeforeValidator(_parse_url)]
    database_pool_size: int = Field(default=15, ge=1)
    database_pool_timeout: float = Field(default=5, gt=0)
    """Seconds that a request waits for a connection before it is answered with 503."""
    database_pgbouncer: bool = False
    """Whether connections go through PgBouncer, which then does the pooling."""


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Make an engine whose connections are made in CONNECT_TIMEOUT, or not at all."""
    if settings.database_pgbouncer:
        # In transaction pooling, a statement may run on another server connection
        # than the one that prepared it:
        # https://docs.sqlalchemy.org/en/21/dialects/postgresql.html#prepared-statement-name-with-pgbouncer
        return create_async_engine(
            settings.database_url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={
                "async_creator_fn": _connect,
                "statement_cache_size": 0,
                "prepared_statement_cache_size": 0,
                "prepared_statement_name_func": lambda: f"__asyncpg_{uuid4()}__",
            },
        )
    return create_async_engine(
        settings.database_url,
        pool_size=settings.database_pool_size,
        max_overflow=0,  # which would open and close connections all the time under load
        pool_timeout=settings.database_pool_timeout,
        hide_parameters=True,
        connect_args={"async_creator_fn": _connect},
    )


async def _connect(*args: Any, **options: Any) -> Any:
    # An OSError would not tell a handler's own from the database's.
    try:
        return await asyncpg.connect(*args, timeout=CONNECT_TIMEOUT, **options)
    except OSError as error:
        raise asyncpg.ConnectionFailureError(
            str(error) or "the connection attempt timed out"
        ) from error


def reading(engine: AsyncEngine) -> AsyncEngine:
    """Return the same engine for transactions that only read."""
    return engine.execution_options(postgresql_readonly=True)


def error_code(error: DBAPIError) -> str | None:
    """Return the SQLSTATE that PostgreSQL's manual lists the error under."""
    return getattr(error.orig, "sqlstate", None)


def is_unavailable(error: DBAPIError) -> bool:
    """Whether the same may work later: the server is out of reach, or others were in the way."""
    return error.connection_invalidated or (error_code(error) or "").startswith(UNAVAILABLE)


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Let one process migrate at a time, however many start at once.

    An `autocommit_block` ends the transaction, and with it the wait of the others.
    """
    event.listen(connection, "begin", _lock_migrations)
    try:
        yield
    finally:
        event.remove(connection, "begin", _lock_migrations)


def _lock_migrations(connection: Connection) -> None:
    # Held to the transaction's end, so that it works through PgBouncer too.
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
