"""PostgreSQL: how migrations run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import alembic_postgresql_enum  # noqa: F401 - registers enum types with Alembic
from sqlalchemy import JSON, Connection, event

LOCK = 4_707_110_471_067
"""Any number works, as long as nothing else locks it."""


def _compare_server_default(
    _context: Any, _inspected: Any, column: Any, found: Any, default: Any, _rendered: Any
) -> bool | None:
    """Compare JSON and text with quotes here, because Alembic's query fails for them."""
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
"""All pending migrations run in one transaction, up to an `autocommit_block`."""


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Let one process migrate at a time; others wait for it.

    An `autocommit_block` ends the transaction, and with it the wait of the others.
    """
    event.listen(connection, "begin", _lock)
    try:
        yield
    finally:
        event.remove(connection, "begin", _lock)


def _lock(connection: Connection) -> None:
    # Held until the transaction ends, so that it works through PgBouncer too.
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
