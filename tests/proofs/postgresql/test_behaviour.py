import asyncio
from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import URL, Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only
from structlog.testing import capture_logs

from app.core import CoreSettings, migrations
from app.core.database import ReadSessionDep, SessionDep
from app.core.engine import create_engine, open_engine
from app.core.migrations.dialect import migrating
from tests.proofs.kit import Cli, create_app, running


async def test_one_process_migrates_at_a_time(engine: AsyncEngine) -> None:
    """Also while a migration is between two transactions."""
    order: list[str] = []

    def migrate(connection: Connection, name: str) -> None:
        with migrating(connection, connection.begin):
            for _ in range(2):
                order.append(name)
                connection.commit()
                await_only(asyncio.sleep(0.2))

    async with engine.connect() as first, engine.connect() as second:
        await asyncio.gather(first.run_sync(migrate, "first"), second.run_sync(migrate, "second"))

    assert order in (["first"] * 2 + ["second"] * 2, ["second"] * 2 + ["first"] * 2)


async def test_migration_lock_times_out(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.migrations.dialect.LOCK_TIMEOUT", 0)

    def migrate(connection: Connection) -> None:
        with migrating(connection, connection.begin), migrating(connection, connection.begin):
            pass

    async with engine.connect() as connection:
        with pytest.raises(CommandError, match="Timed out waiting for another process"):
            await connection.run_sync(migrate)


async def test_one_connection_suffices(settings: CoreSettings) -> None:
    limits = {"database_pool_size": 1, "database_pool_timeout": 0.1}
    engine = create_engine(settings.model_copy(update=limits))
    await migrations.upgrade(engine)
    await engine.dispose()


async def test_value_of_the_wrong_type_is_not_logged(settings: CoreSettings) -> None:
    """The driver's message quotes the value."""
    app = create_app(settings)

    @app.get("/broken")
    async def broken(session: SessionDep) -> None:
        await session.execute(text("SELECT CAST(:value AS int)"), {"value": "hunter2"})

    with capture_logs() as logs:
        async with running(app) as client:
            assert (await client.get("/broken")).status_code == 500

    shown = [entry for entry in logs if entry["log_level"] != "debug"]
    assert "CAST" in str(shown)
    assert "hunter2" not in str(shown)


@pytest.mark.parametrize("change", ["TYPE bigint", "TYPE text"])
async def test_changed_column_fails_once(
    settings: CoreSettings, migrated_database: URL, change: str
) -> None:
    """Prepared statements are outdated after a migration; the next request prepares them again."""
    app = create_app(settings.model_copy(update={"database_url": migrated_database}))

    @app.get("/cars")
    async def cars(session: ReadSessionDep) -> list[str]:
        return [str(row.id) for row in await session.execute(text("SELECT id FROM cars"))]

    async with open_engine(CoreSettings(database_url=migrated_database)) as engine:
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE cars (id integer)"))
            await connection.execute(text("INSERT INTO cars VALUES (7)"))
        async with running(app) as client:
            # Both connections of the pool prepare the statement.
            for _ in range(3):
                await asyncio.gather(client.get("/cars"), client.get("/cars"))
            async with engine.begin() as connection:
                await connection.execute(text(f"ALTER TABLE cars ALTER COLUMN id {change}"))
            responses = [await client.get("/cars") for _ in range(6)]

    assert [response.status_code for response in responses] == [503, 200, 200, 200, 200, 200]
    assert responses[0].headers["Retry-After"]
    assert responses[1].json() == ["7"]


@pytest.mark.parametrize("pgbouncer", [True, False])
async def test_timeouts_of_a_connection(settings: CoreSettings, pgbouncer: bool) -> None:
    engine = create_engine(settings.model_copy(update={"database_pgbouncer": pgbouncer}))
    async with engine.connect() as connection:
        found = [
            await connection.scalar(text(f"SHOW {name}"))
            for name in (
                *("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"),
            )
        ]
    await engine.dispose()

    assert found == ["30s", "5s", "1min"]


async def test_migrations_have_no_limit_but_for_locks(
    run: Cli, migrated_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    async def note(engine: AsyncEngine, _: Any) -> None:
        async with engine.connect() as connection:
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
            ):
                found.append(str(await connection.scalar(text(f"SHOW {name}"))))

    monkeypatch.setattr(migrations, "run", note)

    assert await run("db", "upgrade", url=migrated_database) == 0
    assert found == ["0", "500ms", "0"]


async def test_statement_names_are_unique_with_pgbouncer(
    settings: CoreSettings,
) -> None:
    """Another client can use the same server connection, and the same names, in between."""
    engine = create_engine(settings.model_copy(update={"database_pgbouncer": True}))

    names: set[str] = set()
    for _ in range(2):
        async with engine.connect() as connection:
            found = await connection.execute(text("SELECT name FROM pg_prepared_statements"))
            names.update(found.scalars())
    await engine.dispose()

    assert len(names) == 2
