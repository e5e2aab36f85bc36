"""MySQL and MariaDB: engines, URLs and error codes."""

from __future__ import annotations

import asyncio
import re
from math import ceil
from typing import TYPE_CHECKING, Any

import asyncmy
from asyncmy.errors import OperationalError
from sqlalchemy import URL, ExceptionContext, Numeric, Table, event, text
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.core.replica import MAX_LAG, Replica

if TYPE_CHECKING:
    from app.core.settings import DatabaseSettings

DRIVER = "mysql+asyncmy"
URL_EXAMPLE = f"{DRIVER}://user:password@host:3306/name"
DRIVER_PACKAGES = frozenset({"asyncmy"})

DATETIME = mysql.DATETIME(fsp=6)

DIGITS, PLACES = 20, 6
DECIMAL = Numeric(DIGITS, PLACES)

PROBES = {"database_pool_size": 1, "database_read_url": None}
"""Settings for probes, which use the primary, and must not wait for the connections of requests."""

LARGEST_INTEGER = 2**64 - 1
"""BIGINT UNSIGNED."""

CONNECT_TIMEOUT = 5
"""Seconds."""

CONNECTION_LIFETIME = 3600
"""Seconds; less than the server's wait_timeout, after which it closes idle connections."""

GRACE = 1.2
"""The client's statement timeout, as a multiple of the server's."""

UNAVAILABLE = frozenset(
    {1040, 1053, 1203, 1205, 1213, 1226, 1317, 1927, 1969, 2002, 2003, 2006, 2013, 3024, 4031}
)
"""Too many connections (in total or per user), shutdown, timeouts, deadlock, killed
statement or connection, and unreachable server:
https://mariadb.com/kb/en/mariadb-error-code-reference/"""

MISSING_VALUE = 1048
FAILED_CHECK = frozenset({3819, 4025})
"""MySQL's and MariaDB's errors for a check constraint."""

UNSTORABLE = frozenset({1264, 1366, 1406, 3140})
"""Out of range, characters that cannot be stored, too long, and invalid JSON."""

CONSTRAINT = re.compile(
    r"for key '(?:[^']*\.)?(?P<key>[^'.]+)'\W*$|(?:CONSTRAINT|constraint) [`'](?P<name>[^`']+)[`']"
)
"""The name of a constraint in an error message."""
STATEMENT = re.compile(r"\s*(?:INSERT INTO|UPDATE) `?(\w+)", re.IGNORECASE)

READ_ONLY = frozenset({1290, 1836})
"""The server has become a read-only replica."""

POSITION = text("SELECT /*M!100002 @@gtid_binlog_pos */ /*!50705 @@global.gtid_executed */")
WAIT = (
    "SELECT /*M!100002 MASTER_GTID_WAIT(%(position)s, %(timeout)s) */"
    " /*!50705 WAIT_FOR_EXECUTED_GTID_SET(%(position)s, %(timeout)s) */"
)
"""MariaDB's and MySQL's names."""

URL_OPTIONS = frozenset(
    {
        *("unix_socket", "charset", "connect_timeout", "read_timeout", "program_name"),
        *("read_default_file", "read_default_group", "server_public_key", "local_infile"),
        *("ssl_ca", "ssl_capath", "ssl_cert", "ssl_check_hostname", "ssl_cipher", "ssl_key"),
    }
)
"""String options of asyncmy, and options that SQLAlchemy converts from strings."""


def check_url(url: URL) -> None:
    """Raise ValueError if the URL names no database or has an unsupported option."""
    if not url.database:
        raise ValueError(f"it must name a database: {URL_EXAMPLE}")
    if unsupported := sorted(set(url.query) - URL_OPTIONS):
        names = ", ".join(unsupported)
        raise ValueError(f"unsupported options: {names} (TLS options start with ssl_)")


