"""Isolates tests from each other, and refreshes their objects after requests."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Self
from weakref import WeakSet

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import (
    JSON,
    Connection,
    MetaData,
    Table,
    TableClause,
    event,
    exists,
    inspect,
    select,
    table,
    tuple_,
)
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, SessionTransaction, selectinload
from sqlalchemy.schema import sort_tables_and_constraints

from app.core import CoreSettings, SessionFactory
from app.core.database import (
    Base,
    ReadSession,
    create_read_session_factory,
    create_session_factory,
)
from app.core.dialect import URL_EXAMPLE
from tests.core.database_server import empty

VERSIONS = "alembic_version"
"""Alembic's table."""


Factories = tuple[SessionFactory, SessionFactory]
"""Factories of read-write and read-only sessions."""


class OverlapError(RuntimeError):
    """Two sessions were in a transaction at the same time, on the test's only connection."""

    def __init__(self) -> None:
        super().__init__(
            "Two sessions are in a transaction at the same time, but the test has one connection: "
            "mark it with @pytest.mark.committed, or close one session before opening the other."
        )


class OtherLoopError(RuntimeError):
    """A session of the test was used in an event loop other than the test's."""

    def __init__(self) -> None:
        super().__init__(
            "The application runs in another event loop than the fixtures of the test: "
            "use the fixture `client`, or `with TestClient(create_app(settings))` without `session`."
        )


class EscapeError(RuntimeError):
    """Changes would not be rolled back at the end of the test."""


class CheckedSession(Session):
    """A session that is only used in the event loop of its test.

    If `info` contains `active`, at most one of its sessions can be in a transaction.
    """


class CheckedReadSession(CheckedSession, ReadSession):
    """A read-only session that is only used in the event loop of its test."""


