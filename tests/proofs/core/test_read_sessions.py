"""Read-only sessions, and the single session per request."""

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from httpx2 import AsyncClient
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import CoreSettings, ReadSessionDep, SessionDep, SessionFactory
from app.core.database import ReadOnlyError, ReadSession, get_session
from tests.proofs.factories import add_item
from tests.proofs.kit import create_app, running
from tests.proofs.shop import Item

MODES = ["isolated", pytest.param("committed", marks=pytest.mark.committed)]

HabitDep = Annotated[AsyncSession, Depends(get_session)]


def reads(session: AsyncSession) -> bool:
    return isinstance(session.sync_session, ReadSession)


async def reading_guard(session: ReadSessionDep) -> AsyncSession:
    return session


async def writing_guard(session: SessionDep) -> AsyncSession:
    return session


Reading = Annotated[AsyncSession, Depends(reading_guard)]
Writing = Annotated[AsyncSession, Depends(writing_guard)]


@pytest.fixture
def seen(app: FastAPI) -> list[AsyncSession]:
    """The sessions passed to a request."""
    seen: list[AsyncSession] = []

    async def note_reading(session: ReadSessionDep) -> None:
        seen.append(session)

    async def note_writing(session: SessionDep) -> None:
        seen.append(session)

    router = APIRouter()
    guarded = APIRouter(dependencies=[Depends(note_reading)])
    inner = APIRouter()

    @app.get("/proofs/reader")
    async def reader(session: ReadSessionDep) -> None:
        seen.append(session)

    @app.get("/proofs/writer")
    async def writer(session: SessionDep) -> None:
        seen.append(session)

    @app.get("/proofs/habit")
    async def habit(session: HabitDep, other: SessionDep) -> None:
        seen.extend([session, other])

    @app.get("/proofs/writer-with-reading-guard")
    async def guarded_writer(guard: Reading, session: SessionDep) -> None:
        seen.extend([guard, session])

    @app.get("/proofs/reader-with-writing-guard")
    async def guarded_reader(session: ReadSessionDep, guard: Writing) -> None:
        seen.extend([guard, session])

    @guarded.get("/proofs/router-guard-reader")
    async def router_reader(session: ReadSessionDep) -> None:
        seen.append(session)

    @guarded.get("/proofs/router-guard-writer")
    async def router_writer(session: SessionDep) -> None:
        seen.append(session)

    @inner.get("/proofs/included-reader")
    async def included(session: ReadSessionDep) -> None:
        seen.append(session)

    router.include_router(inner, dependencies=[Depends(note_writing)])
    app.include_router(router)
    app.include_router(guarded)
    return seen


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("path", "only_reads"),
    [
        ("reader", True),
        ("writer", False),
        ("habit", False),
        ("writer-with-reading-guard", False),
        ("reader-with-writing-guard", False),
        ("router-guard-reader", True),
        ("router-guard-writer", False),
        ("included-reader", False),
    ],
)
async def test_request_has_one_session(
    client: AsyncClient, seen: list[AsyncSession], path: str, only_reads: bool, mode: str
) -> None:
    response = await client.get(f"/proofs/{path}")

    assert response.status_code == 200
    assert len(set(map(id, seen))) == 1
    assert reads(seen[0]) is only_reads


async def test_overridden_dependency_can_write(
    app: FastAPI, client: AsyncClient, seen: list[AsyncSession]
) -> None:
    """FastAPI does not report the dependencies of an override."""
    app.dependency_overrides[reading_guard] = writing_guard

    await client.get("/proofs/reader")

    assert not reads(seen[0])


@pytest.mark.parametrize("included", [False, True])
async def test_web_socket_has_one_session(app: FastAPI, included: bool) -> None:
    seen: list[bool] = []

    router = APIRouter()

    @router.websocket("/proofs/socket")
    async def socket(socket: WebSocket, session: ReadSessionDep) -> None:
        seen.append(reads(session))
        await socket.accept()

    if included:
        app.include_router(router)
    else:
        app.router.routes.extend(router.routes)

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        pass

    scope = {"type": "websocket", "path": "/proofs/socket", "query_string": b"", "headers": []}
    await app(scope, receive, send)

    assert seen == [True]


