"""The commands of the feature: `uv run <name> songs --help`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich import progress

from app.database import create_session_factory
from app.engine import create_engine
from app.settings import load_settings
from app.songs.bulk import SongImportError, import_songs

commands = typer.Typer(no_args_is_help=True, help="Manage the catalogue of songs.")


@commands.callback()
def songs() -> None:
    """Keep `import` a subcommand, though it is the only one so far."""


@commands.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
) -> None:
    """Import songs from a CSV file: all of them, or none if any is wrong.

    The file is in UTF-8. Its first line names the columns: title, artist and,
    if wanted, released_on (YYYY-MM-DD).
    """
    try:
        count = asyncio.run(_import(file))
    except SongImportError as error:
        raise SystemExit(f"Error: {file}: {error} Nothing was imported.") from None
    typer.echo(f"Imported {count} songs.")


async def _import(file: Path) -> int:
    engine = create_engine(load_settings())
    try:
        # utf-8-sig: spreadsheets begin the file with a byte order mark.
        with progress.open(
            file, "r", encoding="utf-8-sig", newline="", description="Importing"
        ) as lines:
            async with create_session_factory(engine).begin() as session:
                return await import_songs(session, lines)
    finally:
        await engine.dispose()
