"""Fixtures for the application, an HTTP client and the database.

All sessions of a test share one connection, in a transaction that is rolled back at the
end, together with everything that was committed. Tests marked with
`@pytest.mark.committed` use a connection for each session, and real commits. The tests of a
class marked with `@pytest.mark.shared_transaction` share one transaction.
"""

import asyncio
import inspect
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import wraps
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from uvicorn.loops.auto import auto_loop_factory

from app.core import CoreSettings, EnvironmentSettings, SessionFactory, cli, features, migrations
from app.core.database import create_session_factory
from app.core.dialect import URL_EXAMPLE
from app.core.engine import open_engine
from app.core.settings import DatabaseSettings
from app.main import create_app
from app.settings import Settings
from tests.core.command_line import Cli
from tests.core.database_server import clear, database_server, temporary_database
from tests.core.isolation import (
    Contents,
    Factories,
    SynchronizedTransport,
    checked_factories,
    isolate_applications,
    isolated,
)

__all__ = ["Cli", "SharedData"]

pytest_plugins = [
    f"tests.core.{file.parent.name}" for file in Path(__file__).parent.glob("*/__init__.py")
]
"""Subfolders with further fixtures."""

SharedData = Callable[[], AbstractAsyncContextManager[AsyncSession]]
"""Type of the fixture `shared_data`."""

LIMIT = 60.0
"""Maximum duration of a test, in seconds."""


def pytest_configure(config: pytest.Config) -> None:
    """Make sure that modules imported by tests do not use the service's own database."""
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    patch.setattr("app.core.settings.ENV_FILE", None)
    patch.setenv("DATABASE_URL", URL_EXAMPLE)  # no such database exists
    os.environ.setdefault("FACTORY_SEED", token_hex(4))  # other processes inherit it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report the seed of the factories when a test fails."""
    report = yield
    if report.failed and "tests.core.factories" in sys.modules:
        seed = f"To repeat them, set FACTORY_SEED={os.environ['FACTORY_SEED']}."
        report.sections.append(("Random values", seed))
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add a timeout to asynchronous tests, and order tests that share a transaction."""
    sharing: dict[pytest.Class | None, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = _limited(item.obj)
        if item.get_closest_marker("shared_transaction"):
            sharing[item.getparent(pytest.Class)].append(place)
    for places in sharing.values():  # plugins can shuffle the tests
        ordered = sorted((items[place] for place in places), key=lambda item: item.location[1] or 0)
        for place, item in zip(places, ordered, strict=True):
            items[place] = item


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
def _asyncio_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Run tests in the event loop that the server uses.

    Overrides a fixture of pytest-asyncio. With its hook `pytest_asyncio_loop_factories`, fixtures
    of synchronous tests would use another event loop.
    """
    return auto_loop_factory()


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


@pytest.fixture
async def _isolated(engine: AsyncEngine) -> AsyncIterator[Factories]:
    async with isolated(engine) as factories:
        yield factories


@pytest.fixture(scope="class")
async def _isolated_class(engine: AsyncEngine) -> AsyncIterator[Factories]:
    async with isolated(engine) as factories:
        yield factories


@pytest.fixture
async def _committed(engine: AsyncEngine, read_engine: AsyncEngine) -> AsyncIterator[Factories]:
    before = await Contents.of(engine)
    yield checked_factories(engine, read_engine)
    await before.restore(engine)


@pytest.fixture
def session_factories(request: pytest.FixtureRequest) -> Factories:
    """Factories of read-write and read-only sessions."""
    if request.node.get_closest_marker("committed"):
        factories: Factories = request.getfixturevalue("_committed")
    elif request.node.get_closest_marker("shared_transaction"):
        if request.cls is None:
            pytest.fail("@pytest.mark.shared_transaction is for classes.")
        factories = request.getfixturevalue("_isolated_class")
    else:
        factories = request.getfixturevalue("_isolated")
    return factories


@pytest.fixture(autouse=True)
def _isolation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate applications that the test starts, and remove what a marked test commits."""
    committed = request.node.get_closest_marker("committed")
    # Before other fixtures, because these can start applications.
    needed = committed or "session_factories" in request.fixturenames
    factories = request.getfixturevalue("session_factories") if needed else None
    if not committed:
        isolate_applications(monkeypatch, factories)


@pytest.fixture(scope="session")
def shared_data(engine: AsyncEngine) -> SharedData:
    """Function that stores data for many tests: `async with shared_data() as session`.

    Use it in a fixture with a wider scope, and commit the session before `yield`. What it
    commits is removed at the end.
    """

    @asynccontextmanager
    async def shared_data() -> AsyncIterator[AsyncSession]:
        before = await Contents.of(engine)
        try:
            async with create_session_factory(engine)() as session:
                yield session
        finally:
            await before.restore(engine)

    return shared_data


@pytest.fixture
def session_factory(session_factories: Factories) -> SessionFactory:
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
    session_factories: Factories,
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
