"""What the service finds out about its database when it starts, and what probes say."""

import asyncio
from pathlib import Path

import pytest
from httpx2 import AsyncClient
from sqlalchemy import URL, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from app import DISTRIBUTION, PROJECT_NAME, health, schema
from app.main import VERSION, create_app
from app.schema import State
from app.settings import Settings
from tests.running import running


@pytest.mark.parametrize(
    ("current", "pending", "newer"),
    [
        ({"2"}, False, False),
        ({"1"}, True, False),
        (set(), True, False),
        ({"3"}, False, True),
        ({"2", "3"}, False, True),
    ],
)
def test_a_state_is_pending_or_newer(current: set[str], pending: bool, newer: bool) -> None:
    state = State(frozenset(current), frozenset({"2"}), frozenset({"1", "2"}))

    assert (state.pending, state.newer) == (pending, newer)


async def test_the_revisions_are_those_of_the_database_and_of_the_migrations(
    engine: AsyncEngine, scratch_engine: AsyncEngine
) -> None:
    migrated, empty = await schema.state(engine), await schema.state(scratch_engine)

    files = Path(schema.__file__).parents[1].glob("migrations/versions/*.py")
    scripts = {file.name.split("_")[3] for file in files}
    assert migrated.current == migrated.needed
    assert migrated.known == scripts
    assert migrated.needed <= migrated.known
    assert len(migrated.needed) == min(len(scripts), 1)
    assert empty.current == frozenset()


async def test_a_start_with_an_up_to_date_database_says_nothing(settings: Settings) -> None:
    with capture_logs() as logs:
        async with running(create_app(settings)):
            pass

    assert logs == []


async def test_a_start_without_a_database_warns_with_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> State:
        raise OperationalError("SELECT 1", {}, OSError("gone\nfar"))

    monkeypatch.setattr(schema, "state", fail)
    with capture_logs() as logs:
        async with running(create_app(settings)):
            pass

    (entry,) = logs
    assert entry["log_level"] == "warning"
    assert entry["reason"] == "gone"
    assert "code" in entry


async def test_a_given_engine_is_not_looked_at(
    settings: Settings, scratch_engine: AsyncEngine
) -> None:
    with capture_logs() as logs:
        async with running(create_app(settings, scratch_engine)):
            pass

    assert logs == []


async def test_the_end_closes_all_connections(settings: Settings, scratch_database: URL) -> None:
    app = create_app(settings.model_copy(update={"database_url": scratch_database}))
    async with running(app):
        pool = app.state.engine.pool
        async with app.state.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        assert pool.checkedin() >= 1

    assert pool.checkedin() == 0
    assert app.state.engine.pool is not pool


async def test_a_database_that_is_too_slow_is_not_ready(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(schema, "state", wait)
    monkeypatch.setattr(health, "READY_TIMEOUT", 0.01)
    async with asyncio.timeout(5):
        response = await client.get("/health/ready")

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert response.json()["detail"] == "The database cannot answer at the moment."


async def test_a_stale_schema_is_to_be_tried_again(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_needed_revisions", lambda: frozenset({"later"}))
    response = await client.get("/health/ready")

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert f"uv run {DISTRIBUTION} db upgrade" in response.json()["detail"]


def test_the_probe_answers_within_three_seconds() -> None:
    """By then, the caller may no longer be waiting."""
    assert health.READY_TIMEOUT == 3


async def test_openapi_has_name_version_and_groups(client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    assert document["info"] == {"title": PROJECT_NAME, "version": VERSION}
    assert document["paths"]["/health/live"]["get"]["tags"] == ["health"]
    assert document["paths"]["/health/ready"]["get"]["tags"] == ["health"]


async def test_a_body_that_is_too_long_is_logged_with_its_answer(settings: Settings) -> None:
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
