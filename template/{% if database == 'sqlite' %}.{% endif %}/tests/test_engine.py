import pytest
from alembic.util import CommandError
from sqlalchemy import URL, Connection, text

from app.engine import create_engine, migrating
from app.settings import Settings


async def test_a_migration_that_breaks_a_reference_is_undone(scratch_database: URL) -> None:
    engine = create_engine(Settings(_env_file=None, database_url=scratch_database))

    def migrate(connection: Connection) -> None:
        with migrating(connection), connection.begin():
            connection.execute(text("CREATE TABLE cars (id INTEGER PRIMARY KEY)"))
            connection.execute(text("CREATE TABLE wheels (car_id INTEGER REFERENCES cars)"))
            connection.execute(text("INSERT INTO wheels VALUES (1)"))

    async with engine.connect() as connection:
        with pytest.raises(CommandError, match="leaves rows in wheels"):
            await connection.run_sync(migrate)
        tables = await connection.execute(text("SELECT * FROM sqlite_master"))
        assert tables.all() == []
    await engine.dispose()
