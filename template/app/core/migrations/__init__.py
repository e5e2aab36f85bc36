"""Runs migrations, and checks whether any are pending."""

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Literal

import structlog
from alembic import command, context
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core import features
from app.core.database import Base
from app.core.dialect import error_code
from app.core.distribution import command_line
from app.core.engine import open_engine
from app.core.errors import error_reason
from app.core.migrations.autogenerate import is_ignored, order_steps, render_type
from app.core.migrations.dialect import OPTIONS, TIMEOUTS, migrating, run
from app.core.settings import DatabaseSettings

State = Literal["current", "pending", "newer"]

logger = structlog.get_logger(__name__)


def alembic_config(connection: Connection | None = None) -> Config:
    """Load Alembic's configuration from pyproject.toml.

    An installed wheel has none, and needs only the location of the migrations.

    Args:
        connection: the connection to run migrations on; by default, a new one
            to the database of the settings.
    """
    root = Path(__file__).parents[3]
    config = Config(toml_file=root / "pyproject.toml")
    if not (root / "pyproject.toml").exists():
        config.set_main_option("script_location", str(root / "migrations").replace("%", "%%"))
        config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def heads(config: Config) -> list[str]:
    """Return the migrations that no other follows; without parallel ones, at most one."""
    return sorted(ScriptDirectory.from_config(config).get_heads())


def refuse_branches(config: Config) -> None:
    """Refuse migrations that were written in parallel, until they are merged.

    Raises:
        CommandError: there are several heads.
    """
    if len(parallel := heads(config)) > 1:
        raise CommandError(
            f"The migrations {' and '.join(parallel)} were written in parallel: "
            f"run `{command_line('db merge')}` to merge them."
        )


async def upgrade(engine: AsyncEngine) -> None:
    """Apply all migrations to the database of `engine`."""
    refuse_branches(alembic_config())
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))


def run_environment() -> None:
    """Run migrations on the connection of `alembic_config`. Called by `migrations/env.py`."""
    if context.is_offline_mode():
        raise CommandError("Offline mode is not supported: run the migrations on a database.")
    connection = context.config.attributes.get("connection")
    if connection is None:
        asyncio.run(_connect_and_run())
    else:
        _run(connection)


async def _connect_and_run() -> None:
    settings = DatabaseSettings.load()
    if _migrates():
        timeouts = {f"database_{name}": value for name, value in TIMEOUTS.items()}
        async with open_engine(settings.model_copy(update=timeouts)) as engine:
            await run(engine, _run)
    else:
        async with open_engine(settings) as engine, engine.connect() as connection:
            await connection.run_sync(_run)


def _migrates() -> bool:
    """Return whether the command is `upgrade`, `downgrade` or `stamp`."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def _run(connection: Connection) -> None:
    features.import_models()
    ignored = context.config.toml_alembic_config.get("ignore", [])
    if not isinstance(ignored, list):
        raise CommandError("`ignore` in [tool.alembic] in pyproject.toml must be a list of names.")
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        process_revision_directives=order_steps,
        render_item=render_type,
        include_name=partial(_is_of_service, ignored, cache(_schemas)),
        ignored=ignored,
        **OPTIONS,
    )
    with migrating(connection, context.begin_transaction):
        context.run_migrations()


def _is_of_service(
    ignored: list[str],
    schemas: Callable[[], set[str | None]],
    name: str | None,
    kind: str,
    parents: Mapping[str, str | None],
) -> bool:
    """Return whether migrations manage a schema or table of the database, or a part of a table."""
    if kind == "schema":
        return name is None or name in schemas()
    return kind != "table" or not is_ignored(ignored, parents["schema_name"], name)


def _schemas() -> set[str | None]:
    """Return the schemas of the models, and of migrations, whose models can have been removed."""
    sources = "".join(
        Path(script.path).read_text(encoding="utf-8") for script in context.script.walk_revisions()
    )
    migrated = re.findall(r"""\bschema=["'](.+?)["']""", sources)
    return {*migrated, *(table.schema for table in Base.metadata.tables.values())}


async def state(connection: AsyncConnection) -> State:
    """Compare the database's revision with the migrations of the service.

    `newer` means that a newer version of the service has migrated the database, for
    example during a rolling deployment.
    """
    current = await connection.run_sync(_current_revisions)
    if current == set(_scripts().get_heads()):
        return "current"
    known = {script.revision for script in _scripts().walk_revisions()}
    return "pending" if current <= known else "newer"


def pending_message() -> str:
    """Return the message about pending migrations, with the command to apply them."""
    return f"The database schema is out of date: run `{command_line('db upgrade')}`."


async def report(engine: AsyncEngine) -> None:
    """Log a warning if the database cannot be reached or its schema is of another version."""
    try:
        async with engine.connect() as connection:
            # Autocommit, because beginning a transaction could wait for a writer.
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            found = await state(connection)
    except DBAPIError as error:
        logger.warning(
            "Could not check the database schema.",
            reason=error_reason(error),
            code=error_code(error),
        )
        return
    if found == "pending":
        logger.warning(pending_message())
    elif found == "newer":
        logger.warning("A newer version of the service has migrated the database.")


def _current_revisions(connection: Connection) -> set[str]:
    if not inspect(connection).has_table("alembic_version"):
        return set()
    return set(connection.scalars(text("SELECT version_num FROM alembic_version")))


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())
