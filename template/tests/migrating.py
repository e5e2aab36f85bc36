"""Running migrations on databases of a test's own."""

from collections.abc import Callable

from alembic.config import Config
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from app import schema


async def run(
    engine: AsyncEngine,
    function: Callable[..., object],
    *arguments: str,
    config: Config | None = None,
    **options: bool,
) -> None:
    """Run one of Alembic's commands on a database."""
    config = config or schema.alembic_config()
    async with engine.connect() as connection:

        def run_sync(sync: Connection) -> None:
            config.attributes["connection"] = sync
            function(config, *arguments, **options)

        await connection.run_sync(run_sync)


async def table_names(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    return set(names) - {"alembic_version"}
