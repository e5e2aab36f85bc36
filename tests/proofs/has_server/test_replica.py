"""Read-only sessions with DATABASE_READ_URL, whose server is the primary, at the end of a detour."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import ValidationError
from sqlalchemy import URL, select
from structlog.testing import capture_logs

from app.core import CoreSettings, ReadSessionDep, SessionDep, replica
from app.core.dialect import URL_EXAMPLE
from tests.proofs.detour import DATABASE, detour
from tests.proofs.kit import create_app, running
from tests.proofs.relay import Relay

REACHED, NOT_REACHED = {
    "mysql": ("0-1-0", "0-1-1000000"),
    "postgresql": ("0/1", "FFFFFFFF/0"),
}.get(DATABASE, ("", ""))
"""Positions that the server of the tests has reached, and that it never reaches."""

NOT_USED, USED_AGAIN = "replica not used", "replica used again"


@pytest.fixture
def position(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The position of the primary, which tests can replace."""
    position = [REACHED]

    async def current(_: replica.Positions) -> str:
        return position[0]

    monkeypatch.setattr(replica.Positions, "current", current)
    # MariaDB's own limit must be the shorter one.
    monkeypatch.setattr(replica, "MAX_LAG", 0.5 if DATABASE == "postgresql" else 5)
    monkeypatch.setattr(replica, "TIMEOUT", 5)
    return position


@pytest.fixture
async def way(migrated_database: URL) -> AsyncIterator[Relay]:
    async with detour(migrated_database) as way:
        assert isinstance(way, Relay)
        yield way


def app_with(settings: CoreSettings, **urls: URL) -> FastAPI:
    app = create_app(settings.model_copy(update=urls))

    @app.get("/one")
    async def read(session: ReadSessionDep) -> int:
        return await session.scalar(select(1)) or 0

    @app.post("/one")
    async def write(session: SessionDep) -> int:
        return await session.scalar(select(1)) or 0

    return app


async def read(client: AsyncClient, times: int = 1) -> set[int]:
    """Read concurrently, and return the statuses."""
    responses = await asyncio.gather(*(client.get("/one") for _ in range(times)))
    return {response.status_code for response in responses}


def test_malformed_url_is_refused() -> None:
    urls = {"database_url": URL_EXAMPLE, "database_read_url": "nonsense"}
    with pytest.raises(ValidationError, match="it must look like") as refused:
        CoreSettings.model_validate(urls)

    assert refused.value.errors()[0]["loc"] == ("database_read_url",)


@pytest.mark.usefixtures("position")
async def test_only_reads_use_the_replica(
    settings: CoreSettings, migrated_database: URL, way: Relay
) -> None:
    app = app_with(settings, database_url=migrated_database, database_read_url=way.url)
    async with running(app) as client:
        await client.get("/health/ready")
        await client.post("/one")
        assert way.accepted == 0
        assert await read(client) == {200}
        assert way.accepted == 1
        assert await read(client) == {200}
        assert way.accepted == 1


async def test_primary_serves_what_the_replica_does_not_have(
    settings: CoreSettings, migrated_database: URL, way: Relay, position: list[str]
) -> None:
    app = app_with(settings, database_url=migrated_database, database_read_url=way.url)
    async with running(app) as client:
        await read(client)
        position[0] = NOT_REACHED
        with capture_logs() as logs:
            assert await read(client) == {200}
            assert await read(client) == {200}

    assert [entry["event"] for entry in logs if "replica" in entry["event"]] == [NOT_USED]
    assert way.accepted == 1


@pytest.mark.usefixtures("position")
async def test_primary_replaces_a_replica_that_is_down(
    settings: CoreSettings, migrated_database: URL, way: Relay
) -> None:
    app = app_with(settings, database_url=migrated_database, database_read_url=way.url)
    async with running(app) as client:
        with capture_logs() as logs:
            await read(client, 3)
            await way.interrupt()
            assert await read(client, 3) == {200}

            await way.resume()
            before = way.accepted
            assert await read(client) == {200}
            assert way.accepted == before  # not before the pause has ended

    assert [entry["event"] for entry in logs if "replica" in entry["event"]] == [NOT_USED]


@pytest.mark.usefixtures("position")
async def test_replica_is_used_again(
    settings: CoreSettings, migrated_database: URL, way: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "PAUSE", 0)
    app = app_with(settings, database_url=migrated_database, database_read_url=way.url)
    async with running(app) as client:
        await way.interrupt()
        with capture_logs() as logs:
            assert await read(client) == {200}
            await way.resume()
            assert await read(client) == {200}

    events = [entry["event"] for entry in logs if "replica" in entry["event"]]
    assert events == [NOT_USED, USED_AGAIN]
    assert way.accepted == 1


async def test_unknown_position_is_not_waited_for(
    settings: CoreSettings, migrated_database: URL, way: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, one connection that hangs would stop all requests."""

    async def hang(_: replica.Positions) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(replica.Positions, "current", hang)
    monkeypatch.setattr(replica, "TIMEOUT", 0.1)
    app = app_with(settings, database_url=migrated_database, database_read_url=way.url)
    async with running(app) as client, asyncio.timeout(5):
        assert await read(client, 3) == {200}
        assert way.accepted == 0


async def test_reads_need_the_primary(
    settings: CoreSettings, migrated_database: URL, way: Relay
) -> None:
    """Only the primary knows what was committed, such as the end of a login."""
    app = app_with(settings, database_url=way.url, database_read_url=migrated_database)
    async with running(app) as client:
        assert await read(client) == {200}
        await way.interrupt()
        response = await client.get("/one")

    assert response.status_code == 503
    assert response.headers["Retry-After"]


async def test_concurrent_requests_share_a_later_question() -> None:
    asked, answer = 0, asyncio.Event()

    async def ask() -> str:
        nonlocal asked
        asked += 1
        mine = str(asked)
        await answer.wait()
        return mine

    positions = replica.Positions(ask)
    first = asyncio.create_task(positions.current())
    while not asked:
        await asyncio.sleep(0)
    later = [asyncio.create_task(positions.current()) for _ in range(5)]
    await asyncio.sleep(0)
    answer.set()

    assert await first == "1"
    assert set(await asyncio.gather(*later)) == {"2"}
    assert await positions.current() == "3"
