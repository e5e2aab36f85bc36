"""How tests are kept apart from each other, and their view of the database up to date."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self
from weakref import WeakSet

import httpx2
from fastapi import FastAPI
from sqlalchemy import JSON, MetaData, Table, event, exists, inspect, select, table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, SessionTransaction
from starlette.datastructures import State

from tests.database_server import empty

VERSIONS = "alembic_version"
"""The table that only Alembic writes to."""


class OverlapError(RuntimeError):
    """Two sessions were in a transaction at once, on the one connection of the test."""

    def __init__(self) -> None:
        super().__init__(
            "Two sessions are in a transaction at once, but this test has only one connection: "
            "mark it with @pytest.mark.committed, or let the one session end before the other begins."
        )


class IsolatedSession(Session):
    """A session on the test's connection, whose savepoints only work one after the other."""

    active: ClassVar[WeakSet[Session]] = WeakSet()


@event.listens_for(IsolatedSession, "after_transaction_create")
def _begin(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        if IsolatedSession.active:
            raise OverlapError
        IsolatedSession.active.add(session)


@event.listens_for(IsolatedSession, "after_transaction_end")
def _end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        IsolatedSession.active.discard(session)


class SynchronizedTransport(httpx2.ASGITransport):
    """Carries requests to the application, and keeps the test's session in step with them."""

    def __init__(self, app: FastAPI, session: AsyncSession) -> None:
        super().__init__(app)
        self._session = session
        self._lock = asyncio.Lock()  # of the session, which only one task at a time may use
        self._underway: set[asyncio.Future[None]] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request that sees what the test arranged, and show the test what it changed."""
        done = asyncio.get_running_loop().create_future()
        self._underway.add(done)
        try:
            async with self._lock:
                await self._session.commit()
            try:
                return await super().handle_async_request(request)
            finally:
                async with self._lock:
                    await reload(self._session)
        finally:
            self._underway.discard(done)
            done.set_result(None)

    async def aclose(self) -> None:
        """Wait for requests that a failed test no longer waits for: they still use its database."""
        if self._underway:
            await asyncio.wait(self._underway, timeout=5)


async def reload(session: AsyncSession) -> None:
    """Read the objects again that a session holds; let go of those whose rows are gone."""
    for instance in list(session.identity_map.values()):
        state = inspect(instance)
        related = state.dict.keys() & state.mapper.relationships.keys()
        if await session.get(type(instance), state.identity, populate_existing=True):
            if related:
                await session.refresh(instance, related)
        elif instance in session:  # and has not gone with what it belonged to
            session.expunge(instance)
    await session.commit()


@contextmanager
def unchanged(app: FastAPI) -> Iterator[None]:
    """Undo what is changed about an application meanwhile."""
    routes, middleware = app.router.routes[:], app.user_middleware[:]
    handlers, overrides = dict(app.exception_handlers), dict(app.dependency_overrides)
    state = {name: app.state[name] for name in app.state}
    try:
        yield
    finally:
        app.router.routes[:], app.user_middleware[:] = routes, middleware
        app.exception_handlers, app.dependency_overrides = handlers, overrides
        app.state = State(state)
        # What is made of these on first use, and then kept.
        app.middleware_stack = app.openapi_schema = None


@dataclass(frozen=True)
class Contents:
    """All rows of a database but Alembic's own."""

    rows: dict[str, list[dict[str, Any]]]
    tables: list[Table] = field(compare=False)
    """Those that have rows, in an order in which these can be inserted."""

    @classmethod
    async def of(cls, engine: AsyncEngine) -> Self:
        """Read the contents of a database."""
        metadata = MetaData()
        async with engine.connect() as connection:
            rows: dict[str, list[dict[str, Any]]] = {name: [] for name in await _names(connection)}
            # A look at the rows is much quicker than one at the columns.
            filled = [
                name
                for name in rows
                if await connection.scalar(select(exists().select_from(table(name))))
            ]
            if filled:
                await connection.run_sync(metadata.reflect, only=filled)
            tables = [found for found in metadata.sorted_tables if found.name in filled]
            for found in tables:
                for column in found.columns:
                    if isinstance(column.type, JSON):
                        column.type.none_as_null = True  # instead of as the JSON value null
                given = [column for column in found.columns if not column.computed]
                result = await connection.execute(select(*given))
                rows[found.name] = [dict(row) for row in result.mappings()]
        return cls(rows, tables)

    async def restore(self, engine: AsyncEngine) -> None:
        """Give a database these contents, whatever it has now, in tables that were added too."""
        async with engine.begin() as connection:
            await empty(connection, await _names(connection))
            for filled in self.tables:
                await connection.execute(filled.insert(), self.rows[filled.name])


async def _names(connection: AsyncConnection) -> list[str]:
    names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    return [name for name in names if name != VERSIONS]
