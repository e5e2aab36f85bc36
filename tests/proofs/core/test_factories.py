"""Factories use the model's defaults, and never collide."""

import os
from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    BigInteger,
    Computed,
    DateTime,
    ForeignKey,
    Index,
    Numeric,
    SmallInteger,
    String,
    TypeDecorator,
    UniqueConstraint,
    func,
)
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import tests.core
from app import core
from tests.core.factories import ModelFactory
from tests.proofs.kit import created


class Base(DeclarativeBase):
    type_annotation_map = core.Base.type_annotation_map


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Shout(TypeDecorator[str]):
    impl = String(12)
    cache_ok = True

    def process_bind_param(self, value: str | None, _: object) -> str | None:
        return value and value.upper()


class Maker(Base):
    __tablename__ = "proof_makers"

    code: Mapped[str] = mapped_column(String(4), primary_key=True)
    rank: Mapped[int] = mapped_column(SmallInteger, unique=True)


class Boat(Base):
    __tablename__ = "proof_boats"
    __table_args__ = (
        UniqueConstraint("maker_code", "launched_on", "size"),
        Index("proof_boats_hull", "hull", unique=True),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    maker_code: Mapped[str] = mapped_column(ForeignKey("proof_makers.code"))
    maker: Mapped[Maker] = relationship()
    name: Mapped[str] = mapped_column(String(20), unique=True)
    mark: Mapped[str] = mapped_column(Shout)
    hull: Mapped[int] = mapped_column(BigInteger)
    launched_on: Mapped[date]
    size: Mapped[Size]
    built_at: Mapped[datetime]
    seen_at: Mapped[datetime] = mapped_column(DateTime)
    price: Mapped[Decimal]
    tax: Mapped[Decimal] = mapped_column(Numeric(4, 2))
    token: Mapped[UUID] = mapped_column(default=uuid4, unique=True)
    stock: Mapped[int] = mapped_column(default=7)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    twice: Mapped[int] = mapped_column(Computed("stock * 2", persisted=True))
    note: Mapped[str | None] = mapped_column(String(50))

    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "boat"}  # noqa: RUF012


class MakerFactory(ModelFactory[Maker]):
    """Makers."""


class BoatFactory(ModelFactory[Boat]):
    """Boats."""

    maker = MakerFactory


@pytest.fixture(scope="module", autouse=True)
async def _tables(engine: AsyncEngine) -> AsyncIterator[None]:
    async with created(engine, Base.metadata):
        yield


async def test_batches_do_not_collide(session: AsyncSession) -> None:
    maker = await MakerFactory.add(session)
    for _ in range(50):
        await BoatFactory.add_batch(session, 50, maker=maker, size=Size.SMALL)


async def test_batches_of_short_keys_do_not_collide(session: AsyncSession) -> None:
    for _ in range(200):
        await MakerFactory.add_batch(session, 50)


async def test_values_that_need_none_are_left_out(session: AsyncSession) -> None:
    built: Any = BoatFactory.build()
    assert (built.stock, built.token, built.note, built.created_at) == (None,) * 4

    boat = await BoatFactory.add(session)
    await session.refresh(boat, ["kind", "stock", "twice", "note", "mark", "price"])

    assert (boat.kind, boat.stock, boat.twice, boat.note) == ("boat", 7, 14, None)
    assert boat.maker.code == boat.maker_code
    assert len(boat.name) == 15
    assert boat.mark.startswith("K-")
    assert boat.price == round(boat.price, 2)


async def test_given_values_are_used(session: AsyncSession) -> None:
    boats = await BoatFactory.add_batch(session, 2, note="fast", stock=1)

    assert [(boat.note, boat.stock) for boat in boats] == [("fast", 1)] * 2


def test_foreign_key_must_be_given() -> None:
    class Bare(ModelFactory[Boat]):
        pass

    built: Any = Bare.build()

    assert (built.maker, built.maker_code) == (None, None)


def test_declared_values_are_used() -> None:
    class Noted(ModelFactory[Boat]):
        note = "declared"
        stock = 3

    built = Noted.build()

    assert (built.note, built.stock) == ("declared", 3)


def test_exhausted_column_is_named() -> None:
    class Tiny(Base):
        __tablename__ = "proof_tiny"
        __table_args__ = {"info": {}}  # noqa: RUF012

        code: Mapped[str] = mapped_column(String(1), primary_key=True)

    Base.metadata.remove(Tiny.__table__)  # type: ignore[arg-type]

    class TinyFactory(ModelFactory[Tiny]):
        pass

    with pytest.raises(ValueError, match=r"Pass a value for proof_tiny\.code"):
        TinyFactory.batch(40)


def values(seed: str, test: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setenv("FACTORY_SEED", seed)
    monkeypatch.setenv("PYTEST_CURRENT_TEST", f"{test} (call)")
    monkeypatch.setattr(ModelFactory, "_test", None)
    monkeypatch.setattr(ModelFactory, "_used", {})
    boats = BoatFactory.batch(3)
    return [(boat.name, boat.hull, boat.price, boat.built_at, boat.size) for boat in boats]


def test_values_depend_on_the_seed_and_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    first = values("1", "a", monkeypatch)

    assert values("1", "a", monkeypatch) == first
    assert values("2", "a", monkeypatch) != first
    assert values("1", "b", monkeypatch) != first


def test_failure_names_the_seed() -> None:
    report: Any = SimpleNamespace(failed=True, sections=[])
    hook: Any = tests.core.pytest_runtest_makereport()
    next(hook)

    with pytest.raises(StopIteration):
        hook.send(report)

    ((_, text),) = report.sections
    assert text == f"To repeat them, set FACTORY_SEED={os.environ['FACTORY_SEED']}."
