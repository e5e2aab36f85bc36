"""The order of operations in a new migration."""

from types import SimpleNamespace
from typing import Any

from alembic.operations.ops import (
    AddColumnOp,
    CreateTableOp,
    DowngradeOps,
    DropColumnOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    ExecuteSQLOp,
    MigrateOperation,
    MigrationScript,
    ModifyTableOps,
    UpgradeOps,
)
from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Integer, MetaData, Table

from app.core.migrations.autogenerate import order_steps

CONTEXT: Any = SimpleNamespace(dialect=SimpleNamespace(supports_alter=True))


def tables(**references: list[str]) -> list[Table]:
    """Return tables with foreign keys to the given tables."""
    metadata = MetaData()
    return [
        Table(
            name,
            metadata,
            Column("id", Integer, primary_key=True),
            *(Column(f"{other}_id", ForeignKey(f"{other}.id")) for other in others),
        )
        for name, others in references.items()
    ]


def ordered(*steps: MigrateOperation, down: bool = False) -> list[Any]:
    """Return the operations of a migration in their final order."""
    up_steps, down_steps = UpgradeOps(ops=[]), DowngradeOps(ops=[])
    (down_steps if down else up_steps).ops = list(steps)
    script = MigrationScript("1", up_steps, down_steps)
    order_steps(CONTEXT, None, [script])
    return (down_steps if down else up_steps).ops


def names(steps: list[Any]) -> list[str]:
    return [step.table_name for step in steps]


def test_tables_are_created_after_referenced_tables() -> None:
    made = tables(a=["b"], b=["c", "b"], c=[])
    created = [CreateTableOp.from_table(table) for table in made]

    assert names(ordered(*created)) == ["c", "b", "a"]
    assert names(ordered(*created, down=True)) == ["c", "b", "a"]


def test_tables_are_dropped_before_referenced_tables() -> None:
    made = tables(c=[], b=["c", "b"], a=["b", "elsewhere"])
    dropped = [DropTableOp.from_table(table) for table in made]

    assert names(ordered(*dropped)) == ["a", "b", "c"]


def test_foreign_keys_of_a_circle_are_created_after_its_tables() -> None:
    created = [CreateTableOp.from_table(table) for table in tables(a=["b"], b=["a"])]

    *both, key = ordered(*created)

    assert sorted(names(both)) == ["a", "b"]
    assert (key.source_table, key.referent_table) == tuple(names(both))
    columns = [part for step in both for part in step.columns]
    assert sum(isinstance(part, ForeignKeyConstraint) for part in columns) == 1


def test_foreign_keys_of_a_circle_are_dropped_before_its_tables() -> None:
    key, *both = ordered(*(DropTableOp.from_table(table) for table in tables(a=["b"], b=["a"])))

    assert key.constraint_type == "foreignkey"
    assert key.table_name == both[1].table_name


def test_tables_of_one_name_are_sorted_by_schema() -> None:
    metadata = MetaData()

    audit = Table(
        "a",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("x", ForeignKey("billing.a.id")),
        schema="audit",
    )
    billing = Table(
        "a",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("x", ForeignKey("a.id")),
        schema="billing",
    )
    plain = Table("a", metadata, Column("id", Integer, primary_key=True))

    steps = ordered(*(CreateTableOp.from_table(table) for table in (audit, billing, plain)))

    assert [step.schema for step in steps] == [None, "billing", "audit"]


def test_tables_are_created_changed_and_then_dropped() -> None:
    first, second = tables(a=[], b=[])
    changed = ModifyTableOps("c", [DropColumnOp("c", "x")])

    steps = ordered(DropTableOp.from_table(first), changed, CreateTableOp.from_table(second))

    assert [type(step) for step in steps] == [CreateTableOp, ModifyTableOps, DropTableOp]


def test_foreign_keys_are_dropped_first() -> None:
    index = DropIndexOp("ix", "a")
    unique = DropConstraintOp("uq", "a", type_="unique")
    column = AddColumnOp("a", Column("x", Integer))
    foreign_key = DropConstraintOp("fk", "a", type_="foreignkey")

    (changed,) = ordered(ModifyTableOps("a", [index, unique, column, foreign_key]))

    assert changed.ops == [foreign_key, index, unique, column]


def test_indexes_are_dropped_with_their_table() -> None:
    (gone,) = tables(a=[])
    foreign_key = DropConstraintOp("fk", "a", type_="foreignkey")
    of_gone = ModifyTableOps("a", [DropIndexOp("ix", "a"), foreign_key])
    of_other = ModifyTableOps("b", [DropIndexOp("ix", "b")])

    ordered(of_gone, of_other, DropTableOp.from_table(gone))

    assert of_gone.ops == [foreign_key]
    assert len(of_other.ops) == 1


def test_other_operations_keep_their_place() -> None:
    before, between, after = (ExecuteSQLOp(words) for words in ("1", "2", "3"))
    first, second = (CreateTableOp.from_table(table) for table in tables(a=[], b=[]))

    assert ordered(before, first, between, second, after) == [before, first, second, between, after]
    assert ordered(before, after) == [before, after]
