"""The users who added songs are loaded with few statements, and shown without private data."""

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.users import User
from tests.core.auth import MakeUsers
from tests.proofs.auth.attacks import statements
from tests.songs.factories import SongFactory


@pytest.mark.parametrize("path", ["/songs", "/songs?order_by=-title"])
async def test_page_needs_the_same_statements_for_1_and_50_songs(
    client: AsyncClient,
    session: AsyncSession,
    engine: AsyncEngine,
    make_users: MakeUsers,
    path: str,
) -> None:
    counts = []
    for number in (1, 49):
        for user in await make_users(number):
            await SongFactory.add(session, added_by=user)
        await session.commit()
        session.expunge_all()  # after a request, the test's own objects are refreshed
        async with statements(engine) as found:
            page = (await client.get(path)).json()
        added_by = {song["added_by"]["id"] for song in page["items"]}
        counts.append((len(added_by), len(found)))

    (one, statements_for_one), (fifty, statements_for_fifty) = counts
    assert (one, fifty) == (1, 50)
    assert statements_for_one == statements_for_fifty


async def test_creation_answers_who_added_the_song(user_client: AsyncClient, user: User) -> None:
    song = {"title": "Hung Up", "artist": "Madonna", "released_on": None}
    added_by = {"id": user.id, "name": user.name}

    created = (await user_client.post("/songs", json=song)).json()

    assert created == {"id": created["id"], **song, "added_by": added_by}
    assert (await user_client.get(f"/songs/{created['id']}")).json() == created


def test_only_id_and_name_are_public(app: FastAPI) -> None:
    schemas = app.openapi()["components"]["schemas"]

    assert schemas["SongAuthor"]["properties"].keys() == {"id", "name"}
