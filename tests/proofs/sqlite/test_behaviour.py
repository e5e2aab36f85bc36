import asyncio

import pytest
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy import URL, Connection, text
from sqlalchemy.util import await_only

from app.core import CoreSettings
from app.core.database import SessionDep
from app.core.dialect import DRIVER
from app.core.engine import create_engine, open_engine
from app.core.migrations.dialect import migrating
from tests.proofs.kit import create_app, running


def test_url_without_a_file_is_refused() -> None:
    with pytest.raises(ValidationError, match="must name a file"):
        CoreSettings.model_validate({"database_url": f"{DRIVER}:///:memory:"})


async def test_readers_and_writers_do_not_block_each_other(scratch_database: URL) -> None:
    settings = CoreSettings(database_url=scratch_database, database_lock_timeout=0.1)
    async with (
        open_engine(settings) as engine,
        open_engine(settings, read_only=True) as read_engine,
        engine.connect() as writer,
        read_engine.connect() as reader,
    ):
        await writer.execute(text("CREATE TABLE cars (id INTEGER PRIMARY KEY)"))
        await writer.commit()
        await writer.execute(text("INSERT INTO cars VALUES (1)"))
        assert await reader.scalar(text("SELECT count(*) FROM cars")) == 0
        await writer.commit()
        assert await reader.scalar(text("SELECT count(*) FROM cars")) == 0  # one snapshot


async def test_autocommit_is_supported(scratch_database: URL) -> None:
    engine = create_engine(CoreSettings(database_url=scratch_database))
    alone = engine.execution_options(isolation_level="AUTOCOMMIT")

    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE cars (id INTEGER PRIMARY KEY)"))
    async with alone.connect() as connection:
        await connection.execute(text("INSERT INTO cars VALUES (1)"))
        await connection.execute(text("VACUUM"))
    async with engine.connect() as connection:
        await connection.execute(text("INSERT INTO cars VALUES (2)"))
        await connection.rollback()
        rows = await connection.scalars(text("SELECT id FROM cars"))
        assert rows.all() == [1]
    await engine.dispose()


async def test_migration_that_breaks_a_foreign_key_is_rolled_back(scratch_database: URL) -> None:
    engine = create_engine(CoreSettings(database_url=scratch_database))

    def migrate(connection: Connection) -> None:
        with migrating(connection, connection.begin):
            connection.execute(text("CREATE TABLE cars (id INTEGER PRIMARY KEY)"))
            connection.execute(text("CREATE TABLE wheels (car_id INTEGER REFERENCES cars)"))
            connection.execute(text("INSERT INTO wheels VALUES (1)"))

    async with engine.connect() as connection:
        with pytest.raises(CommandError, match="leaves rows in wheels"):
            await connection.run_sync(migrate)
        tables = await connection.execute(text("SELECT * FROM sqlite_master"))
        assert tables.all() == []
    await engine.dispose()


async def test_one_process_migrates_at_a_time(scratch_database: URL) -> None:
    """Others wait for longer than the busy timeout."""
    settings = CoreSettings(database_url=scratch_database, database_lock_timeout=0.05)
    order: list[str] = []

    def migrate(connection: Connection, name: str) -> None:
        with migrating(connection, connection.begin):
            order.append(name)
            await_only(asyncio.sleep(0.5))
            order.append(name)

    async with (
        open_engine(settings) as engine,
        engine.connect() as first,
        engine.connect() as second,
    ):
        await asyncio.gather(first.run_sync(migrate, "first"), second.run_sync(migrate, "second"))

    assert order in (["first"] * 2 + ["second"] * 2, ["second"] * 2 + ["first"] * 2)


async def test_migration_lock_times_out(
    scratch_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.migrations.dialect.LOCK_TIMEOUT", 0)
    settings = CoreSettings(database_url=scratch_database, database_lock_timeout=0.05)

    def migrate(connection: Connection) -> None:
        with migrating(connection, connection.begin):
            pass

    async with open_engine(settings) as engine, engine.begin(), engine.connect() as second:
        with pytest.raises(CommandError, match="Timed out waiting for another process"):
            await second.run_sync(migrate)


async def test_write_lock_timeout_returns_503(
    settings: CoreSettings, migrated_database: URL
) -> None:
    impatient = settings.model_copy(
        update={"database_url": migrated_database, "database_lock_timeout": 0.1}
    )
    engine = create_engine(impatient)
    app = create_app(impatient)

    @app.post("/write")
    async def write(session: SessionDep) -> None:
        await session.connection()

    async with running(app) as client, engine.connect() as writer:
        await writer.begin()
        response = await client.post("/write")
    await engine.dispose()

    assert response.status_code == 503
    assert response.headers["Retry-After"]
