"""MySQL and MariaDB: options and locking of migrations."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

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

ALREADY_DONE = frozenset({1050, 1051, 1060, 1061, 1091, 1826, 3821, 3822})
"""A table, column, index or constraint already exists, or no longer exists:
https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html"""

DUPLICATE_KEY = "errno: 121"
"""MariaDB's error for a foreign key that already exists."""


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
