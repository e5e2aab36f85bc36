"""SQLite: connection settings, temporary errors, and migrations."""

import sqlite3
from types import SimpleNamespace
from typing import Any, cast

import pytest
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy import URL, Connection, String, column, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import CoreSettings
from app.core.dialect import DRIVER, error_code, is_unavailable
from app.core.engine import create_engine, open_engine
from app.core.migrations.dialect import OPTIONS, migrating


def raised(code: int | None, name: str = "") -> DBAPIError:
    orig: Any = sqlite3.OperationalError("hunter2")
    if code is not None:
        orig.sqlite_errorcode, orig.sqlite_errorname = code, name
    return DBAPIError("SELECT 1", {}, orig)


@pytest.mark.parametrize(
    ("code", "temporary"),
    [
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, True),
        (sqlite3.SQLITE_LOCKED, True),
        (sqlite3.SQLITE_CANTOPEN, True),
        (sqlite3.SQLITE_IOERR, True),
        (sqlite3.SQLITE_IOERR_READ, True),
        (sqlite3.SQLITE_FULL, True),
        (sqlite3.SQLITE_ERROR, False),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, False),
        (sqlite3.SQLITE_READONLY, False),
        (None, False),
    ],
)
def test_which_errors_are_temporary(code: int | None, temporary: bool) -> None:
    assert is_unavailable(raised(code)) == temporary


