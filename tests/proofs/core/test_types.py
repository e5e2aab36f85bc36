"""Times and decimals are stored exactly, and computed values are loaded."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Column, Integer, MetaData, String, Table, TypeDecorator, func, select
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base
from app.core.dialect import DIGITS, PLACES
from app.core.types import ExactDecimal, UnstorableError, UTCDateTime
from tests.proofs.kit import created, run

AT = datetime(2026, 3, 4, 5, 6, 7, 678901, timezone(timedelta(hours=5, minutes=45)))
LARGEST = Decimal(10 ** (DIGITS - PLACES)) - Decimal(1).scaleb(-PLACES)


class Kept(Base):
    """Not part of the service's metadata."""

    __abstract__ = True
    metadata = MetaData()


class Event(Kept):
    __tablename__ = "proof_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(50), default="event")
    at: Mapped[datetime | None]
    price: Mapped[Decimal | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), server_onupdate=None, onupdate=func.now()
    )


class OwnArguments(Kept):
    __tablename__ = "proof_own_arguments"
    __mapper_args__ = {"confirm_deleted_rows": False}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(50), default="event")
    length: Mapped[int] = mapped_column(server_default="3", onupdate=func.length("four"))


class Shout(TypeDecorator[str]):
    """A column type of a service."""

    impl = String(20)
    cache_ok = True


@pytest.fixture(scope="module", autouse=True)
async def _tables(engine: AsyncEngine) -> AsyncIterator[None]:
    async with created(engine, Kept.metadata):
        yield


async def stored(session: AsyncSession, **values: Any) -> Event:
    """Store an event, and read it again."""
    event = Event(**values)
    session.add(event)
    await session.flush()
    session.expunge(event)
    return await session.get_one(Event, event.id)


async def test_times_are_exact_and_in_utc(session: AsyncSession) -> None:
    event = await stored(session, at=AT)

    assert event.at == AT
    assert event.at is not None
    assert event.at.tzinfo is UTC
    assert event.at.isoformat() == "2026-03-03T23:21:07.678901+00:00"


async def test_times_are_compared_as_instants(session: AsyncSession) -> None:
    await stored(session, at=AT)
    later = AT.astimezone(UTC) + timedelta(microseconds=1)

    assert await session.scalar(select(Event.id).where(Event.at == AT.astimezone(UTC)))
    assert await session.scalar(select(Event.id).where(Event.at < later))
    assert not await session.scalar(select(Event.id).where(Event.at >= later))
    assert await session.scalar(select(func.max(Event.at))) == AT


async def test_naive_times_are_refused(session: AsyncSession) -> None:
    with pytest.raises(
        StatementError, match="A time without a time zone cannot be stored"
    ) as error:
        await stored(session, at=AT.replace(tzinfo=None))

    assert isinstance(error.value.orig, UnstorableError)


async def test_computed_times_are_loaded_without_waiting(session: AsyncSession) -> None:
    event = Event()
    session.add(event)
    await session.flush()
    assert abs(event.created_at - datetime.now(UTC)) < timedelta(minutes=1)

    event.title = "changed"
    await session.flush()

    assert event.updated_at >= event.created_at.replace(microsecond=0)


async def test_own_mapper_arguments_are_kept(session: AsyncSession) -> None:
    row = OwnArguments()
    session.add(row)
    await session.flush()
    assert row.length == 3

    row.title = "changed"
    await session.flush()

    assert row.length == 4
    assert not OwnArguments.__mapper__.confirm_deleted_rows


@pytest.mark.parametrize("price", ["1.25", "0.000001", "-3", "0", str(LARGEST), str(-LARGEST)])
async def test_decimals_are_exact(session: AsyncSession, price: str) -> None:
    event = await stored(session, price=Decimal(price))

    assert isinstance(event.price, Decimal)
    assert event.price == Decimal(price)
    assert await session.scalar(select(func.sum(Event.price))) == Decimal(price)
    assert await session.scalar(select(Event.price * 2)) == Decimal(price) * 2 or price in {
        str(LARGEST),
        str(-LARGEST),
    }


@pytest.mark.parametrize(
    ("price", "words"),
    [
        ("0.0000001", f"more than {PLACES} decimal places"),
        (str(LARGEST + Decimal(1).scaleb(-PLACES)), "digits before the point"),
        ("NaN", "not finite"),
        ("-Infinity", "not finite"),
    ],
)
async def test_decimals_that_would_be_rounded_are_refused(
    session: AsyncSession, price: str, words: str
) -> None:
    with pytest.raises(StatementError, match=words) as error:
        await stored(session, price=Decimal(price))

    assert isinstance(error.value.orig, UnstorableError)


@pytest.fixture
def _typed_table() -> Iterator[None]:
    """A table of the service's metadata, with types of core's and of the service."""
    table = Table(
        "proof_typed",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("at", UTCDateTime),
        Column("price", ExactDecimal),
        Column("word", Shout),
    )
    yield
    Base.metadata.remove(table)


@pytest.mark.usefixtures("_typed_table")
async def test_types_are_imported_by_migrations(
    scratch_engine: AsyncEngine, migration_config: Config
) -> None:
    await run(scratch_engine, command.upgrade, "head", config=migration_config)
    await run(
        scratch_engine, command.revision, "add typed", autogenerate=True, config=migration_config
    )
    await run(scratch_engine, command.upgrade, "head", config=migration_config)
    await run(scratch_engine, command.check, config=migration_config)
    await run(scratch_engine, command.downgrade, "base", config=migration_config)

    folder = Path(migration_config.get_main_option("script_location") or "", "versions")
    (written,) = folder.glob("*_add_typed.py")
    assert f"import {__name__}" in written.read_text()
    assert "app.core" not in written.read_text()