def create_engine(
    settings: DatabaseSettings, pool: dict[str, Any], *, read_only: bool
) -> AsyncEngine:
    """Create an engine whose connections use strict SQL mode, the UTC time zone and timeouts.

    MariaDB limits all statements and idle transactions; MySQL limits SELECT only.
    """
    if read_only and settings.database_read_url:
        primary = settings.model_copy(update={"database_read_url": None})
        replica = primary.model_copy(update={"database_url": settings.database_read_url})
        engine = create_engine(replica, pool, read_only=True)
        Replica(engine, create_engine(primary, pool, read_only=True), POSITION, _wait)
        return engine
    limit, idle = settings.database_statement_timeout, ceil(settings.database_idle_timeout)
    lock = ceil(settings.database_lock_timeout)
    variables = (
        "sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), time_zone = '+00:00'"
        f", innodb_lock_wait_timeout = {lock}, lock_wait_timeout = {lock}"
        f" /*M!100301 , max_statement_time = {limit}, idle_transaction_timeout = {idle} */"
        f" /*!50708 , max_execution_time = {limit * 1000:.0f} */"
    )
    engine = create_async_engine(
        settings.database_url,
        **pool,
        pool_recycle=CONNECTION_LIFETIME,
        hide_parameters=True,
        connect_args={
            "async_creator_fn": _connect,
            "charset": "utf8mb4",
            "init_command": f"SET SESSION {variables}",
            # Ends a statement if the server does not.
            "read_timeout": limit * GRACE or None,
        },
    )

    @event.listens_for(engine.sync_engine, "handle_error")
    def discard_connections(context: ExceptionContext) -> None:
        """Connect again if the server has become a read-only replica."""
        if not READ_ONLY.isdisjoint(context.original_exception.args[:1]):
            context.is_disconnect = True

    if read_only:

        @event.listens_for(engine.sync_engine, "connect")
        def reject_writes(connection: Any, _: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.close()

    return engine


async def _connect(*args: Any, **options: Any) -> Any:
    # The driver's own timeout does not cover the handshake with the server.
    # uvloop raises RuntimeError if the server rejects the connection during the handshake.
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await asyncmy.connect(*args, **options)
    except (TimeoutError, RuntimeError) as error:
        raise OperationalError(2013, str(error) or "the connection attempt timed out") from error


@event.listens_for(Table, "after_parent_attach")
def use_utf8mb4(table: Any, _: Any) -> None:
    """Create every table with the utf8mb4 character set, regardless of the server's default."""
    table.dialect_options["mysql"].setdefault("charset", "utf8mb4")


def _wait(connection: Any, position: str) -> None:
    """Wait until the server has reached a position. No transaction begins."""
    if not position:
        raise ValueError("the primary has no GTIDs")
    cursor = connection.cursor()
    cursor.execute(WAIT, {"position": position, "timeout": MAX_LAG})
    (result,) = cursor.fetchone()
    cursor.close()
    if result != 0:
        raise TimeoutError


def error_code(error: DBAPIError) -> int | None:
    """Return the server's error number."""
    return error.orig.args[0] if error.orig and error.orig.args else None


def is_conflict(error: DBAPIError) -> bool:
    """Return whether a constraint is violated, except by a missing value."""
    code = error_code(error)
    return (isinstance(error, IntegrityError) and code != MISSING_VALUE) or code in FAILED_CHECK


def is_unstorable(error: DBAPIError) -> bool:
    """Return whether the database cannot store a value."""
    return error_code(error) in UNSTORABLE


def violated_constraint(error: DBAPIError) -> str | None:
    """Return the name of the violated constraint."""
    found = CONSTRAINT.search(str(error.orig))
    name = found and (found["key"] or found["name"])
    if name != "PRIMARY":
        return name
    # Every primary key has the same name.
    table = STATEMENT.match(error.statement or "")
    return table and f"pk_{table[1]}"


def is_unavailable(error: DBAPIError) -> bool:
    """Return whether the error is temporary, so that retrying may succeed."""
    return error.connection_invalidated or error_code(error) in UNAVAILABLE
