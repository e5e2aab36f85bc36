"""A request's changes are committed before the response, or not at all."""

import asyncio
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.exceptions import ResponseValidationError
from httpx2 import AsyncClient
from sqlalchemy import delete, func, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.pool import AsyncAdaptedQueuePool

from app.core.database import SessionDep, SessionFactory
from tests.proofs.factories import add_item
from tests.proofs.shop import Item

pytestmark = pytest.mark.usefixtures("shop_app")


async def count(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Item)) or 0


def pool_is_full(engine: AsyncEngine) -> bool:
    """Return whether all connections are back in the pool."""
    assert isinstance(engine.pool, AsyncAdaptedQueuePool)
    return engine.pool.checkedout() == 0


@pytest.mark.committed
async def test_the_commit_comes_before_the_response(
    app: FastAPI, session_factory: SessionFactory
) -> None:
    seen_when_answered: list[int] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def watched_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                async with session_factory() as session:
                    seen_when_answered.append(await count(session))
            await send(message)

        await app(scope, receive, watched_send)

    async with AsyncClient(
        transport=httpx2.ASGITransport(watched), base_url="http://test"
    ) as client:
        await client.post("/items", json={"name": "lamp"})

    assert seen_when_answered == [1]


@pytest.mark.committed
async def test_failed_commit_returns_409(
    client: AsyncClient, session: AsyncSession, engine: AsyncEngine
) -> None:
    await add_item(session, name="lamp")

    response = await client.post("/items", json={"name": "lamp"})

    assert response.status_code == 409
    assert pool_is_full(engine)
    assert await count(session) == 1


async def test_failed_insert_can_be_retried(client: AsyncClient, session: AsyncSession) -> None:
    """See https://stackoverflow.com/q/77079297."""
    arranged = await add_item(session, name="arranged")
    names = ["Max", "Cody", "Robin"]

    first = await client.post("/items/under-a-free-name", json=names)
    second = await client.post("/items/under-a-free-name", json=names)

    assert first.json()["name"] == "Max"
    assert second.json()["name"] == "Cody"
    assert await session.get(Item, arranged.id) is arranged
    assert await count(session) == 3


async def test_handler_can_commit_and_roll_back(client: AsyncClient, session: AsyncSession) -> None:
    response = await client.post("/items/in-two-transactions", json=["kept", "dropped", "last"])

    assert response.status_code == 201
    names = await session.scalars(select(Item.name).order_by(Item.id))
    assert list(names) == ["kept", "last"]


@pytest.mark.committed
async def test_http_exception_rolls_back(
    client: AsyncClient, session: AsyncSession, engine: AsyncEngine
) -> None:
    response = await client.post("/items/then-raise", json={"name": "lamp"})

    assert response.status_code == 418
    assert await count(session) == 0
    await session.rollback()
    assert pool_is_full(engine)


@pytest.mark.committed
async def test_unexpected_error_rolls_back(
    client: AsyncClient, session: AsyncSession, engine: AsyncEngine
) -> None:
    with pytest.raises(ZeroDivisionError):
        await client.post("/items/then-break", json={"name": "lamp"})

    assert pool_is_full(engine)
    assert await count(session) == 0


@pytest.mark.committed
async def test_invalid_response_rolls_back(client: AsyncClient, session: AsyncSession) -> None:
    with pytest.raises(ResponseValidationError):
        await client.post("/items/then-answer-badly", json={"name": "too long a name"})

    assert await count(session) == 0


async def test_session_is_closed_after_commit(app: FastAPI, client: AsyncClient) -> None:
    """Objects added to it later would be lost."""
    kept: list[AsyncSession] = []

    @app.get("/keep")
    async def keep(session: SessionDep) -> None:
        kept.append(session)

    await client.get("/keep")

    with pytest.raises(InvalidRequestError, match="closed"):
        await kept[0].execute(select(Item))


async def test_concurrently_deleted_row_returns_409(
    app: FastAPI, client: AsyncClient, session: AsyncSession
) -> None:
    item = await add_item(session)

    @app.post("/late/{item_id}")
    async def late(item_id: int, session: SessionDep) -> None:
        late = await session.get_one(Item, item_id)
        await session.execute(delete(Item), execution_options={"synchronize_session": False})
        late.stock = 5

    response = await client.post(f"/late/{item.id}")

    assert response.status_code == 409
    assert item.stock == 0


@pytest.mark.committed
async def test_canceled_request_rolls_back(
    client: AsyncClient, session: AsyncSession, engine: AsyncEngine
) -> None:
    request = asyncio.create_task(client.post("/items/then-be-cancelled", json={"name": "lamp"}))

    with pytest.raises(asyncio.CancelledError):
        await request

    assert pool_is_full(engine)
    assert await count(session) == 0


@pytest.mark.committed
async def test_canceled_waiting_request_rolls_back(
    client: AsyncClient, session: AsyncSession, engine: AsyncEngine, session_factory: SessionFactory
) -> None:
    async with session_factory() as other:
        await add_item(other, name="lamp")
        request = asyncio.create_task(client.post("/items", json={"name": "lamp"}))
        await asyncio.sleep(0.1)
        assert not request.done()
        request.cancel()
        await other.rollback()

    with pytest.raises(asyncio.CancelledError):
        await request
    assert pool_is_full(engine)
    assert await count(session) == 0
