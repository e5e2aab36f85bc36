"""Constraints that are checked only at commit."""

import pytest
from fastapi import APIRouter, FastAPI
from httpx2 import AsyncClient
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from app.core import SessionDep
from tests.proofs.core.test_transactions import pool_is_full
from tests.proofs.shop import Base, Item


class Review(Base):
    __tablename__ = "proof_reviews"

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey(Item.id, deferrable=True, initially="DEFERRED"))


router = APIRouter()


@router.post("/reviews/{item_id}", status_code=201)
async def review(item_id: int, session: SessionDep) -> None:
    session.add(Review(item_id=item_id))
    await session.flush()


@pytest.mark.committed
@pytest.mark.usefixtures("shop_app")
async def test_deferred_violation_returns_409(
    app: FastAPI, client: AsyncClient, session: AsyncSession, engine: AsyncEngine
) -> None:
    app.include_router(router)

    response = await client.post("/reviews/12345")

    assert response.status_code == 409
    assert pool_is_full(engine)
    assert await session.scalar(select(func.count()).select_from(Review)) == 0
