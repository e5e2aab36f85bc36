"""Servers that do not answer, transactions that do nothing, and failovers."""

import asyncio

import pytest
from sqlalchemy import URL, Connection, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from app.core import CoreSettings, dialect
from app.core.database import SessionDep
from app.core.dialect import is_unavailable
from app.core.engine import open_engine
from app.core.migrations import dialect as migration_dialect
from app.core.settings import DatabaseSettings
from tests.proofs.detour import CONNECTION_ID, DEMOTED, detour
from tests.proofs.kit import create_app, running
from tests.proofs.relay import Relay
from tests.proofs.shop import Item


@pytest.mark.parametrize("moment", ["before a statement", "before the commit"])
async def test_frozen_server_returns_503(
    settings: CoreSettings,
    migrated_database: URL,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    monkeypatch.setattr(dialect, "CONNECT_TIMEOUT", 0.5)
    async with detour(migrated_database) as way:
        assert isinstance(way, Relay)
        limits = {"database_url": way.url, "database_statement_timeout": 0.2}
        app = create_app(settings.model_copy(update=limits))

        @app.post("/one")
        async def one(session: SessionDep, freeze: bool = False) -> int:
            found = await session.scalar(text("SELECT 1"))
            if freeze:
                way.freeze()
            return found or 0

        async with running(app) as client, asyncio.timeout(10):
            assert (await client.post("/one")).json() == 1
            freeze = moment == "before the commit"
            if not freeze:
                way.freeze()
            response = await client.post("/one", params={"freeze": freeze})
            ready = await client.get("/health/ready")
            way.thaw()
            following = await client.post("/one")

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert ready.status_code == 503
    assert following.json() == 1


@pytest.mark.committed
@pytest.mark.usefixtures("_shop_tables")
async def test_idle_transaction_is_ended(settings: CoreSettings) -> None:
    app = create_app(settings.model_copy(update={"database_idle_timeout": 0.5}))

    @app.post("/idle")
    async def idle(session: SessionDep) -> None:
        await session.scalars(select(Item))
        await asyncio.sleep(1.5)  # MariaDB counts in seconds
        await session.scalars(select(Item))

    async with running(app) as client:
        response = await client.post("/idle")

    assert response.status_code == 503
    assert response.headers["Retry-After"]


async def test_demoted_server_is_left(settings: CoreSettings) -> None:
    """After a failover, connections to the former primary would reject writes forever."""
    app = create_app(settings.model_copy(update={"database_pool_size": 1}))

    @app.get("/id")
    async def identify(session: SessionDep) -> int:
        return await session.scalar(text(CONNECTION_ID)) or 0

    @app.post("/write")
    async def write(session: SessionDep) -> None:
        await session.execute(text(DEMOTED))

    async with running(app) as client:
        before = (await client.get("/id")).json()
        response = await client.post("/write")
        after = (await client.get("/id")).json()

    assert response.status_code == 503
    assert before != after


async def test_migration_lets_others_pass(
    scratch_database: URL, scratch_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ALTER TABLE waits for a reader, and other readers would wait for ALTER TABLE."""
    monkeypatch.setattr(migration_dialect, "PAUSE", 0.2)
    async with scratch_engine.begin() as connection:
        await connection.execute(text("CREATE TABLE cars (id INTEGER)"))
    timeouts = {f"database_{name}": value for name, value in migration_dialect.TIMEOUTS.items()}
    patient = DatabaseSettings(database_url=scratch_database).model_copy(update=timeouts)

    async with (
        open_engine(patient) as engine,
        scratch_engine.connect() as reader,
        scratch_engine.connect() as other,
    ):
        await reader.execute(text("SELECT * FROM cars"))
        with capture_logs() as logs:
            migration = asyncio.create_task(
                migration_dialect.run(
                    engine, lambda sync: _commit(sync, "ALTER TABLE cars ADD COLUMN name INTEGER")
                )
            )
            async with asyncio.timeout(10):
                while not logs:
                    await asyncio.sleep(0.05)
                await other.execute(text("SELECT * FROM cars"))
                await other.rollback()
                assert not migration.done()
                await reader.rollback()
                await migration
        await other.execute(text("SELECT name FROM cars"))

    assert logs[0]["log_level"] == "warning"


def _commit(connection: Connection, statement: str) -> None:
    with connection.begin():
        connection.execute(text(statement))


async def test_migration_stops_waiting(
    scratch_database: URL, scratch_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_dialect, "ATTEMPTS", 2)
    monkeypatch.setattr(migration_dialect, "PAUSE", 0)
    async with scratch_engine.begin() as connection:
        await connection.execute(text("CREATE TABLE cars (id INTEGER)"))
    timeouts = {f"database_{name}": value for name, value in migration_dialect.TIMEOUTS.items()}
    patient = DatabaseSettings(database_url=scratch_database).model_copy(update=timeouts)

    async with open_engine(patient) as engine, scratch_engine.connect() as reader:
        await reader.execute(text("SELECT * FROM cars"))
        with pytest.raises(DBAPIError) as refused, capture_logs() as logs:
            await migration_dialect.run(engine, lambda sync: _commit(sync, "DROP TABLE cars"))

    assert is_unavailable(refused.value)
    assert len(logs) == 1
