"""Import of songs from CSV files."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from pydantic import ValidationError
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.songs.models import Song
from app.songs.schemas import SongCreate

BATCH_SIZE = 1000
"""Maximum number of rows in memory."""

Row = tuple[int, dict[str, Any]]
"""The line number where a row ends, and its values."""


class SongImportError(ValueError):
    """A file is invalid; the message contains the line and the reason."""


async def import_songs(session: AsyncSession, lines: Iterable[str]) -> int:
    """Add the songs of a CSV file, and return their number.

    Args:
        session: session to add the songs to; the caller commits, or rolls back on errors.
        lines: lines of the file; the first one contains the column names.

    Raises:
        SongImportError: a line is invalid, or its song already exists.
    """
    rows = _read(lines)
    count = 0
    while batch := list(islice(rows, BATCH_SIZE)):
        try:
            async with session.begin_nested():
                await session.execute(insert(Song), [values for _, values in batch])
        except IntegrityError:
            await _find_duplicate(session, batch)
            raise
        count += len(batch)
    return count


async def _find_duplicate(session: AsyncSession, batch: list[Row]) -> None:
    for line, values in batch:
        try:
            await session.execute(insert(Song), values)
        except IntegrityError:
            message = f"{values['artist']} already has a song named {values['title']}."
            raise SongImportError(f"Line {line}: {message}") from None


def _read(lines: Iterable[str]) -> Iterator[Row]:
    reader = csv.DictReader(lines, strict=True)
    try:
        found = Counter(reader.fieldnames or [])
        for fault, columns in (
            ("missing", {"title", "artist"} - found.keys()),
            ("unknown", found.keys() - SongCreate.model_fields.keys()),
            ("repeated", {name for name, times in found.items() if times > 1}),
        ):
            if columns:
                names = ", ".join(name or "(unnamed)" for name in sorted(columns))
                raise SongImportError(f"Line 1: {fault} columns: {names}.")
        for cells in reader:
            if None in cells:
                raise SongImportError(f"Line {reader.line_num}: more cells than columns.")
            # An empty cell means no value.
            values = {name: cell for name, cell in cells.items() if cell}
            yield reader.line_num, SongCreate.model_validate(values).model_dump()
    except ValidationError as error:
        problem = error.errors()[0]
        column, reason = problem["loc"][0], problem["msg"]
        raise SongImportError(f"Line {reader.line_num}: {column}: {reason}.") from None
    except UnicodeDecodeError:
        raise SongImportError(
            f"Line {reader.line_num + 1} or soon after: the text is not UTF-8."
        ) from None
    except csv.Error as error:
        raise SongImportError(f"Line {reader.line_num + 1}: {error}.") from None
