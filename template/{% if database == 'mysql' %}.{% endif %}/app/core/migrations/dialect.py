"""MySQL and MariaDB: options and locking of migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, func, select

OPTIONS: dict[str, Any] = {"transaction_per_migration": True}
"""DDL statements commit implicitly, so each revision is recorded as soon as it completes.

Server defaults are not compared: MariaDB rewrites them, for example `now()` to
`current_timestamp()`, so a comparison would always report a change.
"""

LOCK = func.left(func.concat("migrations of ", func.database()), 64)
"""Locks are server-wide, so the name includes the database. The maximum length is 64."""

LOCK_TIMEOUT = 600
"""Seconds."""


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Allow one process at a time to migrate; others wait."""
    if not connection.scalar(select(func.get_lock(LOCK, LOCK_TIMEOUT))):
        raise CommandError("Timed out waiting for another process to finish its migrations.")
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(select(func.release_lock(LOCK)))
        connection.commit()
