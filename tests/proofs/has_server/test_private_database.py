"""A private database server, as `dev` and the tests start it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.dev.database import private_database
from app.core.engine import open_engine
from app.core.settings import DatabaseSettings


@asynccontextmanager
async def connected(url: URL) -> AsyncIterator[AsyncConnection]:
    async with (
        open_engine(DatabaseSettings(database_url=url)) as engine,
        engine.connect() as connection,
    ):
        yield connection


async def test_data_survives_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    for statement in ("CREATE TABLE kept (id INTEGER)", "INSERT INTO kept VALUES (1)"):
        with private_database(folder) as url:
            async with connected(url) as connection:
                await connection.execute(text(statement))
                await connection.commit()

    with private_database(folder) as url:
        async with connected(url) as connection:
            assert await connection.scalar(text("SELECT id FROM kept")) == 1


def test_other_data_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "letter.txt").write_text("mine")

    with (
        pytest.raises(SystemExit, match="move it away, and try again"),
        private_database(tmp_path),
    ):
        pass
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["letter.txt"]
