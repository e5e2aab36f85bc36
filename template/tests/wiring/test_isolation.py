"""Nothing that a test does reaches the next one."""

import asyncio

import pytest
from fastapi import FastAPI, Response
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from httpx2 import AsyncClient
from sqlalchemy import JSON, Column, Computed, Integer, MetaData, Table, null, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.database import get_session
from app.settings import Settings, load_settings
from tests.isolation import Contents, OverlapError
from tests.migrating import table_names
from tests.wiring.factories import add_item
from tests.wiring.shop import Base, Item


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


@pytest.mark.parametrize("run", [1, 2])
async def test_every_test_has_the_application_as_it_was_made(
    app: FastAPI, client: AsyncClient, run: int
) -> None:
    """Each run would find the changes of the one before it, or fail to make them again."""
    assert "added" not in app.state
    assert app.dependency_overrides == {}
    assert 418 not in app.exception_handlers
    assert "/added" not in app.openapi()["paths"]

    app.state.added = True
    app.dependency_overrides[get_session] = lambda: None
    app.add_exception_handler(418, lambda request, error: Response())
    app.add_api_route("/added", lambda: None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["elsewhere"])

    assert (await client.get("/items")).status_code == 400
    assert "/added" in app.openapi()["paths"]


@pytest.mark.parametrize("run", [1, 2])
async def test_every_test_has_an_empty_scratch_database(
    scratch_engine: AsyncEngine, run: int
) -> None:
    """Each run would find the tables of the one before it."""
    assert await table_names(scratch_engine) == set()

    async with scratch_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)


async def test_rows_of_a_migration_come_back_as_they_were(scratch_engine: AsyncEngine) -> None:
    cars = Table(
        "cars",
        MetaData(),
        Column("doors", Integer),
        Column("options", JSON),
        Column("windows", Integer, Computed("doors * 2", persisted=True)),
    )
    async with scratch_engine.begin() as connection:
        await connection.run_sync(cars.create)
        await connection.execute(cars.insert(), {"doors": 2, "options": {"colour": "red"}})
        await connection.execute(cars.insert(), {"doors": 4})
    left = await Contents.of(scratch_engine)

    await left.restore(scratch_engine)

    assert await Contents.of(scratch_engine) == left
    async with scratch_engine.connect() as connection:
        without = select(cars.c.doors).where(cars.c.options.is_(null()))
        assert (await connection.execute(without)).all() == [(4,)]


def test_the_services_own_database_is_another(settings: Settings) -> None:
    """At the end of the run, the fixture `own_database` makes sure that nothing touched it."""
    assert load_settings().database_url != settings.database_url


async def test_requests_at_once_name_the_marker(client: AsyncClient) -> None:
    with pytest.raises(OverlapError, match=r"@pytest\.mark\.committed"):
        await asyncio.gather(*(client.get("/items") for _ in range(5)))
