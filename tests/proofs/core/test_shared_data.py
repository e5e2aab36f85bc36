"""Data for many tests, and classes whose tests share a transaction."""

from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

import tests.core
from app.core.database import create_session_factory
from tests.core import SharedData
from tests.proofs.factories import add_item
from tests.proofs.shop import Item

pytestmark = pytest.mark.usefixtures("shop_app")


async def names(session: AsyncSession) -> list[str]:
    return list(await session.scalars(select(Item.name).order_by(Item.id)))


@pytest.fixture(scope="class")
async def lamps(_shop_tables: None, shared_data: SharedData) -> AsyncIterator[list[Item]]:
    async with shared_data() as session:
        lamps = [await add_item(session, name=f"lamp {number}") for number in range(3)]
        await session.commit()
        yield lamps


class TestSharedData:
    @pytest.mark.parametrize("_run", [1, 2])
    @pytest.mark.parametrize(
        "mode", ["isolated", pytest.param("committed", marks=pytest.mark.committed)]
    )
    async def test_every_test_finds_it(
        self, lamps: list[Item], client: AsyncClient, session: AsyncSession, mode: str, _run: int
    ) -> None:
        assert await names(session) == [lamp.name for lamp in lamps]

        await client.post("/items", json={"name": "added"})
        await session.execute(delete(Item).where(Item.id == lamps[0].id))
        await session.commit()

        assert await names(session) == ["lamp 1", "lamp 2", "added"]


async def test_shared_data_is_removed(session: AsyncSession) -> None:
    assert await names(session) == []


@pytest.mark.committed
async def test_rows_found_by_a_test_are_kept(engine: AsyncEngine, shared_data: SharedData) -> None:
    async with shared_data() as session:
        await add_item(session, name="shared")
        await session.commit()
        async with shared_data() as inner:
            await add_item(inner, name="more")
            await inner.commit()

        async with create_session_factory(engine)() as reader:
            assert await names(reader) == ["shared"]


@pytest.mark.shared_transaction
class TestSharedTransaction:
    async def test_first_test_adds(self, client: AsyncClient, session: AsyncSession) -> None:
        await client.post("/items", json={"name": "by a request"})
        await add_item(session, name="committed")
        await session.commit()
        await add_item(session, name="flushed")

    async def test_next_test_finds_what_was_committed(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        assert await names(session) == ["by a request", "committed"]

        await client.post("/items/under-a-free-name", json=["committed", "free"])

    def test_synchronous_tests_can_be_between(self) -> None:
        pass

    async def test_last_test_finds_everything(self, session: AsyncSession) -> None:
        assert await names(session) == ["by a request", "committed", "free"]


async def test_transaction_of_a_class_is_rolled_back(session: AsyncSession) -> None:
    assert await names(session) == []


def test_shuffled_tests_of_a_class_are_ordered(request: pytest.FixtureRequest) -> None:
    ordered = [
        item
        for item in request.session.items
        if item.name.startswith(("test_first_test", "test_next_test", "test_last_test"))
    ]
    shuffled = ordered[::-1]

    tests.core.pytest_collection_modifyitems(shuffled)

    assert shuffled == ordered
