"""Migrations that were written in parallel."""

from io import StringIO
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import URL

from app.core import cli
from tests.proofs.kit import Cli


@pytest.fixture
def folder(migration_config: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the migrations that the commands use, with two heads."""
    monkeypatch.setattr(cli, "alembic_config", lambda: migration_config)
    first = command.revision(migration_config, "first")
    assert not isinstance(first, list)
    assert first
    before = first.down_revision or "base"
    command.revision(migration_config, "second", head=f"{before}", splice=True)
    return Path(migration_config.get_main_option("script_location") or "", "versions")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "arguments",
    [("upgrade",), ("check",), ("revision", "-m", "x"), ("revision", "--empty", "-m", "x")],
)
async def test_commands_name_merge(
    run: Cli, scratch_database: URL, arguments: tuple[str, ...]
) -> None:
    outcome = await run("db", *arguments, url=scratch_database)

    assert str(outcome).startswith("Error: The migrations ")
    assert " db merge` to merge them." in str(outcome)


async def test_merged_migrations_run(
    run: Cli, scratch_database: URL, folder: Path, migration_config: Config
) -> None:
    assert await run("db", "merge", "-m", "both", url=scratch_database) == 0
    assert len(list(folder.glob("*_both.py"))) == 1

    assert await run("db", "upgrade", url=scratch_database) == 0
    assert await run("db", "check", url=scratch_database) == 0
    assert await run("db", "revision", "--empty", "-m", "next", url=scratch_database) == 0
    assert await run("db", "upgrade", url=scratch_database) == 0
    migration_config.stdout = StringIO()
    assert await run("db", "current", url=scratch_database) == 0
    assert "next" in migration_config.stdout.getvalue()
    assert await run("db", "downgrade", url=scratch_database) == 0
    outcome = await run("db", "downgrade", url=scratch_database)
    assert str(outcome).startswith("Error: The latest migration merges others: name the revision")
    assert await run("db", "downgrade", "base", url=scratch_database) == 0


@pytest.mark.usefixtures("folder")
async def test_parallel_migrations_can_run_before_they_are_merged(
    run: Cli, scratch_database: URL
) -> None:
    assert await run("db", "upgrade", "heads", url=scratch_database) == 0
    assert await run("db", "merge", url=scratch_database) == 0
    assert await run("db", "upgrade", url=scratch_database) == 0


async def test_nothing_to_merge(
    run: Cli, scratch_database: URL, migration_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "alembic_config", lambda: migration_config)

    outcome = await run("db", "merge", url=scratch_database)

    assert outcome == "Error: No migrations were written in parallel."
