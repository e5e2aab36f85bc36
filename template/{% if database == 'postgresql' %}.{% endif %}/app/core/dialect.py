"""PostgreSQL: engines, URLs and error codes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
from sqlalchemy import URL, Connection, DateTime, ExceptionContext, Numeric, event, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from app.core.replica import Replica

if TYPE_CHECKING:
    from app.core.settings import DatabaseSettings

DRIVER = "postgresql+asyncpg"
URL_EXAMPLE = f"{DRIVER}://user:password@host:5432/name"
DRIVER_PACKAGES = frozenset({"asyncpg"})

DATETIME = DateTime(timezone=True)

DIGITS, PLACES = 20, 6
DECIMAL = Numeric(DIGITS, PLACES)

PROBES = {"database_pool_size": 1, "database_read_url": None}
"""Settings for probes, which use the primary, and must not wait for the connections of requests."""

LARGEST_INTEGER = 2**63 - 1

CONNECT_TIMEOUT = 5.0
"""Seconds."""

GRACE = 1.2
"""The client's statement timeout, as a multiple of the server's."""

UNAVAILABLE = ("08", "25P03", "57014", "57P0", "53300", "40001", "40P01", "55P03")
"""Connection errors, shutdown, crash, startup and too many connections; serialization
failures, deadlocks and timeouts, which can be retried:
https://www.postgresql.org/docs/current/errcodes-appendix.html"""

UNSTORABLE = frozenset({"22001", "22003", "22021", "22P05"})
"""Too long, out of range, and characters that cannot be stored."""

READ_ONLY = "25006"

POSITION = text("SELECT pg_current_wal_lsn()::text")
HAS_REACHED = """
    SELECT WHERE '{position}' <= CASE
        WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn()
    END
"""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.05
"""Seconds between the questions whether a replica has reached a position."""

CHANGED = (
    AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError,
    AsyncAdapt_asyncpg_dbapi.InternalServerError,
)
"""A migration changed a column or a type. After this error, SQLAlchemy prepares statements again."""

CORRUPTED = frozenset({"XX001", "XX002"})
"""Errors that asyncpg derives from InternalServerError, but that are not temporary."""

URL_OPTIONS = frozenset(
    {
        *("host", "port", "user", "password", "database", "passfile", "service", "servicefile"),
        *("ssl", "target_session_attrs", "krbsrvname", "gsslib"),
        "prepared_statement_cache_size",
    }
)
"""String options of asyncpg, and SQLAlchemy's own option."""


def check_url(url: URL) -> None:
    """Raise ValueError if the URL has an unsupported option."""
    if unsupported := sorted(set(url.query) - URL_OPTIONS):
        hint = " (use ssl instead of sslmode)" if "sslmode" in unsupported else ""
        raise ValueError(f"unsupported options: {', '.join(unsupported)}{hint}")


def create_engine(
    settings: DatabaseSettings, pool: dict[str, Any], *, read_only: bool
) -> AsyncEngine:
    """Create an engine whose connection attempts, statements and transactions can time out."""
    if read_only and settings.database_read_url:
        primary = settings.model_copy(update={"database_read_url": None})
        replica = primary.model_copy(update={"database_url": settings.database_read_url})
        engine = create_engine(replica, pool, read_only=True)
        Replica(engine, create_engine(primary, pool, read_only=True), POSITION, _wait)
        return engine
    limit = settings.database_statement_timeout
    seconds = {
        "statement_timeout": limit,
        "lock_timeout": settings.database_lock_timeout,
        "idle_in_transaction_session_timeout": settings.database_idle_timeout,
    }
    parameters = {name: f"{value * 1000:.0f}" for name, value in seconds.items()}
    connect_args: dict[str, Any] = {
        "async_creator_fn": _connect,
        # Ends a statement if the server does not.
        "command_timeout": limit * GRACE or None,
    }
    if settings.database_pgbouncer:
        # With transaction pooling, a prepared statement can run on a different server
        # connection than the one that prepared it:
        # https://docs.sqlalchemy.org/en/21/dialects/postgresql.html#prepared-statement-name-with-pgbouncer
        engine = create_async_engine(
            settings.database_url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={
                **connect_args,
                "statement_cache_size": 0,
                "prepared_statement_cache_size": 0,
                "prepared_statement_name_func": lambda: f"__asyncpg_{uuid4()}__",
            },
        )
        # PgBouncer rejects the startup parameters below.
        calls = ", ".join(
            f"set_config('{name}', '{value}', true)" for name, value in parameters.items()
        )

        @event.listens_for(engine.sync_engine, "begin")
        def set_timeouts(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT {calls}")

        if read_only:
            engine = engine.execution_options(
                postgresql_readonly=True, isolation_level="REPEATABLE READ"
            )
    else:
        if read_only:
            parameters["default_transaction_read_only"] = "on"
            parameters["default_transaction_isolation"] = "repeatable read"
        connect_args["server_settings"] = parameters
        engine = create_async_engine(
            settings.database_url, **pool, hide_parameters=True, connect_args=connect_args
        )

    @event.listens_for(engine.sync_engine, "handle_error")
    def discard_connections(context: ExceptionContext) -> OperationalError | None:
        """Connect again if the server does not answer, or has become a read-only replica."""
        error = context.original_exception
        if isinstance(error, TimeoutError):
            context.is_disconnect = True
            return OperationalError(context.statement, None, error, connection_invalidated=True)
        if not read_only and getattr(error, "sqlstate", None) == READ_ONLY:
            context.is_disconnect = True
        return None

    return engine


async def _connect(*args: Any, **options: Any) -> Any:
    # An OSError could not be distinguished from one that a handler raises.
    try:
        return await asyncpg.connect(*args, timeout=CONNECT_TIMEOUT, **options)
    except OSError as error:
        raise asyncpg.ConnectionFailureError(
            str(error) or "the connection attempt timed out"
        ) from error


def _wait(connection: Any, position: str) -> None:
    """Wait until the server has reached a position, outside of a transaction.

    The first statement of a transaction determines what it sees.
    """
    pause = SHORTEST_PAUSE
    # The simple protocol, because a prepared statement does not work through PgBouncer.
    query = HAS_REACHED.format(position=position)
    while await_only(connection.driver_connection.execute(query)) != "SELECT 1":
        await_only(asyncio.sleep(pause))
        pause = min(2 * pause, LONGEST_PAUSE)


def error_code(error: DBAPIError) -> str | None:
    """Return the error's SQLSTATE."""
    return getattr(error.orig, "sqlstate", None)


def is_conflict(error: DBAPIError) -> bool:
    """Return whether a constraint is violated, except by a missing value."""
    return isinstance(error, IntegrityError) and error_code(error) != "23502"


def is_unstorable(error: DBAPIError) -> bool:
    """Return whether the database, or the driver, cannot store a value."""
    cause = error.driver_exception.__cause__
    return error_code(error) in UNSTORABLE or isinstance(cause, OverflowError | UnicodeError)


def violated_constraint(error: DBAPIError) -> str | None:
    """Return the name of the violated constraint."""
    return getattr(error.driver_exception, "constraint_name", None)


def is_unavailable(error: DBAPIError) -> bool:
    """Return whether the error is temporary, so that retrying may succeed."""
    return (
        error.connection_invalidated
        or (isinstance(error.orig, CHANGED) and error_code(error) not in CORRUPTED)
        or (error_code(error) or "").startswith(UNAVAILABLE)
    )
