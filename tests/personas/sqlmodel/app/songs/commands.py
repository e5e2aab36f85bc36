"""Commands."""

import asyncio
import csv
from pathlib import Path
from typing import Annotated, cast

import typer
from sqlmodel import select

from app.core import CoreSettings, open_database
from app.database import AsyncSession
from app.songs.models import Song, SongCreate

commands = typer.Typer(no_args_is_help=True, help="Manage the song catalog.")


@commands.command("load")
def load_file(file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)]) -> None:
    """Load a CSV file, without songs that exist already."""
    typer.echo(f"Loaded {asyncio.run(_load(file))} songs.")


async def _load(file: Path) -> int:
    async with (
        open_database(CoreSettings.load()) as session_factory,
        session_factory.begin() as session,
    ):
        return await load(cast("AsyncSession", session), file)


async def load(session: AsyncSession, file: Path) -> int:
    """Add the songs of a file that do not exist yet, and return their number."""
    known = set((await session.exec(select(Song.artist, Song.title))).all())
    with file.open(encoding="utf-8", newline="") as lines:
        songs = [
            Song.model_validate(SongCreate.model_validate(row))
            for row in csv.DictReader(lines)
            if (row["artist"], row["title"]) not in known
        ]
    session.add_all(songs)
    return len(songs)
