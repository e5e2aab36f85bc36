"""A small shop whose handlers use sessions in every possible way."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, HTTPException
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import CheckConstraint, ForeignKey, MetaData, String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from app import core
from app.core import ReadSessionDep, SessionDep, SessionFactory, SessionFactoryDep

router = APIRouter(prefix="/items")


class Base(DeclarativeBase):
    """Separate from the application's base, whose tables are compared with the migrations."""

    metadata = MetaData(naming_convention=core.Base.metadata.naming_convention)


class Part(Base):
    __tablename__ = "proof_parts"

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("proof_items.id"))


class Item(Base):
    __tablename__ = "proof_items"
    __table_args__ = (CheckConstraint("stock >= 0", name="stock"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    stock: Mapped[int] = mapped_column(default=0)
    parts: Mapped[list[Part]] = relationship(cascade="all, delete-orphan")


class ItemIn(BaseModel):
    name: str
    stock: int = 0


class ItemOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    stock: int


class ShortItem(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: Annotated[str, StringConstraints(max_length=3)]


@router.get("", response_model=list[ItemOut])
async def list_items(session: SessionDep) -> list[Item]:
    return list(await session.scalars(select(Item).order_by(Item.id)))


@router.post("", status_code=201)
async def add(data: ItemIn, session: SessionDep) -> None:
    # Not flushed, so the INSERT happens at commit.
    session.add(Item(**data.model_dump()))


@router.put("/{item_id}", response_model=ItemOut)
async def replace(item_id: int, data: ItemIn, session: SessionDep) -> Item:
    item = await session.get_one(Item, item_id)
    item.name, item.stock = data.name, data.stock
    return item


@router.delete("/{item_id}", status_code=204)
async def remove(item_id: int, session: SessionDep) -> None:
    await session.delete(await session.get_one(Item, item_id))


@router.post("/{item_id}/buy", status_code=204)
async def buy(item_id: int, session: SessionDep) -> None:
    item = await session.get_one(Item, item_id, with_for_update=True)
    if item.stock == 0:
        raise HTTPException(409, "Sold out.")
    item.stock -= 1


@router.post("/under-a-free-name", status_code=201, response_model=ItemOut)
async def add_under_a_free_name(names: list[str], session: SessionDep) -> Item:
    for name in names:
        item = Item(name=name)
        session.add(item)
        try:
            await session.flush()
        except IntegrityError:
            await session.rollback()
        else:
            return item
    raise HTTPException(409, "No name is free.")


@router.post("/in-two-transactions", status_code=201)
async def add_in_two_transactions(names: list[str], session: SessionDep) -> None:
    kept, dropped, last = names
    session.add(Item(name=kept))
    await session.commit()
    session.add(Item(name=dropped))
    await session.flush()
    await session.rollback()
    session.add(Item(name=last))


@router.post("/then-raise")
async def add_then_raise(data: ItemIn, session: SessionDep) -> None:
    session.add(Item(**data.model_dump()))
    await session.flush()
    raise HTTPException(418, "I changed my mind.")


@router.post("/then-break")
async def add_then_break(data: ItemIn, session: SessionDep) -> None:
    session.add(Item(**data.model_dump()))
    await session.flush()
    raise ZeroDivisionError


@router.post("/then-be-cancelled")
async def add_then_be_cancelled(data: ItemIn, session: SessionDep) -> None:
    session.add(Item(**data.model_dump()))
    await session.flush()
    request = asyncio.current_task()
    assert request
    request.cancel()
    await asyncio.sleep(0)


@router.post("/then-answer-badly", status_code=201, response_model=ShortItem)
async def add_then_answer_badly(data: ItemIn, session: SessionDep) -> Item:
    item = Item(**data.model_dump())
    session.add(item)
    return item


@router.post("/restocked-later", status_code=201, response_model=ItemOut)
async def add_and_restock_later(
    data: ItemIn,
    session: SessionDep,
    session_factory: SessionFactoryDep,
    background: BackgroundTasks,
) -> Item:
    item = Item(**data.model_dump())
    session.add(item)
    await session.flush()
    background.add_task(restock, session_factory, item.id)
    return item


async def restock(session_factory: SessionFactory, item_id: int) -> None:
    async with session_factory.begin() as session:
        item = await session.get_one(Item, item_id)
        item.stock += 100


@router.get("/read", response_model=list[ItemOut])
async def read_items(session: ReadSessionDep) -> list[Item]:
    return list(await session.scalars(select(Item).order_by(Item.id)))
