"""Songs for tests, with whatever a test does not care about made up."""

from polyfactory.factories.sqlalchemy_factory import SQLAlchemyFactory
from sqlalchemy.ext.asyncio import AsyncSession

from app.songs.models import Song


class SongFactory(SQLAlchemyFactory[Song]):
    """Builds songs that are not stored yet."""

    __set_primary_key__ = False
    __set_relationships__ = False


async def store_songs(session: AsyncSession, count: int, **values: object) -> list[Song]:
    """Add songs to a session, which gives them their ids."""
    songs = SongFactory.batch(count, **values)
    session.add_all(songs)
    await session.flush()
    return songs


async def store_song(session: AsyncSession, **values: object) -> Song:
    """Add a song to a session, which gives it its id."""
    (song,) = await store_songs(session, 1, **values)
    return song
