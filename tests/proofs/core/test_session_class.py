"""A service can choose the class of its sessions, and models can have another base class."""

import pytest
from sqlalchemy import MetaData, inspect
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from app.core.database import (
    Base,
    ReadOnlyError,
    create_read_session_factory,
    create_session_factory,
)
from tests.core.isolation import isolated


class OwnSession(Session):
    def greet(self) -> str:
        return "hello"


class OwnAsyncSession(AsyncSession):
    sync_session_class = OwnSession


class OtherBase(DeclarativeBase):
    metadata = MetaData()


class OfOtherBase(OtherBase):
    __tablename__ = "proof_other_base"

    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture(autouse=True)
def _own_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Base, "session_class", OwnAsyncSession)


async def test_sessions_have_the_class_of_the_service(engine: AsyncEngine) -> None:
    async with create_session_factory(engine)() as session:
        assert isinstance(session, OwnAsyncSession)
        assert isinstance(session.sync_session, OwnSession)


async def test_read_sessions_of_that_class_reject_writes(engine: AsyncEngine) -> None:
    async with create_read_session_factory(engine)() as session:
        assert isinstance(session, OwnAsyncSession)
        assert isinstance(session.sync_session, OwnSession)
        with pytest.raises(ReadOnlyError):
            await session.commit()


async def test_isolated_sessions_have_that_class(engine: AsyncEngine) -> None:
    async with isolated(engine) as (session_factory, _), session_factory() as session:
        assert isinstance(session, OwnAsyncSession)
        assert isinstance(session.sync_session, OwnSession)
        assert session.sync_session.greet() == "hello"


def test_computed_values_of_models_with_another_base_are_loaded() -> None:
    assert inspect(OfOtherBase).eager_defaults is True
