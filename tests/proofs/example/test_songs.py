"""The example: OpenAPI documentation, storage, and limits."""

from datetime import date
from typing import Any

import pytest
import typer
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import URL, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.songs import bulk, commands
from app.songs.bulk import SongImportError, import_songs
from app.songs.models import Song
from tests.proofs.kit import Cli
from tests.songs.factories import SongFactory

SONG = {"title": "Hung Up", "artist": "Madonna", "released_on": None}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"title": "x"}, 201),
        ({"title": " " + "x" * 200 + " "}, 201),
        ({"artist": "x" * 200}, 201),
        ({"artist": "x" * 201}, 422),
        ({"artist": "\\"}, 201),
        ({"artist": "a\0b"}, 422),
        ({"rating": 1}, 422),
    ],
)
async def test_text_has_1_to_200_characters(
    client: AsyncClient, change: dict[str, str], status: int
) -> None:
    assert (await client.post("/songs", json=SONG | change)).status_code == status


async def test_text_is_stored_without_spaces_around_it(client: AsyncClient) -> None:
    created = await client.post("/songs", json=SONG | {"title": "  Hung  Up\t"})

    assert created.json()["title"] == "Hung  Up"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"title": "Other"}, 200),
        ({"artist": "Other"}, 200),
        ({"released_on": None}, 200),
        ({"artist": None}, 422),
        ({"title": ""}, 422),
        ({"genre": "pop"}, 422),
    ],
)
async def test_update_changes_only_given_fields(
    client: AsyncClient, session: AsyncSession, change: dict[str, Any], status: int
) -> None:
    song = await SongFactory.add(session, title="A", artist="B", released_on=date(2020, 1, 1))
    before = {"id": song.id, "title": "A", "artist": "B", "released_on": "2020-01-01"}

    response = await client.patch(f"/songs/{song.id}", json=change)

    assert response.status_code == status
    expected = before | change if status == 200 else before
    found = (await client.get(f"/songs/{song.id}")).json()
    assert expected.items() <= found.items()


async def test_update_names_the_required_field(client: AsyncClient, session: AsyncSession) -> None:
    song = await SongFactory.add(session)
    response = await client.patch(f"/songs/{song.id}", json={"artist": None})

    assert "artist must not be null" in response.json()["errors"][0]["msg"]


@pytest.mark.parametrize(
    ("song_id", "status"), [("0", 404), ("1", 404), ("2147483647", 404), ("2147483648", 422)]
)
async def test_ids_are_limited_to_the_column_range(
    client: AsyncClient, song_id: str, status: int
) -> None:
    assert (await client.get(f"/songs/{song_id}")).status_code == status


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"limit": 1}, 200),
        ({"limit": 100}, 200),
        ({"limit": 101}, 422),
        ({"offset": 0}, 200),
        ({"offset": 2147483647}, 200),
        ({"offset": 2**63}, 422),
        *(({name: " x "}, 200) for name in ("title", "artist")),
        *(({name: "\0"}, 422) for name in ("title", "title__ilike", "artist__ilike")),
        *(({name: "x" * 200}, 200) for name in ("title__ilike", "artist__ilike")),
        *(({name: "x" * 201}, 422) for name in ("title__ilike", "artist__ilike")),
        *(({name: " "}, 422) for name in ("title__ilike", "artist__ilike")),
        *(({name: "a\\"}, 422) for name in ("title__ilike", "artist__ilike")),
        ({"released_on__gte": "soon"}, 422),
    ],
)
async def test_list_parameters_are_validated(
    client: AsyncClient, params: dict[str, Any], status: int
) -> None:
    assert (await client.get("/songs", params=params)).status_code == status


async def test_filter_ignores_spaces_around_its_value(
    client: AsyncClient, session: AsyncSession
) -> None:
    await SongFactory.add(session, title="Hung Up", artist="Madonna")

    for name, value in (("title", " Hung Up "), ("artist__ilike", " mad% ")):
        assert (await client.get("/songs", params={name: value})).json()["total"] == 1


async def test_page_follows_limit_and_offset(client: AsyncClient, session: AsyncSession) -> None:
    songs = await SongFactory.add_batch(session, 5)

    page = (await client.get("/songs", params={"limit": 2, "offset": 1})).json()

    assert [song["id"] for song in page["items"]] == [song.id for song in songs[1:3]]
    assert (page["total"], page["limit"], page["offset"]) == (5, 2, 1)


@pytest.mark.parametrize("field", ["id", "title", "artist", "released_on"])
async def test_each_field_can_order_a_list(
    client: AsyncClient, session: AsyncSession, field: str
) -> None:
    for number in (2, 3, 1):
        values = {"title": f"T{number}", "artist": f"A{number}"}
        await SongFactory.add(session, **values, released_on=date(2000 + number, 1, 1))

    up, down = [
        [song[field] for song in (await client.get("/songs", params=params)).json()["items"]]
        for params in ({"order_by": field}, {"order_by": f"-{field}"})
    ]

    assert up == sorted(up)
    assert down == up[::-1]
    assert len(set(up)) == 3


async def test_date_filter_includes_only_its_start(
    client: AsyncClient, session: AsyncSession
) -> None:
    for day in (1, 2, 3):
        await SongFactory.add(session, released_on=date(2020, 1, day))

    params = {"released_on__gte": "2020-01-02", "released_on__lt": "2020-01-03"}
    page = (await client.get("/songs", params=params)).json()

    assert [song["released_on"] for song in page["items"]] == ["2020-01-02"]


