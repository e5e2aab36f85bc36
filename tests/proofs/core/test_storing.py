"""What handlers store, and what is answered if they cannot."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from fastapi import Body, FastAPI
from httpx2 import AsyncClient
from pydantic import BaseModel, ConfigDict
from sqlalchemy import (
    BigInteger,
    Dialect,
    MetaData,
    SmallInteger,
    String,
    TypeDecorator,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped, mapped_column
from structlog.testing import capture_logs

from app.core import CoreSettings
from app.core.database import Base, ReadSessionDep, SessionDep
from tests.proofs.kit import create_app, created, running


class Kept(Base):
    """Not part of the service's metadata."""

    __abstract__ = True
    metadata = MetaData()


class Short(TypeDecorator[str]):
    """A type of a service that shortens."""

    impl = String(3)
    cache_ok = True

    def process_bind_param(self, value: str | None, _: Dialect) -> str | None:
        return value and value[:3]


class Visit(Kept):
    __tablename__ = "proof_visits"

    id: Mapped[int] = mapped_column(primary_key=True)
    guest: Mapped[str] = mapped_column(String(20), unique=True)
    at: Mapped[datetime | None]
    paid: Mapped[Decimal | None]
    seats: Mapped[int | None]
    points: Mapped[int | None] = mapped_column(BigInteger)
    floor: Mapped[int | None] = mapped_column(SmallInteger)
    nick: Mapped[str | None] = mapped_column("nick name", String(3))
    note: Mapped[str | None] = mapped_column(Short())


class VisitRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    guest: str


def converted(values: dict[str, Any]) -> dict[str, Any]:
    if "at" in values:
        values["at"] = datetime.fromisoformat(values["at"])
    if "paid" in values:
        values["paid"] = Decimal(values["paid"])
    return values


@pytest.fixture
async def client(engine: AsyncEngine, settings: CoreSettings) -> AsyncIterator[AsyncClient]:
    app = create_app(settings)
    add_routes(app)
    async with created(engine, Kept.metadata), running(app) as client:
        yield client


def add_routes(app: FastAPI) -> None:
    @app.post("/visits", status_code=201)
    async def add(values: dict[str, Any], session: SessionDep) -> None:
        await session.execute(insert(Visit).values(converted(values)))

    @app.post("/two-visits", status_code=201)
    async def add_two(values: dict[str, Any], session: SessionDep) -> None:
        rows = [dict.fromkeys(values) | {"guest": "Sam"}, converted(values)]
        await session.execute(insert(Visit).values(rows))

    @app.post("/many-visits", status_code=201)
    async def add_many(values: dict[str, Any], session: SessionDep) -> None:
        rows = [dict.fromkeys(values) | {"guest": "Sam"}, converted(values)]
        await session.execute(insert(Visit), rows)

    @app.put("/visits", status_code=204)
    async def change(values: dict[str, Any], session: SessionDep) -> None:
        session.add(Visit(guest="Sam"))
        await session.flush()
        await session.execute(update(Visit).where(Visit.guest == "S" * 99).values(seats=1))
        await session.execute(update(Visit).where(Visit.id.in_([1, 2])).values(converted(values)))

    @app.get("/visits/{visit_id}")
    async def read(visit_id: int, session: ReadSessionDep) -> str:
        return (await session.get_one(Visit, visit_id)).guest

    @app.post("/search")
    async def search(session: ReadSessionDep, guest: str = Body(embed=True)) -> list[str]:
        return list(await session.scalars(select(Visit.guest).where(Visit.guest.ilike(guest))))

    @app.post("/list")
    async def listed(ids: list[int], session: ReadSessionDep) -> list[str]:
        return list(await session.scalars(select(Visit.guest).where(Visit.id.in_(ids))))

    @app.get("/raw-visits/{visit_id}")
    async def read_raw(visit_id: int, session: ReadSessionDep) -> None:
        statement = text("SELECT guest FROM proof_visits WHERE id = :id")
        (await session.execute(statement, {"id": visit_id})).scalar_one()

    @app.post("/raw-visits", status_code=201)
    async def add_raw(session: SessionDep, guest: str = Body(embed=True)) -> None:
        statement = text("INSERT INTO proof_visits (guest) VALUES (:guest)")
        await session.execute(statement, {"guest": guest})

    @app.post("/forgotten-flush", status_code=201, response_model=VisitRead)
    async def forget(session: SessionDep) -> Visit:
        visit = Visit(guest="Kim")
        session.add(visit)
        return visit


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        ({"at": "2026-01-02T03:04:05"}, "A time without a time zone cannot be stored."),
        ({"paid": "0.0000001"}, "A number has more than 6 decimal places."),
        ({"at": "9999-12-31T23:59:59-01:00"}, "A time is out of range."),
        ({"paid": "NaN"}, "A number is not finite."),
        ({"guest": "K" * 21}, "guest has more than 20 characters."),
        ({"guest": "K\0"}, "guest contains characters that cannot be stored."),
        ({"guest": "K\ud800"}, "guest contains characters that cannot be stored."),
        ({"seats": 2**31}, "seats is out of range."),
        ({"seats": -(2**31) - 1}, "seats is out of range."),
        ({"points": 2**63}, "points is out of range."),
        ({"floor": 2**15}, "floor is out of range."),
        ({"nick": "K" * 4}, "nick name has more than 3 characters."),
    ],
)
async def test_value_that_cannot_be_stored_returns_422(
    client: AsyncClient, values: dict[str, Any], detail: str
) -> None:
    for method, path in (
        ("POST", "/visits"),
        ("POST", "/two-visits"),
        ("POST", "/many-visits"),
        ("PUT", "/visits"),
    ):
        with capture_logs() as logs:
            # The client's encoder refuses lone surrogates.
            response = await client.request(
                method,
                path,
                content=json.dumps({"guest": "Kim", **values}),
                headers={"Content-Type": "application/json"},
            )

        assert response.status_code == 422
        assert response.json()["detail"] == detail
        (entry,) = [entry for entry in logs if entry["event"] == "value cannot be stored"]
        assert entry["log_level"] == "warning"


