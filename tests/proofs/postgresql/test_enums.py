"""Migrations change enum types."""

from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    ARRAY,
    Column,
    Connection,
    Enum,
    Index,
    Integer,
    MetaData,
    Table,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.migrations.dialect import OPTIONS
from tests.proofs.revisions import Revisions, models


def cars(*colors: str) -> MetaData:
    metadata = MetaData()
    if colors:
        Table("cars", metadata, Column("color", Enum(*colors, name="color")))
    return metadata


async def test_migrations_change_and_drop_enum_types(scratch_engine: AsyncEngine) -> None:
    def compare(connection: Connection, models: MetaData) -> list[Any]:
        context = MigrationContext.configure(connection, opts=OPTIONS)
        return [change[0] for change in compare_metadata(context, models)]

    async with scratch_engine.connect() as connection:
        await connection.run_sync(cars("red", "blue").create_all)
        same = await connection.run_sync(compare, cars("red", "blue"))
        more = await connection.run_sync(compare, cars("red", "blue", "green"))
        none = await connection.run_sync(compare, cars())

    assert same == []
    assert more == ["add_enum_value"]
    assert none == ["remove_table", "drop_enum"]


def proof_cars(metadata: MetaData, *colors: str, **columns: Any) -> Table:
    """Define a table of cars with an enum column; `columns` are more of them."""
    kind = Enum(*colors, name="proof_color")
    extra: list[Column[Any]] = [
        Column(name, ARRAY(kind) if name == "all" else kind, server_default=default)
        for name, default in columns.items()
    ]
    return Table("proof_cars", metadata, Column("id", Integer, primary_key=True), *extra)


OLD = ["red", "light blue"]

CHANGES: dict[str, tuple[list[str], dict[str, Any], dict[str, Any]]] = {
    "a value": ([*OLD, "green"], {"color": None}, {"color": None}),
    "first": (["green", *OLD], {"color": None}, {"color": None}),
    "between, and two": (["red", "a:b", ":c", "light blue"], {"color": None}, {"color": None}),
    "as a default": ([*OLD, "green"], {"color": "red"}, {"color": "green"}),
    "as a default in SQL": (
        [*OLD, "green"],
        {"color": text("'red'")},
        {"color": text("'green'::proof_color")},
    ),
    "as the first default": ([*OLD, "green"], {"color": None}, {"color": "green"}),
    "next to a default": ([*OLD, "green"], {"color": "light blue"}, {"color": "light blue"}),
    "in a new column": ([*OLD, "green"], {"color": "red"}, {"color": "red", "roof": "green"}),
    "in a dropped column": ([*OLD, "green"], {"color": None, "roof": "red"}, {"color": "green"}),
    "in a list": ([*OLD, "green"], {"all": "{red}"}, {"all": "{green}"}),
}


@pytest.mark.parametrize(("colors", "before", "after"), CHANGES.values(), ids=CHANGES.keys())
async def test_values_are_added(
    revisions: Revisions, colors: list[str], before: dict[str, Any], after: dict[str, Any]
) -> None:
    with models() as metadata:
        proof_cars(metadata, *OLD, **before)
        await revisions.migrate("add cars")
    with models() as metadata:
        proof_cars(metadata, *colors, **after)
        await revisions.migrate("add values")
        await revisions.repeat()

        async with revisions.engine.connect() as connection:
            values = await connection.scalar(text("SELECT enum_range(NULL::proof_color)::text[]"))
        assert values == colors


@pytest.mark.parametrize("target", ["-1", "base"])
async def test_added_values_can_be_used_by_the_next_migration(
    revisions: Revisions, target: str
) -> None:
    """Both are pending; the one that creates the type can be, too."""
    with models() as metadata:
        proof_cars(metadata, *OLD, color=None)
        await revisions.migrate("add cars")
    with models() as metadata:
        cars = proof_cars(metadata, *OLD, "green", color=None)
        await revisions.migrate("add green")
        using = await revisions.write("use green", autogenerate=False)
        use = "op.execute(\"INSERT INTO proof_cars (color) VALUES ('green')\")"
        using.write_text(using.read_text().replace("    pass", f"    {use}", 1))

        await revisions.run(command.downgrade, target)
        await revisions.run(command.upgrade, "head")

        async with revisions.engine.connect() as connection:
            green = select(func.count()).select_from(cars).where(cars.c.color == "green")
            assert await connection.scalar(green) == 1


async def test_failed_migration_can_be_repeated(revisions: Revisions) -> None:
    with models() as metadata:
        proof_cars(metadata, *OLD, color=None)
        await revisions.migrate("add cars")
    with models() as metadata:
        proof_cars(metadata, *OLD, "green", color="green")
        new = await revisions.write("add green")
        whole = new.read_text()
        new.write_text(
            whole.replace("\n\n\ndef downgrade", "\n    raise ZeroDivisionError\n\n\ndef downgrade")
        )
        with pytest.raises(ZeroDivisionError):
            await revisions.run(command.upgrade, "head")

        new.write_text(whole)
        await revisions.run(command.upgrade, "head")
        await revisions.run(command.check)


async def test_partial_index_survives_the_downgrade(revisions: Revisions) -> None:
    with models() as metadata:
        cars = proof_cars(metadata, *OLD, color=None)
        Index("ix_red", cars.c.id, postgresql_where=cars.c.color == "red")
        await revisions.migrate("add cars")
    with models() as metadata:
        cars = proof_cars(metadata, *OLD, "green", color=None)
        Index("ix_red", cars.c.id, postgresql_where=cars.c.color == "red")
        await revisions.migrate("add green")
        async with revisions.engine.begin() as connection:
            await connection.execute(insert(cars).values(color="red"))
        await revisions.repeat()