async def test_routes_are_documented_as_one_group(app: FastAPI) -> None:
    paths = app.openapi()["paths"]

    songs = [
        operation
        for path, operations in paths.items()
        if path.startswith("/songs")
        for operation in operations.values()
    ]
    assert [operation["tags"] for operation in songs] == [["songs"]] * 5
    assert all("Song" in str(operation) for operation in songs[:4])


async def test_responses_have_the_documented_members(
    app: FastAPI, client: AsyncClient, session: AsyncSession
) -> None:
    schemas = app.openapi()["components"]["schemas"]
    song = await SongFactory.add(session)

    names = schemas["SongRead"]["properties"].keys()
    assert names == (await client.get(f"/songs/{song.id}")).json().keys()
    assert names - {"added_by"} == {"id", "title", "artist", "released_on"}
    assert schemas["SongPage"]["properties"].keys() == (await client.get("/songs")).json().keys()
    assert schemas["SongCreate"]["additionalProperties"] is False
    assert schemas["SongUpdate"]["additionalProperties"] is False


async def test_table_has_index_and_constraint(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        indexes, unique = await connection.run_sync(
            lambda sync: (
                inspect(sync).get_indexes("songs"),
                inspect(sync).get_unique_constraints("songs"),
            )
        )

    assert "ix_songs_released_on" in [index["name"] for index in indexes]
    assert [each["column_names"] for each in unique] == [["artist", "title"]]


async def test_columns_hold_200_characters(session: AsyncSession) -> None:
    song = await SongFactory.add(session, title="t" * 200, artist="a" * 200)
    await session.refresh(song)

    assert (len(song.title), len(song.artist)) == (200, 200)


async def test_import_counts_across_batches(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH_SIZE", 2)
    lines = ["title,artist\n", *(f"{n},Someone\n" for n in range(4)), "3,Someone\n"]

    assert await import_songs(session, lines[:4]) == 3
    with pytest.raises(SongImportError, match=r"^Line 5: Someone already has a song named 3\.$"):
        await import_songs(session, [lines[0], "x,y\n", "y,y\n", lines[4], lines[5]])


async def test_other_integrity_errors_are_raised(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(bulk, "_find_duplicate", find_nothing)

    with pytest.raises(IntegrityError):
        await import_songs(session, ["title,artist\n", "A,B\n", "A,B\n"])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["title,artist,b,a\n"], "Line 1: unknown columns: a, b."),
        (["title,artist\n", "A,B\n", "A,B,C\n"], "Line 3: more cells than columns."),
        (["title,artist\n", "A," + "x" * 201 + "\n"], "Line 2: artist: String should have at most"),
        (["title,artist\n", "A,B\n", 'C,"D\n'], "Line 3: unexpected end of data."),
    ],
)
async def test_invalid_line_is_explained(
    session: AsyncSession, lines: list[str], message: str
) -> None:
    with pytest.raises(SongImportError) as refused:
        await import_songs(session, lines)

    assert str(refused.value).startswith(message)


async def test_text_that_is_not_utf_8_is_located(session: AsyncSession) -> None:
    def lines() -> Any:
        yield "title,artist\n"
        yield "A,B\n"
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    with pytest.raises(SongImportError, match=r"^Line 3 or soon after: the text is not UTF-8\.$"):
        await import_songs(session, lines())


@pytest.mark.committed
async def test_import_shows_count_and_progress(
    run: Cli,
    session: AsyncSession,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "title,artist\nÅ,B\nC,D\n"
    (tmp_path / "songs.csv").write_text(text, encoding="utf-8")
    shown: list[int] = []
    bar = typer.progressbar

    def progressbar(*, length: int, label: str) -> Any:
        shown.append(length)
        made = bar(length=length, label=label)
        monkeypatch.setattr(made, "update", shown.append)
        return made

    monkeypatch.setattr("app.songs.commands.typer.progressbar", progressbar)

    outcome = await run("songs", "import", str(tmp_path / "songs.csv"))

    assert outcome == 0
    assert "Imported 2 songs." in capsys.readouterr().out
    assert shown[0] == sum(shown[1:]) == len(text.encode())
    assert len((await session.scalars(select(Song))).all()) == 2


async def test_line_endings_are_preserved(
    run: Cli, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def take(lines: Any) -> int:
        seen.extend(lines)
        return 0

    monkeypatch.setattr(commands, "_import", take)
    (tmp_path / "songs.csv").write_bytes(b'\xef\xbb\xbftitle,artist\r\n"A\r\nB",C\r\n')

    assert await run("songs", "import", str(tmp_path / "songs.csv")) == 0

    assert seen == ["title,artist\r\n", '"A\r\n', 'B",C\r\n']


async def test_unreadable_file_is_refused(
    run: Cli, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "songs.csv").touch()
    monkeypatch.setattr("os.access", lambda *_, **__: False)

    outcome = await run("songs", "import", str(tmp_path / "songs.csv"))

    assert outcome == 2


async def test_folder_is_refused(run: Cli, tmp_path: Any) -> None:
    assert await run("songs", "import", str(tmp_path)) == 2


async def test_songs_requires_a_subcommand(
    run: Cli, server: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("songs", url=server) in (0, 2)

    printed = capsys.readouterr()
    assert "import" in printed.out + printed.err
    assert "Missing command" not in printed.out + printed.err
