from typing import Any

from fastapi import WebSocket
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database import SessionDep
from app.main import create_app
from app.settings import Settings
from tests.running import running


async def test_applications_in_one_process_are_independent(settings: Settings) -> None:
    first, second = create_app(settings), create_app(settings)

    async with running(first) as client:
        async with running(second):
            assert first.state.engine is not second.state.engine
            assert first.state.session_factory is not second.state.session_factory

        assert (await client.get("/health/ready")).status_code == 200


async def test_an_engine_that_was_given_stays_open(settings: Settings, engine: AsyncEngine) -> None:
    pool = engine.pool

    async with running(create_app(settings, engine)) as client:
        assert (await client.get("/health/ready")).status_code == 200

    assert engine.pool is pool


async def test_the_documentation_is_served(settings: Settings) -> None:
    async with running(create_app(settings)) as client:
        assert (await client.get("/docs")).status_code == 200


async def test_a_web_socket_has_a_session(settings: Settings) -> None:
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
