"""The migrations create what the models say, and can be reverted."""

from collections.abc import Callable

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import Base, migrations


async def run_alembic(
    engine: AsyncEngine, function: Callable[..., object], *arguments: str
) -> None:
    """Run one of Alembic's commands on a database."""

    def run_sync(connection: Connection) -> None:
        function(migrations.alembic_config(connection), *arguments)

    async with engine.connect() as connection:
        await connection.run_sync(run_sync)


async def table_names(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    return set(names) - {"alembic_version"}


def test_there_is_one_head() -> None:
    heads = ScriptDirectory.from_config(migrations.alembic_config()).get_heads()

    assert len(heads) <= 1, "Two migrations follow the same one: let one follow the other."


async def test_they_create_what_the_models_say(scratch_engine: AsyncEngine) -> None:
    await migrations.upgrade(scratch_engine)

    await run_alembic(scratch_engine, command.check)
    assert await table_names(scratch_engine) == set(Base.metadata.tables)


async def test_they_can_be_reverted_and_applied_again(scratch_engine: AsyncEngine) -> None:
    await migrations.upgrade(scratch_engine)
    tables = await table_names(scratch_engine)

    await run_alembic(scratch_engine, command.downgrade, "base")
    assert await table_names(scratch_engine) == set()

    await migrations.upgrade(scratch_engine)
    assert await table_names(scratch_engine) == tables
