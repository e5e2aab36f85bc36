"""Database checks at startup and in probes."""

import asyncio
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from httpx2 import AsyncClient
from sqlalchemy import URL, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from app.core import CoreSettings, health, migrations
from tests.proofs.kit import create_app, running


def pending(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a migration pending."""

    async def state(_: object) -> str:
        return "pending"

    monkeypatch.setattr(migrations, "state", state)


@pytest.fixture
def slug() -> str:
    project = tomllib.loads((Path(migrations.__file__).parents[3] / "pyproject.toml").read_text())
    name: str = project["project"]["name"]
    return name


@pytest.mark.parametrize(
    ("current", "state"),
    [
        ({"2"}, "current"),
        ({"1"}, "pending"),
        (set(), "pending"),
        ({"3"}, "newer"),
        ({"2", "3"}, "newer"),
    ],
)
async def test_state_is_current_pending_or_newer(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, current: set[str], state: str
) -> None:
    revisions = [SimpleNamespace(revision=name) for name in ("2", "1")]
    scripts = SimpleNamespace(get_heads=lambda: ["2"], walk_revisions=lambda: revisions)
    monkeypatch.setattr(migrations, "_scripts", lambda: scripts)
    monkeypatch.setattr(migrations, "_current_revisions", lambda _: current)

    async with engine.connect() as connection:
        assert await migrations.state(connection) == state


async def test_state_compares_database_and_migrations(
    engine: AsyncEngine, scratch_engine: AsyncEngine
) -> None:
    files = list(Path(migrations.__file__).parents[3].glob("migrations/versions/*.py"))

    async with engine.connect() as migrated, scratch_engine.connect() as empty:
        assert await migrations.state(migrated) == "current"
        assert await migrations.state(empty) == ("pending" if files else "current")


async def test_startup_with_current_schema_logs_nothing(settings: CoreSettings) -> None:
    with capture_logs() as logs:
        async with running(create_app(settings)):
            pass

    assert logs == []


async def test_startup_without_database_logs_one_warning(
    settings: CoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise OperationalError("SELECT 1", {}, OSError("gone\nfar"))

    monkeypatch.setattr(migrations, "state", fail)
    with capture_logs() as logs:
        async with running(create_app(settings)):
            pass

    (entry,) = logs
    assert entry["log_level"] == "warning"
    assert entry["reason"] == "gone"
    assert "code" in entry


async def test_shutdown_closes_all_connections(
    settings: CoreSettings, scratch_database: URL
) -> None:
    app = create_app(settings.model_copy(update={"database_url": scratch_database}))
    async with running(app):
        pool = app.state.engine.pool
        async with app.state.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        assert pool.checkedin() >= 1

    assert pool.checkedin() == 0
    assert app.state.engine.pool is not pool


async def test_slow_database_is_not_ready(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(migrations, "state", wait)
    monkeypatch.setattr(health, "READY_TIMEOUT", 0.01)
    async with asyncio.timeout(5):
        response = await client.get("/health/ready")

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert response.json()["detail"] == "The database is busy or cannot be reached."


@pytest.mark.parametrize(("uv", "prefix"), [("/usr/bin/uv", "uv run "), (None, "")])
async def test_stale_schema_names_the_command(
    client: AsyncClient, slug: str, monkeypatch: pytest.MonkeyPatch, uv: str | None, prefix: str
) -> None:
    """Images and wheels have no uv."""
    monkeypatch.setattr("app.core.distribution.shutil.which", lambda _: uv)
    pending(monkeypatch)
    response = await client.get("/health/ready")

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert f": run `{prefix}{slug} db upgrade`" in response.json()["detail"]


def test_probe_responds_within_three_seconds() -> None:
    """Callers may stop waiting after that."""
    assert health.READY_TIMEOUT == 3


async def test_oversized_body_is_logged_with_413(settings: CoreSettings) -> None:
    app = create_app(settings.model_copy(update={"max_body_size": 1}))

    @app.post("/")
    async def accept(body: dict[str, int]) -> None:
        pass

    with capture_logs() as logs:
        async with running(app) as client:
            response = await client.post("/", json={"a": 1})

    assert response.status_code == 413
    assert response.json()["request_id"] == response.headers["X-Request-ID"]
    assert [entry["status"] for entry in logs if entry["event"] == "request"] == [413]
