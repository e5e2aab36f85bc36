import asyncio

import pytest
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only
from structlog.testing import capture_logs

from app.core import CoreSettings, migrations
from app.core.database import SessionDep
from app.core.engine import create_engine
from app.core.migrations.dialect import migrating
from tests.proofs.kit import create_app, running


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
