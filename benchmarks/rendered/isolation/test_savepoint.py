"""Isolation with the fixtures of the generated project."""

from httpx2 import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.songs.models import Song


async def test_store(session: AsyncSession, run: int) -> None:
    """One INSERT and one SELECT, without the application."""
    session.add(Song(title="New Rules", artist="Dua Lipa"))
    await session.commit()

    assert (await session.scalars(select(Song))).one().title == "New Rules"


async def test_create(client: AsyncClient, session: AsyncSession, run: int) -> None:
    """One POST and one SELECT, with a new application for each test."""
    response = await client.post("/songs", json={"title": "New Rules", "artist": "Dua Lipa"})

    assert response.status_code == 201
    assert (await session.scalars(select(Song))).one().title == "New Rules"
