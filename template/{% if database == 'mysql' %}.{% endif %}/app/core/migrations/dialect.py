"""MySQL and MariaDB: options and locking of migrations."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import structlog
from alembic.util import CommandError
from asyncmy.errors import OperationalError
from sqlalchemy import Connection, event, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from app.core.dialect import error_code
from app.core.errors import error_reason

OPTIONS: dict[str, Any] = {"transaction_per_migration": True}
"""DDL statements commit implicitly, so each revision is recorded as soon as it completes.

Server defaults are not compared: MariaDB rewrites them, for example `now()` to
`current_timestamp()`, so a comparison would always report a change.
"""

LOCK = func.left(func.concat("migrations of ", func.database()), 64)
"""Locks are server-wide, so the name includes the database. The maximum length is 64."""

LOCK_TIMEOUT = 600
"""Seconds."""

TIMEOUTS = {"statement_timeout": 0, "idle_timeout": 0, "lock_timeout": 1}
ATTEMPTS = 300
PAUSE = 1.0
"""Migrations can take any time, but wait for a lock only for a second; then they let
requests pass for a second, and try again."""

LOCK_TIMED_OUT = 1205

ALREADY_DONE = frozenset({1050, 1051, 1060, 1061, 1091, 1826, 3821, 3822})
"""A table, column, index or constraint already exists, or no longer exists:
https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html"""

DUPLICATE_KEY = "errno: 121"
"""MariaDB's error for a foreign key that already exists."""

logger = structlog.get_logger(__name__)


@contextmanager
def migrating(
    connection: Connection, begin: Callable[[], AbstractContextManager[Any]]
) -> Iterator[None]:
    """Allow one process at a time to migrate; others wait.

    Raises:
        CommandError: waiting took too long, or an earlier migration was interrupted.
    """
    if not connection.scalar(select(func.get_lock(LOCK, LOCK_TIMEOUT))):
        raise CommandError("Timed out waiting for another process to finish its migrations.")
    connection.commit()
    try:
        with begin():
            yield
    except DBAPIError as error:
        reason = error_reason(error)
        if error_code(error) in ALREADY_DONE or DUPLICATE_KEY in reason:
            raise CommandError(
                f"{reason} ({' '.join(f'{error.statement}'.split()):.80}). If the migration was "
                "interrupted before, its statements up to then are still in effect, because they "
                "cannot be rolled back: revert them by hand, or remove them from the migration "
                "until it has run, and try again."
            ) from error
        raise
    finally:
        connection.rollback()
        connection.execute(select(func.release_lock(LOCK)))
        connection.commit()


async def run(engine: AsyncEngine, migrate: Callable[[Connection], None]) -> None:
    """Run migrations, and repeat each statement while others hold a lock.

    Requests that need a table have to wait behind a statement that waits for it. Whole
    migrations cannot be repeated, because statements such as ALTER TABLE commit implicitly.
    """
    event.listen(engine.sync_engine, "do_execute", _execute)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)


def _execute(cursor: Any, statement: str, parameters: Any, _: Any) -> bool:
    for _attempt in range(ATTEMPTS - 1):
        try:
            cursor.execute(statement, parameters)
        except OperationalError as error:
            if error.args[0] != LOCK_TIMED_OUT:
                raise
            logger.warning("Waiting for a lock that another transaction holds.")
            await_only(asyncio.sleep(PAUSE))
        else:
            return True
    cursor.execute(statement, parameters)
    return True
