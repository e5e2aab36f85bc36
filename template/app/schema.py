"""The database's schema: which revision it has, and how migrations are run."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app import DISTRIBUTION
from app.engine import error_code, reading

PENDING = f"The database schema is not the one this version needs: run `uv run {DISTRIBUTION} db upgrade`."

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
    known: frozenset[str]
    """All that this version has migrations for."""

    @property
    def newer(self) -> bool:
        """Whether a newer version has migrated the database, as while it takes this one's place."""
        return not self.current <= self.known

    @property
    def pending(self) -> bool:
        """Whether there are migrations to be run."""
        return self.current != self.needed and not self.newer


async def state(engine: AsyncEngine) -> State:
    """Compare the database's revision with the migrations that came with the service.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    async with reading(engine).connect() as connection:
        current = await connection.run_sync(_current_revisions)
    return State(current, _needed_revisions(), _known_revisions())


async def report(engine: AsyncEngine) -> None:
    """Log a warning unless the database can be reached and its schema is up to date."""
    try:
        found = await state(engine)
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        logger.warning("The database cannot be used.", reason=reason, code=error_code(error))
        return
    if found.pending:
        logger.warning(PENDING)
    elif found.newer:
        logger.warning("The database schema is that of a newer version.")


def _current_revisions(connection: Connection) -> frozenset[str]:
    if not inspect(connection).has_table("alembic_version"):
        return frozenset()
    return frozenset(connection.scalars(text("SELECT version_num FROM alembic_version")))


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())


@cache
def _needed_revisions() -> frozenset[str]:
    return frozenset(_scripts().get_heads())


@cache
def _known_revisions() -> frozenset[str]:
    return frozenset(script.revision for script in _scripts().walk_revisions())
