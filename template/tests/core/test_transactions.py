"""Guaranteed behavior of sessions in handlers and tests, with an example of each case."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, HTTPException, WebSocket
from fastapi.sse import EventSourceResponse
from fastapi.testclient import TestClient
from httpx2 import AsyncClient
from sqlalchemy import String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.core import (
    CoreSettings,
    ReadSessionDep,
    SessionDep,
    SessionFactory,
    SessionFactoryDep,
)
from tests.core.factories import ModelFactory
from tests.core.isolation import OtherLoopError, OverlapError

router = APIRouter(prefix="/lamps")


class Base(DeclarativeBase):
    """Separate from the service's `Base`, whose tables must match the migrations."""


class Lamp(Base):
    __tablename__ = "core_lamps"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    on: Mapped[bool] = mapped_column(default=False)


class LampFactory(ModelFactory[Lamp]):
    """Builds lamps."""


@router.get("")
async def names(session: ReadSessionDep) -> list[str]:
    return list(await session.scalars(select(Lamp.name).order_by(Lamp.id)))


@router.post("", status_code=201)
async def add(name: str, session: SessionDep) -> None:
    session.add(Lamp(name=name))


@router.post("/{lamp_id}/on")
async def switch_on(lamp_id: int, session: SessionDep) -> None:
    lamp = await session.get_one(Lamp, lamp_id)
    lamp.on = True


@router.post("/raise")
async def add_and_raise(name: str, session: SessionDep) -> None:
    session.add(Lamp(name=name))
    await session.flush()
    raise HTTPException(418, "The lamp is a teapot.")


@router.post("/first-free-name", status_code=201)
async def add_under_first_free_name(names: list[str], session: SessionDep) -> str:
    for name in names:
        session.add(Lamp(name=name))
        try:
            await session.flush()
        except IntegrityError:
            await session.rollback()
        else:
            return name
    raise HTTPException(409, "No name is free.")


@router.post("/later", status_code=201)
async def add_later(
    name: str, session_factory: SessionFactoryDep, background: BackgroundTasks
) -> None:
    background.add_task(_add_later, session_factory, name)


async def _add_later(session_factory: SessionFactory, name: str) -> None:
    async with session_factory.begin() as session:
        session.add(Lamp(name=name))


@router.get("/add-in-a-reader")
async def add_in_a_reader(session: ReadSessionDep) -> None:
    session.add(Lamp(name="unwanted"))


@router.websocket("/watch")
async def watch(socket: WebSocket, session_factory: SessionFactoryDep) -> None:
    await socket.accept()
    async for _ in socket.iter_text():
        async with session_factory() as session:
            found = await names_of(session)
        await socket.send_json(found)


@router.get("/events", response_class=EventSourceResponse)
async def events(session_factory: SessionFactoryDep) -> AsyncIterator[list[str]]:
    while True:
        async with session_factory() as session:
            found = await names_of(session)
        yield found
        await asyncio.sleep(0.01)


@pytest.fixture(scope="module", autouse=True)
async def _tables(engine: AsyncEngine) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)


@pytest.fixture
async def app(app: FastAPI) -> FastAPI:
    app.include_router(router)
    return app


async def names_of(session: AsyncSession) -> list[str]:
    return list(await session.scalars(select(Lamp.name).order_by(Lamp.id)))


@pytest.mark.committed
async def test_commit_precedes_the_response(app: FastAPI, session_factory: SessionFactory) -> None:
    seen: list[list[str]] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def watched_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                async with session_factory() as session:
                    seen.append(await names_of(session))
            await send(message)

        await app(scope, receive, watched_send)

    transport = httpx2.ASGITransport(watched)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        await client.post("/lamps", params={"name": "desk"})

    assert seen == [["desk"]]


@pytest.mark.committed
async def test_failed_commit_returns_409(client: AsyncClient, session: AsyncSession) -> None:
    session.add(Lamp(name="desk"))

    response = await client.post("/lamps", params={"name": "desk"})

    assert response.status_code == 409
    assert await names_of(session) == ["desk"]


