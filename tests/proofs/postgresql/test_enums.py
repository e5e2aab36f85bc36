from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, Enum, MetaData, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.migrations.dialect import OPTIONS


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
