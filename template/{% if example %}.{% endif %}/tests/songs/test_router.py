from datetime import date
from typing import Any

import pytest
from httpx2 import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.songs.models import Song
from tests.songs.factories import SongFactory

NEW_RULES = {"title": "New Rules", "artist": "Dua Lipa", "released_on": "2017-07-07"}


async def test_create(client: AsyncClient, session: AsyncSession) -> None:
    response = await client.post("/songs", json=NEW_RULES)

    assert response.status_code == 201
    song = (await session.scalars(select(Song))).one()
    assert {"id": song.id, **NEW_RULES}.items() <= response.json().items()
    assert song.released_on == date(2017, 7, 7)


async def test_create_returns_409_for_a_duplicate(client: AsyncClient) -> None:
    await client.post("/songs", json=NEW_RULES)

    response = await client.post("/songs", json=NEW_RULES)

    assert response.status_code == 409
    assert response.json()["detail"] == "The artist already has a song with this title."


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""},
        {"title": "   "},
        {"title": "x" * 201},
        {"title": 5},
        {"released_on": "yesterday"},
        {"rating": 5},
    ],
)
async def test_create_returns_422_for_invalid_data(
    client: AsyncClient, change: dict[str, Any]
) -> None:
    response = await client.post("/songs", json=NEW_RULES | change)

    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["body", *change]


async def test_read(client: AsyncClient, session: AsyncSession) -> None:
    song = await SongFactory.add(session, title="Levitating")

    response = await client.get(f"/songs/{song.id}")

    assert response.json()["title"] == "Levitating"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize(("song_id", "status"), [("1", 404), ("0", 404), ("9" * 30, 422)])
async def test_unknown_or_invalid_id_is_an_error(
    client: AsyncClient, method: str, song_id: str, status: int
) -> None:
    response = await client.request(method, f"/songs/{song_id}", json={})

    assert response.status_code == status


async def test_update(client: AsyncClient, session: AsyncSession) -> None:
    song = await SongFactory.add(session, title="Physical", released_on=None)

    response = await client.patch(f"/songs/{song.id}", json={"released_on": "2020-01-30"})

    assert response.json()["released_on"] == "2020-01-30"
    assert song.released_on == date(2020, 1, 30)
    assert song.title == "Physical"


async def test_update_returns_422_for_null(client: AsyncClient, session: AsyncSession) -> None:
    song = await SongFactory.add(session)

    response = await client.patch(f"/songs/{song.id}", json={"title": None})

    assert response.status_code == 422


async def test_update_returns_409_for_a_duplicate(
    client: AsyncClient, session: AsyncSession
) -> None:
    await SongFactory.add(session, artist="Dua Lipa", title="Physical")
    song = await SongFactory.add(session, artist="Dua Lipa", title="Levitating")

    response = await client.patch(f"/songs/{song.id}", json={"title": "Physical"})

    assert response.status_code == 409
    assert song.title == "Levitating"


async def test_delete(client: AsyncClient, session: AsyncSession) -> None:
    song = await SongFactory.add(session)

    response = await client.delete(f"/songs/{song.id}")

    assert response.status_code == 204
    assert await session.get(Song, song.id) is None


async def test_list_is_paginated(client: AsyncClient, session: AsyncSession) -> None:
    songs = await SongFactory.add_batch(session, 60)

    first = (await client.get("/songs")).json()
    last = (await client.get("/songs", params={"offset": 50})).json()

    assert [song["id"] for song in first["items"]] == [song.id for song in songs[:50]]
    assert [song["id"] for song in last["items"]] == [song.id for song in songs[50:]]
    assert (last["total"], last["limit"], last["offset"]) == (60, 50, 50)


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": 10**30},
        {"offset": -1},
        {"offset": 10**30},
        {"order_by": "metadata"},
        {"genre": "pop"},
        {"artist__ilike": "\0"},
        {"artist__ilike": "%\\"},
    ],
)
async def test_list_returns_422_for_invalid_parameters(
    client: AsyncClient, params: dict[str, Any]
) -> None:
    response = await client.get("/songs", params=params)

    assert response.status_code == 422


async def test_list_can_be_ordered(client: AsyncClient, session: AsyncSession) -> None:
    for year in (2020, 2017, 2024):
        await SongFactory.add(session, released_on=date(year, 1, 1))

    up = (await client.get("/songs", params={"order_by": "released_on"})).json()["items"]
    down = (await client.get("/songs", params={"order_by": "-released_on"})).json()["items"]

    assert [song["released_on"][:4] for song in up] == ["2017", "2020", "2024"]
    assert down == up[::-1]


async def test_list_orders_ties_by_id(client: AsyncClient, session: AsyncSession) -> None:
    for title in ("Sour", "Bittersweet", "Sweet"):
        await SongFactory.add(session, artist="Dua Lipa", title=title)

    response = await client.get("/songs", params={"order_by": "artist"})

    titles = [song["title"] for song in response.json()["items"]]
    assert titles == ["Sour", "Bittersweet", "Sweet"]


@pytest.mark.parametrize(
    ("params", "titles"),
    [
        ({"artist__ilike": "%dua lipa%"}, ["Levitating", "Cold Heart"]),
        ({"artist__ilike": "dua%", "title__ilike": "%HEART%"}, []),
        ({"title__ilike": "%HEART%"}, ["Cold Heart"]),
        ({"artist": "Madonna"}, ["Hung Up"]),
        ({"title": "Hung Up", "artist": "Dua Lipa"}, []),
        ({"released_on": "2005-10-17"}, ["Hung Up"]),
        ({"released_on__gte": "2020-10-01"}, ["Levitating", "Cold Heart"]),
        ({"released_on__gte": "2020-10-01", "released_on__lt": "2021-01-01"}, ["Levitating"]),
    ],
)
async def test_list_can_be_filtered(
    client: AsyncClient, session: AsyncSession, params: dict[str, str], titles: list[str]
) -> None:
    for title, artist, released_on in [
        ("Levitating", "Dua Lipa", date(2020, 10, 1)),
        ("Cold Heart", "Elton John, Dua Lipa", date(2021, 8, 13)),
        ("Hung Up", "Madonna", date(2005, 10, 17)),
    ]:
        await SongFactory.add(session, title=title, artist=artist, released_on=released_on)

    page = (await client.get("/songs", params=params)).json()

    assert [song["title"] for song in page["items"]] == titles
    assert page["total"] == len(titles)
