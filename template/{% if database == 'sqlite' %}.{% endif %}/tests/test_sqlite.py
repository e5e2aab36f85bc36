from typing import Any

from sqlalchemy import URL, text

from app.engine import create_engine
from app.settings import Settings


async def test_rows_that_nobody_reads_lock_no_table(scratch_database: URL) -> None:
    engine = create_engine(Settings(_env_file=None, database_url=scratch_database))

    async with engine.connect() as connection:
        await connection.execute(text("CREATE TABLE cars (id INTEGER PRIMARY KEY)"))
        await connection.execute(text("INSERT INTO cars VALUES (:id)"), [{"id": 1}, {"id": 2}])
        driver: Any = (await connection.get_raw_connection()).driver_connection
        cursor = driver.cursor()
        await cursor.execute("SELECT id FROM cars")
        first = await cursor.fetchone()
        await cursor.close()
        await connection.execute(text("DROP TABLE cars"))
    await engine.dispose()

    assert first == (1,)
