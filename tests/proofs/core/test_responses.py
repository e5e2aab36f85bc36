import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import Body, FastAPI, HTTPException
from httpx2 import AsyncClient
from pydantic import BaseModel
from sqlalchemy import text
from structlog.testing import capture_logs

from app.core import CoreSettings
from app.core.database import SessionDep
from tests.proofs.kit import create_app, running


class Person(BaseModel):
    age: int


@pytest.fixture
def app(settings: CoreSettings) -> FastAPI:
    app = create_app(settings)

    @app.post("/people")
    async def add(person: Person) -> Person:
        return person

    @app.get("/odd")
    async def odd() -> None:
        raise HTTPException(599, "Not a status that HTTP knows.")

    @app.get("/unchanged")
    async def unchanged() -> None:
        raise HTTPException(304)

    @app.post("/bug")
    async def bug() -> None:
        raise ZeroDivisionError("secret")

    @app.post("/sql")
    async def sql(session: SessionDep, value: str = Body(embed=True)) -> None:
        await session.execute(
            text("SELECT * FROM no_such_table WHERE x = :value"), {"value": value}
        )

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with running(app) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nowhere", b"", 404),
        ("DELETE", "/people", b"", 405),
        ("POST", "/people", b'{"age": 12', 400),
        ("POST", "/people", b'{"age": "old"}', 422),
        ("POST", "/people", b"[]", 422),
        pytest.param("POST", "/people", b" " * (1024 * 1024 + 1), 413, id="too long"),
        ("POST", "/bug", b"", 500),
        ("GET", "/odd", b"", 599),
    ],
)
async def test_every_error_is_a_problem(
    client: AsyncClient, method: str, path: str, body: bytes, status: int
) -> None:
    headers = {"Content-Type": "application/json"} if body else {}
    response = await client.request(method, path, content=body, headers=headers)

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert "secret" not in response.text


async def test_body_without_content_length_is_limited(
    client: AsyncClient,
) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(1025):
            yield b" " * 1024

    response = await client.post("/people", content=body())

    assert response.status_code == 413
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_304_has_no_body(client: AsyncClient) -> None:
    response = await client.get("/unchanged")

    assert response.status_code == 304
    assert response.content == b""


async def test_validation_error_omits_the_input(
    client: AsyncClient,
) -> None:
    response = await client.post("/people", json={"age": "hunter2"})

    assert response.json()["errors"][0]["loc"] == ["body", "age"]
    assert "hunter2" not in response.text


async def test_database_error_details_are_only_logged(client: AsyncClient) -> None:
    with capture_logs() as logs:
        response = await client.post("/sql", json={"value": "hunter2"})

    assert response.status_code == 500
    assert "no_such_table" not in response.text
    (entry,) = [entry for entry in logs if entry["event"] == "database error"]
    assert "no_such_table" in entry["statement"]
    assert entry["code"]
    assert "hunter2" not in "".join(str(value) for entry in logs for value in entry.values())


@pytest.mark.committed
async def test_exhausted_pool_returns_503(
    settings: CoreSettings,
) -> None:
    limits = {"database_pool_size": 1, "database_pool_timeout": 0.01}
    app = create_app(settings.model_copy(update=limits))
    taken, release = asyncio.Event(), asyncio.Event()

    @app.get("/wait")
    async def wait(session: SessionDep) -> None:
        await session.connection()
        taken.set()
        await release.wait()

    async with running(app) as client:
        first = asyncio.create_task(client.get("/wait"))
        await asyncio.wait_for(taken.wait(), timeout=5)
        async with asyncio.timeout(5):
            second = await client.get("/wait")
        release.set()
        assert (await first).status_code == 200

    assert second.status_code == 503
    assert second.headers["Retry-After"]


async def test_openapi_documents_problems(client: AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    for operations in paths.values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert "422" not in operation["responses"]
