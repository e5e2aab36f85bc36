import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy import URL, Column, Connection, Integer, MetaData, String, Table, select, text
from sqlalchemy.exc import DataError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import CoreSettings, migrations
from app.core.dialect import DRIVER
from app.core.migrations.dialect import migrating
from tests.proofs.kit import Cli

WAITING = text("SELECT count(*) FROM information_schema.processlist WHERE state = 'User lock'")

names = Table(
    "engine_names", MetaData(), Column("id", Integer, primary_key=True), Column("name", String(5))
)


@pytest.fixture
async def _table(engine: AsyncEngine) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(names.create)
    yield
    async with engine.begin() as connection:
        await connection.run_sync(names.drop)


@pytest.mark.usefixtures("_table")
async def test_all_of_unicode_is_stored(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(names.insert(), {"name": "ü漢🎵"})

        assert await connection.scalar(select(names.c.name)) == "ü漢🎵"


@pytest.mark.usefixtures("_table")
async def test_oversized_value_is_refused(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        with pytest.raises(DataError):
            await connection.execute(text("INSERT INTO engine_names (name) VALUES ('too long')"))


async def test_connection_comes_back_without_a_transaction(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.begin()

    assert not driver.get_transaction_status()


async def test_times_are_in_utc(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT NOW() = UTC_TIMESTAMP()"))


def test_url_without_a_database_is_refused() -> None:
    with pytest.raises(ValidationError, match="must name a database"):
        CoreSettings.model_validate({"database_url": f"{DRIVER}://localhost/"})


async def test_one_process_migrates_at_a_time(engine: AsyncEngine) -> None:
    def migrate(connection: Connection) -> None:
        with migrating(connection, connection.begin):
            pass

    async with engine.connect() as first, engine.connect() as second:
        lock = await first.run_sync(lambda sync: migrating(sync, sync.begin))
        await first.run_sync(lambda _: lock.__enter__())
        waiting = asyncio.create_task(second.run_sync(migrate))
        async with asyncio.timeout(5):
            while not await first.scalar(WAITING):
                await asyncio.sleep(0.01)

        await first.run_sync(lambda _: lock.__exit__(None, None, None))
        await asyncio.wait_for(waiting, timeout=5)


async def test_migration_lock_times_out(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.migrations.dialect.LOCK_TIMEOUT", 0)

    async with engine.connect() as first, engine.connect() as second:
        lock = await first.run_sync(lambda sync: migrating(sync, sync.begin))
        await first.run_sync(lambda _: lock.__enter__())
        with pytest.raises(CommandError, match="Timed out waiting for another process"):
            await second.run_sync(lambda sync: migrating(sync, sync.begin).__enter__())
        await first.run_sync(lambda _: lock.__exit__(None, None, None))


async def timeouts(engine: AsyncEngine) -> list[float]:
    """Return the limits for row locks, table locks, statements and, on MariaDB, idle transactions."""
    async with engine.connect() as connection:
        version = str(await connection.scalar(text("SELECT version()")))
        names = (
            "@@max_statement_time, @@idle_transaction_timeout"
            if "MariaDB" in version
            else "@@max_execution_time / 1000"
        )
        row = await connection.execute(
            text(f"SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout, {names}")
        )
        return [float(value) for value in row.one()]


async def test_timeouts_of_a_connection(engine: AsyncEngine) -> None:
    found = await timeouts(engine)

    assert found == [5, 5, 30, 60][: len(found)]


async def test_migrations_have_no_limit_but_for_locks(
    run: Cli, database_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []

    async def note(engine: AsyncEngine, _: Any) -> None:
        found.extend(await timeouts(engine))

    monkeypatch.setattr(migrations, "run", note)

    assert await run("db", "upgrade", url=database_url) == 0
    assert found == [1, 1, 0, 0][: len(found)]
