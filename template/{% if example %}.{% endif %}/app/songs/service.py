"""Operations on songs, independent of HTTP."""

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.songs.models import Song
from app.songs.schemas import SongQuery, SongUpdate


async def add_song(session: AsyncSession, song: Song) -> None:
    """Add a song.

    Raises:
        sqlalchemy.exc.IntegrityError: the artist already has a song with this title.
    """
    session.add(song)
    await session.flush()


async def list_songs(session: AsyncSession, query: SongQuery) -> tuple[list[Song], int]:
    """Return a page of songs and the total number of matches."""
    conditions = _conditions(query)
    column = getattr(Song, query.order_by.removeprefix("-"))
    order = column.desc() if query.order_by.startswith("-") else column.asc()
    page = (
        select(Song)
        .where(*conditions)
        .order_by(order, Song.id)  # the ID breaks ties
        .limit(query.limit)
        .offset(query.offset)
    )
    total = await session.scalar(select(func.count()).select_from(Song).where(*conditions))
    return list(await session.scalars(page)), total or 0


async def update_song(session: AsyncSession, song: Song, data: SongUpdate) -> None:
    """Update the fields of a song that are set in `data`.

    Raises:
        sqlalchemy.exc.IntegrityError: the artist already has a song with this title.
    """
    for field, value in data.model_dump(exclude_unset=True).items():
        setattr(song, field, value)
    await session.flush()


def _conditions(query: SongQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.title is not None:
        conditions.append(Song.title == query.title)
    if query.title__ilike is not None:
        conditions.append(Song.title.ilike(query.title__ilike))
    if query.artist is not None:
        conditions.append(Song.artist == query.artist)
    if query.artist__ilike is not None:
        conditions.append(Song.artist.ilike(query.artist__ilike))
    if query.released_on is not None:
        conditions.append(Song.released_on == query.released_on)
    if query.released_on__gte is not None:
        conditions.append(Song.released_on >= query.released_on__gte)
    if query.released_on__lt is not None:
        conditions.append(Song.released_on < query.released_on__lt)
    return conditions
