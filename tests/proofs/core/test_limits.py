"""Limits on the size of request bodies, and on the duration of tests."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from starlette.middleware.base import BaseHTTPMiddleware

import tests.core
from app.core import CoreSettings
from app.core.limits import STRING, BodyLimitMiddleware
from tests.proofs.kit import create_app, running


@pytest.mark.parametrize(("length", "status"), [(0, 200), (9, 200), (10, 200), (11, 413)])
async def test_body_up_to_the_limit_is_accepted(
    settings: CoreSettings, length: int, status: int
) -> None:
    app = create_app(settings.model_copy(update={"max_body_size": 10}))

    @app.post("/length")
    async def measure(request: Request) -> int:
        return len(await request.body())

    async with running(app) as client:
        response = await client.post("/length", content=b"x" * length)

    assert response.status_code == status
    if status == 200:
        assert response.json() == length


async def test_chunks_count_toward_the_limit(settings: CoreSettings) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            received.append((await receive())["body"])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"12345", "more_body": True}

    received: list[bytes] = []
    started: list[int] = []

    async def send(message: Any) -> None:
        started.append(message.get("status", 0))

    limited = BodyLimitMiddleware(app, settings.model_copy(update={"max_body_size": 10}))
    await limited({"type": "http", "headers": []}, receive, send)
    assert received == [b"12345"] * 2
    assert started[0] == 413


async def test_middleware_can_read_the_body(settings: CoreSettings) -> None:
    """It is outside of the handlers of exceptions."""

    class Reading(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            await request.body()
            response: Response = await call_next(request)
            return response

    app = FastAPI()
    app.add_middleware(Reading)
    app = create_app(settings.model_copy(update={"max_body_size": 10}), app)

    @app.post("/length")
    async def measure(request: Request) -> int:
        return len(await request.body())

    async with running(app) as client:
        fits = await client.post("/length", content=b"x" * 10)
        too_large = await client.post("/length", content=b"x" * 11)

    assert fits.json() == 10
    assert too_large.status_code == 413
    assert too_large.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("address", "header", "status"),
    [(1000, 0, 404), (1001, 0, 414), (8, 1000, 404), (8, 1001, 431)],
)
async def test_address_and_headers_up_to_the_limit_are_accepted(
    settings: CoreSettings, address: int, header: int, status: int
) -> None:
    app = create_app(settings.model_copy(update={"max_header_size": 1000}))
    value = b"x" * (header - len(b"a: \r\n"))
    started: list[Any] = []

    async def send(message: Any) -> None:
        started.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/nowhere",
        "raw_path": b"/nowhere",
        "query_string": b"x" * (address - len("/nowhere")),
        "headers": [(b"a", value)] if header else [],
    }
    await app(scope, receive_nothing, send)

    headers = dict(started[0]["headers"])
    assert started[0]["status"] == status
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers.get(b"connection") == (None if status == 404 else b"close")


async def receive_nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def test_unterminated_strings_are_skipped() -> None:
    """A search for the end of each would take hours for a body of 1 MB."""
    assert STRING.sub(b"", b'[1, "a,\\"b", 2, "c,' + b'\\",' * 10) == b"[1, , 2, "


async def test_only_http_is_limited(settings: CoreSettings) -> None:
    seen: list[Any] = []

    async def app(*arguments: Any) -> None:
        seen.extend(arguments)

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "websocket"}
    await BodyLimitMiddleware(app, settings)(scope, receive, send)

    assert seen == [scope, receive, send]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("[1, 2, 3]", "application/json", 200),
        ("[1, 2, 3, 4]", "application/json", 413),
        ('{"a": 1, "b": [2, 3], "c": 4}', "application/problem+JSON; charset=utf-8", 413),
        ('["a,b,c,d", "\\"e,f", 3]', "application/json", 200),
        ('["a,b,c,d", "\\\\", 3, 4]', "application/json", 413),
        ("a,b,c,d,e", "text/csv", 200),
    ],
)
async def test_values_of_a_json_body_are_limited(
    settings: CoreSettings, body: str, kind: str, status: int
) -> None:
    app = create_app(settings.model_copy(update={"max_json_values": 3}))

    @app.post("/length")
    async def measure(request: Request) -> int:
        return len(await request.body())

    async def chunks() -> AsyncIterator[bytes]:
        for character in body:
            yield character.encode()

    async with running(app) as client:
        response = await client.post("/length", content=chunks(), headers={"Content-Type": kind})

    assert response.status_code == status
    assert response.json() == len(body) or "more than 3 values" in response.json()["detail"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be"])
async def test_json_is_utf_8(settings: CoreSettings, encoding: str) -> None:
    """In other encodings, a byte of a character can look like a quotation mark."""
    body = '["\u2261", 1, 2, 3, 4, 5]'.encode(encoding)
    app = create_app(settings.model_copy(update={"max_json_values": 3}))

    @app.post("/sum")
    async def total(values: list[int | str]) -> int:
        return len(values)

    async with running(app) as client:
        headers = {"Content-Type": "application/json"}
        response = await client.post("/sum", content=body, headers=headers)

    assert response.status_code == 400
    assert response.json()["detail"] == "The request body must be UTF-8."


async def test_first_content_type_counts(settings: CoreSettings) -> None:
    """It is the one that FastAPI uses."""
    app = create_app(settings.model_copy(update={"max_json_values": 3}))

    @app.post("/sum")
    async def total(values: list[int]) -> int:
        return len(values)

    headers = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]
    async with running(app) as client:
        response = await client.post("/sum", content=b"[1, 2, 3, 4]", headers=headers)

    assert response.status_code == 413


async def test_hanging_test_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait() -> None:
        await asyncio.sleep(10)
        raise AssertionError

    monkeypatch.setattr(tests.core, "LIMIT", 0.01)
    with pytest.raises(pytest.fail.Exception, match=r"^The test took longer than 0\.01 seconds\.$"):
        await tests.core._limited(wait)()


async def test_own_timeout_of_a_test_is_raised() -> None:
    async def wait() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await tests.core._limited(wait)()
