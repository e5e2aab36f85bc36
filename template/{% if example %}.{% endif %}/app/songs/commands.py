"""The commands of the feature: `uv run <name> songs --help`."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

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
        with (
            # Spreadsheets begin a file with a byte order mark, which utf-8-sig leaves out.
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
    engine = create_engine(load_settings())
    try:
        async with create_session_factory(engine).begin() as session:
            return await import_songs(session, lines)
    finally:
        await engine.dispose()


def _counted(lines: Iterable[str], count: Callable[[int], None]) -> Iterator[str]:
    for line in lines:
        yield line
        count(len(line.encode()))
