"""Applications and commands that a test starts itself do not affect the next one."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from uvicorn.loops.auto import auto_loop_factory

from app.core import CoreSettings, open_database
from app.core import settings as settings_module
from app.core.database import SessionFactory
from app.core.dialect import URL_EXAMPLE
from tests.core.isolation import EscapeError, OtherLoopError
from tests.proofs.factories import add_item
from tests.proofs.kit import create_app, running
from tests.proofs.shop import Item, router

WHILE_COLLECTING = (settings_module.ENV_FILE, os.environ["DATABASE_URL"])

pytestmark = pytest.mark.usefixtures("_shop_tables")

Make = Callable[[], FastAPI]


@pytest.fixture
def make(settings: CoreSettings) -> Make:
    def make() -> FastAPI:
        app = create_app(settings, lifespan=seeding)
        app.include_router(router)
        return app

    return make


@asynccontextmanager
async def seeding(app: FastAPI) -> AsyncIterator[None]:
    async with app.state.session_factory.begin() as session:
        session.add(Item(name="seed"))
    yield


def names(client: TestClient) -> list[str]:
    return [item["name"] for item in client.get("/items").json()]


@pytest.mark.parametrize("_run", [1, 2])
@pytest.mark.parametrize(
    "mode", ["isolated", pytest.param("committed", marks=pytest.mark.committed)]
)
def test_test_client_starts_clean(make: Make, mode: str, _run: int) -> None:
    with TestClient(make()) as client:
        assert names(client) == ["seed"]

        client.post("/items", json={"name": "added"})
        assert names(client) == ["seed", "added"]


@pytest.mark.parametrize("_run", [1, 2])
async def test_test_client_in_an_asynchronous_test_starts_clean(make: Make, _run: int) -> None:
    with TestClient(make()) as client:
        assert names(client) == ["seed"]


@pytest.mark.parametrize("_run", [1, 2])
async def test_application_started_by_hand_starts_clean(make: Make, _run: int) -> None:
    async with running(make()) as client:
        await client.post("/items", json={"name": "added"})

        found = (await client.get("/items")).json()

    assert [item["name"] for item in found] == ["seed", "added"]


@pytest.mark.parametrize("_run", [1, 2])
async def test_application_started_by_hand_shares_the_session(
    make: Make, session: AsyncSession, _run: int
) -> None:
    await add_item(session, name="arranged")
    await session.commit()

    async with running(make()) as client:
        await client.post("/items", json={"name": "added"})

    found = await session.scalars(select(Item.name).order_by(Item.id))
    assert list(found) == ["arranged", "seed", "added"]


@pytest.fixture
async def started(make: Make) -> AsyncIterator[AsyncClient]:
    async with running(make()) as client:
        yield client


async def test_application_started_by_a_fixture_shares_the_session(
    started: AsyncClient, session: AsyncSession
) -> None:
    assert list(await session.scalars(select(Item.name))) == ["seed"]


async def test_second_start_changes_nothing(app: FastAPI, session: AsyncSession) -> None:
    before = dict(app.state._state)

    async with app.router.lifespan_context(app):
        assert app.state._state == before
    assert app.state._state == before


@pytest.fixture(params=["with the lifespan", "without the lifespan"])
def test_client(request: pytest.FixtureRequest, shop_app: FastAPI) -> Iterator[TestClient]:
    if request.param == "without the lifespan":
        yield TestClient(shop_app)
        return
    with TestClient(shop_app) as client:
        yield client


def test_another_event_loop_is_refused(test_client: TestClient) -> None:
    with pytest.raises(OtherLoopError, match="`client`"):
        test_client.get("/items")


async def test_another_event_loop_is_refused_at_once(test_client: TestClient) -> None:
    """Otherwise, it would wait for this event loop, which waits for it."""
    with pytest.raises(OtherLoopError, match="`client`"):
        test_client.get("/items/read")


@pytest.mark.committed
def test_another_event_loop_is_refused_with_commits(test_client: TestClient) -> None:
    """Otherwise, it would leave its connection in the pool of the test's engine."""
    with pytest.raises(OtherLoopError, match="`client`"):
        test_client.get("/items")


def test_lifespan_in_another_event_loop_is_refused(
    make: Make, session_factories: tuple[SessionFactory, SessionFactory]
) -> None:
    with pytest.raises(OtherLoopError, match="`client`"), TestClient(make()):
        pass


def test_application_without_lifespan_names_the_remedy(make: Make) -> None:
    with pytest.raises(RuntimeError, match=r"use `with TestClient\(app\) as client`"):
        TestClient(make()).get("/items")


def test_application_created_while_collecting_is_refused(settings: CoreSettings) -> None:
    env_file, url = WHILE_COLLECTING
    assert (env_file is None, url) == (True, URL_EXAMPLE)
    early = settings.model_copy(
        update={"database_url": CoreSettings(database_url=URL_EXAMPLE).database_url}
    )

    with (
        pytest.raises(EscapeError, match="with the fixture `settings`"),
        TestClient(create_app(early)),
    ):
        pass


async def test_open_database_needs_the_marker(settings: CoreSettings) -> None:
    with pytest.raises(EscapeError, match=r"@pytest\.mark\.committed"):
        async with open_database(settings):
            pass


@pytest.mark.committed
@pytest.mark.parametrize("_run", [1, 2])
async def test_what_a_command_commits_is_removed(settings: CoreSettings, _run: int) -> None:
    async with open_database(settings) as factory, factory.begin() as session:
        assert list(await session.scalars(select(Item))) == []
        session.add(Item(name="imported"))


@pytest.fixture
async def loop_of_a_fixture() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_synchronous_tests_use_the_loop_of_the_server(
    loop_of_a_fixture: asyncio.AbstractEventLoop,
) -> None:
    loop = auto_loop_factory()()
    loop.close()
    assert type(loop_of_a_fixture) is type(loop)


async def test_asynchronous_tests_use_the_same_loop(
    loop_of_a_fixture: asyncio.AbstractEventLoop,
) -> None:
    assert asyncio.get_running_loop() is loop_of_a_fixture


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_marker_of_anyio_is_accepted(anyio_backend: str, app: FastAPI) -> None:
    """As in FastAPI's documentation."""
    assert app.state.settings


@pytest.mark.shared_transaction
def test_marker_is_for_classes(request: pytest.FixtureRequest) -> None:
    with pytest.raises(pytest.fail.Exception, match="is for classes"):
        request.getfixturevalue("session_factories")