@pytest.mark.parametrize(
    "statement",
    [
        insert(Item).values(name="lamp"),
        update(Item).values(stock=1),
        delete(Item),
        select(Item).with_for_update(),
        text("INSERT INTO proof_items (name, stock) VALUES ('lamp', 1)"),
        text("  delete from proof_items"),
        text("CREATE TABLE proof_never (id INTEGER)"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("_shop_tables")
async def test_read_session_refuses_writes_and_locks(
    session_factories: tuple[SessionFactory, SessionFactory], statement: Any
) -> None:
    async with session_factories[1]() as session:
        with pytest.raises(ReadOnlyError, match="use SessionDep to write"):
            await session.execute(statement)


@pytest.mark.usefixtures("_shop_tables")
async def test_read_session_can_read(
    session_factories: tuple[SessionFactory, SessionFactory],
) -> None:
    async with session_factories[0]() as session:
        item = await add_item(session, name="lamp")
        await session.commit()

    async with session_factories[1]() as session:
        assert await session.get(Item, item.id)
        assert await session.scalar(text("select name from proof_items")) == "lamp"
        assert await session.scalar(text("WITH x AS (SELECT 1 AS one) SELECT one FROM x")) == 1
        assert await session.scalar(text("/* report */ SELECT 1")) == 1
        assert await session.scalar(func.count())
        statement = select(Item).from_statement(text("SELECT * FROM proof_items"))
        assert (await session.scalars(statement)).one().name == "lamp"
        async with session.begin_nested():
            assert await session.scalar(select(Item.name)) == "lamp"
        await session.rollback()
        assert await session.scalar(select(Item.name)) == "lamp"


@pytest.mark.usefixtures("_shop_tables")
@pytest.mark.parametrize("action", ["flush", "commit"])
async def test_read_session_refuses_flush_and_commit(
    session_factories: tuple[SessionFactory, SessionFactory], action: str
) -> None:
    async with session_factories[1]() as session:
        await session.scalar(select(1))
        if action == "flush":
            session.add(Item(name="lamp"))
        with pytest.raises(ReadOnlyError):
            await getattr(session, action)()


@pytest.mark.usefixtures("shop_app")
async def test_unflushed_add_is_refused(app: FastAPI, client: AsyncClient) -> None:
    @app.get("/proofs/add")
    async def add(session: ReadSessionDep) -> None:
        session.add(Item(name="lamp"))

    with pytest.raises(ReadOnlyError):
        await client.get("/proofs/add")


@pytest.mark.committed
async def test_database_refuses_undetected_writes(settings: CoreSettings) -> None:
    app = create_app(settings)

    @app.get("/proofs/sneak")
    async def sneak(session: ReadSessionDep) -> None:
        connection = await session.connection()
        await connection.execute(text("CREATE TABLE proof_sneaked (id INTEGER PRIMARY KEY)"))

    async with running(app) as client:
        assert (await client.get("/proofs/sneak")).status_code == 500


@pytest.mark.committed
@pytest.mark.usefixtures("_shop_tables")
async def test_read_session_sees_one_snapshot(
    session_factories: tuple[SessionFactory, SessionFactory], session: AsyncSession
) -> None:
    async with session_factories[1]() as reader:
        assert list(await reader.scalars(select(Item))) == []
        await add_item(session, name="lamp")
        await session.commit()
        assert list(await reader.scalars(select(Item))) == []

    async with session_factories[1]() as reader:
        assert len(list(await reader.scalars(select(Item)))) == 1


@pytest.mark.committed
@pytest.mark.usefixtures("shop_app")
async def test_concurrent_read_then_write_succeeds(
    app: FastAPI, client: AsyncClient, session: AsyncSession
) -> None:
    """On SQLite, a transaction that starts with a read could not write later."""
    item = await add_item(session, stock=0)

    @app.get("/proofs/count")
    async def count(session: SessionDep) -> None:
        found = await session.get_one(Item, item.id, with_for_update=True)
        found.stock += 1

    responses = await asyncio.gather(*(client.get("/proofs/count") for _ in range(6)))

    assert [response.status_code for response in responses] == [200] * 6
    assert item.stock == 6
