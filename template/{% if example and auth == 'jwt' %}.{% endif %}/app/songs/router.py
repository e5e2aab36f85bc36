"""Routes."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import ReadSessionDep, SessionDep
from app.songs import service
from app.songs.models import Song
from app.songs.schemas import SongCreate, SongPage, SongQuery, SongRead, SongUpdate
from app.users import Admin, CurrentUser

router = APIRouter(prefix="/songs", tags=["songs"])


@router.post("", status_code=201, response_model=SongRead)
async def create_song(data: SongCreate, session: SessionDep, user: CurrentUser) -> Song:
    """Add a song."""
    song = Song(**data.model_dump(), added_by=user)
    await service.add_song(session, song)
    return song


@router.get("", response_model=SongPage)
async def list_songs(
    query: Annotated[SongQuery, Query()], session: ReadSessionDep
) -> dict[str, object]:
    """List songs, with filters, ordering and pagination."""
    songs, total = await service.list_songs(session, query)
    return {"items": songs, "total": total, "limit": query.limit, "offset": query.offset}


@router.get("/{song_id}", response_model=SongRead)
async def read_song(song_id: int, session: ReadSessionDep) -> Song:
    """Return a song."""
    return await _find_song(session, song_id)


@router.patch("/{song_id}", response_model=SongRead)
async def update_song(song_id: int, data: SongUpdate, session: SessionDep, _: CurrentUser) -> Song:
    """Update some fields of a song."""
    song = await _find_song(session, song_id)
    await service.update_song(session, song, data)
    return song


@router.delete("/{song_id}", status_code=204)
async def delete_song(song_id: int, session: SessionDep, _: Admin) -> None:
    """Delete a song."""
    await session.delete(await _find_song(session, song_id))


async def _find_song(session: AsyncSession, song_id: int) -> Song:
    song = await session.get(Song, song_id)
    if song is None:
        raise HTTPException(404, "There is no song with this id.")
    return song
