"""The test's session and the handlers' sessions see each other's changes."""

import pytest
from httpx2 import AsyncClient
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tests.proofs.factories import add_item
from tests.proofs.shop import Item, Part

pytestmark = pytest.mark.usefixtures("shop_app")


async def test_handler_sees_rows_added_by_the_test(
    client: AsyncClient, session: AsyncSession
) -> None:
    item = await add_item(session, name="lamp")

    response = await client.get("/items")

    assert response.json() == [{"id": item.id, "name": "lamp", "stock": 0}]


async def test_test_sees_rows_added_by_a_handler(
    client: AsyncClient, session: AsyncSession
) -> None:
    await client.post("/items", json={"name": "lamp", "stock": 2})

    item = await session.scalar(select(Item))

    assert item is not None
    assert (item.name, item.stock) == ("lamp", 2)


@pytest.mark.parametrize(
    "mode", ["isolated", pytest.param("committed", marks=pytest.mark.committed)]
)
async def test_object_shows_changes_by_a_handler(
    client: AsyncClient, session: AsyncSession, mode: str
) -> None:
    item = await add_item(session)

    await client.put(f"/items/{item.id}", json={"name": "lamp", "stock": 1})
    assert item.stock == 1

    await client.put(f"/items/{item.id}", json={"name": "lamp", "stock": 2})
    await session.refresh(item)
    assert item.stock == 2

    await client.put(f"/items/{item.id}", json={"name": "lamp", "stock": 3})
    same = await session.get(Item, item.id)
    assert same is item
    assert same.stock == 3

    await client.put(f"/items/{item.id}", json={"name": "lamp", "stock": 4})
    assert (await session.scalars(select(Item))).one().stock == 4


async def test_object_deleted_by_a_handler_is_gone(
    client: AsyncClient, session: AsyncSession
) -> None:
    item = await add_item(session, parts=[Part(), Part()])

    await client.delete(f"/items/{item.id}")

    assert await session.get(Item, item.id) is None
    assert list(await session.scalars(select(Part))) == []


async def test_objects_deleted_by_a_cascade_are_gone(
    client: AsyncClient, session: AsyncSession
) -> None:
    """The item is added before its part, and deleting it cascades to the part."""
    item = await add_item(session)
    part = Part(item_id=item.id)
    session.add(part)
    await session.flush()
    await session.refresh(item, ["parts"])

    await client.delete(f"/items/{item.id}")

    assert item not in session
    assert part not in session


async def test_loaded_relationships_stay_readable(
    client: AsyncClient, session: AsyncSession
) -> None:
    item = await add_item(session, parts=[Part(), Part()])
    parts = item.parts[:]

    await client.put(f"/items/{item.id}", json={"name": "lamp"})

    assert item.parts == parts


async def test_rollback_keeps_changes_by_handlers(
    client: AsyncClient, session: AsyncSession
) -> None:
    await client.post("/items", json={"name": "of the request"})
    assert await session.scalar(select(func.count()).select_from(Item)) == 1
    await client.post("/items", json={"name": "of another request"})
    await add_item(session, name="of the test")

    await session.rollback()

    names = await session.scalars(select(Item.name).order_by(Item.id))
    assert list(names) == ["of the request", "of another request"]
