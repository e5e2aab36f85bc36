from types import SimpleNamespace

import pytest
from alembic.script import ScriptDirectory
from httpx2 import AsyncClient
from sqlalchemy import URL
from structlog.testing import capture_logs

from app.core import CoreSettings, migrations
from tests.proofs.detour import detour
from tests.proofs.kit import create_app, running


def later() -> list[SimpleNamespace]:
    """The service's revisions, and one more that the database lacks."""
    config = ScriptDirectory.from_config(migrations.alembic_config())
    return [
        SimpleNamespace(revision="later"),
        *(SimpleNamespace(revision=script.revision) for script in config.walk_revisions()),
    ]


async def test_live(client: AsyncClient) -> None:
    response = await client.get("/health/live")

    assert response.json() == {"status": "ok"}


async def test_ready(client: AsyncClient) -> None:
    response = await client.get("/health/ready")

    assert response.json() == {"status": "ok"}


async def test_stale_schema_is_reported(
    settings: CoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = SimpleNamespace(get_heads=lambda: ["later"], walk_revisions=later)
    monkeypatch.setattr(migrations, "_scripts", lambda: scripts)

    with capture_logs() as logs:
        async with running(create_app(settings)) as client:
            response = await client.get("/health/ready")
            alive = await client.get("/health/live")

    assert response.status_code == 503
    assert "db upgrade" in response.json()["detail"]
    assert alive.status_code == 200
    assert "db upgrade" in logs[0]["event"]


async def test_unmigrated_database_is_not_ready(
    settings: CoreSettings, scratch_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = SimpleNamespace(get_heads=lambda: ["later"], walk_revisions=later)
    monkeypatch.setattr(migrations, "_scripts", lambda: scripts)
    elsewhere = settings.model_copy(update={"database_url": scratch_database})

    async with running(create_app(elsewhere)) as client:
        response = await client.get("/health/ready")

    assert response.status_code == 503
    assert "db upgrade" in response.json()["detail"]


async def test_newer_schema_is_ready(
    settings: CoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrating before the new version is deployed does not take the old one out of service."""
    monkeypatch.setattr(migrations, "_current_revisions", lambda _: {"later"})

    with capture_logs() as logs:
        async with running(create_app(settings)) as client:
            response = await client.get("/health/ready")

    assert response.status_code == 200
    assert "newer version" in logs[0]["event"]


async def test_readiness_follows_the_database(
    settings: CoreSettings, migrated_database: URL
) -> None:
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
