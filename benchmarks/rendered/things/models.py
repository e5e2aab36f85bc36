"""Eleven tables; with the songs, twelve."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core import Base


class Thing(Base):
    """Common columns, with typical constraints and indexes."""

    __abstract__ = True

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    kind: Mapped[str] = mapped_column(String(50), index=True)
    song_id: Mapped[int] = mapped_column(ForeignKey("songs.id"), index=True)


for number in range(11):
    type(f"Thing{number}", (Thing,), {"__tablename__": f"things_{number}"})
