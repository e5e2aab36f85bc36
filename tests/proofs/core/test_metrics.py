"""Metrics for Prometheus."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client import REGISTRY, generate_latest
from sqlalchemy import URL, select
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.core import CoreSettings, ReadSessionDep
from app.core.engine import open_engine
from app.core.telemetry import prometheus, serving_metrics
from tests.proofs.kit import create_app, created, running
from tests.proofs.shop import Base, Item


@pytest.fixture
async def app(scratch_database: URL) -> AsyncIterator[FastAPI]:
    settings = CoreSettings(
        database_url=scratch_database,
        metrics_port=9090,
        database_pool_size=1,
        database_pool_timeout=0.1,
    )
    app, router = FastAPI(), APIRouter()

    @router.get("/{name}")
    async def one(session: ReadSessionDep, name: str) -> None:
        await session.execute(select(Item).where(Item.name == name))
        await asyncio.sleep(0.3 if name == "slow" else 0)
        if name == "broken":
            raise ZeroDivisionError

    app.include_router(router, prefix="/names")
    app.mount("/mounted", Starlette(routes=[Route("/{name}", lambda _: PlainTextResponse(""))]))
    app = create_app(settings, app)
    async with open_engine(settings) as engine, created(engine, Base.metadata):
        yield app


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def answered(route: str, status: int, method: str = "GET") -> float:
    return value(
        "http_server_request_duration_seconds_count",
        http_request_method=method,
        http_route=route,
        http_response_status_code=str(status),
    )


async def test_requests_are_counted_by_route(app: FastAPI) -> None:
    counted = {
        "/names/{name}": ("/names/ada", 200, "GET"),
        "": ("/nowhere/ada", 404, "GET"),
        "/health/live": ("/health/live", 200, "GET"),
        "/{name}": ("/mounted/ada", 200, "GET"),
    }
    async with running(app) as client:
        for route, (path, status, method) in counted.items():
            before = answered(route, status, method)
            assert (await client.request(method, path)).status_code == status
            assert answered(route, status, method) == before + 1
        before = answered("/names/{name}", 500)
        await client.get("/names/broken")
        assert answered("/names/{name}", 500) == before + 1
        before = answered("", 405, "_OTHER")
        await client.request("BREW", "/names/ada")
    assert "ada" not in generate_latest().decode()
    assert "BREW" not in generate_latest().decode()


async def test_pool_is_measured(app: FastAPI) -> None:
    def pool() -> list[float]:
        names = ("count", "max", "pending_requests", "timeouts_total")
        return [value(f"db_client_connection_{name}", pool="read-only") for name in names]

    async with running(app) as client:
        *numbers, timeouts = pool()
        assert numbers == [0, 1, 0]
        slow = asyncio.create_task(client.get("/names/slow"))
        await asyncio.sleep(0.1)
        late = asyncio.create_task(client.get("/names/late"))
        await asyncio.sleep(0.05)
        assert pool() == [1, 1, 1, timeouts]
        assert value("http_server_active_requests") == 2
        assert (await late).status_code == 503
        await slow
        assert pool() == [0, 1, 0, timeouts + 1]
        assert value("http_server_active_requests") == 0


async def test_pool_is_measured_after_it_was_disposed_of(app: FastAPI) -> None:
    async with running(app) as client:
        requests = [client.get("/names/slow") for _ in range(2)]
        assert {answer.status_code for answer in await asyncio.gather(*requests)} == {200, 503}
        timeouts = value("db_client_connection_timeouts_total", pool="read-only")

        await app.state.read_session_factory.kw["bind"].dispose()

        slow = asyncio.create_task(client.get("/names/slow"))
        await asyncio.sleep(0.1)
        assert value("db_client_connection_count", pool="read-only") == 1
        assert (await slow).status_code == 200
        assert value("db_client_connection_timeouts_total", pool="read-only") == timeouts


def test_metrics_have_a_port(settings: CoreSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        serving_metrics(settings.model_copy(update={"metrics_port": port}), "127.0.0.1", 1),
        urlopen(f"http://127.0.0.1:{port}/metrics") as response,
    ):
        assert "http_server_request_duration_seconds" in response.read().decode()
    with serving_metrics(settings, "127.0.0.1", 1):
        pass  # METRICS_PORT is not set


def test_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        sentence = rf"METRICS_PORT {port} of 127.0.0.1 cannot be used"
        with (
            pytest.raises(SystemExit, match=sentence),
            prometheus.serving("127.0.0.1", port, workers=1),
        ):
            pass


def test_workers_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(prometheus.FOLDER, "before")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with prometheus.serving("127.0.0.1", port, workers=2):
        folder = Path(os.environ[prometheus.FOLDER])
        assert folder.is_dir()
    assert not folder.exists()


def test_gauges_of_dead_workers_are_removed(
    app: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(prometheus.FOLDER, str(tmp_path))
    dead = 2**22 + 1  # above the largest process ID of Linux
    names = {f"gauge_livesum_{os.getpid()}.db", f"counter_{dead}.db"}
    for name in {*names, f"gauge_livesum_{dead}.db"}:
        (tmp_path / name).touch()

    prometheus.MetricsMiddleware(app)

    assert {path.name for path in tmp_path.iterdir()} == names
