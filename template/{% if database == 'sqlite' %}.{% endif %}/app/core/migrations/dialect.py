"""SQLite: options and locking of migrations, and what copies of tables can lose."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, event, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.dialect import error_code


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

TIMEOUTS = {"statement_timeout": 0}

LOCK_TIMEOUT = 600
"""Seconds."""

UNCOPIED = """
    SELECT type || ' ' || name, tbl_name FROM sqlite_master AS part WHERE type = 'trigger'
    OR EXISTS (SELECT 1 FROM pragma_index_xinfo(part.name) WHERE type = 'index' AND cid = -2)
"""
"""Triggers, and indexes on expressions; Alembic leaves them out when it copies a table."""


@contextmanager
def migrating(
    connection: Connection, begin: Callable[[], AbstractContextManager[Any]]
) -> Iterator[None]:
    """Allow one process at a time to migrate; others wait.

    Foreign keys are disabled while tables are copied, and checked before the commit:
    with foreign keys enabled, dropping the original of a copied table deletes the
    rows that refer to it: https://www.sqlite.org/lang_altertable.html#otheralter

    Raises:
        CommandError: waiting took too long, or the migration would lose something.
    """
    lost: set[tuple[str, str]] = set()

    def note_parts(connection: Connection, _: Any, statement: str, *__: object) -> None:
        if statement.upper().split()[:2] == ["DROP", "TABLE"]:
            lost.update(_uncopied(connection))

    def forget_parts(connection: Connection, _: Any, statement: str, *__: object) -> None:
        if statement.upper().split()[:2] == ["DROP", "TABLE"]:
            lost.difference_update(_uncopied(connection))

    def check(connection: Connection) -> None:
        _check_foreign_keys(connection)
        _check_copies(connection, lost)

    listeners: dict[str, Callable[..., None]] = {
        "before_cursor_execute": note_parts,
        "after_cursor_execute": forget_parts,
        "commit": check,
    }
    # On the driver's connection, because the pragma has no effect in a transaction.
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    for name, listener in listeners.items():
        event.listen(connection, name, listener)
    try:
        with _begin(begin):
            yield
    finally:
        for name, listener in listeners.items():
            event.remove(connection, name, listener)
        connection.rollback()
        # After a failed commit, the transaction is still open in the driver.
        connection.connection.rollback()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()


def _begin(begin: Callable[[], AbstractContextManager[Any]]) -> AbstractContextManager[Any]:
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            return begin()
        except DBAPIError as error:
            if error_code(error) != "SQLITE_BUSY":
                raise
        if time.monotonic() > deadline:
            raise CommandError("Timed out waiting for another process to finish its migrations.")


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


def _uncopied(connection: Connection) -> set[tuple[str, str]]:
    return {(part, table) for part, table in connection.exec_driver_sql(UNCOPIED)}


def _check_copies(connection: Connection, lost: set[tuple[str, str]]) -> None:
    tables = inspect(connection).get_table_names()
    for part, table in sorted(lost - _uncopied(connection)):
        if table in tables:
            raise CommandError(
                f"The migration copies the table {table} without its {part}: "
                "create it again in the migration, or drop it there before."
            )
