"""Concurrent requests neither fail nor overwrite each other's changes."""

import asyncio

import pytest
from httpx2 import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.database import SessionFactory
from tests.proofs.factories import add_item
from tests.proofs.shop import Item

pytestmark = [pytest.mark.committed, pytest.mark.usefixtures("shop_app")]


async def test_concurrent_purchases_do_not_oversell(
    client: AsyncClient, session: AsyncSession
) -> None:
    item = await add_item(session, stock=3)

    buys = [client.post(f"/items/{item.id}/buy") for _ in range(8)]
    responses = await asyncio.gather(*buys)

    assert sorted(response.status_code for response in responses) == [204] * 3 + [409] * 5
    assert item.stock == 0


async def test_readers_do_not_wait_for_a_writer(
    client: AsyncClient, session_factory: SessionFactory
) -> None:
    await client.post("/items", json={"name": "lamp", "stock": 3})

    async with session_factory() as writer:
        item = (await writer.scalars(select(Item).with_for_update())).one()
        item.stock = 2
        await writer.flush()
        async with asyncio.timeout(1):
            response = await client.get("/items/read")

    assert response.json()[0]["stock"] == 3


async def test_background_task_sees_committed_rows(
    client: AsyncClient, session: AsyncSession
) -> None:
    response = await client.post("/items/restocked-later", json={"name": "lamp", "stock": 1})

    assert response.json()["stock"] == 1
    item = await session.get_one(Item, response.json()["id"])
    assert item.stock == 101
