"""MySQL and MariaDB: how to connect to them, and what their errors mean."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import asyncmy
from alembic.util import CommandError
from asyncmy.errors import OperationalError
from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode
from sqlalchemy import URL, Connection, Table, event, func, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolResetState

DRIVER = "mysql+asyncmy"
CONNECT_TIMEOUT = 5
"""Seconds."""

CONNECTION_LIFETIME = 3600
"""Seconds; shorter than the server's wait_timeout, after which it hangs up."""

MIGRATION_OPTIONS: dict[str, Any] = {"transaction_per_migration": True}
"""Each DDL statement commits, so each revision is recorded as soon as it is done.

Server defaults are not compared: MariaDB writes them in its own way, for example
`current_timestamp()` for `now()`, and would show a change for ever.
"""

MIGRATION_LOCK = func.left(func.concat("migrations of ", func.database()), 64)
"""Locks are the server's, and their names not longer; a database has its own."""

MIGRATION_LOCK_TIMEOUT = 600
"""Seconds."""

UNAVAILABLE = frozenset({1040, 1053, 1203, 1205, 1213, 1226, 1927, 2002, 2003, 2006, 2013})
"""Too many connections (also of one user), shutdown, a lock that was waited for too long, deadlock, killed, and
out of reach in various ways:
https://mariadb.com/kb/en/mariadb-error-code-reference/"""

MALFORMED = (ArgumentError, ValueError)
"""What SQLAlchemy raises for a URL that is none."""

URL_OPTIONS = frozenset(
    {
        *("unix_socket", "charset", "connect_timeout", "read_timeout", "program_name"),
        *("read_default_file", "read_default_group", "server_public_key", "local_infile"),
        *("ssl_ca", "ssl_capath", "ssl_cert", "ssl_check_hostname", "ssl_cipher", "ssl_key"),
    }
)
"""What can be in a URL's query: asyncmy's options that are text, and what SQLAlchemy makes of it."""


def _parse_url(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        url = make_url(value)
    except MALFORMED:
        raise ValueError(f"it must look like {DRIVER}://user:password@host:3306/name") from None
    if url.drivername != DRIVER:
        raise ValueError(f"it must start with {DRIVER}://, not {url.drivername}://")
    if not url.database:
        raise ValueError(f"it must name a database: {DRIVER}://user:password@host:3306/name")
    if unknown := set(url.query) - URL_OPTIONS:
        names = ", ".join(sorted(unknown))
        raise ValueError(f"it must not have the option {names}; those for TLS begin with ssl_")
    if url.port is not None and not 0 < url.port < 2**16:
        raise ValueError("its port must be between 1 and 65535")
    return url


class DatabaseSettings(BaseSettings, arbitrary_types_allowed=True):
    """Where the database is, and how many connections to it there may be."""

    database_url: Annotated[URL, NoDecode, BeforeValidator(_parse_url)]
    database_pool_size: int = Field(default=15, ge=1)
    database_pool_timeout: float = Field(default=5, gt=0)
    """Seconds that a request waits for a connection before it is answered with 503."""


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Make an engine whose sessions refuse bad values instead of changing them."""
    engine = create_async_engine(
        settings.database_url,
        pool_size=settings.database_pool_size,
        max_overflow=0,  # which would open and close connections all the time under load
        pool_timeout=settings.database_pool_timeout,
        pool_recycle=CONNECTION_LIFETIME,
        pool_reset_on_return=None,
        hide_parameters=True,
        connect_args={
            "async_creator_fn": _connect,
            "charset": "utf8mb4",
            "init_command": "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), time_zone = '+00:00'",
        },
    )

    @event.listens_for(engine.sync_engine, "reset")
    def reset(connection: Any, _: Any, state: PoolResetState) -> None:
        # Instead of a rollback in any case, which costs a round trip.
        if state.asyncio_safe and connection.driver_connection.get_transaction_status():
            connection.rollback()

    return engine


async def _connect(*args: Any, **options: Any) -> Any:
    # The driver's own limit ends when a server has taken the call, though it may never say a word.
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await asyncmy.connect(*args, **options)
    except TimeoutError as error:
        raise OperationalError(2013, "the connection attempt timed out") from error


@event.listens_for(Table, "after_parent_attach")
def use_utf8mb4(table: Any, _: Any) -> None:
    """Give every table a character set that has all of Unicode, whatever the server's default is."""
    table.dialect_options["mysql"].setdefault("charset", "utf8mb4")


def reading(engine: AsyncEngine) -> AsyncEngine:
    """Return the same engine for single queries, which need no transaction."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def error_code(error: DBAPIError) -> int | None:
    """Return the number that the server's manual lists the error under."""
    return error.orig.args[0] if error.orig and error.orig.args else None


def is_unavailable(error: DBAPIError) -> bool:
    """Whether the same may work later: the server is out of reach, or others were in the way."""
    return error.connection_invalidated or error_code(error) in UNAVAILABLE


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Let one process migrate at a time, however many start at once."""
    if not connection.scalar(select(func.get_lock(MIGRATION_LOCK, MIGRATION_LOCK_TIMEOUT))):
        raise CommandError("Another process has been migrating for too long.")
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(select(func.release_lock(MIGRATION_LOCK)))
        connection.commit()
