"""A minimal FastAPI and SQLAlchemy handler that reads a song by its primary key."""

import os
from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import String
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=int(os.environ["DATABASE_POOL_SIZE"])
)
session_factory = async_sessionmaker(engine)
app = FastAPI()


class Base(DeclarativeBase):
    """Base class of the models."""


class Song(Base):
    """The same table as in the service."""

    __tablename__ = "songs"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    artist: Mapped[str] = mapped_column(String(200))
    released_on: Mapped[date | None]


class SongRead(BaseModel):
    """The same response body as in the service."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    artist: str
    released_on: date | None


async def get_session() -> AsyncIterator[AsyncSession]:
    """Provide a session for a request."""
    async with session_factory() as session:
        yield session


@app.get("/songs/{song_id}", response_model=SongRead)
async def read_song(song_id: int, session: Annotated[AsyncSession, Depends(get_session)]) -> Song:
    """Show a song."""
    song = await session.get(Song, song_id)
    if song is None:
        raise HTTPException(404)
    return song
