"""Nothing that a test does reaches the next one."""

import asyncio

import pytest
from httpx2 import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.settings import Settings, load_settings
from tests.isolation import OverlapError
from tests.wiring.factories import add_item
from tests.wiring.shop import Item


@pytest.mark.parametrize("run", [1, 2])
@pytest.mark.parametrize(
    "mode", ["isolated", pytest.param("committed", marks=pytest.mark.committed)]
)
async def test_every_test_starts_clean(
    client: AsyncClient, session: AsyncSession, mode: str, run: int
) -> None:
    """Each run would find the rows of the one before it, or fail to add them again."""
    assert list(await session.scalars(select(Item))) == []

    await add_item(session, name="arranged")
    await client.post("/items", json={"name": "added"})
    await client.post("/items/in-two-transactions", json=["kept", "dropped", "last"])
    await client.post("/items/under-a-free-name", json=["kept", "free"])
    await client.post("/items/then-raise", json={"name": "raised"})

    names = await session.scalars(select(Item.name).order_by(Item.id))
    assert list(names) == ["arranged", "added", "kept", "last", "free"]


def test_the_services_own_database_is_another(settings: Settings) -> None:
    """At the end of the run, the fixture `own_database` makes sure that nothing touched it."""
    assert load_settings().database_url != settings.database_url


async def test_requests_at_once_name_the_marker(client: AsyncClient) -> None:
    with pytest.raises(OverlapError, match=r"@pytest\.mark\.committed"):
        await asyncio.gather(*(client.get("/items") for _ in range(5)))
