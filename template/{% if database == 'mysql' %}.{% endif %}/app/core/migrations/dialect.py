"""MySQL and MariaDB: how migrations run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, func, select

OPTIONS: dict[str, Any] = {"transaction_per_migration": True}
"""Each DDL statement commits, so each revision is recorded as soon as it is done.

Server defaults are not compared: MariaDB rewrites them, for example `now()` as
`current_timestamp()`, and would always show a change.
"""

LOCK = func.left(func.concat("migrations of ", func.database()), 64)
"""Locks belong to the server, so the name includes the database; 64 is the longest name."""

LOCK_TIMEOUT = 600
"""Seconds."""


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Let one process migrate at a time; others wait for it."""
    if not connection.scalar(select(func.get_lock(LOCK, LOCK_TIMEOUT))):
        raise CommandError("Another process has been migrating for too long.")
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(select(func.release_lock(LOCK)))
        connection.commit()
