"""Migrations are generated from changes to the models."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
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

from app.core.database import Base
from tests.proofs.kit import run, table_names


def forget_tables() -> None:
    for name in {"proof_wheels", "proof_cars"} & Base.metadata.tables.keys():
        Base.metadata.remove(Base.metadata.tables[name])


def define_tables(*columns: Column[Any]) -> None:
    """Define or replace the models of two tables, one of which refers to the other."""
    forget_tables()
    Table("proof_cars", Base.metadata, Column("id", Integer, primary_key=True), *columns)
    Table(
        "proof_wheels",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("car_id", ForeignKey("proof_cars.id", ondelete="CASCADE"), index=True),
    )


@pytest.fixture
def _models_as_before() -> Iterator[None]:
    yield
    forget_tables()


@pytest.mark.usefixtures("_models_as_before")
async def test_model_changes_become_formatted_migrations(
    scratch_engine: AsyncEngine, migration_config: Config
) -> None:
    async def migrate(message: str) -> None:
        await run(scratch_engine, command.upgrade, "head", config=migration_config)
        await run(
            scratch_engine, command.revision, message, autogenerate=True, config=migration_config
        )
        await run(scratch_engine, command.upgrade, "head", config=migration_config)
        await run(scratch_engine, command.check, config=migration_config)

    define_tables(
        Column("name", String(20), unique=True),
        Column("color", String(20)),
        Column("made_at", DateTime, server_default=func.now()),
        Column("note", String(20), server_default=""),
        Column("sold", Boolean, server_default=false()),
        Column("owner_id", ForeignKey("proof_cars.id"), index=True),
    )
    await migrate('add proof cars, """odd\\names"""')
    cars, wheels = (Base.metadata.tables[name] for name in ("proof_cars", "proof_wheels"))
    async with scratch_engine.begin() as connection:
        await connection.execute(cars.insert(), {"id": 1, "name": "beetle", "color": "red"})
        await connection.execute(wheels.insert(), [{"car_id": 1}] * 4)

    define_tables(
        Column("name", String(40), nullable=False),
        Column("seats", Integer, server_default="4", nullable=False, index=True),
    )
    await migrate("change proof cars")

    cars, wheels = (Base.metadata.tables[name] for name in ("proof_cars", "proof_wheels"))
    async with scratch_engine.connect() as connection:
        assert (await connection.execute(select(cars))).one() == (1, "beetle", 4)
        assert await connection.scalar(select(func.count()).select_from(wheels)) == 4

    forget_tables()
    await migrate("drop proof cars")
    await run(scratch_engine, command.downgrade, "base", config=migration_config)
    assert await table_names(scratch_engine) == set()

    folder = Path(migration_config.get_main_option("script_location") or "", "versions")
    written = [str(path) for path in folder.glob("*_proof_cars*.py")]
    assert len(written) == 3
    for arguments in (["format", "--check"], ["check", "--select=I"]):
        subprocess.run([sys.executable, "-m", "ruff", *arguments, *written], check=True)
