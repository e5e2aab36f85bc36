"""Schemas of requests and responses."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]

Pattern = Annotated[
    str,
    # The meaning of a backslash depends on the database.
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\\]*$"),
    Field(description="Case-insensitive pattern: `%` matches any text, `_` matches any character."),
]


class SongCreate(BaseModel):
    """A song to add."""

    model_config = ConfigDict(extra="forbid")

    title: Text
    artist: Text
    released_on: date | None = None


class SongUpdate(BaseModel):
    """Fields of a song to update."""

    model_config = ConfigDict(extra="forbid")

    title: Text | None = None
    artist: Text | None = None
    released_on: date | None = None

    @model_validator(mode="after")
    def _keep_required_fields(self) -> Self:
        for field in ("title", "artist"):
            if field in self.model_fields_set and getattr(self, field) is None:
                raise ValueError(f"{field} must not be null")
        return self


class SongRead(BaseModel):
    """A song in a response."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    artist: str
    released_on: date | None


class SongPage(BaseModel):
    """A page of songs."""

    items: list[SongRead]
    total: int = Field(description="Number of songs on all pages.")
    limit: int
    offset: int


class SongQuery(BaseModel):
    """Filters, order and pagination of a list of songs."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=100)
    offset: int = Field(default=0, ge=0)
    order_by: Literal[
        "id", "-id", "title", "-title", "artist", "-artist", "released_on", "-released_on"
    ] = Field(default="id", description="A leading `-` sorts in descending order.")
    title: Text | None = None
    title__ilike: Pattern | None = None
    artist: Text | None = None
    artist__ilike: Pattern | None = None
    released_on: date | None = None
    released_on__gte: date | None = None
    released_on__lt: date | None = None
