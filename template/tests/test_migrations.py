"""The migrations build what the models say, can be undone, and are written by themselves."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    String,
    Table,
    false,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from app import schema
from app.database import Base
from tests.migrating import run, table_names


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(schema.alembic_config()).get_heads()) <= 1


async def test_they_build_what_the_models_say(scratch_engine: AsyncEngine) -> None:
    await schema.upgrade(scratch_engine)

    await run(scratch_engine, command.check)
    assert await table_names(scratch_engine) == set(Base.metadata.tables)


async def test_they_go_down_and_up_again(scratch_engine: AsyncEngine) -> None:
    await schema.upgrade(scratch_engine)
    tables = await table_names(scratch_engine)

    await run(scratch_engine, command.downgrade, "base")
    assert await table_names(scratch_engine) == set()

    await schema.upgrade(scratch_engine)
    assert await table_names(scratch_engine) == tables


def forget_tables() -> None:
    for name in {"wiring_wheels", "wiring_cars"} & Base.metadata.tables.keys():
        Base.metadata.remove(Base.metadata.tables[name])


def define_tables(*columns: Column[Any]) -> None:
    """Define, or replace, the models of two tables, of which one refers to the other."""
    forget_tables()
    Table("wiring_cars", Base.metadata, Column("id", Integer, primary_key=True), *columns)
    Table(
        "wiring_wheels",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("car_id", ForeignKey("wiring_cars.id", ondelete="CASCADE"), index=True),
    )


@pytest.fixture
def _models_as_before() -> Iterator[None]:
    yield
    forget_tables()


@pytest.mark.usefixtures("_models_as_before")
async def test_a_change_of_a_model_becomes_a_formatted_migration(
    scratch_engine: AsyncEngine, migrations: Config
) -> None:
    async def migrate(message: str) -> None:
        await run(scratch_engine, command.upgrade, "head", config=migrations)
        await run(scratch_engine, command.revision, message, autogenerate=True, config=migrations)
        await run(scratch_engine, command.upgrade, "head", config=migrations)
        await run(scratch_engine, command.check, config=migrations)

    define_tables(
        Column("name", String(20), unique=True),
        Column("colour", String(20)),
        Column("made_at", DateTime, server_default=func.now()),
        Column("note", String(20), server_default=""),
        Column("sold", Boolean, server_default=false()),
        Column("owner_id", ForeignKey("wiring_cars.id"), index=True),
    )
    await migrate('add wiring cars, """odd\\names"""')
    cars, wheels = (Base.metadata.tables[name] for name in ("wiring_cars", "wiring_wheels"))
    async with scratch_engine.begin() as connection:
        await connection.execute(cars.insert(), {"id": 1, "name": "beetle", "colour": "red"})
        await connection.execute(wheels.insert(), [{"car_id": 1}] * 4)

    define_tables(
        Column("name", String(40), nullable=False),
        Column("seats", Integer, server_default="4", nullable=False, index=True),
    )
    await migrate("change wiring cars")

    cars, wheels = (Base.metadata.tables[name] for name in ("wiring_cars", "wiring_wheels"))
    async with scratch_engine.connect() as connection:
        assert (await connection.execute(select(cars))).one() == (1, "beetle", 4)
        assert await connection.scalar(select(func.count()).select_from(wheels)) == 4

    forget_tables()
    await migrate("drop wiring cars")
    await run(scratch_engine, command.downgrade, "base", config=migrations)
    assert await table_names(scratch_engine) == set()

    folder = Path(migrations.get_main_option("script_location") or "", "versions")
    written = [str(path) for path in folder.glob("*_wiring_cars*.py")]
    assert len(written) == 3
    for arguments in (["format", "--check"], ["check", "--select=I"]):
        subprocess.run([sys.executable, "-m", "ruff", *arguments, *written], check=True)
