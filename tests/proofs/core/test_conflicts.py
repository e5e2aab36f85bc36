"""A violated constraint is answered with the words of its model."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    MetaData,
    String,
    UniqueConstraint,
    insert,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped, mapped_column
from structlog.testing import capture_logs

from app.core import CoreSettings, conflicts
from app.core.database import Base, SessionDep
from tests.proofs.kit import create_app, created, running

LONG = "proof_guests_with_a_name_that_is_longer_than_usual"


class Kept(Base):
    """Not part of the service's metadata."""

    __abstract__ = True
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Guest(Kept):
    __tablename__ = "proof_guests"
    __table_args__ = (
        UniqueConstraint("city", "street", info={"conflict": "Somebody lives there."}),
        CheckConstraint("age > 17", name="adult", info={"conflict": "A guest is an adult."}),
        Index("ix_proof_guests_pet", "pet", unique=True, info={"conflict": "The pet is here."}),
    )

    slug: Mapped[str] = mapped_column(
        String(20), primary_key=True, info={"conflict": "This slug is taken."}
    )
    nickname: Mapped[str | None] = mapped_column(
        String(20), unique=True, info={"conflict": "This nickname is taken."}
    )
    card: Mapped[str | None] = mapped_column(String(20), unique=True)
    city: Mapped[str | None] = mapped_column(String(20))
    street: Mapped[str | None] = mapped_column(String(20))
    pet: Mapped[str | None] = mapped_column(String(20))
    age: Mapped[int | None]
    host: Mapped[str | None] = mapped_column(
        ForeignKey("proof_guests.slug"), info={"conflict": "The host is not here."}
    )


class Long(Kept):
    __tablename__ = LONG

    id: Mapped[int] = mapped_column(primary_key=True)
    registered_identity_of_the_guest: Mapped[str] = mapped_column(
        String(20), unique=True, info={"conflict": "This identity is taken."}
    )


@pytest.fixture
async def client(
    engine: AsyncEngine, settings: CoreSettings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AsyncClient]:
    monkeypatch.setattr(conflicts, "Base", Kept)
    app = create_app(settings)
    add_routes(app)
    async with created(engine, Kept.metadata), running(app) as client:
        yield client


def add_routes(app: FastAPI) -> None:
    @app.post("/guests", status_code=201)
    async def add(values: dict[str, Any], session: SessionDep) -> None:
        await session.execute(insert(Guest).values(**values))

    @app.post("/long", status_code=201)
    async def add_long(session: SessionDep) -> None:
        session.add(Long(registered_identity_of_the_guest="Kim"))


@pytest.mark.parametrize(
    ("values", "detail", "constraint"),
    [
        ({"slug": "kim"}, "This slug is taken.", "pk_proof_guests"),
        ({"nickname": "K's"}, "This nickname is taken.", "uq_proof_guests_nickname"),
        (
            {"city": "Rome", "street": "for key 'uq_x'"},
            "Somebody lives there.",
            "uq_proof_guests_city_street",
        ),
        ({"pet": "cat"}, "The pet is here.", "ix_proof_guests_pet"),
        ({"card": "1"}, "The request conflicts with existing data.", "uq_proof_guests_card"),
    ],
)
async def test_duplicate_is_answered_with_the_words_of_the_model(
    client: AsyncClient, values: dict[str, str], detail: str, constraint: str
) -> None:
    assert (await client.post("/guests", json={"slug": "a", **values})).status_code == 201
    with capture_logs() as logs:
        response = await client.post("/guests", json={"slug": "b", **values})

    assert response.status_code == 409
    assert response.json()["detail"] == detail
    (entry,) = [entry for entry in logs if entry["event"] == "database error"]
    columns = ", ".join(f"proof_guests.{name}" for name in values)
    assert entry["constraint"] in {constraint, columns}


async def test_failed_check_is_answered_with_the_words_of_the_model(client: AsyncClient) -> None:
    response = await client.post("/guests", json={"slug": "a", "age": 17})

    assert response.status_code == 409
    assert response.json()["detail"] == "A guest is an adult."


async def test_missing_reference_is_answered_with_the_words_of_the_model(
    client: AsyncClient, settings: CoreSettings
) -> None:
    """SQLite does not say which foreign key is violated."""
    response = await client.post("/guests", json={"slug": "a", "host": "b"})

    assert response.status_code == 409
    on_sqlite = settings.database_url.get_backend_name() == "sqlite"
    expected = "The request conflicts with existing data." if on_sqlite else "The host is not here."
    assert response.json()["detail"] == expected


async def test_truncated_name_is_recognized(client: AsyncClient) -> None:
    assert (await client.post("/long")).status_code == 201
    assert (await client.post("/long")).json()["detail"] == "This identity is taken."
