"""What a new migration contains: types, and steps in a valid order."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    CreateForeignKeyOp,
    CreateTableOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    MigrateOperation,
    MigrationScript,
    ModifyTableOps,
)
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError, DispatchPriority
from sqlalchemy import ForeignKeyConstraint

from app.core.types import ExactDecimal, UTCDateTime

OF_TABLES = (CreateTableOp, ModifyTableOps, DropTableOp)


def render_type(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Render a column's type in a new migration, with the imports that it needs."""
    if kind != "type":
        return False
    if isinstance(item, UTCDateTime | ExactDecimal):
        item = item.impl_instance  # migrations outlive the code of the service
        name = type(item).__module__.removeprefix("sqlalchemy.dialects.").partition(".")[0]
        if name == "sqlalchemy":
            return f"sa.{item!r}"
        context.imports.add(f"from sqlalchemy.dialects import {name}")
        return f"{name}.{item!r}"
    if not type(item).__module__.startswith("sqlalchemy."):
        context.imports.add(f"import {type(item).__module__}")
    return False


def is_ignored(ignored: Sequence[str], schema: str | None, name: str | None) -> bool:
    """Return whether the name of a table or type matches a pattern such as `jobs_*` or `audit.*`."""
    full_name = f"{schema}.{name}" if schema else f"{name}"
    return any(fnmatchcase(full_name, pattern) for pattern in ignored)


@comparators.dispatch_for("autogenerate", priority=DispatchPriority.FIRST)
def refuse_cycles(context: AutogenContext, *_: object) -> None:
    """Refuse tables that refer to each other, unless a foreign key is created after them.

    Raises:
        CommandError: such a foreign key lacks `use_alter`.
    """
    tables = context.table_key_to_table.values()
    keys = _by_reference([CreateTableOp.from_table(table) for table in tables])[1]
    for key in keys:
        if not key.use_alter:
            raise CommandError(
                f"The tables {key.table.fullname} and {_referred(key)} refer to each other: "
                f"add use_alter=True to the foreign key of {', '.join(key.column_keys)}, for example."
            )


def order_steps(context: MigrationContext, _revision: Any, scripts: list[MigrationScript]) -> None:
    """Sort the steps of a new migration so that none of them violates a foreign key.

    Alembic drops tables in arbitrary order, tables before the foreign keys that refer to
    them, and indexes before the foreign keys that require them. It omits foreign keys
    with `use_alter`.
    """
    for script in scripts:
        for operations in (*script.upgrade_ops_list, *script.downgrade_ops_list):
            operations.ops = _ordered(operations.ops, inline=not context.dialect.supports_alter)


def _ordered(steps: list[MigrateOperation], *, inline: bool) -> list[MigrateOperation]:
    created = [step for step in steps if isinstance(step, CreateTableOp)]
    changed = [step for step in steps if isinstance(step, ModifyTableOps)]
    dropped = [step for step in steps if isinstance(step, DropTableOp)]
    dropped_tables = {_name(step) for step in dropped}
    for change in changed:
        if _name(change) in dropped_tables:
            # Dropping the table also drops its indexes.
            change.ops = [step for step in change.ops if not isinstance(step, DropIndexOp)]
        change.ops.sort(key=lambda step: not _drops_foreign_key(step))

    created, created_later = _by_reference(created)
    dropped, dropped_before = _by_reference(dropped)
    if inline:  # the database cannot add foreign keys to a table, and accepts any order
        created_later = dropped_before = []
    for step in created:
        step.columns = [
            part for part in step.columns if not any(part is key for key in created_later)
        ]

    of_tables = [
        *map(DropConstraintOp.from_constraint, dropped_before),
        *created,
        *changed,
        *map(CreateForeignKeyOp.from_constraint, created_later),
        *reversed(dropped),
    ]
    others = [step for step in steps if not isinstance(step, OF_TABLES)]
    # Steps before the first table, such as creating a type, stay first.
    before = next((n for n, step in enumerate(steps) if isinstance(step, OF_TABLES)), 0)
    return [*others[:before], *of_tables, *others[before:]]


def _drops_foreign_key(step: MigrateOperation) -> bool:
    return isinstance(step, DropConstraintOp) and step.constraint_type == "foreignkey"


def _name(step: CreateTableOp | DropTableOp | ModifyTableOps) -> str:
    return f"{step.schema}.{step.table_name}" if step.schema else step.table_name


def _by_reference(
    steps: Sequence[CreateTableOp | DropTableOp],
) -> tuple[list[Any], list[ForeignKeyConstraint]]:
    """Sort tables so that each one comes after the tables it refers to.

    Returns:
        The tables, and the foreign keys that must be created after all of them.
    """
    by_name = {_name(step): step for step in steps}
    keys = [
        (name, _referred(key), key)
        for name, step in sorted(by_name.items())
        for key in _foreign_keys(step)
    ]
    later = [key for key in keys if key[2].use_alter]
    while True:
        references: dict[str, list[str]] = {name: [] for name in sorted(by_name)}
        for name, target, key in keys:
            if (name, target, key) not in later and target in references and target != name:
                references[name].append(target)
        try:
            order = list(TopologicalSorter(references).static_order())
        except CycleError as error:
            target, name = error.args[1][:2]
            later += [key for key in keys if key[:2] == (name, target)]
        else:
            return [by_name[name] for name in order], [key for *_, key in later]


def _referred(key: ForeignKeyConstraint) -> str:
    return key.elements[0].target_fullname.rpartition(".")[0]


def _foreign_keys(step: CreateTableOp | DropTableOp) -> list[ForeignKeyConstraint]:
    creation = step if isinstance(step, CreateTableOp) else step.reverse()
    return [part for part in creation.columns if isinstance(part, ForeignKeyConstraint)]
