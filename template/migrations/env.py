"""What Alembic runs for every command: it finds the tables, and the database."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from app import features
from app.autogenerate import order_steps
from app.database import Base
from app.engine import MIGRATION_OPTIONS, create_engine, migrating
from app.settings import load_settings


def run(connection: Connection) -> None:
    """Run the migrations on a connection that is not in a transaction."""
    features.import_models()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        process_revision_directives=order_steps,
        **MIGRATION_OPTIONS,
    )
    with migrating(connection), context.begin_transaction():
        context.run_migrations()


async def connect_and_run() -> None:
    """Run the migrations on the database that the settings name."""
    engine = create_engine(load_settings())
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    raise SystemExit("Migrations are run on a database; writing them out as SQL is not supported.")
if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    asyncio.run(connect_and_run())
