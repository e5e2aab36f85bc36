"""SQLite: how migrations run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, event


def _compare_server_default(
    _context: Any, _inspected: Any, _column: Any, found: Any, default: Any, _rendered: Any
) -> bool | None:
    """Compare text here: to Alembic, an empty default or one with a quote always seems new."""
    if found is None or default is None or not isinstance(default.arg, str):
        return None
    literal = "'" + default.arg.replace("'", "''") + "'"
    return bool(found.strip("()") != literal)


OPTIONS: dict[str, Any] = {
    "render_as_batch": True,
    "transactional_ddl": True,
    "compare_server_default": _compare_server_default,
}
"""SQLite can hardly alter a table, so Alembic copies it instead. DDL is part of the
transaction, because `app/core/dialect.py` begins it; Alembic does not expect that of SQLite."""


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Keep foreign keys off while tables are copied, and check them before each commit.

    With foreign keys on, dropping the original of a copied table deletes the
    rows that refer to it: https://www.sqlite.org/lang_altertable.html#otheralter
    """
    # Directly on the driver, because the pragma does nothing in a transaction.
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    event.listen(connection, "commit", _check_foreign_keys)
    try:
        yield
    finally:
        event.remove(connection, "commit", _check_foreign_keys)
        connection.rollback()
        # After a refused commit, only the driver still has the transaction open.
        connection.connection.rollback()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken:
        raise CommandError(f"The migration leaves rows in {broken[0]} that refer to missing rows.")
