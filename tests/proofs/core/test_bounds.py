"""Time limits of statements, locks, requests and probes."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import URL, Column, Integer, MetaData, Table, text, update
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from app.core import CoreSettings
from app.core.database import ReadSessionDep, SessionDep
from tests.proofs.detour import ENDLESS, detour
from tests.proofs.kit import create_app, created, running

pytestmark = pytest.mark.committed

counters = Table(
    "bounded_counters", MetaData(), Column("id", Integer, primary_key=True), Column("n", Integer)
)


@pytest.fixture
async def _counters(engine: AsyncEngine) -> AsyncIterator[None]:
    async with created(engine, counters.metadata):
        async with engine.begin() as connection:
            await connection.execute(counters.insert(), [{"id": 1, "n": 0}])
        yield


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_endless_statement_returns_503(settings: CoreSettings, method: str) -> None:
    app = create_app(settings.model_copy(update={"database_statement_timeout": 0.2}))

    @app.get("/endless")
    async def read(session: ReadSessionDep) -> None:
        await session.execute(text(ENDLESS))

    @app.post("/endless")
    async def write(session: SessionDep) -> None:
        await session.execute(text(ENDLESS))

    @app.get("/one")
    async def one(session: ReadSessionDep) -> int:
        return await session.scalar(text("SELECT 1")) or 0

    async with running(app) as client, asyncio.timeout(10):
        response = await client.request(method, "/endless")
        following = await client.get("/one")

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert following.json() == 1


@pytest.mark.usefixtures("_counters")
async def test_locked_row_returns_503(settings: CoreSettings, engine: AsyncEngine) -> None:
    app = create_app(settings.model_copy(update={"database_lock_timeout": 0.2}))

    @app.post("/count")
    async def count(session: SessionDep) -> None:
        await session.execute(update(counters).values(n=counters.c.n + 1))

    async with running(app) as client, asyncio.timeout(10):
        async with engine.begin() as connection:
            await connection.execute(update(counters).values(n=7))
            waited = await client.post("/count")
        following = await client.post("/count")

    assert waited.status_code == 503
    assert waited.headers["Retry-After"]
    assert following.status_code == 200


async def test_cancelled_statement_leaves_the_database_usable(settings: CoreSettings) -> None:
    app = create_app(settings.model_copy(update={"database_pool_size": 1}))

    @app.post("/endless")
    async def endless(session: SessionDep) -> None:
        async with asyncio.timeout(0.2):
            await session.execute(text(ENDLESS))

    @app.post("/one")
    async def one(session: SessionDep) -> int:
        return await session.scalar(text("SELECT 1")) or 0

    async with running(app) as client, asyncio.timeout(10):
        assert (await client.post("/endless")).status_code == 500
        assert (await client.post("/one")).json() == 1


async def test_probe_does_not_wait_for_the_connections_of_requests(settings: CoreSettings) -> None:
    limits = {"database_pool_size": 1, "database_pool_timeout": 0.1}
    app = create_app(settings.model_copy(update=limits))
    taken, release = asyncio.Event(), asyncio.Event()

    @app.get("/wait")
    async def wait(session: SessionDep) -> None:
        await session.connection()
        taken.set()
        await release.wait()

    async with running(app) as client:
        first = asyncio.create_task(client.get("/wait"))
        await asyncio.wait_for(taken.wait(), timeout=5)
        ready = await client.get("/health/ready")
        release.set()
        assert (await first).status_code == 200

    assert ready.status_code == 200


async def test_log_says_why_the_service_is_not_ready(
    settings: CoreSettings, migrated_database: URL
) -> None:
    async with detour(migrated_database) as way:
        app = create_app(settings.model_copy(update={"database_url": way.url}))
        async with running(app) as client:
            await way.interrupt()
            with capture_logs() as logs:
                response = await client.get("/health/ready")
            await way.resume()

    assert response.status_code == 503
    (entry,) = [entry for entry in logs if entry["event"] == "not ready"]
    assert entry["reason"]
