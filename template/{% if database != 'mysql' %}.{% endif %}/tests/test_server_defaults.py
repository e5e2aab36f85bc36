from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import JSON, Column, Connection, Integer, MetaData, String, Table
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import TypeEngine

from app.engine import MIGRATION_OPTIONS


def cars(kind: TypeEngine[Any], default: str) -> MetaData:
    metadata = MetaData()
    Table("cars", metadata, Column("feature", kind, server_default=default))
    return metadata


@pytest.mark.parametrize(
    ("kind", "before", "after", "changes"),
    [
        (Integer(), "2", "2", 0),
        (Integer(), "2", "3", 1),
        (String(20), "", "", 0),
        (String(20), "", "grey", 1),
        (String(20), "driver's", "driver's", 0),
        (JSON(), "{}", "{}", 0),
        (JSON(), "{}", "[]", 1),
    ],
)
async def test_only_what_changes_is_a_change(
    scratch_engine: AsyncEngine, kind: TypeEngine[Any], before: str, after: str, changes: int
) -> None:
    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts=MIGRATION_OPTIONS)
        found: list[Any] = compare_metadata(context, cars(kind, after))
        return found

    async with scratch_engine.connect() as connection:
        await connection.run_sync(cars(kind, before).create_all)
        assert len(await connection.run_sync(compare)) == changes
