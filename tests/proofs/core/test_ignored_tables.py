"""Tables that do not belong to the service, and that the owner lists in pyproject.toml."""

from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.migrations.autogenerate import is_ignored
from tests.proofs.revisions import Revisions


async def test_ignored_tables_are_not_dropped(
    scratch_engine: AsyncEngine, migration_config: Config
) -> None:
    revisions = Revisions(scratch_engine, migration_config)
    await revisions.run(command.upgrade, "head")
    async with scratch_engine.begin() as connection:
        await connection.execute(text("CREATE TABLE proof_jobs (id INTEGER PRIMARY KEY, x INT)"))
        await connection.execute(text("CREATE INDEX proof_ix ON proof_jobs (x)"))
    with pytest.raises(CommandError, match="New upgrade operations detected"):
        await revisions.run(command.check)

    options: Any = migration_config.toml_alembic_config
    options["ignore"] = ["jobs", "proof_*"]

    await revisions.run(command.check)
    assert "proof" not in (await revisions.write("nothing")).read_text()


async def test_ignored_tables_must_be_a_list(
    scratch_engine: AsyncEngine, migration_config: Config
) -> None:
    """Otherwise, each character would be a pattern."""
    options: Any = migration_config.toml_alembic_config
    options["ignore"] = "jobs_*"

    with pytest.raises(CommandError, match=r"`ignore` in \[tool.alembic\]"):
        await Revisions(scratch_engine, migration_config).run(command.check)


@pytest.mark.parametrize(
    ("pattern", "schema", "name", "ignored"),
    [
        ("jobs", None, "jobs", True),
        ("jobs", None, "jobs_done", False),
        ("jobs", "audit", "jobs", False),
        ("jobs_*", None, "jobs_done", True),
        ("audit.*", "audit", "jobs", True),
        ("audit.*", None, "audit", False),
        ("JOBS", None, "jobs", False),
    ],
)
def test_patterns(pattern: str, schema: str | None, name: str, ignored: bool) -> None:
    assert is_ignored([pattern], schema, name) is ignored
