"""Models and sessions: the base class of tables, and when a request's work is committed."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends
from fastapi.dependencies.models import Dependant
from fastapi.requests import HTTPConnection
from sqlalchemy import MetaData, TextClause, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, ORMExecuteState, Session

SessionFactory = async_sessionmaker[AsyncSession]


class Base(DeclarativeBase):
    """Base class of every model.

    Every constraint gets a name, so that a migration can drop it on any database:
    https://alembic.sqlalchemy.org/en/latest/naming.html
    """

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def create_session_factory(bind: AsyncEngine | AsyncConnection, **options: Any) -> SessionFactory:
    """Create the factory of all sessions on `bind`; `options` are those of a `Session`.

    Objects stay readable after a commit, because an expired attribute cannot be
    loaded outside an `await`. A closed session cannot be used again.
    """
    return async_sessionmaker(bind, expire_on_commit=False, close_resets_only=False, **options)


def create_read_session_factory(
    bind: AsyncEngine | AsyncConnection, **options: Any
) -> SessionFactory:
    """Create the factory of all sessions that refuse to write; see `create_session_factory`."""
    return create_session_factory(bind, **{"sync_session_class": ReadSession} | options)


async def get_session_factory(connection: HTTPConnection) -> SessionFactory:
    """Return the application's session factory."""
    factory: SessionFactory = connection.app.state.session_factory
    return factory


SessionFactoryDep = Annotated[SessionFactory, Depends(get_session_factory)]
"""For work that outlives the request: `async with session_factory.begin() as session`."""


async def _open_session(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    """Open the request's only session; commit when the handler has returned.

    Anything raised, including a cancellation, rolls back.
    """
    state = connection.app.state
    if _writes(connection):
        async with state.session_factory() as session:
            yield session
            await session.commit()
    else:
        async with state.read_session_factory() as session:
            yield session
            session.sync_session.flush()  # raises if something was added


ReadSessionDep = Annotated[AsyncSession, Depends(_open_session, scope="function")]
"""A session that only reads: it sees one snapshot, waits for no writer and refuses to write.

If anything else in the route asks for `SessionDep`, both are the one session that writes.
"""


async def get_session(session: ReadSessionDep) -> AsyncSession:
    """Return the request's session, which writes because the route has this dependency."""
    return session


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
"""A session that writes. It commits after the handler returns and before the response
is sent, so that a failed commit is never answered with a 2xx. A handler can also
flush, commit and roll back itself."""


def _writes(connection: HTTPConnection) -> bool:
    """Whether the handler, or anything it depends on, asks for `SessionDep`."""
    # FastAPI has no public way to ask for what `include_router(dependencies=...)` adds.
    route = connection.scope.get("fastapi", {}).get("effective_route_context")
    dependant = getattr(route or connection.scope.get("route"), "dependant", None)
    # What overrides a dependency is not in the route.
    return dependant is None or bool(connection.app.dependency_overrides) or _asks(dependant)


def _asks(dependant: Dependant) -> bool:
    return dependant.call is get_session or any(map(_asks, dependant.dependencies))


class ReadOnlyError(RuntimeError):
    """A session that only reads was told to write."""

    def __init__(self) -> None:
        super().__init__("ReadSessionDep only reads: ask for SessionDep to write.")


class ReadSession(Session):
    """A session that refuses to write. The database refuses what does not go through it."""


READING = re.compile(r"\s*(select|with|values|show|explain|pragma)\b", re.IGNORECASE)


@event.listens_for(ReadSession, "before_flush")
def _refuse_flush(*_: object) -> None:
    raise ReadOnlyError


@event.listens_for(ReadSession, "before_commit")
def _refuse_commit(session: Session) -> None:
    if not session.in_nested_transaction():
        raise ReadOnlyError


@event.listens_for(ReadSession, "do_orm_execute")
def _refuse_statement(execution: ORMExecuteState) -> None:
    statement = execution.statement
    if isinstance(statement, TextClause):
        reads = READING.match(statement.text) is not None
    else:
        locks = getattr(statement, "_for_update_arg", None) is not None
        reads = execution.is_select and not locks
    if not reads:
        raise ReadOnlyError