async def test_raised_error_rolls_back(client: AsyncClient, session: AsyncSession) -> None:
    response = await client.post("/lamps/raise", params={"name": "desk"})

    assert response.status_code == 418
    assert await names_of(session) == []


async def test_handler_can_roll_back_and_retry(client: AsyncClient, session: AsyncSession) -> None:
    """https://stackoverflow.com/q/77079297"""
    first = await client.post("/lamps/first-free-name", json=["Max", "Cody"])
    second = await client.post("/lamps/first-free-name", json=["Max", "Cody"])

    assert (first.json(), second.json()) == ("Max", "Cody")
    assert await names_of(session) == ["Max", "Cody"]


async def test_handler_sees_the_objects_of_the_test(
    client: AsyncClient, session: AsyncSession
) -> None:
    session.add(Lamp(name="desk"))

    assert (await client.get("/lamps")).json() == ["desk"]


async def test_objects_are_refreshed_after_a_request(
    client: AsyncClient, session: AsyncSession
) -> None:
    lamp = Lamp(name="desk")
    session.add(lamp)
    await session.flush()

    await client.post(f"/lamps/{lamp.id}/on")

    assert lamp.on


async def test_background_task_has_its_own_session(
    client: AsyncClient, session: AsyncSession
) -> None:
    await client.post("/lamps/later", params={"name": "desk"})

    assert await names_of(session) == ["desk"]


async def test_read_session_rejects_writes(client: AsyncClient, session: AsyncSession) -> None:
    with pytest.raises(RuntimeError, match="use SessionDep"):
        await client.get("/lamps/add-in-a-reader")

    assert await names_of(session) == []


@pytest.fixture
def live_client(
    make_app: Callable[[CoreSettings], FastAPI], settings: CoreSettings
) -> Iterator[TestClient]:
    """Client for WebSockets and endless responses, whose application has its own event loop."""
    app = make_app(settings)
    app.include_router(router)
    with TestClient(app) as client:
        yield client


def test_web_socket(live_client: TestClient) -> None:
    live_client.post("/lamps", params={"name": "desk"})

    with live_client.websocket_connect("/lamps/watch") as socket:
        socket.send_text("names")
        assert socket.receive_json() == ["desk"]


def test_server_sent_events(live_client: TestClient) -> None:
    live_client.post("/lamps", params={"name": "desk"})

    with live_client.sse("/lamps/events") as events:
        assert next(iter(events)).json() == ["desk"]


def test_test_client_needs_its_own_application(app: FastAPI) -> None:
    with TestClient(app) as client, pytest.raises(OtherLoopError, match="`client`"):
        client.get("/lamps")


async def test_factory_builds_different_objects(client: AsyncClient, session: AsyncSession) -> None:
    lamps = await LampFactory.add_batch(session, 50, on=True)

    assert (await client.get("/lamps")).json() == [lamp.name for lamp in lamps]


@pytest.mark.shared_transaction
class TestSharedTransaction:
    async def test_first(self, client: AsyncClient) -> None:
        await client.post("/lamps", params={"name": "desk"})

    async def test_second(self, client: AsyncClient) -> None:
        assert (await client.get("/lamps")).json() == ["desk"]


@pytest.mark.parametrize("_attempt", [1, 2])
@pytest.mark.parametrize(
    "_mode", ["isolated", pytest.param("committed", marks=pytest.mark.committed)]
)
async def test_each_test_starts_clean(
    client: AsyncClient, session: AsyncSession, _mode: str, _attempt: int
) -> None:
    assert await names_of(session) == []

    await client.post("/lamps", params={"name": "desk"})


async def test_concurrent_requests_require_the_marker(client: AsyncClient) -> None:
    with pytest.raises(OverlapError, match=r"@pytest\.mark\.committed"):
        await asyncio.gather(*(client.get("/lamps") for _ in range(5)))


@pytest.mark.committed
async def test_concurrent_requests(client: AsyncClient, session: AsyncSession) -> None:
    adds = [client.post("/lamps", params={"name": "desk"}) for _ in range(5)]
    statuses = [response.status_code for response in await asyncio.gather(*adds)]

    assert sorted(statuses) == [201, 409, 409, 409, 409]
    assert await names_of(session) == ["desk"]