@event.listens_for(CheckedSession, "after_transaction_create")
def _begin(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        if _running_loop() not in (None, session.info["loop"]):
            raise OtherLoopError
        active = session.info.get("active", set())
        if active:
            raise OverlapError
        active.add(session)


@event.listens_for(CheckedSession, "after_transaction_end")
def _end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None and "active" in session.info:
        session.info["active"].discard(session)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def checked_factories(
    bind: AsyncEngine | AsyncConnection,
    read_bind: AsyncEngine | AsyncConnection,
    **info: object,
) -> Factories:
    """Create factories of read-write and read-only sessions for the running event loop."""
    # In the default mode, a rollback in a handler would also undo the test's changes.
    options: dict[str, Any] = {
        "join_transaction_mode": "create_savepoint",
        "info": {"loop": asyncio.get_running_loop(), **info},
    }
    return (
        create_session_factory(bind, sync_session_class=CheckedSession, **options),
        create_read_session_factory(read_bind, sync_session_class=CheckedReadSession, **options),
    )


@asynccontextmanager
async def isolated(engine: AsyncEngine) -> AsyncIterator[Factories]:
    """Create session factories on one connection, whose changes are rolled back on exit."""
    async with engine.connect() as connection:
        transaction = await connection.begin()
        active: WeakSet[Session] = WeakSet()
        yield checked_factories(connection, connection, active=active)
        await transaction.rollback()
        assert not active, "The test did not close a session that it opened."


def isolate_applications(monkeypatch: pytest.MonkeyPatch, factories: Factories | None) -> None:
    """Isolate the applications that a test starts, and refuse to commit outside of them.

    Args:
        monkeypatch: the patches of the test.
        factories: the session factories of the test's fixtures. Without them, each
            application has its own connection, in the event loop that starts it.
    """
    test_url = make_url(os.environ["DATABASE_URL"])
    install = import_module("app.core.install")  # `app.core.install` is the function
    open_real_database = install._database

    @asynccontextmanager
    async def open_isolated_database(app: FastAPI, settings: CoreSettings) -> AsyncIterator[None]:
        if settings.database_url == make_url(URL_EXAMPLE):
            raise EscapeError(
                "The application was created without the test database: "
                "use the fixture `app`, or `create_app(settings)` with the fixture `settings`."
            )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(open_real_database(app, settings))
            if settings.database_url == test_url:
                own = factories
                if own is None:
                    own = await stack.enter_async_context(isolated(app.state.engine))
                app.state.session_factory, app.state.read_session_factory = own
            yield

    def refuse(engine: AsyncEngine) -> SessionFactory:
        if engine.url == test_url:
            raise EscapeError(
                "`open_database` commits: mark the test with @pytest.mark.committed, "
                "so that its changes are removed."
            )
        return create_session_factory(engine)

    monkeypatch.setattr(install, "_database", open_isolated_database)
    monkeypatch.setattr("app.core.engine.create_session_factory", refuse)


class SynchronizedTransport(httpx2.ASGITransport):
    """Sends requests to the application, and synchronizes the test's session with it."""

    def __init__(self, app: FastAPI, session: AsyncSession) -> None:
        super().__init__(app)
        self._session = session
        # Only one task at a time can use the session, also with several clients.
        self._lock: asyncio.Lock = session.info.setdefault("lock", asyncio.Lock())
        self._pending: set[asyncio.Future[None]] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Commit the test's session before the request, and refresh its objects afterward."""
        done = asyncio.get_running_loop().create_future()
        self._pending.add(done)
        try:
            async with self._lock:
                await self._session.commit()
            try:
                return await super().handle_async_request(request)
            finally:
                async with self._lock:
                    await reload(self._session)
        finally:
            self._pending.discard(done)
            done.set_result(None)

    async def aclose(self) -> None:
        """Wait for unfinished requests of a failed test, which still use its database."""
        if self._pending:
            await asyncio.wait(self._pending, timeout=5)


async def reload(session: AsyncSession) -> None:
    """Refresh the objects of a session, and expunge those whose rows were deleted."""
    groups = defaultdict(list)
    for instance in list(session.identity_map.values()):
        state = inspect(instance)
        related = state.dict.keys() & state.mapper.relationships.keys()
        groups[state.mapper, frozenset(related)].append(instance)
    for (mapper, related), instances in groups.items():
        key = [
            mapper.get_property_by_column(column).class_attribute for column in mapper.primary_key
        ]
        identities = [inspect(instance).identity for instance in instances]
        statement = (
            select(mapper.class_)
            .where(tuple_(*key).in_(identities))
            .options(
                *(selectinload(mapper.relationships[name].class_attribute) for name in related)
            )
            .execution_options(populate_existing=True)
        )
        found = {id(instance) for instance in (await session.scalars(statement)).unique()}
        for instance in instances:
            # A cascade can already have removed it from the session.
            if id(instance) not in found and instance in session:
                session.expunge(instance)
    await session.commit()


@dataclass(frozen=True)
class Contents:
    """All rows of a database, except Alembic's."""

    tables: list[tuple[Table, list[dict[str, Any]]]]
    """Each table that has rows, with its rows, in insertion order."""

    @classmethod
    async def of(cls, engine: AsyncEngine) -> Self:
        """Read the contents of a database."""
        async with engine.connect() as connection:
            # Checking for rows is much faster than reflecting columns.
            filled = [
                found
                for found in await _tables(connection)
                if await connection.scalar(select(exists().select_from(found)))
            ]
            tables = []
            for found in await connection.run_sync(_reflect, filled):
                for column in found.columns:
                    if isinstance(column.type, JSON):
                        column.type.none_as_null = True  # store NULL, not JSON null
                given = [column for column in found.columns if not column.computed]
                result = await connection.execute(select(*given))
                tables.append((found, [dict(row) for row in result.mappings()]))
        return cls(tables)

    async def restore(self, engine: AsyncEngine) -> None:
        """Restore the contents of a database; tables created since are emptied."""
        async with engine.begin() as connection:
            await empty(connection, await _tables(connection))
            for filled, rows in self.tables:
                await connection.execute(filled.insert(), rows)


async def _tables(connection: AsyncConnection) -> list[TableClause]:
    """Return the tables in the default schema, and in those of the models."""

    def find(sync: Connection) -> list[TableClause]:
        inspector = inspect(sync)
        schemas = {model.schema for model in Base.metadata.tables.values()}
        schemas = schemas - {inspector.default_schema_name} | {None}
        return [
            table(name, schema=schema)
            for schema in schemas
            for name in inspector.get_table_names(schema)
            if name != VERSIONS
        ]

    return await connection.run_sync(find)


def _reflect(connection: Connection, tables: list[TableClause]) -> list[Table]:
    """Load the columns of tables, and sort the tables by their foreign keys."""
    metadata = MetaData()
    loaded = [
        Table(found.name, metadata, schema=found.schema, autoload_with=connection)
        for found in tables
    ]
    order = sort_tables_and_constraints(loaded)  # type: ignore[no-untyped-call]
    return [found for found, _ in order if found is not None]
