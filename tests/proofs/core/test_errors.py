"""Contents of error responses and of their log lines."""

import sqlite3
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, HTTPException
from httpx2 import AsyncClient
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError
from structlog.testing import capture_logs

from app.core import CoreSettings
from tests.proofs.kit import create_app, running

STATEMENT = "SELECT secret"


class AwayError(OSError):
    """The error of an unreachable database, on any driver."""

    sqlite_errorcode = sqlite3.SQLITE_CANTOPEN


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")

    age: int


ERRORS: dict[str, Exception] = {
    "conflict": IntegrityError(STATEMENT, {}, Exception(1, "hunter2")),
    "bug": DBAPIError(STATEMENT, {}, Exception(1, "hunter2")),
    "away": OperationalError(STATEMENT, {}, AwayError(1, "hunter2"), connection_invalidated=True),
    "busy": PoolTimeoutError("hunter2"),
    "overtaken": StaleDataError("hunter2"),
    "unexpected": RuntimeError("hunter2"),
    "refused": HTTPException(418, "No coffee.", {"X-Pot": "tea"}),
    "unchanged": HTTPException(304, headers={"ETag": "1"}),
}


@pytest.fixture
def app(settings: CoreSettings) -> FastAPI:
    app = create_app(settings)

    @app.get("/raise/{name}")
    async def fail(name: str) -> None:
        raise ERRORS[name]

    @app.post("/people")
    async def add(person: Person) -> Person:
        return person

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with running(app) as client:
        yield client


@pytest.mark.parametrize(
    ("name", "status", "title"),
    [
        ("conflict", 409, "Conflict"),
        ("bug", 500, "Internal Server Error"),
        ("away", 503, "Service Unavailable"),
        ("busy", 503, "Service Unavailable"),
        ("overtaken", 409, "Conflict"),
        ("unexpected", 500, "Internal Server Error"),
        ("refused", 418, "I'm a Teapot"),
    ],
)
async def test_problem_has_exactly_its_members(
    client: AsyncClient, name: str, status: int, title: str
) -> None:
    response = await client.get(f"/raise/{name}", headers={"X-Request-ID": "abc"})

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-ID"] == "abc"
    assert response.headers.get("Retry-After") == ("5" if status == 503 else None)
    problem = response.json()
    assert problem.pop("detail")
    assert problem == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "request_id": "abc",
    }
    assert "hunter2" not in response.text


async def test_headers_of_an_http_exception_are_sent(client: AsyncClient) -> None:
    refused = await client.get("/raise/refused")
    unchanged = await client.get("/raise/unchanged")

    assert refused.headers["X-Pot"] == "tea"
    assert refused.json()["detail"] == "No coffee."
    assert unchanged.headers["ETag"] == "1"


async def test_validation_errors_are_listed_without_values(client: AsyncClient) -> None:
    invalid = await client.post("/people", json={"age": "hunter2"})
    not_json = await client.post(
        "/people", content=b'{"age": ', headers={"Content-Type": "application/json"}
    )

    (fault,) = invalid.json()["errors"]
    assert fault.keys() == {"loc", "msg", "type"}
    assert fault["loc"] == ["body", "age"]
    assert fault["type"] == "int_parsing"
    assert not_json.status_code == 400
    assert not_json.json()["errors"][0]["type"] == "json_invalid"


async def test_list_of_validation_errors_is_bounded(client: AsyncClient) -> None:
    unknown = {f"unknown-{number}": number for number in range(20_000)}

    many = await client.post("/people", json={"age": 1, **unknown})
    long = await client.post("/people", json={"age": 1, "k" * 100_000: 2})

    assert many.status_code == long.status_code == 422
    assert many.json()["detail"].endswith("The first 50 of 20000 errors are listed.")
    assert len(many.json()["errors"]) == 50
    assert long.json()["detail"] == "The request is invalid."
    assert len(long.content) < 1000


async def test_unknown_key_with_a_lone_surrogate_is_invalid(client: AsyncClient) -> None:
    response = await client.post(
        "/people",
        content=b'{"age": 1, "\\ud800": 2}',
        headers={"Content-Type": "application/json"},
    )

    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["body"]


@pytest.mark.parametrize(
    ("name", "event", "level", "error"),
    [
        ("conflict", "database error", "info", "IntegrityError"),
        ("bug", "database error", "error", "DBAPIError"),
        ("away", "database unavailable", "warning", "AwayError"),
    ],
)
async def test_database_error_log_has_type_and_statement(
    client: AsyncClient, name: str, event: str, level: str, error: str
) -> None:
    with capture_logs() as logs:
        await client.get(f"/raise/{name}")

    (entry,) = [entry for entry in logs if entry["event"] == event]
    assert entry["log_level"] == level
    assert entry["error"] == error
    assert entry["statement"] == STATEMENT
    assert "code" in entry
    assert "hunter2" not in str(entry)
    details = [entry for entry in logs if entry["log_level"] == "debug"]
    assert [entry["exc_info"] for entry in details] == ([] if name == "away" else [ERRORS[name]])


async def test_exhausted_pool_is_logged(client: AsyncClient) -> None:
    with capture_logs() as logs:
        await client.get("/raise/busy")

    assert [entry["log_level"] for entry in logs if "pool" in entry["event"]] == ["warning"]


async def test_stale_object_is_not_logged_as_database_error(client: AsyncClient) -> None:
    with capture_logs() as logs:
        await client.get("/raise/overtaken")

    assert [entry["event"] for entry in logs] == ["request"]


async def test_openapi_describes_the_members_of_a_problem(client: AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    default = paths["/people"]["post"]["responses"]["default"]
    schema = default["content"]["application/problem+json"]["schema"]
    assert default["description"]
    assert set(schema["required"]) == {"title", "status", "detail"}
    assert schema["properties"].keys() == {
        *("type", "title", "status", "detail", "request_id", "errors"),
    }
