"""What anonymous clients and users can do, and who added a song."""

import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.users import User
from tests.songs.factories import SongFactory
from tests.songs.test_router import NEW_RULES


@pytest.fixture
def anonymous_client(client: AsyncClient) -> AsyncClient:
    """HTTP client without an access token."""
    del client.headers["Authorization"]
    return client


async def test_anybody_can_read(anonymous_client: AsyncClient, session: AsyncSession) -> None:
    song = await SongFactory.add(session)

    one = await anonymous_client.get(f"/songs/{song.id}")
    page = await anonymous_client.get("/songs")

    assert one.json()["title"] == song.title
    assert page.json()["items"] == [one.json()]


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/songs"), ("PATCH", "/songs/1"), ("DELETE", "/songs/1")]
)
async def test_writing_returns_401_without_a_user(
    anonymous_client: AsyncClient, method: str, path: str
) -> None:
    response = await anonymous_client.request(method, path, json=NEW_RULES)

    assert response.status_code == 401


async def test_users_can_create_and_update(user_client: AsyncClient, user: User) -> None:
    created = await user_client.post("/songs", json=NEW_RULES)
    song_id = created.json()["id"]
    updated = await user_client.patch(f"/songs/{song_id}", json={"title": "IDGAF"})

    added_by = {"id": user.id, "name": user.name}
    assert created.status_code == 201
    assert created.json() == {"id": song_id, **NEW_RULES, "added_by": added_by}
    assert updated.json() == created.json() | {"title": "IDGAF"}


async def test_delete_returns_403_for_a_user(
    user_client: AsyncClient, session: AsyncSession
) -> None:
    song = await SongFactory.add(session)

    response = await user_client.delete(f"/songs/{song.id}")

    assert response.status_code == 403


async def test_song_outlives_its_user(
    client: AsyncClient, session: AsyncSession, user: User
) -> None:
    song = await SongFactory.add(session, added_by=user)

    await session.delete(user)

    response = await client.get(f"/songs/{song.id}")
    assert response.json()["added_by"] is None
