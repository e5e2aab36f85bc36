import pytest
from httpx2 import AsyncClient
from sqlalchemy import URL
from structlog.testing import capture_logs

from app import schema
from app.main import create_app
from app.settings import Settings
from tests.database_server import detour
from tests.running import running


async def test_live(client: AsyncClient) -> None:
    response = await client.get("/health/live")

    assert response.json() == {"status": "ok"}


async def test_ready(client: AsyncClient) -> None:
    response = await client.get("/health/ready")

    assert response.json() == {"status": "ok"}


async def test_a_stale_schema_is_reported(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_needed_revisions", lambda: frozenset({"later"}))

    with capture_logs() as logs:
        async with running(create_app(settings)) as client:
            response = await client.get("/health/ready")
            alive = await client.get("/health/live")

    assert response.status_code == 503
    assert "db upgrade" in response.json()["detail"]
    assert alive.status_code == 200
    assert "db upgrade" in logs[0]["event"]


async def test_a_database_that_was_never_migrated_is_not_ready(
    settings: Settings, scratch_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_needed_revisions", lambda: frozenset({"first"}))
    elsewhere = settings.model_copy(update={"database_url": scratch_database})

    async with running(create_app(elsewhere)) as client:
        response = await client.get("/health/ready")

    assert response.status_code == 503
    assert "db upgrade" in response.json()["detail"]


async def test_a_newer_schema_is_that_of_the_next_version(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever migrates before the new version is there does not put the old one out of service."""
    monkeypatch.setattr(schema, "_current_revisions", lambda _: frozenset({"later"}))

    with capture_logs() as logs:
        async with running(create_app(settings)) as client:
            response = await client.get("/health/ready")

    assert response.status_code == 200
    assert "newer version" in logs[0]["event"]


async def test_ready_follows_the_database(settings: Settings, migrated_database: URL) -> None:
    async with detour(migrated_database) as way:
        await way.interrupt()
        elsewhere = settings.model_copy(update={"database_url": way.url})
        async with running(create_app(elsewhere)) as client:
            away = await client.get("/health/ready")
            await way.resume()
            back = await client.get("/health/ready")

    assert away.status_code == 503
    assert away.headers["Retry-After"]
    assert back.status_code == 200
