"""PostgreSQL: options and locking of migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import alembic_postgresql_enum  # noqa: F401 - registers enum types with Alembic
from sqlalchemy import JSON, Connection, event

LOCK = 4_707_110_471_067
"""An arbitrary number that nothing else uses as a lock."""


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
