"""MySQL and MariaDB: how to connect, and what their errors mean."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncmy
from asyncmy.errors import OperationalError
from sqlalchemy import URL, Table, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

if TYPE_CHECKING:
    from app.core.settings import DatabaseSettings

DRIVER = "mysql+asyncmy"
URL_EXAMPLE = f"{DRIVER}://user:password@host:3306/name"

CONNECT_TIMEOUT = 5
"""Seconds."""

CONNECTION_LIFETIME = 3600
"""Seconds; shorter than the server's wait_timeout, after which it closes the connection."""

UNAVAILABLE = frozenset({1040, 1053, 1203, 1205, 1213, 1226, 1927, 2002, 2003, 2006, 2013})
"""Too many connections (also of one user), shutdown, lock timeout, deadlock, killed
connections, and a server out of reach:
https://mariadb.com/kb/en/mariadb-error-code-reference/"""

URL_OPTIONS = frozenset(
    {
        *("unix_socket", "charset", "connect_timeout", "read_timeout", "program_name"),
        *("read_default_file", "read_default_group", "server_public_key", "local_infile"),
        *("ssl_ca", "ssl_capath", "ssl_cert", "ssl_check_hostname", "ssl_cipher", "ssl_key"),
    }
)
"""Options of asyncmy that are text, and those that SQLAlchemy makes of text."""


def check_url(url: URL) -> None:
    """Raise ValueError if the URL names no database or has an option that asyncmy does not know."""
    if not url.database:
        raise ValueError(f"it must name a database: {URL_EXAMPLE}")
    if unknown := set(url.query) - URL_OPTIONS:
        names = ", ".join(sorted(unknown))
        raise ValueError(f"it must not have the option {names}; those for TLS begin with ssl_")


def create_engine(
    settings: DatabaseSettings, pool: dict[str, Any], *, read_only: bool
) -> AsyncEngine:
    """Create an engine whose sessions refuse values that do not fit, and work in UTC."""
    engine = create_async_engine(
        settings.database_url,
        **pool,
        pool_recycle=CONNECTION_LIFETIME,
        hide_parameters=True,
        connect_args={
            "async_creator_fn": _connect,
            "charset": "utf8mb4",
            "init_command": "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), time_zone = '+00:00'",
        },
    )
    if read_only:

        @event.listens_for(engine.sync_engine, "connect")
        def refuse_writes(connection: Any, _: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            cursor.close()

    return engine


async def _connect(*args: Any, **options: Any) -> Any:
    # The driver's own limit ends when a server accepts the connection, even if it never answers.
    # A RuntimeError is what uvloop raises if the server refuses during the handshake.
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await asyncmy.connect(*args, **options)
    except (TimeoutError, RuntimeError) as error:
        raise OperationalError(2013, str(error) or "the connection attempt timed out") from error


@event.listens_for(Table, "after_parent_attach")
def use_utf8mb4(table: Any, _: Any) -> None:
    """Give every table a character set with all of Unicode, whatever the server's default is."""
    table.dialect_options["mysql"].setdefault("charset", "utf8mb4")


def error_code(error: DBAPIError) -> int | None:
    """Return the error's number in the server's manual."""
    return error.orig.args[0] if error.orig and error.orig.args else None


def is_unavailable(error: DBAPIError) -> bool:
    """Whether the server is out of reach or others were in the way, so that retrying may succeed."""
    return error.connection_invalidated or error_code(error) in UNAVAILABLE
