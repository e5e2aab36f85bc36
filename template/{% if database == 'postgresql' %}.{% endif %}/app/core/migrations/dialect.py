"""PostgreSQL: options and locking of migrations."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import alembic_postgresql_enum  # noqa: F401 - registers enum types with Alembic
import structlog
from sqlalchemy import JSON, Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.dialect import error_code

LOCK = 4_707_110_471_067
"""An arbitrary number that nothing else uses as a lock."""

TIMEOUTS = {"statement_timeout": 0, "idle_timeout": 0, "lock_timeout": 1}
ATTEMPTS = 300
PAUSE = 1.0
"""Migrations can take any time, but wait for a lock only for a second; then they let
requests pass for a second, and try again."""

LOCK_TIMED_OUT = "55P03"

logger = structlog.get_logger(__name__)


def _compare_server_default(
    _context: Any, _inspected: Any, column: Any, found: Any, default: Any, _rendered: Any
) -> bool | None:
    """Compare JSON, and text that contains quotes, for which Alembic's query fails."""
    if found is None or default is None:
        return None
    is_json = isinstance(column.type, JSON)
    if isinstance(default.arg, str) and (is_json or "'" in default.arg):
        literal = "'" + default.arg.replace("'", "''") + "'"
        return bool(found.partition("::")[0] != literal)
    return False if is_json else None


OPTIONS: dict[str, Any] = {
    "transaction_per_migration": False,
    "compare_server_default": _compare_server_default,
}
"""All pending migrations run in one transaction, unless an `autocommit_block` ends it."""


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Allow one process at a time to migrate; others wait.

    An `autocommit_block` ends the transaction, which releases the lock.
    """
    event.listen(connection, "begin", _lock)
    try:
        yield
    finally:
        event.remove(connection, "begin", _lock)


def _lock(connection: Connection) -> None:
    # A lock of the transaction also works through PgBouncer.
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")


async def run(engine: AsyncEngine, migrate: Callable[[Connection], None]) -> None:
    """Run migrations, and start again while others hold a lock.

    Requests that need a table have to wait behind a migration that waits for it.

    Raises:
        DBAPIError: the last attempt failed, or a part of the migrations is committed.
    """
    commits: list[Connection] = []
    event.listen(engine.sync_engine, "commit", commits.append)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with engine.connect() as connection:
                await connection.run_sync(migrate)
        except DBAPIError as error:
            if error_code(error) != LOCK_TIMED_OUT or commits or attempt == ATTEMPTS:
                raise
            logger.warning("Waiting for a lock that another transaction holds.")
            await asyncio.sleep(PAUSE)
        else:
            return
