"""The database's schema: which revision it has, and how migrations are run."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app import DISTRIBUTION
from app.engine import reading

logger = structlog.get_logger(__name__)


def alembic_config(connection: Connection | None = None) -> Config:
    """Read Alembic's configuration from pyproject.toml.

    Args:
        connection: what migrations run on; without one, they connect to the
            database that the settings name.
    """
    config = Config(toml_file=Path(__file__).parents[1] / "pyproject.toml")
    config.attributes["connection"] = connection
    return config


async def upgrade(engine: AsyncEngine) -> None:
    """Migrate the database of `engine` up to the newest revision."""
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))


@dataclass(frozen=True)
class State:
    """The revisions that a database has, and those that this version of the service needs."""

    current: frozenset[str]
    needed: frozenset[str]

    @property
    def pending(self) -> bool:
        """Whether the two differ."""
        return self.current != self.needed

    @property
    def message(self) -> str:
        """One sentence for people, if the two differ."""
        return f"The database schema is not the one this version needs: run `uv run {DISTRIBUTION} db upgrade`."


async def state(engine: AsyncEngine) -> State:
    """Compare the database's revision with the migrations that came with the service.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    async with reading(engine).connect() as connection:
        current = await connection.run_sync(_current_revisions)
    return State(current, _needed_revisions())


async def report(engine: AsyncEngine) -> None:
    """Log a warning unless the database can be reached and its schema is up to date."""
    try:
        current = await state(engine)
    except SQLAlchemyError as error:
        logger.warning("The database cannot be reached.", reason=type(error).__name__)
        return
    if current.pending:
        logger.warning(current.message)


def _current_revisions(connection: Connection) -> frozenset[str]:
    if not inspect(connection).has_table("alembic_version"):
        return frozenset()
    return frozenset(connection.scalars(text("SELECT version_num FROM alembic_version")))


@cache
def _needed_revisions() -> frozenset[str]:
    return frozenset(ScriptDirectory.from_config(alembic_config()).get_heads())
