"""SQLite: options of migrations, and handling of foreign keys."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine


def _compare_server_default(
    _context: Any, _inspected: Any, _column: Any, found: Any, default: Any, _rendered: Any
) -> bool | None:
    """Compare text; Alembic would always report defaults that are empty or contain a quote."""
    if found is None or default is None or not isinstance(default.arg, str):
        return None
    literal = "'" + default.arg.replace("'", "''") + "'"
    return bool(found.strip("()") != literal)


OPTIONS: dict[str, Any] = {
    "render_as_batch": True,
    "transactional_ddl": True,
    "compare_server_default": _compare_server_default,
}
"""SQLite's ALTER TABLE is limited, so Alembic copies tables instead. DDL is transactional,
because `app/core/dialect.py` begins transactions; Alembic assumes otherwise."""

TIMEOUTS = {"statement_timeout": 0, "lock_timeout": 600}


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Disable foreign keys while tables are copied, and check them before each commit.

    With foreign keys enabled, dropping the original of a copied table deletes the
    rows that refer to it: https://www.sqlite.org/lang_altertable.html#otheralter
    """
    # On the driver's connection, because the pragma has no effect in a transaction.
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    event.listen(connection, "commit", _check_foreign_keys)
    try:
        yield
    finally:
        event.remove(connection, "commit", _check_foreign_keys)
        connection.rollback()
        # After a failed commit, the transaction is still open in the driver.
        connection.connection.rollback()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken:
        raise CommandError(f"The migration leaves rows in {broken[0]} that refer to missing rows.")


async def run(engine: AsyncEngine, migrate: Callable[[Connection], None]) -> None:
    """Run migrations. The file is created if it does not exist."""
    _create(Path(engine.url.database or ""))
    async with engine.connect() as connection:
        await connection.run_sync(migrate)


def _create(file: Path) -> None:
    with suppress(OSError):  # opening the file fails, too
        file.touch()
