"""Database models."""

from datetime import date

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core import Base


class Song(Base):
    """A song by an artist."""

    __tablename__ = "songs"
    __table_args__ = (
        UniqueConstraint(
            "artist", "title", info={"conflict": "The artist already has a song with this title."}
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    artist: Mapped[str] = mapped_column(String(200))
    released_on: Mapped[date | None] = mapped_column(index=True)
