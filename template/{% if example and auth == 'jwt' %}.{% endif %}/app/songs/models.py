"""Database models."""

from datetime import date

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core import Base
from app.users import User


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
    added_by_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )

    added_by: Mapped[User | None] = relationship(lazy="selectin")
    """The user who added the song; None for imported songs. One query loads those of a page."""
