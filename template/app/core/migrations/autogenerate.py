"""Types, and order of the steps, in a new migration."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    CreateTableOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    MigrateOperation,
    MigrationScript,
    ModifyTableOps,
)
from sqlalchemy import ForeignKeyConstraint

from app.core.types import ExactDecimal, UTCDateTime


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


def order_steps(_context: Any, _revision: Any, scripts: list[MigrationScript]) -> None:
    """Sort the steps of a new migration so that none of them violates a foreign key.

    Alembic drops tables in arbitrary order, tables before the foreign keys that refer to
    them, and indexes before the foreign keys that require them.
    """
    for script in scripts:
        for operations in (*script.upgrade_ops_list, *script.downgrade_ops_list):
            operations.ops = _ordered(operations.ops)


def _ordered(steps: list[MigrateOperation]) -> list[MigrateOperation]:
    created = [step for step in steps if isinstance(step, CreateTableOp)]
    changed = [step for step in steps if isinstance(step, ModifyTableOps)]
    dropped = [step for step in steps if isinstance(step, DropTableOp)]
    dropped_tables = {step.table_name for step in dropped}
    for change in changed:
        if change.table_name in dropped_tables:
            # Dropping the table also drops its indexes.
            change.ops = [step for step in change.ops if not isinstance(step, DropIndexOp)]
        change.ops.sort(key=lambda step: not _drops_foreign_key(step))

    of_tables = [*_by_reference(created), *changed, *reversed(_by_reference(dropped))]
    others = [step for step in steps if step not in of_tables]
    # Steps before the first table, such as creating a type, stay first.
    before = next((index for index, step in enumerate(steps) if step in of_tables), 0)
    return [*others[:before], *of_tables, *others[before:]]


def _drops_foreign_key(step: MigrateOperation) -> bool:
    return isinstance(step, DropConstraintOp) and step.constraint_type == "foreignkey"


def _by_reference(steps: Sequence[CreateTableOp | DropTableOp]) -> list[MigrateOperation]:
    """Sort tables so that each one comes after the tables it refers to."""
    by_name = {step.table_name: step for step in steps}
    references = {
        name: sorted((_referenced_tables(step) & by_name.keys()) - {name})
        for name, step in by_name.items()
    }
    try:
        return [by_name[name] for name in TopologicalSorter(references).static_order()]
    except CycleError:  # circular references have no valid order
        return list(steps)


def _referenced_tables(step: CreateTableOp | DropTableOp) -> set[str]:
    creation = step if isinstance(step, CreateTableOp) else step.reverse()
    return {
        element.target_fullname.split(".")[-2]
        for part in creation.columns
        if isinstance(part, ForeignKeyConstraint)
        for element in part.elements
    }
