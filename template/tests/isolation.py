"""How tests are kept apart from each other, and their view of the database up to date."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self
from weakref import WeakSet

import httpx2
from fastapi import FastAPI
from sqlalchemy import MetaData, Table, event, inspect, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

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
        identity = inspect(instance).identity
        if await session.get(type(instance), identity, populate_existing=True) is None:
            session.expunge(instance)
    await session.commit()


@dataclass(frozen=True)
class Contents:
    """All rows of a database but Alembic's own."""

    rows: dict[str, list[dict[str, Any]]]
    tables: list[Table] = field(compare=False)
    """In an order in which the rows can be inserted."""

    @classmethod
    async def of(cls, engine: AsyncEngine) -> Self:
        """Read the contents of a database."""
        metadata = MetaData()
        rows = {}
        async with engine.connect() as connection:
            await connection.run_sync(metadata.reflect)
            tables = [table for table in metadata.sorted_tables if table.name != VERSIONS]
            for table in tables:
                found = await connection.execute(select(table))
                rows[table.name] = [dict(row) for row in found.mappings()]
        return cls(rows, tables)

    async def restore(self, engine: AsyncEngine) -> None:
        """Give a database these contents, whatever it has now, in tables that were added too."""
        async with engine.begin() as connection:
            names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
            await empty(connection, [name for name in names if name != VERSIONS])
            for table in self.tables:
                if rows := self.rows[table.name]:
                    await connection.execute(table.insert(), rows)
