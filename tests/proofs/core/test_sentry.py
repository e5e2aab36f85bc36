"""Reports of errors, sent to a server in this process."""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import sentry_sdk
import structlog
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, TypeAdapter
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError

from app.core import CoreSettings, ReadSessionDep, SessionDep
from app.core.engine import open_engine
from tests.proofs.collectors import Collector, collecting
from tests.proofs.kit import create_app, created, running
from tests.proofs.shop import Base, Item, router

SECRETS: dict[str, Any] = {
    "headers": {"Authorization": "Bearer in-a-header", "Cookie": "session=in-a-cookie"},
    "params": {"token": "in-a-query"},
    "json": {"name": "in-a-body"},
}

# Reports contain the lines around an error, so the values must not be there.
WRONG_STATEMENT = "SELECT no_such_column, 'in-a-statement' FROM proof_items"
WRONG_DATA = {"name": "in-a-model"}
USER, PATH = "in-a-log-line", "/users/in-a-path"


class Nickname(BaseModel):
    name: int


@pytest.fixture
def reported() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector
        sentry_sdk.init()  # without an address, nothing is sent


@pytest.fixture
async def app(reported: Collector, scratch_database: URL) -> AsyncIterator[FastAPI]:
    dsn = reported.url.replace("http://", "http://key@") + "/1"
    settings = CoreSettings(database_url=scratch_database, sentry_dsn=dsn)
    app = FastAPI()

    @app.post("/broken/{number}")
    async def broken(number: int) -> None:
        structlog.contextvars.bind_contextvars(user=USER)
        raise ValueError("What went wrong?")

    @app.post("/null")
    async def null(session: SessionDep) -> None:
        session.add(Item(name=None, stock=1))

    @app.post("/wrapped")
    async def wrapped(session: ReadSessionDep) -> None:
        try:
            await session.execute(text(WRONG_STATEMENT))
        except Exception as error:
            raise RuntimeError("The list is broken.") from error

    @app.post("/answer", response_model=int)
    async def answer() -> str:
        return WRONG_DATA["name"]

    @app.post("/chosen")
    async def chosen() -> None:
        raise HTTPException(503, "Come back later.")

    @app.post("/invalid")
    async def invalid() -> None:
        TypeAdapter(Nickname).validate_python(WRONG_DATA)

    app.include_router(router, prefix="/shop")
    app = create_app(settings, app)
    async with open_engine(settings) as engine, created(engine, Base.metadata):
        yield app


async def test_unexpected_error_is_reported(app: FastAPI, reported: Collector) -> None:
    async with running(app) as client:
        headers = {"X-Request-ID": "abc-1"}
        assert (await client.post("/broken/7", headers=headers)).status_code == 500
    sentry_sdk.flush()

    (report,) = reported.reports()
    (error,) = report["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "What went wrong?")
    assert error["stacktrace"]["frames"][-1]["function"] == "broken"
    assert report["transaction"] == "/broken/{number}"
    assert report["tags"] == {"request_id": "abc-1"}
    assert "@" in report["release"]


@pytest.mark.parametrize(
    ("path", "messages"),
    [
        ("/broken/7", ["What went wrong?"]),
        ("/null", ["code"]),
        ("/wrapped", ["code", "The list is broken."]),
        ("/invalid", [""]),
        ("/answer", [""]),
    ],
)
async def test_reports_contain_no_values(
    app: FastAPI, reported: Collector, path: str, messages: list[str]
) -> None:
    async with running(app) as client:
        assert (await client.post(path, **SECRETS)).status_code == 500
    sentry_sdk.flush()

    # The log lines of the service are not reported: only in tests are they the standard library's.
    (report,) = [report for report in reported.reports() if "exception" in report]
    assert all(b"in-a" not in body for _, body in reported.received)
    found = [error["value"] for error in report["exception"]["values"]]
    for message in messages:
        assert any(value.startswith(message) for value in found)


async def test_own_handler_of_the_service_is_kept(
    settings: CoreSettings, reported: Collector
) -> None:
    async def handle(_: Request, __: Exception) -> Response:
        return Response(status_code=500)

    dsn = reported.url.replace("http://", "http://key@") + "/1"
    app = FastAPI(exception_handlers={DBAPIError: handle})
    create_app(CoreSettings(database_url=settings.database_url, sentry_dsn=dsn), app)

    assert app.exception_handlers[DBAPIError] is handle


async def test_error_before_the_routing_has_no_path(app: FastAPI, reported: Collector) -> None:
    @app.middleware("http")
    async def fail(request: Request, _: object) -> Response:
        raise ZeroDivisionError

    async with running(app) as client:
        assert (await client.post(PATH)).status_code == 500
    sentry_sdk.flush()

    (report,) = reported.reports()
    assert "transaction" not in report
    assert all(b"in-a" not in body for _, body in reported.received)


async def test_what_the_service_expects_is_not_reported(app: FastAPI, reported: Collector) -> None:
    async with running(app) as client:
        app.state.shutdown.draining = True
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.post("/chosen")).status_code == 503
        await client.post("/shop/items", json=SECRETS["json"])
        assert (await client.post("/shop/items", json=SECRETS["json"])).status_code == 409
        assert (await client.get("/shop/items/no-number")).status_code in {404, 405, 422}
    sentry_sdk.flush()

    assert reported.reports() == []


def test_logged_errors_are_reported_without_their_values(app: FastAPI, reported: Collector) -> None:
    logging.getLogger("jobs").error("failed for %s", "in-an-argument")
    logging.getLogger("opentelemetry.exporter").error("the collector does not answer")
    sentry_sdk.flush()

    (report,) = reported.reports()
    assert report["logentry"] == {"message": "failed for %s"}
    assert all(b"in-an" not in body for _, body in reported.received)
