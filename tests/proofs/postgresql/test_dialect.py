"""PostgreSQL: connection settings, temporary errors, and URLs."""

from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest
from pydantic import ValidationError
from sqlalchemy import ARRAY, JSON, Connection, Enum, String, column, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from app.core import CoreSettings, dialect
from app.core.dialect import DRIVER, error_code, is_unavailable
from app.core.engine import create_engine
from app.core.migrations import dialect as migration_dialect
from app.core.migrations.dialect import migrating

COLOR = Enum("red", name="color")


def raised(code: str | None, *, invalidated: bool = False) -> DBAPIError:
    orig: Any = Exception("hunter2")
    if code is not None:
        orig.sqlstate = code
    return DBAPIError("SELECT 1", {}, orig, connection_invalidated=invalidated)


@pytest.mark.parametrize(
    "code",
    [
        *("08000", "08001", "08003", "08004", "08006"),  # connection exceptions
        *("57P01", "57P02", "57P03", "53300", "40001", "40P01", "55P03", "57014", "25P03"),
    ],
)
def test_temporary_errors_are_recognized(code: str) -> None:
    assert is_unavailable(raised(code))
    assert error_code(raised(code)) == code


@pytest.mark.parametrize("code", [None, "23505", "42P01", "53200", "40002", "55006"])
def test_other_errors_are_permanent(code: str | None) -> None:
    assert not is_unavailable(raised(code))
    assert is_unavailable(raised(code, invalidated=True))
    assert error_code(raised(code)) == code


@pytest.mark.parametrize(("code", "temporary"), [("XX000", True), ("XX001", False)])
def test_corruption_is_permanent(code: str, temporary: bool) -> None:
    """Both are the same class of errors to SQLAlchemy."""
    kind: Any = AsyncAdapt_asyncpg_dbapi.InternalServerError
    orig = kind("", Exception())
    orig.sqlstate = code

    assert is_unavailable(DBAPIError("SELECT 1", {}, orig)) is temporary


