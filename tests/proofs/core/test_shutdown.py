"""How long requests can delay a shutdown."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from app.core import CoreSettings
from app.core.shutdown import Shutdown
from tests.proofs.kit import create_app, running

received: list[int] = []


@pytest.fixture
def handler() -> Iterator[Any]:
    """The signal handler of a server, which only notes the signal."""

    class Server:
        config = SimpleNamespace(timeout_graceful_shutdown=None, reload=False)

        def handle_exit(self, number: int, _: Any) -> None:
            received.append(number)

    received.clear()
    before = signal.getsignal(signal.SIGTERM)
    current = Server().handle_exit
    signal.signal(signal.SIGTERM, current)
    yield current
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def app(settings: CoreSettings) -> FastAPI:
    limits = {"shutdown_timeout": 0.2, "drain_timeout": 0}
    app = create_app(settings.model_copy(update=limits))

    @app.get("/hang")
    async def hang() -> None:
        await asyncio.Event().wait()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.Event().wait()

        return StreamingResponse(chunks())

    @app.get("/own-timeout")
    async def own_timeout() -> None:
        raise TimeoutError

    @app.get("/nothing")
    async def nothing() -> None:
        pass

    return app


@pytest.mark.usefixtures("handler")
async def test_unfinished_request_returns_503_after_sigterm(app: FastAPI) -> None:
    async with running(app) as client, asyncio.timeout(10):
        request = asyncio.create_task(client.get("/hang"))
        await asyncio.sleep(0.05)
        signal.raise_signal(signal.SIGTERM)
        response = await request
        following = await client.get("/nothing")

    assert received == [signal.SIGTERM]
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["request_id"] == response.headers["X-Request-ID"]
    assert following.status_code in {200, 503}


@pytest.mark.usefixtures("handler")
async def test_stream_ends_without_an_error(app: FastAPI) -> None:
    async with running(app), asyncio.timeout(10):
        with capture_logs() as logs:
            request = asyncio.create_task(send(app, "GET", "/stream", never()))
            await asyncio.sleep(0.05)
            signal.raise_signal(signal.SIGTERM)
            messages = await request

    assert messages[0]["status"] == 200
    assert messages[-1] == {"type": "http.response.body", "body": b"first", "more_body": True}
    assert "request ended by the shutdown" in [entry["event"] for entry in logs]


async def test_other_timeouts_are_errors(app: FastAPI) -> None:
    async with running(app) as client:
        assert (await client.get("/own-timeout")).status_code == 500


async def test_servers_without_a_limit_get_one(app: FastAPI, handler: Any) -> None:
    """uvicorn waits for clients that do not read their response."""
    async with running(app):
        assert handler.__self__.config.timeout_graceful_shutdown == 2


async def test_limit_of_the_server_is_kept(app: FastAPI, handler: Any) -> None:
    handler.__self__.config.timeout_graceful_shutdown = 7
    async with running(app):
        pass

    assert handler.__self__.config.timeout_graceful_shutdown == 7


async def test_handler_is_restored(app: FastAPI, handler: Any) -> None:
    async with running(app):
        assert signal.getsignal(signal.SIGTERM) != handler

    assert signal.getsignal(signal.SIGTERM) == handler


async def test_default_action_of_the_signal_is_kept(app: FastAPI) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    async with running(app):
        after = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)

    assert after == signal.SIG_DFL


def test_application_can_start_in_another_thread() -> None:
    """Signal handlers can only be set in the main thread; TestClient uses another one."""

    async def start() -> None:
        with Shutdown(1, 1).on_sigterm():
            started.append(True)

    started: list[bool] = []
    thread = threading.Thread(target=asyncio.run, args=[start()])
    thread.start()
    thread.join()

    assert started


@pytest.fixture
def draining_app(settings: CoreSettings) -> FastAPI:
    """An application that drains for longer than a test."""
    origins = {"drain_timeout": 60, "cors_origins": ("https://a.example",)}
    app = create_app(settings.model_copy(update=origins))

    @app.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError

    return app


@pytest.mark.committed
@pytest.mark.usefixtures("handler")
async def test_draining_service_answers_and_closes_connections(draining_app: FastAPI) -> None:
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    async with running(draining_app) as client:
        before = await client.get("/health/ready")
        signal.raise_signal(signal.SIGTERM)
        live = await client.get("/health/live")
        missing = await client.get("/nowhere")
        bug = await client.get("/bug")
        options = await client.options("/nowhere", headers=preflight)

    assert received == []
    assert before.status_code == 200
    assert "Connection" not in before.headers
    responses = [live, missing, bug, options]
    assert [response.status_code for response in responses] == [200, 404, 500, 200]
    assert {response.headers["Connection"] for response in responses} == {"close"}


@pytest.mark.usefixtures("handler")
async def test_draining_service_is_not_ready(draining_app: FastAPI) -> None:
    async with running(draining_app) as client:
        signal.raise_signal(signal.SIGTERM)
        response = await client.get("/health/ready")

    assert response.status_code == 503
    assert response.json()["detail"] == "The service is shutting down."


@pytest.mark.usefixtures("handler")
async def test_server_stops_after_draining(settings: CoreSettings) -> None:
    app = create_app(settings.model_copy(update={"drain_timeout": 0.1}))
    async with running(app), asyncio.timeout(10):
        signal.raise_signal(signal.SIGTERM)
        assert received == []
        while not received:
            await asyncio.sleep(0.01)

    assert received == [signal.SIGTERM]


@pytest.mark.usefixtures("handler")
async def test_requests_have_time_until_the_end_of_draining(settings: CoreSettings) -> None:
    limits = {"drain_timeout": 0.2, "shutdown_timeout": 0.01}
    app = create_app(settings.model_copy(update=limits))

    @app.get("/slow")
    async def slow() -> str:
        while not app.state.shutdown.draining:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        return "done"

    async with running(app) as client, asyncio.timeout(10):
        request = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.05)
        signal.raise_signal(signal.SIGTERM)
        assert (await request).json() == "done"


@pytest.mark.usefixtures("handler")
async def test_second_sigterm_does_not_end_the_draining(draining_app: FastAPI) -> None:
    """A signal to a process group reaches workers twice: their parent repeats it."""
    async with running(draining_app) as client:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.01)
        assert (await client.get("/health/ready")).status_code == 503
        assert received == []


async def test_restart_for_changed_code_does_not_drain(draining_app: FastAPI, handler: Any) -> None:
    handler.__self__.config.reload = True
    async with running(draining_app):
        signal.raise_signal(signal.SIGTERM)

    assert received == [signal.SIGTERM]


@pytest.mark.usefixtures("handler")
async def test_end_of_the_service_ends_the_draining(settings: CoreSettings) -> None:
    """The event loop can go on, as in tests."""
    async with running(create_app(settings.model_copy(update={"drain_timeout": 0.05}))):
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)

    assert received == []


@pytest.mark.usefixtures("handler")
async def test_draining_is_logged_without_a_request(draining_app: FastAPI) -> None:
    """The signal arrives while any request runs."""
    with capture_logs(processors=[merge_contextvars]) as logs:
        async with running(draining_app):
            with bound_contextvars(request_id="unrelated"):
                signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)

    assert [entry for entry in logs if entry["event"] == "draining"] == [
        {"event": "draining", "seconds": 60, "log_level": "info"}
    ]


@pytest.mark.usefixtures("handler")
async def test_started_again_the_service_is_ready(draining_app: FastAPI) -> None:
    async with running(draining_app):
        signal.raise_signal(signal.SIGTERM)
    async with running(draining_app) as client:
        assert "Connection" not in (await client.get("/health/live")).headers


async def test_slow_body_returns_408(settings: CoreSettings) -> None:
    app = create_app(settings.model_copy(update={"body_timeout": 0.1}))

    @app.post("/length")
    async def measure(request: Request) -> int:
        return len(await request.body())

    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(0.02)

    start, *_ = await send(app, "POST", "/length", trickle())

    headers = dict(start["headers"])
    assert start["status"] == 408
    assert headers[b"connection"] == b"close"
    assert headers[b"content-type"] == b"application/problem+json"


async def test_only_the_body_is_timed(settings: CoreSettings) -> None:
    app = create_app(settings.model_copy(update={"body_timeout": 0.05}))

    @app.post("/length")
    async def measure(request: Request) -> int:
        length = len(await request.body())
        with suppress(TimeoutError):  # the client stays connected
            await asyncio.wait_for(request.receive(), timeout=0.2)
        return length

    async with running(app) as client:
        assert (await client.post("/length", content=b"abc")).json() == 3


async def never() -> AsyncIterator[bytes]:
    yield b""
    await asyncio.Event().wait()


async def send(
    app: FastAPI, method: str, path: str, body: AsyncIterator[bytes]
) -> list[dict[str, Any]]:
    """Send a body as slowly as it comes, unlike httpx2; return the messages of the response."""
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(body), "more_body": True}

    async def note(message: Any) -> None:
        messages.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    await app(scope, receive, note)
    return messages