async def test_long_text_is_compared(client: AsyncClient) -> None:
    assert (await client.put("/visits", json={"guest": "K"})).status_code == 204


@pytest.mark.parametrize("number", [2**31, 2**70])
async def test_number_out_of_range_in_a_list_returns_422(client: AsyncClient, number: int) -> None:
    response = await client.post("/list", json=[1, number])

    assert response.status_code == 422


@pytest.mark.parametrize("number", ["2147483648", "9223372036854775808", "1" * 40])
async def test_id_out_of_range_returns_422(client: AsyncClient, number: str) -> None:
    for path in ("/visits", "/raw-visits"):
        response = await client.get(f"{path}/{number}")

        # In raw SQL, databases compare larger integers than they store.
        assert response.status_code in ({422} if path == "/visits" else {404, 422})


async def test_missing_row_returns_404(client: AsyncClient) -> None:
    response = await client.get("/visits/1")

    assert response.status_code == 404
    assert response.json()["detail"] == "The requested data does not exist."


@pytest.mark.parametrize(
    ("guest", "status"), [("%" + "K" * 20 + "%", 200), ("K\0", 422), ("K\ud800", 422)]
)
async def test_search_can_be_longer_than_the_column(
    client: AsyncClient, guest: str, status: int
) -> None:
    response = await client.post(
        "/search",
        content=json.dumps({"guest": guest}),
        headers={"Content-Type": "application/json"},
    )

    assert response.status_code == status


async def test_largest_values_are_stored(client: AsyncClient) -> None:
    largest = {"seats": 2**31 - 1, "points": 2**63 - 1, "floor": -(2**15), "guest": "é" * 20}
    assert (await client.post("/visits", json=largest)).status_code == 201


async def test_values_that_a_type_converts_are_not_checked(client: AsyncClient) -> None:
    assert (await client.post("/visits", json={"guest": "Kim", "note": "n" * 9})).status_code == 201


async def test_error_of_the_database_about_a_value_returns_422(
    client: AsyncClient, settings: CoreSettings
) -> None:
    """SQLite stores such a value."""
    with capture_logs() as logs:
        response = await client.post("/raw-visits", json={"guest": "K" * 21})

    if settings.database_url.get_backend_name() == "sqlite":
        assert response.status_code == 201
    else:
        assert response.status_code == 422
        (entry,) = [entry for entry in logs if entry["event"] == "database error"]
        assert entry["log_level"] == "warning"


async def test_missing_value_returns_500_and_a_duplicate_409(client: AsyncClient) -> None:
    assert (await client.post("/visits", json={"guest": None})).status_code == 500
    assert (await client.post("/visits", json={})).status_code == 500
    assert (await client.post("/visits", json={"guest": "Kim"})).status_code == 201
    assert (await client.post("/visits", json={"guest": "Kim"})).status_code == 409


async def test_forgotten_flush_is_named_in_the_log(client: AsyncClient) -> None:
    with capture_logs() as logs:
        response = await client.post("/forgotten-flush")

    assert response.status_code == 500
    assert any("flush the session" in entry["event"] for entry in logs)


async def test_unexpected_error_closes_the_connection(client: AsyncClient) -> None:
    response = await client.post("/forgotten-flush")

    assert response.headers["Connection"] == "close"
