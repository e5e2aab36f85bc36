"""Songs, written with SQLModel: a hundred are loaded by a migration."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from httpx2 import AsyncClient
from sqlalchemy import inspect
from sqlalchemy.exc import StatementError
from sqlmodel import col, func, select

from app.core import SessionFactory
from app.database import AsyncSession
from app.songs.commands import load
from app.songs.models import Song
from tests.core import Cli
from tests.songs.factories import stored_songs

AT = datetime(2026, 3, 4, 5, 6, 7, 678901, timezone(timedelta(hours=5, minutes=45)))


async def count(session: AsyncSession) -> int:
    return (await session.exec(select(func.count()).select_from(Song))).one()


async def test_list_returns_fifty_of_a_hundred_songs(client: AsyncClient) -> None:
    page = (await client.get("/songs")).json()

    assert (len(page["items"]), page["total"], page["limit"], page["offset"]) == (50, 100, 50, 0)


async def test_list_is_paginated_and_ordered(client: AsyncClient, session: AsyncSession) -> None:
    songs = (await session.exec(select(Song).order_by(col(Song.released_on)))).all()

    params: dict[str, str | int] = {"order_by": "released_on", "limit": 10, "offset": 20}
    page = (await client.get("/songs", params=params)).json()

    assert [song["released_on"] for song in page["items"]] == [
        str(song.released_on) for song in songs[20:30]
    ]


async def test_list_can_be_filtered_case_insensitively(client: AsyncClient) -> None:
    page = (await client.get("/songs", params={"artist__ilike": "%dua lipa%"})).json()

    assert page["total"] == 30
    assert {song["artist"] for song in page["items"]} == {
        "Dua Lipa",
        "DUA LIPA",
        "Elton John, Dua Lipa",
    }


async def test_factories_store_songs(client: AsyncClient, session: AsyncSession) -> None:
    factory = stored_songs(session)
    await factory.create_batch_async(3, artist="Nobody yet")

    page = (await client.get("/songs", params={"artist__ilike": "nobody%"})).json()

    assert page["total"] == 3


async def test_create_is_seen_by_the_test(client: AsyncClient, session: AsyncSession) -> None:
    song = {"title": "Houdini", "artist": "Dua Lipa", "price": "1.25"}

    response = await client.post("/songs", json=song)

    assert response.status_code == 201
    stored = await session.get_one(Song, response.json()["id"])
    assert stored.price == Decimal("1.25")
    assert stored.added_at.isoformat().removesuffix("+00:00") == response.json()[
        "added_at"
    ].removesuffix("Z")


async def test_create_returns_409_for_a_duplicate(
    client: AsyncClient, session: AsyncSession
) -> None:
    await stored_songs(session).create_async(title="Houdini", artist="Dua Lipa")

    response = await client.post("/songs", json={"title": "Houdini", "artist": "Dua Lipa"})

    assert response.status_code == 409
    assert await count(session) == 101


async def test_create_returns_422_for_a_price_that_would_be_rounded(client: AsyncClient) -> None:
    song = {"title": "Houdini", "artist": "Dua Lipa", "price": "1.0000001"}

    assert (await client.post("/songs", json=song)).status_code == 422


async def test_times_are_exact(session: AsyncSession) -> None:
    song = await stored_songs(session).create_async(added_at=AT)
    session.expunge(song)

    stored = await session.get_one(Song, song.id)

    assert stored.added_at == AT
    assert stored.added_at.tzinfo is UTC
    song = Song(title="Naive", artist="x", added_at=AT.replace(tzinfo=None))
    session.add(song)
    with pytest.raises(StatementError, match="without a time zone"):
        await session.flush()


def test_computed_values_are_loaded() -> None:
    assert inspect(Song).eager_defaults is True


async def test_request_sees_a_row_of_the_test(client: AsyncClient, session: AsyncSession) -> None:
    song = await stored_songs(session).create_async(released_on=date(2020, 10, 1))

    response = await client.get("/songs", params={"order_by": "id", "offset": 100})

    assert response.json()["items"][0]["id"] == song.id
    assert song.released_on == date(2020, 10, 1)


@pytest.mark.committed
async def test_command_loads_what_is_new(run: Cli, session: AsyncSession, tmp_path: Path) -> None:
    file = tmp_path / "songs.csv"
    file.write_text("title,artist,released_on\nSong 001,Dua Lipa,2000-01-01\nNew,ABBA,2000-01-01\n")

    assert await run("songs", "load", str(file)) == 0

    assert await count(session) == 101
    assert await load(session, file) == 0


async def test_sessions_of_the_factory_have_exec(session_factory: SessionFactory) -> None:
    async with session_factory() as session:
        assert isinstance(session, AsyncSession)
        assert await count(session) == 100
