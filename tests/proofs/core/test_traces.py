"""Traces and metrics, sent to a collector in this process."""

import asyncio
import json
import os
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.telemetry import _runtime
from httpx2 import ASGITransport, AsyncClient
from opentelemetry import metrics, trace
from sqlalchemy import URL, literal_column, select, text

from app.core import CoreSettings, ReadSessionDep, version
from app.core.distribution import distribution
from app.core.engine import open_engine
from tests.proofs.collectors import Collector, collecting
from tests.proofs.kit import create_app, created
from tests.proofs.logs import logging_configured
from tests.proofs.shop import Base, Item, router


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A collector; OpenTelemetry can be configured once in a process."""
    before = dict(os.environ)
    os.environ["OTEL_RESOURCE_ATTRIBUTES"] = "team=shop"
    with collecting() as collector:
        yield collector
        _runtime._shutdown()
    os.environ.clear()
    os.environ.update(before)
    # The applications of other modules must find nothing configured.
    trace._TRACER_PROVIDER = None
    metrics._internal._METER_PROVIDER = None


@pytest.fixture
async def traced(collector: Collector, scratch_database: URL) -> AsyncIterator[CoreSettings]:
    """Settings of an application whose traces are collected, with the tables of `shop`."""
    settings = CoreSettings(
        database_url=scratch_database, otel_exporter_otlp_endpoint=collector.url
    )
    collector.received.clear()
    async with open_engine(settings) as engine, created(engine, Base.metadata):
        yield settings


def make(settings: CoreSettings) -> FastAPI:
    app = FastAPI()

    @app.get("/names")
    async def names(session: ReadSessionDep) -> list[str]:
        return list(await session.scalars(select(Item.name).where(Item.name == "in-a-statement")))

    @app.get("/text")
    async def of_text(session: ReadSessionDep) -> str:
        for part in (
            select(Item.id).where(text("name = 'in-a-part'")),
            select(literal_column("'in-a-literal'")),
            select(Item).from_statement(
                text("SELECT * FROM proof_items WHERE name = 'in-a-whole'")
            ),
        ):
            await session.execute(part)
        await (await session.connection()).exec_driver_sql("SELECT 'in-a-string'")
        return str(await session.scalar(text("/* first */ SELECT 'in-a-text'")))

    @app.get("/slow")
    async def slow(session: ReadSessionDep) -> None:
        await session.execute(select(Item))
        await asyncio.sleep(0.5)

    @app.get("/wrong")
    async def wrong(session: ReadSessionDep) -> None:
        await session.execute(text("SELECT no_such_column FROM proof_items"))

    @app.get("/broken")
    async def broken() -> None:
        raise ValueError("in-a-message")

    app.include_router(router, prefix="/shop")
    return create_app(settings, app)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Start `app` as a server does, which is when FastAPI sets telemetry up."""
    events: asyncio.Queue[Any] = asyncio.Queue()
    answers: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
    lifespan = asyncio.create_task(app(scope, events.get, answers.put))
    await events.put({"type": "lifespan.startup"})
    assert (await answers.get())["type"] == "lifespan.startup.complete"
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
    await events.put({"type": "lifespan.shutdown"})
    await lifespan


async def test_request_has_a_span_with_a_span_for_each_statement(
    traced: CoreSettings, collector: Collector
) -> None:
    async with served(make(traced)) as client:
        await client.post("/shop/items", json={"name": "first"})

    insert, request = collector.spans()
    assert request["name"] == "POST /shop/items"
    assert request["kind"] == "SPAN_KIND_SERVER"
    assert request["attributes"]["http.route"] == "/shop/items"
    assert insert["name"] == "INSERT"
    assert insert["kind"] == "SPAN_KIND_CLIENT"
    assert (insert["traceId"], insert["parentSpanId"]) == (request["traceId"], request["spanId"])
    assert insert["attributes"]["db.system.name"] in {"sqlite", "postgresql", "mysql"}
    assert insert["attributes"]["db.query.text"].startswith("INSERT INTO proof_items")
    assert collector.resource()["service.name"] == distribution()[0]
    assert collector.resource()["service.version"] == version()
    assert collector.resource()["team"] == "shop"


