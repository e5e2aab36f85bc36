"""MySQL: connection settings, temporary errors, and URLs."""

import asyncio
from contextlib import nullcontext
from typing import Any, cast

import asyncmy
import pytest
from pydantic import ValidationError
from sqlalchemy import URL, Column, Integer, MetaData, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import CoreSettings, dialect
from app.core.dialect import DRIVER, error_code, is_unavailable
from app.core.engine import create_engine
from app.core.migrations import dialect as migration_dialect
from app.core.migrations.dialect import migrating


def raised(*args: object, invalidated: bool = False) -> DBAPIError:
    return DBAPIError("SELECT 1", {}, Exception(*args), connection_invalidated=invalidated)


@pytest.mark.parametrize(
    "code",
    [1040, 1053, 1203, 1205, 1213, 1226, 1317, 1927, 1969, 2002, 2003, 2006, 2013, 3024, 4031],
)
def test_temporary_errors_are_recognized(code: int) -> None:
    assert is_unavailable(raised(code, "hunter2"))
    assert error_code(raised(code, "hunter2")) == code


@pytest.mark.parametrize(
    "code", [1041, 1054, 1062, 1064, 1146, 1204, 1206, 1214, 1227, 1928, 2004, 2007, 2014]
)
def test_other_errors_are_permanent(code: int) -> None:
    assert not is_unavailable(raised(code, "hunter2"))
    assert is_unavailable(raised(code, "hunter2", invalidated=True))


def test_error_without_a_number_has_no_code() -> None:
    assert error_code(raised()) is None
    assert error_code(DBAPIError("SELECT 1", {}, cast("Any", None))) is None


@pytest.mark.parametrize(
    "option",
    [
        *("unix_socket=/s", "charset=utf8mb4", "connect_timeout=1", "read_timeout=1"),
        *("program_name=p", "read_default_file=f", "read_default_group=g"),
        *("server_public_key=k", "local_infile=1", "ssl_ca=a", "ssl_capath=p"),
        *("ssl_cert=c", "ssl_check_hostname=true", "ssl_cipher=c", "ssl_key=k"),
    ],
)
def test_driver_options_are_accepted(option: str) -> None:
    settings = CoreSettings.model_validate({"database_url": f"{DRIVER}://localhost/name?{option}"})

    name, _, value = option.partition("=")
    assert settings.database_url.query == {name: value}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"{DRIVER}://localhost", "it must name a database"),
        (
            f"{DRIVER}://localhost/name?tls=1&a=b",
            r"unsupported options: a, tls \(TLS options start with ssl_\)",
        ),
    ],
)
def test_wrong_url_is_explained(url: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        CoreSettings.model_validate({"database_url": url})


def test_defaults() -> None:
    settings = CoreSettings.model_validate({"database_url": f"{DRIVER}://localhost/name"})

    assert settings.database_pool_size == 10
    assert settings.database_pool_timeout == 5
    assert dialect.CONNECT_TIMEOUT == 5
    assert migration_dialect.LOCK_TIMEOUT == 600


def test_pool_options(settings: CoreSettings) -> None:
    limits = {"database_pool_size": 2, "database_pool_timeout": 0.25}
    engine = create_engine(settings.model_copy(update=limits))
    pool = cast("Any", engine.pool)

    assert (pool.size(), pool._max_overflow, pool._timeout) == (2, 0, 0.25)
    # Below the server's default wait_timeout of eight hours.
    assert pool._recycle == 3600
    assert engine.sync_engine.hide_parameters


async def test_session_settings(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        mode, zone, charset, server_mode = (
            await connection.execute(
                text("SELECT @@sql_mode, @@time_zone, @@character_set_client, @@GLOBAL.sql_mode")
            )
        ).one()

    assert set(mode.split(",")) == {*server_mode.split(","), "STRICT_ALL_TABLES"}
    assert (zone, charset) == ("+00:00", "utf8mb4")


async def test_connection_comes_back_without_a_transaction(settings: CoreSettings) -> None:
    engine = create_engine(settings)
    rollbacks: list[bool] = []
    for begins in (True, False):
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            if begins:
                await driver.begin()
        rollbacks.append(driver.get_transaction_status())
    await engine.dispose()

    assert rollbacks == [False, False]


async def test_connection_attempt_times_out(
    settings: CoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncmy, "connect", wait)
    monkeypatch.setattr(dialect, "CONNECT_TIMEOUT", 0.01)
    engine = create_engine(settings)
    async with asyncio.timeout(5):
        with pytest.raises(DBAPIError, match="the connection attempt timed out") as refused:
            await engine.connect()
    await engine.dispose()

    assert error_code(refused.value) == 2013
    assert is_unavailable(refused.value)


async def test_read_engine_refuses_writes(read_engine: AsyncEngine, scratch_database: URL) -> None:
    elsewhere = text(f"CREATE TABLE `{scratch_database.database}`.cars (id INTEGER)")
    async with read_engine.connect() as connection:
        with pytest.raises(DBAPIError) as refused:
            await connection.execute(elsewhere)

    assert error_code(refused.value) == 1792


def test_table_can_override_the_character_set() -> None:
    cars = Table("cars", MetaData(), Column("id", Integer, primary_key=True))
    old = Table("old", MetaData(), Column("id", Integer, primary_key=True), mysql_charset="ascii")

    assert cars.dialect_options["mysql"]["charset"] == "utf8mb4"
    assert old.dialect_options["mysql"]["charset"] == "ascii"


def test_migrations_are_recorded_one_by_one() -> None:
    assert migration_dialect.OPTIONS == {"transaction_per_migration": True}


async def test_lock_is_per_database_and_released(engine: AsyncEngine) -> None:
    free = text("SELECT is_free_lock(concat('migrations of ', database()))")
    async with engine.connect() as connection:
        lock = await connection.run_sync(lambda sync: migrating(sync, nullcontext))
        await connection.run_sync(lambda _: lock.__enter__())
        assert not connection.in_transaction()
        assert await connection.scalar(free) == 0
        await connection.run_sync(lambda _: lock.__exit__(None, None, None))
        assert not connection.in_transaction()
        assert await connection.scalar(free) == 1
