"""Migrations are atomic."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.proofs.kit import run, table_names

FAILING_UPGRADE = """
    op.create_table("half", sa.Column("id", sa.Integer(), primary_key=True))
    raise ZeroDivisionError
"""


async def test_failed_migration_is_rolled_back(
    scratch_engine: AsyncEngine, migration_config: Config
) -> None:
    await run(scratch_engine, command.upgrade, "head", config=migration_config)
    tables = await table_names(scratch_engine)
    await run(scratch_engine, command.revision, "fail", config=migration_config)
    (new,) = Path(migration_config.get_alembic_option("script_location") or "").glob(
        "versions/*fail.py"
    )
    new.write_text(new.read_text().replace("    pass\n", FAILING_UPGRADE, 1))

    with pytest.raises(ZeroDivisionError):
        await run(scratch_engine, command.upgrade, "head", config=migration_config)

    assert await table_names(scratch_engine) == tables
