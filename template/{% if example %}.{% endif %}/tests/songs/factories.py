"""Factories of songs with random values."""

from polyfactory.factories.sqlalchemy_factory import SQLAlchemyFactory
from sqlalchemy.ext.asyncio import AsyncSession

from app.songs.models import Song


class SongFactory(SQLAlchemyFactory[Song]):
    """Builds songs without storing them."""

    __set_primary_key__ = False
    __set_relationships__ = False


async def store_songs(session: AsyncSession, count: int, **values: object) -> list[Song]:
    """Add songs to a session, and flush it so that they have IDs."""
    songs = SongFactory.batch(count, **values)
    session.add_all(songs)
    await session.flush()
    return songs


async def store_song(session: AsyncSession, **values: object) -> Song:
    """Add a song to a session, and flush it so that the song has an ID."""
    (song,) = await store_songs(session, 1, **values)
    return song
