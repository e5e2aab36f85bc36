from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import JSON, Column, Connection, Integer, MetaData, String, Table
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import TypeEngine

from app.core.migrations.dialect import OPTIONS

DEFAULTS: list[tuple[TypeEngine[Any], str, str]] = [
    (Integer(), "2", "2"),
    (Integer(), "2", "3"),
    (String(20), "", ""),
    (String(20), "", "grey"),
    (String(20), "driver's", "driver's"),
    (JSON(), "{}", "{}"),
    (JSON(), "{}", "[]"),
]
"""A column's type, and its default in the database and in the model."""


def cars(model: bool) -> MetaData:
    metadata = MetaData()
    columns = [
        Column(f"{number}", kind, server_default=new if model else old)
        for number, (kind, old, new) in enumerate(DEFAULTS)
    ]
    Table("cars", metadata, *columns)
    return metadata


async def test_only_changed_defaults_are_detected(scratch_engine: AsyncEngine) -> None:
    def compare(connection: Connection) -> set[str]:
        context = MigrationContext.configure(connection, opts=OPTIONS)
        return {change[0][3] for change in compare_metadata(context, cars(model=True))}

    async with scratch_engine.connect() as connection:
        await connection.run_sync(cars(model=False).create_all)
        changed = await connection.run_sync(compare)

    assert changed == {f"{number}" for number, (_, old, new) in enumerate(DEFAULTS) if old != new}