async def test_nothing_that_was_sent_contains_a_value(
    traced: CoreSettings, collector: Collector
) -> None:
    headers = {"Authorization": "Bearer in-a-header", "Cookie": "session=in-a-cookie"}
    item = {"name": "in-a-body"}
    async with served(make(traced)) as client:
        await client.get("/names?token=in-a-query", headers=headers)
        await client.post("/shop/items", json=item, headers=headers)
        assert (await client.post("/shop/items", json=item)).status_code == 409
        assert (await client.post("/shop/items", json=["in-an-invalid-body"])).status_code == 422
        assert (await client.get("/text")).json() == "in-a-text"
        assert (await client.get("/broken")).status_code == 500
        metrics.get_meter_provider().force_flush()  # type: ignore[attr-defined]

    assert len(collector.spans()) > 6
    for path, body in collector.received:
        assert b"in-a" not in body, path
    queries = [span["attributes"].get("url.query") for span in collector.spans()]
    assert "REDACTED" in queries


async def test_failed_statement_has_the_code_of_its_error(
    traced: CoreSettings, collector: Collector
) -> None:
    async with served(make(traced)) as client:
        assert (await client.get("/wrong")).status_code == 500

    statement, request = collector.spans()
    assert statement["status"]["code"] == "STATUS_CODE_ERROR"
    assert statement["attributes"]["error.type"] in {"42703", "1054", "SQLITE_ERROR"}
    assert request["status"]["code"] == "STATUS_CODE_ERROR"


async def test_statement_of_a_cancelled_request_has_a_span(
    traced: CoreSettings, collector: Collector
) -> None:
    async with served(make(traced)) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.get("/slow")

    assert [span["name"] for span in collector.spans()] == ["SELECT", "GET /slow"]


async def test_trace_of_the_caller_is_continued(traced: CoreSettings, collector: Collector) -> None:
    trace_id, span_id = "0123456789abcdef" * 2, "fedcba9876543210"
    async with served(make(traced)) as client:
        await client.get("/names", headers={"traceparent": f"00-{trace_id}-{span_id}-01"})

    assert {decoded(span["traceId"]) for span in collector.spans()} == {trace_id}


async def test_log_has_the_ids_of_the_trace(traced: CoreSettings, collector: Collector) -> None:
    async with served(make(traced)) as client:
        with logging_configured(traced) as output:
            await client.get("/names")

    *_, request = collector.spans()
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "request"]
    assert line["trace_id"] == decoded(request["traceId"])
    assert line["span_id"] == decoded(request["spanId"])


def decoded(identifier: str) -> str:
    """Return an ID as it is written; in JSON, it is encoded."""
    return b64decode(identifier).hex()


async def test_probes_are_not_traced(traced: CoreSettings, collector: Collector) -> None:
    async with served(make(traced)) as client:
        await client.get("/health/live")
        await client.get("/health/ready")

    assert not collector.received or not collector.spans()


async def test_metrics_describe_requests_and_the_pool(
    traced: CoreSettings, collector: Collector
) -> None:
    settings = traced.model_copy(update={"database_pool_size": 1, "database_pool_timeout": 0.1})
    async with served(make(settings)) as client:
        slow = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.2)
        late = asyncio.create_task(client.get("/names"))
        await asyncio.sleep(0.05)
        metrics.get_meter_provider().force_flush()  # type: ignore[attr-defined]
        during = collector.metrics()
        assert (await late).status_code == 503
        assert (await slow).status_code == 200
    after = collector.metrics()  # were sent at the end

    def value(found: dict[str, list[dict[str, Any]]], name: str) -> int:
        (point,) = [
            point
            for point in found[f"db.client.connection.{name}"]
            if point["attributes"]["db.client.connection.pool.name"] == "read-only"
        ]
        return int(point["asInt"])

    assert [value(during, name) for name in ("count", "max", "pending_requests")] == [1, 1, 1]
    assert [value(after, name) for name in ("count", "max", "pending_requests")] == [0, 1, 0]
    assert value(after, "timeouts") == 1
    routes = {
        point["attributes"].get("http.route") for point in after["http.server.request.duration"]
    }
    assert {"/slow", "/names"} <= routes
