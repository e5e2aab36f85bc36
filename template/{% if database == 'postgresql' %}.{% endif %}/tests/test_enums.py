from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, Enum, MetaData, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from app.engine import MIGRATION_OPTIONS


def cars(*colours: str) -> MetaData:
    metadata = MetaData()
    if colours:
        Table("cars", metadata, Column("colour", Enum(*colours, name="colour")))
    return metadata


@pytest.mark.parametrize(
    ("colours", "changes"),
    [
        (("red", "blue"), []),
        (("red", "blue", "green"), ["add_enum_value"]),
        ((), ["remove_table", "drop_enum"]),
    ],
)
async def test_migrations_change_and_drop_enum_types(
    scratch_engine: AsyncEngine, colours: tuple[str, ...], changes: list[str]
) -> None:
    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts=MIGRATION_OPTIONS)
        return [change[0] for change in compare_metadata(context, cars(*colours))]

    async with scratch_engine.connect() as connection:
        await connection.run_sync(cars("red", "blue").create_all)
        assert await connection.run_sync(compare) == changes
