"""Base class of models, session factories and session dependencies."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from fastapi import Depends
from fastapi.dependencies.models import Dependant
from fastapi.requests import HTTPConnection
from sqlalchemy import MetaData, TextClause, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapper, ORMExecuteState, Session
from starlette.datastructures import State

from app.core.routes import route_of
from app.core.types import ExactDecimal, UTCDateTime

SessionFactory = async_sessionmaker[AsyncSession]


class Base(DeclarativeBase):
    """Base class of all models.

    A `datetime` has a time zone, and a `Decimal` is exact. Values that the database
    computes are loaded when a row is written, because this requires an `await`.

    `session_class` is the class of all sessions. To use a subclass, assign it once, in a
    module that the models import.

    The naming convention names every constraint, so that migrations can drop it:
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
    type_annotation_map: ClassVar = {datetime: UTCDateTime(), Decimal: ExactDecimal()}
    session_class: ClassVar[type[AsyncSession]] = AsyncSession


@event.listens_for(Mapper, "instrument_class")  # also models with another base class
def _load_computed_values(mapper: Mapper[Any], _: type) -> None:
    if mapper.eager_defaults == "auto":  # a model can choose otherwise
        mapper.eager_defaults = True


def create_session_factory(bind: AsyncEngine | AsyncConnection, **options: Any) -> SessionFactory:
    """Create a factory of sessions bound to `bind`; `options` are passed to each `Session`.

    Objects do not expire on commit, because loading an expired attribute requires an
    `await`. A closed session cannot be reused.
    """
    session_class = Base.session_class
    if kind := options.get("sync_session_class"):
        bases = (kind, session_class.sync_session_class)
        options["sync_session_class"] = type(kind.__name__, bases, {})
    return async_sessionmaker(
        bind, class_=session_class, expire_on_commit=False, close_resets_only=False, **options
    )


def create_read_session_factory(
    bind: AsyncEngine | AsyncConnection, **options: Any
) -> SessionFactory:
    """Create a factory of read-only sessions; see `create_session_factory`."""
    return create_session_factory(bind, **{"sync_session_class": ReadSession} | options)


async def get_session_factory(connection: HTTPConnection) -> SessionFactory:
    """Return the application's session factory."""
    factory: SessionFactory = _state(connection).session_factory
    return factory


SessionFactoryDep = Annotated[SessionFactory, Depends(get_session_factory)]
"""Session factory for work that outlives the request: `async with factory.begin() as session`."""


async def _open_session(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    """Open the request's session, and commit it after the handler returns.

    Any exception, including cancellation, rolls back.
    """
    state = _state(connection)
    if _writes(connection):
        async with state.session_factory() as session:
            yield session
            await session.commit()
    else:
        async with state.read_session_factory() as session:
            yield session
            session.sync_session.flush()  # raises on pending changes


ReadSessionDep = Annotated[AsyncSession, Depends(_open_session, scope="function")]
"""Read-only session. It sees a single snapshot, never waits for a writer and rejects writes.

If any dependency of the route uses `SessionDep`, both are the same read-write session.
"""


async def get_session(session: ReadSessionDep) -> AsyncSession:
    """Return the request's session; this dependency makes it read-write."""
    return session


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
"""Read-write session. It is committed after the handler returns and before the response
is sent, so that a failed commit never results in a 2xx response. Handlers can also
flush, commit and roll back explicitly."""


def _state(connection: HTTPConnection) -> State:
    state: State = connection.app.state
    if not hasattr(state, "session_factory"):
        raise RuntimeError(
            "The application's lifespan has not started, so the database is not open: "
            "in tests, use `with TestClient(app) as client`."
        )
    return state


def _writes(connection: HTTPConnection) -> bool:
    """Return whether the handler or any of its dependencies uses `SessionDep`."""
    dependant = getattr(route_of(connection.scope), "dependant", None)
    # The route does not show the dependencies of overrides.
    return dependant is None or bool(connection.app.dependency_overrides) or _asks(dependant)


def _asks(dependant: Dependant) -> bool:
    return dependant.call is get_session or any(map(_asks, dependant.dependencies))


class ReadOnlyError(RuntimeError):
    """A write was attempted on a read-only session."""

    def __init__(self) -> None:
        super().__init__("ReadSessionDep is read-only: use SessionDep to write.")


class ReadSession(Session):
    """A session that rejects writes. The database rejects those that bypass the session."""


WRITING = re.compile(
    r"\s*(insert|update|delete|replace|merge|truncate|create|alter|drop)\b", re.IGNORECASE
)
"""Writes that tests refuse, because both kinds of their sessions share a connection."""


@event.listens_for(ReadSession, "before_flush")
def _reject_flush(*_: object) -> None:
    raise ReadOnlyError


@event.listens_for(ReadSession, "before_commit")
def _reject_commit(session: Session) -> None:
    if not session.in_nested_transaction():
        raise ReadOnlyError


@event.listens_for(ReadSession, "do_orm_execute")
def _reject_statement(execution: ORMExecuteState) -> None:
    statement = getattr(execution.statement, "element", execution.statement)  # of from_statement
    if isinstance(statement, TextClause):
        writes = WRITING.match(statement.text) is not None
    else:
        locks = getattr(statement, "_for_update_arg", None) is not None
        writes = execution.is_insert or execution.is_update or execution.is_delete or locks
    if writes:
        raise ReadOnlyError