@pytest.mark.parametrize(
    "option",
    [
        *("host=h", "port=1", "user=u", "password=p", "database=d", "passfile=f", "service=s"),
        *("servicefile=f", "ssl=require", "target_session_attrs=any", "krbsrvname=k"),
        *("gsslib=sspi", "prepared_statement_cache_size=0"),
    ],
)
def test_driver_options_are_accepted(option: str) -> None:
    settings = CoreSettings.model_validate({"database_url": f"{DRIVER}://localhost/name?{option}"})

    name, _, value = option.partition("=")
    assert settings.database_url.query == {name: value}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"{DRIVER}://localhost/name?b=c&a=b", r"unsupported options: a, b \["),
        (
            f"{DRIVER}://localhost/name?sslmode=require&a=b",
            r"unsupported options: a, sslmode \(use ssl instead of sslmode\)",
        ),
    ],
)
def test_wrong_url_is_explained(url: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        CoreSettings.model_validate({"database_url": url})


def test_defaults() -> None:
    settings = CoreSettings.model_validate({"database_url": f"{DRIVER}://localhost/name"})

    assert settings.database_pgbouncer is False
    assert settings.database_pool_size == 10
    assert settings.database_pool_timeout == 5
    assert dialect.CONNECT_TIMEOUT == 5


def test_pool_options(settings: CoreSettings) -> None:
    limits = {"database_pool_size": 2, "database_pool_timeout": 0.25}
    engine = create_engine(settings.model_copy(update=limits))
    pool = cast("Any", engine.pool)

    assert (pool.size(), pool._max_overflow, pool._timeout) == (2, 0, 0.25)
    assert engine.sync_engine.hide_parameters


def test_with_pgbouncer_there_is_no_pool(settings: CoreSettings) -> None:
    engine = create_engine(settings.model_copy(update={"database_pgbouncer": True}))

    assert isinstance(engine.pool, NullPool)
    assert engine.sync_engine.hide_parameters


@pytest.mark.parametrize("pgbouncer", [True, False])
async def test_driver_options(
    settings: CoreSettings, monkeypatch: pytest.MonkeyPatch, pgbouncer: bool
) -> None:
    told: dict[str, Any] = {}
    connect = asyncpg.connect

    async def note(*args: Any, **options: Any) -> Any:
        told.update(options)
        return await connect(*args, **options)

    monkeypatch.setattr(asyncpg, "connect", note)
    engine = create_engine(settings.model_copy(update={"database_pgbouncer": pgbouncer}))
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).dbapi_connection
        cached = driver._prepared_statement_cache is not None
        named = driver._prepared_statement_name_func
    await engine.dispose()

    assert told["timeout"] == 5
    assert told.get("statement_cache_size") == (0 if pgbouncer else None)
    assert cached is not pgbouncer
    assert (named() != named()) is pgbouncer


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("no route"), "no route"),
        (TimeoutError(), "the connection attempt timed out"),
    ],
)
async def test_failed_connection_raises_database_error(
    settings: CoreSettings, monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(asyncpg, "connect", fail)
    engine = create_engine(settings)
    with pytest.raises(DBAPIError) as refused:
        await engine.connect()
    await engine.dispose()

    assert str(refused.value.orig).endswith(words)
    assert is_unavailable(refused.value)


@pytest.mark.parametrize("pgbouncer", [True, False])
async def test_read_engine_reads_one_snapshot(
    settings: CoreSettings, engine: AsyncEngine, pgbouncer: bool
) -> None:
    reader = create_engine(
        settings.model_copy(update={"database_pgbouncer": pgbouncer}), read_only=True
    )

    async with reader.connect() as connection:
        assert await connection.scalar(text("SHOW transaction_read_only")) == "on"
        assert await connection.scalar(text("SHOW transaction_isolation")) == "repeatable read"
    await reader.dispose()
    async with engine.connect() as connection:
        assert await connection.scalar(text("SHOW transaction_read_only")) == "off"


@pytest.mark.parametrize(
    ("kind", "found", "default", "differs"),
    [
        (String(), None, "x", None),
        (String(), "'x'::text", None, None),
        (String(), "'x'::character varying", "x", None),
        (String(), "'it''s'::text", "it's", False),
        (String(), "'its'::text", "it's", True),
        (JSON(), "'{}'::json", "{}", False),
        (JSON(), "'[]'::json", "{}", True),
        (JSON(), "'{}'::json", text("'{}'"), False),
        (String(), "now()", text("now()"), None),
        (COLOR, "'red'::color", "red", False),
        (COLOR, "'red'::color", "green", True),
        (COLOR, "'red'::color", text("'red'"), False),
        (COLOR, "'red'::color", text("'green'::color"), True),
        (ARRAY(COLOR), "'{red}'::color[]", "{red}", False),
        (ARRAY(COLOR), "'{red}'::color[]", "{red,green}", True),
    ],
)
def test_server_defaults_are_compared(kind: Any, found: Any, default: Any, differs: Any) -> None:
    given = None if default is None else SimpleNamespace(arg=default)

    compare = migration_dialect.OPTIONS["compare_server_default"]

    assert compare(None, None, column("x", kind), found, given, None) is differs


def test_pending_migrations_share_one_transaction() -> None:
    assert migration_dialect.OPTIONS["transaction_per_migration"] is False


async def test_lock_is_released_after_migrations(engine: AsyncEngine) -> None:
    """After migrating, the connection can do other work without blocking other migrations."""
    locks = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")

    def count(connection: Connection) -> tuple[int | None, int | None]:
        with migrating(connection, connection.begin):
            during = connection.scalar(locks)
        return during, connection.scalar(locks)

    async with engine.connect() as connection:
        assert await connection.run_sync(count) == (1, 0)
