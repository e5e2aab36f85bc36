"""PostgreSQL: options and locking of migrations, enum types, and objects of others."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self, cast

import alembic_postgresql_enum  # registers enum types with Alembic
import structlog
from alembic.autogenerate import comparators, renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import DropTableOp, ExecuteSQLOp, ModifyTableOps, UpgradeOps
from alembic.util import CommandError, DispatchPriority
from alembic_postgresql_enum.operations.add_enum_values import AddEnumValuesOp
from alembic_postgresql_enum.operations.drop_enum import DropEnumOp
from alembic_postgresql_enum.sql_commands.indexes import get_dependent_indexes
from sqlalchemy import JSON, Connection, Engine, Enum, event, func, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from app.core.dialect import error_code
from app.core.migrations.autogenerate import is_ignored

LOCK = 4_707_110_471_067
"""An arbitrary number that nothing else uses as a lock."""

TIMEOUTS = {"statement_timeout": 0, "idle_timeout": 0, "lock_timeout": 0.5}
ATTEMPTS = 400
PAUSE = 1.0
"""Migrations can take any time, but wait for a lock only for half a second; then they let
requests pass for a second, and try again."""

LOCK_TIMED_OUT = "55P03"

LOCK_TIMEOUT = 600
"""Seconds."""

TRY_LOCK = select(func.pg_try_advisory_xact_lock(LOCK)).select_from(
    func.set_config("idle_in_transaction_session_timeout", "0", True)
)

OTHERS = text("""
    SELECT nspname, relname FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relispartition OR EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
    )
    UNION ALL
    SELECT nspname, typname FROM pg_type
    JOIN pg_namespace ON pg_namespace.oid = typnamespace
    JOIN pg_depend ON classid = 'pg_type'::regclass AND objid = pg_type.oid AND deptype = 'e'
""")
"""Partitions, and the tables and types of extensions."""

ENUM_COLUMNS = text("""
    SELECT relname AS table_name, attname AS column_name, table_schema.nspname AS table_schema,
        atttypid = typarray AS is_array, pg_get_expr(adbin, adrelid) AS existing_server_default
    FROM pg_type
    JOIN pg_namespace ON pg_namespace.oid = typnamespace
    JOIN pg_attribute ON atttypid IN (pg_type.oid, typarray) AND NOT attisdropped
    JOIN pg_class ON pg_class.oid = attrelid AND relkind IN ('r', 'p') AND NOT relispartition
    JOIN pg_namespace AS table_schema ON table_schema.oid = relnamespace
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE pg_namespace.nspname = :schema AND typname = :name
    ORDER BY table_schema, table_name, column_name
