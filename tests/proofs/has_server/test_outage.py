"""Outages of the database while the service is connected to it."""

import asyncio

import pytest
from httpx2 import AsyncClient
from sqlalchemy import URL, select
from structlog.testing import capture_logs

from app.core import CoreSettings, dialect
from app.core.database import SessionDep
from tests.proofs.detour import detour
from tests.proofs.kit import create_app, running
from tests.proofs.relay import Relay, Streams


async def test_requests_recover_after_an_outage(
    settings: CoreSettings, migrated_database: URL
) -> None:
    async with detour(migrated_database) as way:
        app = create_app(settings.model_copy(update={"database_url": way.url}))

        @app.get("/one")
        async def one(session: SessionDep) -> int:
            return await session.scalar(select(1)) or 0

        async with running(app) as client:
            assert (await client.get("/one")).json() == 1

            await way.interrupt()
            assert await statuses(client) == {("/one", 503), ("/health/ready", 503)}

            await way.resume()
            assert await statuses(client) == {("/one", 200), ("/health/ready", 200)}


async def test_silent_server_is_unreachable(
    server: URL, settings: CoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silence() -> Streams:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(dialect, "CONNECT_TIMEOUT", 0.1)
    async with Relay(silence) as mute, asyncio.timeout(2):
        url = server.set(host="127.0.0.1", port=mute.port, query={})
        elsewhere = settings.model_copy(update={"database_url": url})
        async with running(create_app(elsewhere)) as client:
            response = await client.get("/health/ready")

    assert response.status_code == 503


async def test_startup_logs_why_the_database_is_unavailable(
    settings: CoreSettings, migrated_database: URL
) -> None:
    url = migrated_database.set(database="no_such_database")
    elsewhere = settings.model_copy(update={"database_url": url})

    with capture_logs() as logs:
        async with running(create_app(elsewhere)):
            pass

    assert logs[0]["code"] in {"3D000", 1049}
    assert "no_such_database" in logs[0]["reason"]


async def statuses(client: AsyncClient) -> set[tuple[str, int]]:
    paths = ["/one", "/health/ready"] * 3
    return {(path, (await client.get(path)).status_code) for path in paths}
