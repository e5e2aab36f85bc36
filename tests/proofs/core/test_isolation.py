"""No test affects the next one."""

import asyncio
from typing import Any

import pytest
from httpx2 import AsyncClient
from sqlalchemy import JSON, URL, Column, Computed, Integer, MetaData, Table, event, null, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.core import CoreSettings
from tests.core.isolation import Contents, OverlapError, reload
from tests.proofs.factories import add_item
from tests.proofs.kit import table_names
from tests.proofs.shop import Base, Item, Part

pytestmark = pytest.mark.usefixtures("shop_app")


@pytest.mark.parametrize("run", [1, 2])
@pytest.mark.parametrize(
    "mode", ["isolated", pytest.param("committed", marks=pytest.mark.committed)]
)
async def test_every_test_starts_clean(
    client: AsyncClient, session: AsyncSession, mode: str, run: int
) -> None:
    """Otherwise, a run would find the previous run's rows, or fail to add them again."""
    assert list(await session.scalars(select(Item))) == []

    await add_item(session, name="arranged")
    await client.post("/items", json={"name": "added"})
    await client.post("/items/in-two-transactions", json=["kept", "dropped", "last"])
    await client.post("/items/under-a-free-name", json=["kept", "free"])
    await client.post("/items/then-raise", json={"name": "raised"})

    names = await session.scalars(select(Item.name).order_by(Item.id))
    assert list(names) == ["arranged", "added", "kept", "last", "free"]


@pytest.mark.parametrize("run", [1, 2])
async def test_every_test_has_an_empty_scratch_database(
    scratch_engine: AsyncEngine, run: int
) -> None:
    """Otherwise, a run would find the previous run's tables."""
    assert await table_names(scratch_engine) == set()

    async with scratch_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)


async def test_rows_from_migrations_are_restored(scratch_engine: AsyncEngine) -> None:
    cars = Table(
        "cars",
        MetaData(),
        Column("doors", Integer),
        Column("options", JSON),
        Column("windows", Integer, Computed("doors * 2", persisted=True)),
    )
    async with scratch_engine.begin() as connection:
        await connection.run_sync(cars.create)
        await connection.execute(cars.insert(), {"doors": 2, "options": {"color": "red"}})
        await connection.execute(cars.insert(), {"doors": 4})
    left = await Contents.of(scratch_engine)

    await left.restore(scratch_engine)

    ((_, before),) = left.tables
    ((_, after),) = (await Contents.of(scratch_engine)).tables
    assert after == before
    async with scratch_engine.connect() as connection:
        without = select(cars.c.doors).where(cars.c.options.is_(null()))
        assert (await connection.execute(without)).all() == [(4,)]


def test_tests_use_a_separate_database(
    server: URL, database_url: URL, settings: CoreSettings
) -> None:
    assert database_url.database != server.database
    assert settings.database_url == database_url
    assert CoreSettings.load().database_url == database_url


async def test_objects_are_reloaded_with_few_queries(
    session: AsyncSession, engine: AsyncEngine
) -> None:
    with_parts = await add_item(session, name="with parts", parts=[Part(), Part()])
    held = [
        with_parts,
        *with_parts.parts,
        *[await add_item(session, name=f"{n}") for n in range(20)],
    ]
    await session.commit()
    statements: list[str] = []

    def note(*given: Any) -> None:
        statements.append(given[2])

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        await reload(session)
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)

    selects = [statement for statement in statements if statement.startswith("SELECT")]
    assert len(held) == 23
    # Items; items with loaded parts, and their parts.
    assert len(selects) <= 4


async def test_concurrent_requests_name_the_marker(client: AsyncClient) -> None:
    with pytest.raises(OverlapError, match=r"@pytest\.mark\.committed"):
        await asyncio.gather(*(client.get("/items") for _ in range(5)))
