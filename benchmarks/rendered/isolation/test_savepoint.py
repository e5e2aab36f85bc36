"""With the fixtures of the generated project."""

from httpx2 import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.songs.models import Song


async def test_create(client: AsyncClient, session: AsyncSession, run: int) -> None:
    """One POST and one SELECT."""
    response = await client.post("/songs", json={"title": "New Rules", "artist": "Dua Lipa"})

    assert response.status_code == 201
    assert (await session.scalars(select(Song))).one().title == "New Rules"
