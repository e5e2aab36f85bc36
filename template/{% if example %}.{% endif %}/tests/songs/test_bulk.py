import errno
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.songs import bulk
from app.songs.bulk import SongImportError, import_songs
from app.songs.models import Song
from tests.core import Cli
from tests.songs.factories import SongFactory

HEADER = "title,artist,released_on\n"


async def count(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Song)) or 0


async def test_import_adds_songs(session: AsyncSession) -> None:
    lines = [HEADER, 'Levitating,"Dua Lipa",2020-10-01\n', "Ålesund,Sun Kil Moon,\n"]

    assert await import_songs(session, lines) == 2

    songs = await session.scalars(select(Song).order_by(Song.id))
    assert [(song.title, song.released_on and song.released_on.year) for song in songs] == [
        ("Levitating", 2020),
        ("Ålesund", None),
    ]


async def test_import_processes_all_batches(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH_SIZE", 10)

    assert await import_songs(session, [HEADER, *(f"{n},Someone,\n" for n in range(25))]) == 25
    assert await count(session) == 25


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "Line 1: missing columns: artist, title."),
        (["title\n"], "Line 1: missing columns: artist."),
        (["title,artist,genre\n"], "Line 1: unknown columns: genre."),
        (["title,artist,\n"], "Line 1: unknown columns: (unnamed)."),
        (["title,artist,title\n"], "Line 1: repeated columns: title."),
        ([HEADER, "A,B,\n", ",B,\n"], "Line 3: title: Field required."),
        ([HEADER, "A,B,soon\n"], "Line 2: released_on: Input should be a valid date"),
        ([HEADER, "A,B,,more\n"], "Line 2: more cells than columns"),
        ([HEADER, "A,B,\n", '"C\n', 'D",B,\n', "A,B,\n"], "Line 5: B already has a song named A."),
        ([HEADER, 'A,"B"C,\n'], "Line 2: "),
    ],
)
async def test_import_reports_an_invalid_line(
    session: AsyncSession, lines: list[str], message: str
) -> None:
    with pytest.raises(SongImportError) as error:
        await import_songs(session, lines)

    assert str(error.value).startswith(message)


async def test_import_reports_an_existing_song(session: AsyncSession) -> None:
    await SongFactory.add(session, title="A", artist="B")

    with pytest.raises(SongImportError, match="Line 2: B already has a song named A"):
        await import_songs(session, [HEADER, "A,B,\n"])


@pytest.mark.committed
@pytest.mark.parametrize(
    ("last_line", "stored"), [(b"Hung Up,Madonna,\n", 2), (b"Hung Up,,\n", 0), (b"\xff,x,\n", 0)]
)
async def test_command_imports_all_or_nothing(
    run: Cli,
    session: AsyncSession,
    tmp_path: Path,
    last_line: bytes,
    stored: int,
) -> None:
    file = tmp_path / "songs.csv"
    file.write_bytes(HEADER.encode("utf-8-sig") + b"Levitating,Dua Lipa,\n" + last_line)

    outcome = await run("songs", "import", str(file))

    if stored:
        assert outcome == 0
    else:
        assert str(outcome).startswith(f"Error: {file}: Line ")
        assert str(outcome).endswith("Nothing was imported.")
    assert await count(session) == stored


async def test_command_reports_an_unreadable_file(
    run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "songs.csv"
    file.touch()
    failing = Mock(side_effect=OSError(errno.EIO, "Input/output error"))
    monkeypatch.setattr(Path, "open", failing)

    outcome = await run("songs", "import", str(file))

    assert outcome == f"Error: {file}: Input/output error. Nothing was imported."


async def test_command_exits_with_2_for_a_missing_file(run: Cli, tmp_path: Path) -> None:
    file = tmp_path / "nothing.csv"

    assert await run("songs", "import", str(file)) == 2
