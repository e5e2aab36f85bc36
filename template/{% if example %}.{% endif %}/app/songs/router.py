"""The routes of the feature."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query

from app.database import SessionDep
from app.songs import service
from app.songs.models import Song
from app.songs.schemas import MAX_ID, SongCreate, SongPage, SongQuery, SongRead, SongUpdate

router = APIRouter(prefix="/songs", tags=["songs"])


async def find_song(song_id: Annotated[int, Path(ge=1, le=MAX_ID)], session: SessionDep) -> Song:
    """Load the song that the path names, or answer with 404."""
    song = await session.get(Song, song_id)
    if song is None:
        raise HTTPException(404, "There is no song with this id.")
    return song


SongDep = Annotated[Song, Depends(find_song)]


@router.post("", status_code=201, response_model=SongRead)
async def create_song(data: SongCreate, session: SessionDep) -> Song:
    """Store a song."""
    return await service.create_song(session, data)


@router.get("", response_model=SongPage)
async def list_songs(
    query: Annotated[SongQuery, Query()], session: SessionDep
) -> dict[str, object]:
    """List songs page by page, filtered and ordered."""
    songs, total = await service.list_songs(session, query)
    return {"items": songs, "total": total, "limit": query.limit, "offset": query.offset}


@router.get("/{song_id}", response_model=SongRead)
async def read_song(song: SongDep) -> Song:
    """Show a song."""
    return song


@router.patch("/{song_id}", response_model=SongRead)
async def update_song(song: SongDep, data: SongUpdate, session: SessionDep) -> Song:
    """Change some fields of a song."""
    await service.update_song(session, song, data)
    return song


@router.delete("/{song_id}", status_code=204)
async def delete_song(song: SongDep, session: SessionDep) -> None:
    """Remove a song."""
    await session.delete(song)
