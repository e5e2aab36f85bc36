"""Database engines. `dialect.py` contains the code specific to one database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import dialect
from app.core.database import SessionFactory, create_session_factory
from app.core.pool import ObservedPool
from app.core.settings import DatabaseSettings
from app.core.types import check_values


def create_engine(settings: DatabaseSettings, *, read_only: bool = False) -> AsyncEngine:
    """Create an engine. It connects on first use.

    Args:
        settings: the database URL and the settings of the pool.
        read_only: whether the database rejects writes on the engine's connections;
            each transaction then sees a single snapshot.
    """
    pool = {
        "poolclass": ObservedPool,
        "pool_size": settings.database_pool_size,
        "max_overflow": 0,  # otherwise, load would open and close connections all the time
        "pool_timeout": settings.database_pool_timeout,
    }
    engine = dialect.create_engine(settings, pool, read_only=read_only)
    event.listen(engine.sync_engine, "before_cursor_execute", check_values, named=True)
    return engine


@asynccontextmanager
async def open_engine(
    settings: DatabaseSettings, *, read_only: bool = False
) -> AsyncIterator[AsyncEngine]:
    """Create an engine, and close its connections on exit."""
    engine = create_engine(settings, read_only=read_only)
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_database(settings: DatabaseSettings) -> AsyncIterator[SessionFactory]:
    """Open the database outside an application, for example in a command.

    Yields:
        A session factory: `async with session_factory.begin() as session`.
    """
    async with open_engine(settings) as engine:
        yield create_session_factory(engine)
