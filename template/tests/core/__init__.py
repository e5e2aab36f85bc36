"""Fixtures for the application, an HTTP client and the database.

All sessions of a test share one connection, in a transaction that is rolled back at the
end, together with everything that was committed. Tests marked with
`@pytest.mark.committed` use a connection for each session, and real commits.
"""

import asyncio
import inspect
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.core import CoreSettings, EnvironmentSettings, SessionFactory, cli, features, migrations
from app.core.database import create_read_session_factory, create_session_factory
from app.core.dialect import URL_EXAMPLE
from app.core.engine import open_engine
from app.core.settings import DatabaseSettings
from app.main import create_app
from app.settings import Settings
from tests.core.command_line import Cli
from tests.core.database_server import clear, database_server, temporary_database
from tests.core.isolation import (
    Contents,
    IsolatedReadSession,
    IsolatedSession,
    SynchronizedTransport,
)

__all__ = ["Cli"]

LIMIT = 60.0
"""Maximum duration of a test, in seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add a timeout to every asynchronous test."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = _limited(item.obj)


def _limited(test: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(test)
    async def limited(*arguments: Any, **fixtures: Any) -> None:
        try:
            async with asyncio.timeout(LIMIT) as limit:
                await test(*arguments, **fixtures)
        except TimeoutError:
            if limit.expired():
                pytest.fail(f"The test took longer than {LIMIT:g} seconds.")
            raise

    return limited


@pytest.fixture(scope="session", autouse=True)
def _logs_for_pytest() -> None:
    """Send logs to pytest, which shows them when a test fails."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


@pytest.fixture(scope="session", autouse=True)
def environment(settings_values: dict[str, str]) -> Iterator[pytest.MonkeyPatch]:
    """Environment variables of the tests: `settings_values`, and no others for settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.core.settings.ENV_FILE", None)
        classes: list[type[EnvironmentSettings]] = [Settings, *features.settings_classes()]
        for settings_class in classes:
            for name in settings_class.model_fields:
                patch.delenv(name.upper(), raising=False)
        for name, value in settings_values.items():
            patch.setenv(name.upper(), value)
        patch.setenv("DATABASE_URL", URL_EXAMPLE)  # no such database exists
        yield patch


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """URL of the database server: TEST_DATABASE_URL, or a server started for the tests."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DATABASE_URL", url)
            try:
                address = DatabaseSettings.load().database_url
            except SystemExit as error:
                pytest.exit(f"TEST_{error}", returncode=1)
        yield address
        return
    with ExitStack() as stack:
        try:
            address = stack.enter_context(database_server())
        except SystemExit as error:
            pytest.exit(str(error), returncode=1)
        # Editors and CI send SIGTERM: handle it like Ctrl-C, so that the server is stopped.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        yield address
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
async def database_url(server: URL, environment: pytest.MonkeyPatch) -> AsyncIterator[URL]:
    """URL of the test database, with all migrations applied."""
    async with temporary_database(server) as url:
        environment.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        async with open_engine(DatabaseSettings.load()) as engine:
            await migrations.upgrade(engine)
        yield url


@pytest.fixture(scope="session")
def settings(database_url: URL) -> CoreSettings:
    """Settings of the application. The settings of features are validated, too."""
    try:
        for settings_class in features.settings_classes():
            settings_class.load()
        return Settings.load()
    except SystemExit as error:
        pytest.fail(f"{error} For tests, add it to settings_values in tests/conftest.py.")


@pytest.fixture(scope="session")
async def engine(database_url: URL) -> AsyncIterator[AsyncEngine]:
    """Engine of the test database."""
    async with open_engine(DatabaseSettings.load()) as engine:
        yield engine


@pytest.fixture(scope="session")
async def read_engine(database_url: URL) -> AsyncIterator[AsyncEngine]:
    """Read-only engine of the test database."""
    async with open_engine(DatabaseSettings.load(), read_only=True) as engine:
        yield engine


@pytest.fixture(scope="session")
async def contents(engine: AsyncEngine) -> Contents:
    """Rows inserted by migrations, restored after each test that commits."""
    return await Contents.of(engine)


@pytest.fixture
async def session_factories(
    request: pytest.FixtureRequest,
    engine: AsyncEngine,
    read_engine: AsyncEngine,
    contents: Contents,
) -> AsyncIterator[tuple[SessionFactory, SessionFactory]]:
    """Factories of read-write and read-only sessions."""
    if request.node.get_closest_marker("committed"):
        yield create_session_factory(engine), create_read_session_factory(read_engine)
        await contents.restore(engine)
        return
    async with engine.connect() as connection:
        transaction = await connection.begin()
        # In the default mode, a rollback in a handler would also undo the test's changes.
        mode = "create_savepoint"
        yield (
            create_session_factory(
                connection, sync_session_class=IsolatedSession, join_transaction_mode=mode
            ),
            create_read_session_factory(
                connection, sync_session_class=IsolatedReadSession, join_transaction_mode=mode
            ),
        )
        await transaction.rollback()
        left_open = bool(IsolatedSession.active)
        IsolatedSession.active.clear()  # do not fail the next test
        assert not left_open, "The test did not close a session that it opened."


@pytest.fixture
def session_factory(session_factories: tuple[SessionFactory, SessionFactory]) -> SessionFactory:
    """Factory of the read-write sessions that the application uses."""
    return session_factories[0]


@pytest.fixture
async def session(session_factory: SessionFactory) -> AsyncIterator[AsyncSession]:
    """Session for preparing data and checking results.

    It is committed before each request of `client`; after the request, its objects are
    refreshed.
    """
    async with session_factory() as session:
        yield session


@pytest.fixture
def make_app() -> Callable[[Any], FastAPI]:
    """Application factory."""
    return create_app


@pytest.fixture
async def app(
    make_app: Callable[[Any], FastAPI],
    settings: CoreSettings,
    session_factories: tuple[SessionFactory, SessionFactory],
) -> AsyncIterator[FastAPI]:
    """Started application that uses the sessions of the test."""
    app = make_app(settings)
    app.state.session_factory, app.state.read_session_factory = session_factories
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI, session: AsyncSession) -> AsyncIterator[httpx2.AsyncClient]:
    """HTTP client of the application."""
    transport = SynchronizedTransport(app, session)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture(scope="session")
async def spare_database(server: URL) -> AsyncIterator[URL]:
    """URL of the database that `scratch_database` reuses for each test."""
    async with temporary_database(server) as url:
        yield url


@pytest.fixture
async def scratch_database(spare_database: URL) -> AsyncIterator[URL]:
    """URL of an empty database for one test."""
    yield spare_database
    await clear(spare_database)


@pytest.fixture
async def scratch_engine(scratch_database: URL) -> AsyncIterator[AsyncEngine]:
    """Engine of the empty database."""
    async with open_engine(DatabaseSettings(database_url=scratch_database)) as engine:
        yield engine


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, database_url: URL) -> Cli:
    """Function that runs a command of the service: `await run("db", "check")`."""
    # Keep sending logs to pytest.
    monkeypatch.setattr(cli, "configure_logging", lambda _: None)
    return Cli(monkeypatch)
