"""What clients send and receive."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_ID = 2**31 - 1
"""The largest value of the primary key's column."""

Text = Annotated[
    str,
    # No database stores the character NUL in text.
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$"),
]

Pattern = Annotated[
    str,
    # Databases disagree about what a backslash means.
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00\\]*$"),
]


class SongCreate(BaseModel):
    """A song to be stored."""

    model_config = ConfigDict(extra="forbid")

    title: Text
    artist: Text
    released_on: date | None = None


class SongUpdate(BaseModel):
    """The fields of a song to be changed; the others stay as they are."""

    model_config = ConfigDict(extra="forbid")

    title: Text | None = None
    artist: Text | None = None
    released_on: date | None = None

    @model_validator(mode="after")
    def _keep_what_is_required(self) -> Self:
        for field in ("title", "artist"):
            if field in self.model_fields_set and getattr(self, field) is None:
                raise ValueError(f"{field} cannot be removed")
        return self


class SongRead(BaseModel):
    """A stored song."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    artist: str
    released_on: date | None


class SongPage(BaseModel):
    """Some of the songs that a query found."""

    items: list[SongRead]
    total: int = Field(description="How many songs there are on all pages.")
    limit: int
    offset: int


class SongQuery(BaseModel):
    """Which songs to list, in which order.

    `ilike` ignores the case of the letters that the database knows; in its pattern
    `%` stands for any text and `_` for any character.
    """

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=100)
    offset: int = Field(default=0, ge=0, le=MAX_ID)
    order_by: Literal[
        "id", "-id", "title", "-title", "artist", "-artist", "released_on", "-released_on"
    ] = Field(default="id", description="A minus sign turns the order round.")
    title: Text | None = None
    title__ilike: Pattern | None = None
    artist: Text | None = None
    artist__ilike: Pattern | None = None
    released_on: date | None = None
    released_on__gte: date | None = None
    released_on__lt: date | None = None
