from pathlib import Path

import pytest
from alembic.config import Config
from sqlalchemy import URL

from app.core import cli
from tests.proofs.detour import detour
from tests.proofs.kit import Cli


async def test_upgrade_and_downgrade(run: Cli, scratch_database: URL) -> None:
    assert await run("db", "upgrade", url=scratch_database) == 0
    assert await run("db", "check", url=scratch_database) == 0
    assert await run("db", "current", url=scratch_database) == 0
    assert await run("db", "history", url=scratch_database) == 0
    assert await run("db", "downgrade", "base", url=scratch_database) == 0


async def test_revision_can_look_like_an_option(run: Cli, scratch_database: URL) -> None:
    """-1 is the previous revision; if there is none, Alembic reports that."""
    assert str(await run("db", "downgrade", "-1", url=scratch_database)).startswith("Error: ")


async def test_unknown_revision_prints_one_sentence(run: Cli, scratch_database: URL) -> None:
    words = await run("db", "upgrade", "nonsense", url=scratch_database)

    assert str(words).startswith("Error: Can't locate revision")


async def test_unreachable_database_prints_one_sentence(run: Cli, migrated_database: URL) -> None:
    async with detour(migrated_database) as way:
        await way.interrupt()
        words = await run("db", "upgrade", url=way.url)

    assert str(words).startswith("Error: The database is busy or cannot be reached")
    assert "\n" not in str(words)


async def test_refused_migration_prints_one_sentence(
    run: Cli, scratch_database: URL, migration_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "alembic_config", lambda: migration_config)
    assert await run("db", "revision", "--empty", "-m", "break", url=scratch_database) == 0
    (new,) = Path(migration_config.get_main_option("script_location") or "").glob(
        "versions/*_break.py"
    )
    broken = '    op.execute("SELECT * FROM no_such_table")'
    new.write_text(new.read_text().replace("    pass", broken, 1))

    words = await run("db", "upgrade", url=scratch_database)

    assert str(words).startswith("Error: The database rejected a statement")
    assert "\n" not in str(words)
