"""PostgreSQL: how to connect to it, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import uuid4

import asyncpg
from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

DRIVER = "postgresql+asyncpg"
CONNECT_TIMEOUT = 5.0
"""Seconds."""

MIGRATION_OPTIONS: dict[str, Any] = {"transaction_per_migration": False}
"""Of several pending migrations all are done or none is."""

MIGRATION_LOCK = 4_707_110_471_067
"""Any number will do, as long as nothing else locks it."""

UNAVAILABLE = ("08", "57P01", "57P02", "57P03", "53300")
"""Connection errors, shutdown, crash, start-up, too many connections:
https://www.postgresql.org/docs/current/errcodes-appendix.html"""

MALFORMED = (ArgumentError, ValueError)
"""What SQLAlchemy raises for a URL that is none."""


def _parse_url(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        url = make_url(value)
    except MALFORMED:
        raise ValueError(f"it must look like {DRIVER}://user:password@host:5432/name") from None
    if url.drivername != DRIVER:
        raise ValueError(f"it must start with {DRIVER}://, not {url.drivername}://")
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
    """Make an engine that fails fast while the server is away."""
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


def is_unavailable(error: DBAPIError) -> bool:
    """Whether the error is that of a server which is out of reach, and may come back."""
    sqlstate = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or sqlstate.startswith(UNAVAILABLE)


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Let one process migrate at a time, however many start at once."""
    event.listen(connection, "begin", _lock_migrations)
    try:
        yield
    finally:
        event.remove(connection, "begin", _lock_migrations)


def _lock_migrations(connection: Connection) -> None:
    # Held to the transaction's end, so that it works through PgBouncer too.
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