""")

logger = structlog.get_logger(__name__)


def _compare_server_default(
    _context: Any, _inspected: Any, column: Any, found: Any, default: Any, _rendered: Any
) -> bool | None:
    """Compare values for which Alembic's query fails.

    These are JSON, text that contains quotes, and values that an enum type does not have yet.
    """
    if found is None or default is None:
        return None
    is_enum = isinstance(getattr(column.type, "item_type", column.type), Enum)
    is_json = isinstance(column.type, JSON)
    given = str(default.arg)
    if is_enum and not isinstance(default.arg, str):
        return bool(found.partition("::")[0] != given.partition("::")[0])
    if isinstance(default.arg, str) and (is_json or is_enum or "'" in given):
        return bool(found.partition("::")[0] != _literal(given))
    return False if is_json else None


OPTIONS: dict[str, Any] = {
    "transaction_per_migration": False,
    "compare_server_default": _compare_server_default,
    "include_schemas": True,
}
"""All pending migrations run in one transaction, unless an `autocommit_block` ends it."""


@contextmanager
def migrating(
    connection: Connection, begin: Callable[[], AbstractContextManager[Any]]
) -> Iterator[None]:
    """Allow one process at a time to migrate; others wait.

    Another connection holds the lock, because an `autocommit_block` ends the transaction
    of this one. A lock of a transaction also works through PgBouncer.

    Raises:
        CommandError: waiting took too long.
    """
    # A separate pool, because the first can be limited to one connection.
    engine = Engine(connection.engine.pool.recreate(), connection.dialect, connection.engine.url)
    deadline = time.monotonic() + LOCK_TIMEOUT
    try:
        with engine.connect() as locking:
            # Waiting in the database would block CREATE INDEX CONCURRENTLY.
            while not locking.scalar(TRY_LOCK):
                locking.rollback()
                if time.monotonic() > deadline:
                    raise CommandError(
                        "Timed out waiting for another process to finish its migrations."
                    )
                await_only(asyncio.sleep(0.1))
            with begin():
                yield
    finally:
        engine.dispose()


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


class ReversibleSQL(ExecuteSQLOp):
    """A statement, and the one that reverts it."""

    def __init__(self, sql: str, reverse: str) -> None:
        super().__init__(sql)
        self._reverse = reverse

    def reverse(self) -> Self:
        """Return the opposite."""
        return type(self)(self._reverse, str(self.sqltext))


@comparators.dispatch_for("schema", priority=DispatchPriority.LAST)
def arrange(context: AutogenContext, upgrade: UpgradeOps, _: object) -> None:
    """Begin with new values of enum types and with new schemas; leave out what others own."""
    connection = cast("Connection", context.connection)
    default = connection.dialect.default_schema_name
    quote = connection.dialect.identifier_preparer.quote
    others = {tuple(row) for row in connection.execute(OTHERS)}

    def is_kept(step: object) -> bool:
        if isinstance(step, DropEnumOp):
            schema = None if step.schema == default else step.schema
            if is_ignored(context.opts.get("ignored", ()), schema, step.name):
                return False
            return (step.schema, step.name) not in others
        if isinstance(step, DropTableOp | ModifyTableOps):
            return (step.schema or default, step.table_name) not in others
        return True

    kept = [step for step in upgrade.ops if is_kept(step)]
    values = [step for step in kept if isinstance(step, AddEnumValuesOp)]
    for step in values:
        # The downgrade removes the values when everything else is as it is now.
        columns = connection.execute(ENUM_COLUMNS, {"schema": step.schema, "name": step.name})
        step.affected_columns = [_reference(**row) for row in columns.mappings()]
        step.indexes_to_recreate = get_dependent_indexes(connection, step.schema, step.name)

    schemas = {table.schema for table in context.sorted_tables if table.schema}
    schemas -= set(inspect(connection).get_schema_names())
    upgrade.ops = [
        *values,
        *(
            ReversibleSQL(f"CREATE SCHEMA {quote(schema)}", f"DROP SCHEMA {quote(schema)}")
            for schema in sorted(schemas)
        ),
        *(step for step in kept if step not in values),
    ]


def _reference(*, is_array: bool, **values: Any) -> alembic_postgresql_enum.TableReference:
    kind = alembic_postgresql_enum.ColumnType
    return alembic_postgresql_enum.TableReference(
        **values, column_type=kind.ARRAY if is_array else kind.COMMON
    )


@renderers.dispatch_for(AddEnumValuesOp, replace=True)
def render_values(context: AutogenContext, step: AddEnumValuesOp) -> list[str]:
    """Render statements that add values to an enum type.

    A transaction cannot use a value that it has added. The statements can be repeated, in
    case the rest of the migration fails.
    """
    quote = context.dialect.identifier_preparer.quote
    lines = ["with op.get_context().autocommit_block():"]
    for index, value in enumerate(step.new_values):
        if value not in step.old_values:
            place = f" AFTER {_literal(step.new_values[index - 1])}"
            if index == 0:
                place = f" BEFORE {_literal(step.old_values[0])}" if step.old_values else ""
            statement = (
                f"ALTER TYPE {quote(step.schema)}.{quote(step.name)}"
                f" ADD VALUE IF NOT EXISTS {_literal(value)}{place}"
            ).replace(":", r"\:")
            lines.append(f"op.execute({statement!r})")
    return [*lines, ""]


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
