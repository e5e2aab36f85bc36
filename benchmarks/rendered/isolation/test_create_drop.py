"""Isolation by creating and dropping all tables for each test."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import Base, SessionFactory, features
from app.core.database import create_read_session_factory, create_session_factory
from app.core.engine import open_engine
from app.core.settings import DatabaseSettings
from tests.core.database_server import temporary_database
from tests.isolation_benchmark.test_savepoint import test_create as test_create
from tests.isolation_benchmark.test_savepoint import test_store as test_store


@pytest.fixture(scope="session")
async def empty_engine(server: URL) -> AsyncIterator[AsyncEngine]:
    """An engine for a separate database on the same server."""
    features.import_models()
    async with temporary_database(server) as url:
        async with open_engine(DatabaseSettings(database_url=url)) as engine:
            yield engine


@pytest.fixture
async def session_factories(
    empty_engine: AsyncEngine,
) -> AsyncIterator[tuple[SessionFactory, SessionFactory]]:
    """Factories for sessions that really commit."""
    async with empty_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield create_session_factory(empty_engine), create_read_session_factory(empty_engine)
    async with empty_engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
