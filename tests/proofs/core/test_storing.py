"""What handlers store, and what is answered if they cannot."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import BaseModel, ConfigDict
from sqlalchemy import MetaData, String, insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped, mapped_column
from structlog.testing import capture_logs

from app.core import CoreSettings
from app.core.database import Base, SessionDep
from tests.proofs.kit import create_app, created, running


class Kept(Base):
    """Not part of the service's metadata."""

    __abstract__ = True
    metadata = MetaData()


class Visit(Kept):
    __tablename__ = "proof_visits"

    id: Mapped[int] = mapped_column(primary_key=True)
    guest: Mapped[str] = mapped_column(String(20), unique=True)
    at: Mapped[datetime | None]
    paid: Mapped[Decimal | None]


class VisitRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    guest: str


@pytest.fixture
async def client(engine: AsyncEngine, settings: CoreSettings) -> AsyncIterator[AsyncClient]:
    app = create_app(settings)
    add_routes(app)
    async with created(engine, Kept.metadata), running(app) as client:
        yield client


def add_routes(app: FastAPI) -> None:
    @app.post("/visits", status_code=201)
    async def add(values: dict[str, Any], session: SessionDep) -> None:
        if "at" in values:
            values["at"] = datetime.fromisoformat(values["at"])
        if "paid" in values:
            values["paid"] = Decimal(values["paid"])
        await session.execute(insert(Visit).values(**values))

    @app.post("/forgotten-flush", status_code=201, response_model=VisitRead)
    async def forget(session: SessionDep) -> Visit:
        visit = Visit(guest="Kim")
        session.add(visit)
        return visit


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        ({"at": "2026-01-02T03:04:05"}, "2026-01-02T03:04:05 has no time zone."),
        ({"paid": "0.0000001"}, "1E-7 has more than 6 decimal places."),
    ],
)
async def test_value_that_cannot_be_stored_returns_422(
    client: AsyncClient, values: dict[str, str], detail: str
) -> None:
    with capture_logs() as logs:
        response = await client.post("/visits", json={"guest": "Kim", **values})

    assert response.status_code == 422
    assert response.json()["detail"] == detail
    assert "value cannot be stored" in [entry["event"] for entry in logs]


async def test_missing_value_returns_500_and_a_duplicate_409(client: AsyncClient) -> None:
    assert (await client.post("/visits", json={"guest": None})).status_code == 500
    assert (await client.post("/visits", json={})).status_code == 500
    assert (await client.post("/visits", json={"guest": "Kim"})).status_code == 201
    assert (await client.post("/visits", json={"guest": "Kim"})).status_code == 409


async def test_forgotten_flush_is_named_in_the_log(client: AsyncClient) -> None:
    with capture_logs() as logs:
        response = await client.post("/forgotten-flush")

    assert response.status_code == 500
    assert any("Flush the session" in entry["event"] for entry in logs)


async def test_unexpected_error_closes_the_connection(client: AsyncClient) -> None:
    response = await client.post("/forgotten-flush")

    assert response.headers["Connection"] == "close"
