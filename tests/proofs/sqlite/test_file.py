"""The database file: who creates it, and what happens when it is removed or replaced."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError

from app.core import CoreSettings
from app.core.database import ReadSessionDep, SessionDep
from app.core.dialect import DRIVER
from app.core.engine import open_engine
from tests.proofs.kit import Cli, create_app, running


@pytest.fixture
def missing(tmp_path: Path) -> URL:
    return URL.create(DRIVER, database=str(tmp_path / "app.db"))


async def test_service_does_not_create_the_file(settings: CoreSettings, missing: URL) -> None:
    app = create_app(settings.model_copy(update={"database_url": missing}))

    @app.post("/one")
    async def one(session: SessionDep) -> None:
        await session.execute(text("SELECT 1"))

    async with running(app) as client:
        assert (await client.post("/one")).status_code == 503
        assert (await client.get("/health/ready")).status_code == 503

    assert not Path(str(missing.database)).exists()


@pytest.mark.parametrize(
    "command", [("db", "check"), ("db", "current"), ("db", "revision", "-m", "x")]
)
async def test_only_upgrade_creates_the_file(
    run: Cli, missing: URL, command: tuple[str, ...]
) -> None:
    refused = await run(*command, url=missing)

    assert "app.db does not exist, `" in str(refused)
    assert " db upgrade` creates it" in str(refused)
    assert not Path(str(missing.database)).exists()
    assert await run("db", "upgrade", url=missing) == 0
    assert await run("db", "check", url=missing) == 0


@pytest.mark.parametrize("replaced", [True, False])
async def test_removed_file_is_noticed(
    settings: CoreSettings, migrated_database: URL, replaced: bool
) -> None:
    app = create_app(settings.model_copy(update={"database_url": migrated_database}))

    @app.post("/write")
    async def write(session: SessionDep) -> None:
        await session.execute(text("CREATE TABLE IF NOT EXISTS written (id INTEGER)"))
        await session.execute(text("INSERT INTO written VALUES (1)"))

    @app.get("/read")
    async def read(session: ReadSessionDep) -> int:
        return await session.scalar(text("SELECT count(*) FROM written")) or 0

    file = Path(str(migrated_database.database))
    async with running(app) as client:
        assert (await client.post("/write")).status_code == 200
        assert (await client.get("/read")).json() == 1
        file.unlink()
        if replaced:
            file.touch()
        writes = await asyncio.gather(*(client.post("/write") for _ in range(3)))
        statuses = [response.status_code for response in writes]
        if replaced:
            # Connections that open a new file at the same time can find it busy, once.
            assert set(statuses) <= {200, 503}
            assert (await client.post("/write")).status_code == 200
            assert (await client.get("/read")).json() == statuses.count(200) + 1
        else:
            assert statuses == [503] * 3
            assert (await client.get("/read")).status_code == 503
            assert not file.exists()


@pytest.mark.parametrize(("mode", "number"), [("NORMAL", 1), ("FULL", 2)])
async def test_durability_is_a_setting(scratch_database: URL, mode: str, number: int) -> None:
    settings = CoreSettings.model_validate(
        {"database_url": scratch_database, "database_synchronous": mode}
    )
    async with open_engine(settings) as engine, engine.connect() as connection:
        assert await connection.scalar(text("PRAGMA synchronous")) == number


async def test_streamed_result_can_be_read_slowly(scratch_database: URL) -> None:
    settings = CoreSettings(database_url=scratch_database, database_statement_timeout=0.05)
    numbers = text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
        " SELECT i FROM n"
    )
    async with open_engine(settings, read_only=True) as engine, engine.connect() as connection:
        result = await connection.stream(numbers, execution_options={"yield_per": 1000})
        await result.fetchone()
        await asyncio.sleep(0.1)
        assert len(await result.all()) == 299_999
        with pytest.raises(DBAPIError, match="interrupted"):
            await connection.execute(numbers.execution_options(stream_results=False))
