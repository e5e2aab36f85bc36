import asyncio

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from app.core import CoreSettings
from app.core.database import SessionDep
from app.core.engine import create_engine
from app.core.migrations.dialect import migrating
from tests.proofs.kit import create_app, running

WAITING = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


async def test_one_process_migrates_at_a_time(engine: AsyncEngine) -> None:
    async with engine.connect() as first, engine.connect() as second:
        assert first.sync_connection
        assert second.sync_connection
        with migrating(first.sync_connection), migrating(second.sync_connection):
            await first.execute(select(1))
            waiting = asyncio.create_task(second.execute(select(1)))
            async with asyncio.timeout(5):
                while not await first.scalar(WAITING):
                    await asyncio.sleep(0.01)

            await first.rollback()
            await asyncio.wait_for(waiting, timeout=5)


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
