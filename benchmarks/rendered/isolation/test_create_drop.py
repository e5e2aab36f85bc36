"""With all tables created for each test, and dropped after it."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from app import features
from app.database import Base, SessionFactory, create_session_factory
from app.engine import create_engine
from app.settings import Settings
from tests.database_server import temporary_database
from tests.isolation_benchmark.test_savepoint import test_create as test_create
from tests.isolation_benchmark.test_savepoint import test_store as test_store


@pytest.fixture(scope="session")
async def empty_engine(server: URL) -> AsyncIterator[AsyncEngine]:
    """The engine of another database on the same server."""
    features.import_models()
    async with temporary_database(server) as url:
        engine = create_engine(Settings(_env_file=None, database_url=url))
        yield engine
        await engine.dispose()


@pytest.fixture
async def session_factory(empty_engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """The factory of sessions that really commit."""
    async with empty_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield create_session_factory(empty_engine)
    async with empty_engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
