from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from app.core import CoreSettings
from app.core.database import SessionDep
from tests.proofs.kit import create_app, running


@pytest.mark.committed
async def test_applications_in_one_process_are_independent(settings: CoreSettings) -> None:
    first, second = create_app(settings), create_app(settings)

    async with running(first) as client:
        async with running(second):
            assert first.state.engine is not second.state.engine
            assert first.state.session_factory is not second.state.session_factory

        assert (await client.get("/health/ready")).status_code == 200


async def test_documentation_is_served(settings: CoreSettings) -> None:
    async with running(create_app(settings)) as client:
        assert (await client.get("/docs")).status_code == 200


async def test_web_socket_has_a_session(settings: CoreSettings) -> None:
    app = create_app(settings)

    @app.websocket("/one")
    async def one(socket: WebSocket, session: SessionDep) -> None:
        await socket.accept()
        await socket.send_text(str(await session.scalar(select(1))))

    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/one", "query_string": b"", "headers": []}
    async with running(app):
        await app(scope, receive, send)

    assert [message.get("text") for message in sent] == [None, "1"]


async def test_global_login_does_not_protect_probes(settings: CoreSettings) -> None:
    async def login() -> None:
        raise HTTPException(401)

    app = create_app(settings, dependencies=[Depends(login)])

    @app.get("/proofs/one")
    async def one() -> int:
        return 1

    async with running(app) as client:
        assert (await client.get("/proofs/one")).status_code == 401
        assert (await client.get("/health/ready")).status_code == 200


async def test_custom_error_handler_takes_precedence(settings: CoreSettings) -> None:
    app = FastAPI()

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(IntegrityError)
    async def own(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("own", 499)

    create_app(settings, app)

    @app.get("/proofs/number")
    async def number(number: int) -> None:
        raise IntegrityError("", {}, Exception())

    async with running(app) as client:
        assert (await client.get("/proofs/number?number=x")).text == "own"
        assert (await client.get("/proofs/number?number=1")).text == "own"
        assert (await client.get("/nowhere")).json()["status"] == 404


@pytest.mark.parametrize("key", [500, Exception])
async def test_custom_handler_of_unexpected_errors_takes_precedence(
    settings: CoreSettings, key: int | type[Exception]
) -> None:
    app = FastAPI()

    @app.exception_handler(key)
    async def own(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("own", 500)

    create_app(settings, app)

    @app.get("/proofs/bug")
    async def bug() -> None:
        raise ZeroDivisionError

    async with running(app) as client:
        assert (await client.get("/proofs/bug")).text == "own"


async def test_custom_lifespan_can_use_the_database(settings: CoreSettings) -> None:
    seen: list[object] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        async with app.state.session_factory() as session:
            seen.append(await session.scalar(text("SELECT 1")))
        yield {"greeting": "hello"}
        async with app.state.session_factory() as session:
            seen.append(await session.scalar(text("SELECT 2")))

    app = create_app(settings, lifespan=lifespan)
    async with app.router.lifespan_context(app) as state:
        assert state == {"greeting": "hello"}

    assert seen == [1, 2]


async def test_application_can_restart(settings: CoreSettings) -> None:
    app = create_app(settings)

    engines = []
    for _ in range(2):
        async with running(app):
            engines.append(app.state.engine)

    assert engines[0] is not engines[1]


@pytest.mark.parametrize("options", [{"docs_url": None}, {"openapi_url": None}])
async def test_documentation_can_be_disabled(
    settings: CoreSettings, options: dict[str, None]
) -> None:
    async with running(create_app(settings, **options)) as client:
        assert (await client.get("/docs")).status_code == 404
        assert (await client.get("/health/live")).status_code == 200