def test_error_has_its_documented_name() -> None:
    assert error_code(raised(5, "SQLITE_BUSY")) == "SQLITE_BUSY"
    assert error_code(raised(None)) is None


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("", "it must name a file"),
        ("/", "it must name a file"),
        ("/:memory:", "it must name a file"),
        ("/file:app.db?uri=true", "it must name a file"),
    ],
)
def test_url_names_a_file(rest: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        CoreSettings.model_validate({"database_url": f"{DRIVER}://{rest}"})


@pytest.mark.usefixtures("no_settings")
def test_defaults() -> None:
    settings = CoreSettings()

    assert str(settings.database_url) == f"{DRIVER}:///app.db"
    assert settings.database_lock_timeout == 5
    with pytest.raises(ValidationError, match="greater than 0"):
        CoreSettings(database_lock_timeout=0)


async def test_connection_settings(scratch_database: URL) -> None:
    settings = CoreSettings(
        _env_file=None,
        database_url=scratch_database,
        database_lock_timeout=1.5,
        database_pool_size=2,
        database_pool_timeout=0.25,
    )
    engine = create_engine(settings)
    async with engine.connect() as connection:
        found = {
            name: await connection.scalar(text(f"PRAGMA {name}"))
            for name in ("foreign_keys", "journal_mode", "synchronous", "busy_timeout")
        }
    pool = cast("Any", engine.pool)
    await engine.dispose()

    assert found == {
        "foreign_keys": 1,
        "journal_mode": "wal",
        "synchronous": 1,
        "busy_timeout": 1500,
    }
    assert (pool.size(), pool._max_overflow, pool._timeout) == (2, 0, 0.25)
    assert engine.sync_engine.hide_parameters


async def test_connection_comes_back_without_a_transaction(scratch_database: URL) -> None:
    engine = create_engine(CoreSettings(database_url=scratch_database))
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute("BEGIN IMMEDIATE")
    in_transaction = driver.in_transaction
    await engine.dispose()

    assert not in_transaction


async def test_write_transaction_locks_immediately(scratch_database: URL) -> None:
    settings = CoreSettings(database_url=scratch_database, database_lock_timeout=0.01)
    async with (
        open_engine(settings) as engine,
        open_engine(settings, read_only=True) as read_engine,
        engine.connect() as first,
        engine.connect() as second,
    ):
        await first.execute(text("SELECT 1"))
        async with read_engine.connect() as third:
            await third.execute(text("SELECT 1"))
        with pytest.raises(DBAPIError, match="locked") as refused:
            await second.execute(text("SELECT 1"))

    assert is_unavailable(refused.value)


async def test_unopenable_file_leaves_no_thread(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[object] = []
    monkeypatch.setattr("aiosqlite.connect", lambda *_, **__: connected.append(1))
    url = f"{DRIVER}:///{tmp_path}/missing/app.db"
    engine = create_engine(CoreSettings.model_validate({"database_url": url}))

    with pytest.raises(DBAPIError) as refused:
        await engine.connect()
    await engine.dispose()

    assert is_unavailable(refused.value)
    assert connected == []


async def test_read_engine_refuses_writes(scratch_database: URL) -> None:
    settings = CoreSettings(database_url=scratch_database)
    async with (
        open_engine(settings) as engine,
        open_engine(settings, read_only=True) as read_engine,
    ):
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        async with read_engine.connect() as connection:
            with pytest.raises(DBAPIError) as refused:
                await connection.execute(text("CREATE TABLE cars (id INTEGER PRIMARY KEY)"))

    assert error_code(refused.value) == "SQLITE_READONLY"


@pytest.mark.parametrize("name", ["a b", "a%20b", "a#b", "a?b", "ä"])
async def test_file_can_have_any_name(tmp_path: Any, name: str) -> None:
    url = URL.create(DRIVER, database=f"{tmp_path}/{name}.db")
    (tmp_path / f"{name}.db").touch()
    async with (
        open_engine(CoreSettings(database_url=url)) as engine,
        engine.connect() as connection,
    ):
        await connection.execute(text("CREATE TABLE cars (id INTEGER)"))

    assert (tmp_path / f"{name}.db").stat().st_size


@pytest.mark.parametrize(
    ("found", "default", "differs"),
    [
        (None, "x", None),
        ("'x'", None, None),
        ("'x'", "x", False),
        ("('x')", "x", False),
        ("'y'", "x", True),
        ("''", "", False),
        ("'it''s'", "it's", False),
        ("1", text("1"), None),
    ],
)
def test_server_defaults_of_text_are_compared(found: Any, default: Any, differs: Any) -> None:
    given = None if default is None else SimpleNamespace(arg=default)

    compare = OPTIONS["compare_server_default"]

    kind = column("x", String)
    assert compare(None, kind, kind, found, given, None) is differs


async def migrate(engine: AsyncEngine, *statements: str) -> None:
    def run(connection: Connection) -> None:
        with migrating(connection, connection.begin):
            for statement in statements:
                connection.execute(text(statement))

    async with engine.connect() as connection:
        await connection.run_sync(run)


async def test_migration_can_recreate_a_referenced_table(
    scratch_engine: AsyncEngine,
) -> None:
    await migrate(
        scratch_engine,
        "CREATE TABLE cars (id INTEGER PRIMARY KEY)",
        "CREATE TABLE wheels (car_id INTEGER REFERENCES cars ON DELETE CASCADE)",
        "INSERT INTO cars VALUES (1)",
        "INSERT INTO wheels VALUES (1)",
    )
    await migrate(
        scratch_engine,
        "CREATE TABLE new (id INTEGER PRIMARY KEY)",
        "INSERT INTO new SELECT id FROM cars",
        "DROP TABLE cars",
        "ALTER TABLE new RENAME TO cars",
    )

    async with scratch_engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM wheels")) == 1
        assert await connection.scalar(text("PRAGMA foreign_keys")) == 1


async def test_refused_migration_restores_the_connection(
    scratch_engine: AsyncEngine,
) -> None:
    await migrate(
        scratch_engine,
        "CREATE TABLE cars (id INTEGER PRIMARY KEY)",
        "CREATE TABLE wheels (car_id INTEGER REFERENCES cars)",
    )
    with pytest.raises(CommandError, match="in wheels that refer to missing rows"):
        await migrate(scratch_engine, "INSERT INTO wheels VALUES (1)")

    async with scratch_engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        assert not driver.in_transaction
        assert await connection.scalar(text("PRAGMA foreign_keys")) == 1
        # The check applies only during the migration.
        await connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        await connection.execute(text("INSERT INTO wheels VALUES (NULL)"))
        await connection.commit()
