"""Migrations that copy a table keep all of its parts, or are refused."""

from pathlib import Path

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Column, Integer, MetaData, String, Table, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.proofs.revisions import Revisions, models

TRIGGER = (
    "CREATE TRIGGER proof_count AFTER INSERT ON {table} BEGIN UPDATE {table} SET name = 'x'; END"
)
INDEX = "CREATE INDEX proof_lower ON {table} (lower(name))"
UPPER = "CREATE UNIQUE INDEX proof_upper ON {table} (id, upper(name)) WHERE id > 0"


def define(metadata: MetaData, *, length: int, table: str = "proof_cars") -> None:
    Table(
        table,
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String(length), index=True),
    )


async def add(revisions: Revisions, part: str, table: str = "proof_cars") -> None:
    """Create the table with a part that models do not have."""
    with models() as metadata:
        define(metadata, length=20, table=table)
        await revisions.migrate("add cars")
    async with revisions.engine.begin() as connection:
        await connection.execute(text(part.format(table=f'"{table}"')))


def extend(file: Path, statement: str, *, first: bool = False) -> None:
    """Add a statement to the upgrade."""
    call = f"op.execute({statement!r})"
    whole = file.read_text()
    start = "def upgrade() -> None:\n"
    end = "\n\n\ndef downgrade"
    file.write_text(
        whole.replace(start, f"{start}    {call}\n")
        if first
        else whole.replace(end, f"\n    {call}{end}")
    )


async def parts(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        names = await connection.scalars(text("SELECT name FROM sqlite_master"))
        return {name for name in names if name.startswith("proof_")}


@pytest.mark.parametrize("table", ["proof_cars", "proof cars", "Proof_Cars"])
@pytest.mark.parametrize(
    ("part", "name"),
    [(TRIGGER, "trigger proof_count"), (INDEX, "index proof_lower"), (UPPER, "index proof_upper")],
)
async def test_lost_part_is_refused(revisions: Revisions, part: str, name: str, table: str) -> None:
    await add(revisions, part, table)
    with models() as metadata:
        define(metadata, length=40, table=table)
        new = await revisions.write("change cars")

        with pytest.raises(CommandError, match=f"copies the table {table} without its {name}"):
            await revisions.run(command.upgrade, "head")
        assert name.split()[1] in await parts(revisions.engine)

        extend(new, part.format(table=f'"{table}"'))
        await revisions.run(command.upgrade, "head")
        assert name.split()[1] in await parts(revisions.engine)


@pytest.mark.parametrize(
    ("part", "drop"), [(TRIGGER, "TRIGGER proof_count"), (INDEX, "INDEX proof_lower")]
)
async def test_part_can_be_dropped(revisions: Revisions, part: str, drop: str) -> None:
    await add(revisions, part)
    with models() as metadata:
        define(metadata, length=40)
        new = await revisions.write("change cars")
        for statement in (f"DROP {drop}", "DROP TABLE other", "CREATE TABLE other (id INT)"):
            extend(new, statement, first=True)

        await revisions.run(command.upgrade, "head")

    assert await parts(revisions.engine) == {"proof_cars"}


@pytest.mark.parametrize("part", [TRIGGER, INDEX])
async def test_table_can_be_dropped_with_its_parts(revisions: Revisions, part: str) -> None:
    await add(revisions, part)

    await revisions.migrate("drop cars")

    assert await parts(revisions.engine) == set()


async def test_copy_without_batch_is_checked(revisions: Revisions) -> None:
    await add(revisions, TRIGGER)
    with models() as metadata:
        define(metadata, length=20)
        new = await revisions.write("copy cars", autogenerate=False)
        extend(new, "CREATE TABLE copy AS SELECT * FROM proof_cars")
        extend(new, "drop  table if exists main.[proof_cars]")
        extend(new, "ALTER TABLE copy RENAME TO proof_cars")

        with pytest.raises(CommandError, match="trigger proof_count"):
            await revisions.run(command.upgrade, "head")
