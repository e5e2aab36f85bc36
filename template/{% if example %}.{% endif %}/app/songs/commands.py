"""Commands: `uv run <slug> songs --help`."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from app.core import CoreSettings, open_database
from app.songs.bulk import SongImportError, import_songs

commands = typer.Typer(no_args_is_help=True, help="Manage the song catalog.")


@commands.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
) -> None:
    """Import all songs of a CSV file, or none if any of them is invalid.

    The file must be encoded in UTF-8. Its first line contains the column names:
    title, artist and, optionally, released_on (YYYY-MM-DD).
    """
    try:
        with (
            # Spreadsheets write a byte order mark, which utf-8-sig skips.
            file.open(encoding="utf-8-sig", newline="") as lines,
            typer.progressbar(length=file.stat().st_size, label="Importing") as bar,
        ):
            count = asyncio.run(_import(_counted(lines, bar.update)))
    except SongImportError as error:
        raise SystemExit(f"Error: {file}: {error} Nothing was imported.") from None
    except OSError as error:
        raise SystemExit(f"Error: {file}: {error.strerror}. Nothing was imported.") from None
    typer.echo(f"Imported {count} songs.")


async def _import(lines: Iterable[str]) -> int:
    async with (
        open_database(CoreSettings.load()) as session_factory,
        session_factory.begin() as session,
    ):
        return await import_songs(session, lines)


def _counted(lines: Iterable[str], count: Callable[[int], None]) -> Iterator[str]:
    for line in lines:
        yield line
        count(len(line.encode()))
