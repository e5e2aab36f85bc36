"""Migrations match the models and can be reverted."""

from collections.abc import Callable

from alembic import command
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import Base, migrations


async def run_alembic(
    engine: AsyncEngine, function: Callable[..., object], *arguments: str
) -> None:
    """Run an Alembic command on a database."""

    def run_sync(connection: Connection) -> None:
        function(migrations.alembic_config(connection), *arguments)

    async with engine.connect() as connection:
        await connection.run_sync(run_sync)


async def tables(engine: AsyncEngine) -> set[str]:
    """Return the names of the models' tables that exist."""

    def find(connection: Connection) -> set[str]:
        has_table = inspect(connection).has_table
        models = Base.metadata.tables.items()
        return {name for name, model in models if has_table(model.name, model.schema)}

    async with engine.connect() as connection:
        return await connection.run_sync(find)


def test_no_migrations_are_parallel() -> None:
    migrations.refuse_branches(migrations.alembic_config())


async def test_migrations_match_the_models(scratch_engine: AsyncEngine) -> None:
    await migrations.upgrade(scratch_engine)

    await run_alembic(scratch_engine, command.check)
    assert await tables(scratch_engine) == set(Base.metadata.tables)


async def test_migrations_can_be_reverted_and_reapplied(scratch_engine: AsyncEngine) -> None:
    await migrations.upgrade(scratch_engine)

    await run_alembic(scratch_engine, command.downgrade, "base")
    assert await tables(scratch_engine) == set()

    await migrations.upgrade(scratch_engine)
    assert await tables(scratch_engine) == set(Base.metadata.tables)
