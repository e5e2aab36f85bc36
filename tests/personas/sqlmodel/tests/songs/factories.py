"""Factories of songs, which are stored."""

from polyfactory import AsyncPersistenceProtocol
from polyfactory.factories.pydantic_factory import ModelFactory

from app.database import AsyncSession
from app.songs.models import Song


class Stored(AsyncPersistenceProtocol[Song]):
    """Adds songs to a session, and flushes it."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def save(self, data: Song) -> Song:
        return (await self.save_many([data]))[0]

    async def save_many(self, data: list[Song]) -> list[Song]:
        self._session.add_all(data)
        await self._session.flush()
        return data


class SongFactory(ModelFactory[Song]):
    """Builds songs with random titles and artists."""

    __use_defaults__ = True


def stored_songs(session: AsyncSession) -> type[SongFactory]:
    """Return a factory that stores songs with `create_async` and `create_batch_async`."""

    class StoredSongFactory(SongFactory):
        __async_persistence__ = Stored(session)

    return StoredSongFactory
