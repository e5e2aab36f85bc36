"""What every test can ask for: the application, a client, and the database behind them.

A test's sessions share one connection, in a transaction that is rolled back at
the end, so that nothing is left behind whatever is committed meanwhile. Tests
with `@pytest.mark.committed` have connections of their own and really commit.
"""

import gc
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
import structlog
from alembic.config import Config
from fastapi import FastAPI
from pydantic import ValidationError
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app import cli, schema
from app.database import SessionFactory, create_session_factory
from app.engine import create_engine
from app.main import create_app
from app.settings import Settings, explain, settings_class
from tests.command_line import Cli
from tests.database_server import clear, database_server, temporary_database
from tests.isolation import Contents, IsolatedSession, SynchronizedTransport, unchanged


def pytest_configure() -> None:
    """Let SIGTERM, which editors and CI stop a run with, end it as Ctrl-C does: with the server."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keep what was imported out of each garbage collection, which takes a tenth of a second else."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _logs_for_pytest() -> None:
    """Pass the service's logs on to pytest, which shows them when a test fails."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """The database server: the one that TEST_DATABASE_URL names, or one started for the tests."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        try:
            yield Settings.model_validate({"database_url": url}).database_url
        except ValidationError as error:
            pytest.exit(f"TEST_{explain(error)[0]}", returncode=1)
    else:
        with database_server() as address:
            yield address


@pytest.fixture(scope="session")
async def spare_database(server: URL) -> AsyncIterator[URL]:
    """The database that is `scratch_database` in one test after the other."""
    async with temporary_database(server) as url:
        yield url


@pytest.fixture
async def scratch_database(spare_database: URL) -> AsyncIterator[URL]:
    """An empty database for one test."""
    yield spare_database
    await clear(spare_database)


def forget_settings(patch: pytest.MonkeyPatch) -> None:
    for name in settings_class().model_fields:
        patch.delenv(name.upper(), raising=False)


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment nor a file has a setting."""
    forget_settings(monkeypatch)
    monkeypatch.chdir(tmp_path)  # where there is no .env


async def migrate(settings: Settings) -> None:
    engine = create_engine(settings)
    await schema.upgrade(engine)
    await engine.dispose()


@pytest.fixture
async def migrated_database(scratch_database: URL) -> URL:
    """A database for one test, with the service's tables."""
    await migrate(Settings(_env_file=None, database_url=scratch_database))
    return scratch_database


@pytest.fixture
async def scratch_engine(scratch_database: URL) -> AsyncIterator[AsyncEngine]:
    """An engine for the empty database of one test."""
    engine = create_engine(Settings(_env_file=None, database_url=scratch_database))
    yield engine
    await engine.dispose()


@pytest.fixture
def migrations(tmp_path: Path) -> Config:
    """A copy of the migrations, to which a test can add some."""
    config = schema.alembic_config()
    shutil.copytree(config.get_alembic_option("script_location") or "", tmp_path / "migrations")
    config.set_main_option("script_location", str(tmp_path / "migrations"))
    return config


@pytest.fixture(scope="session")
async def own_database(server: URL) -> AsyncIterator[None]:
    """A stand-in for the database that DATABASE_URL names, which no test may touch."""
    async with temporary_database(server) as url:
        settings = Settings(_env_file=None, database_url=url)
        await migrate(settings)
        engine = create_engine(settings)
        before = await Contents.of(engine)
        with pytest.MonkeyPatch.context() as patch:
            forget_settings(patch)
            # Settings without a default get their values for tests here.
            patch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
            yield
        assert await Contents.of(engine) == before, "A test touched the service's own database."
        await engine.dispose()


@pytest.fixture(scope="session")
async def settings(server: URL, own_database: None) -> AsyncIterator[Settings]:
    """The settings of the application under test, with a database that only the tests use."""
    async with temporary_database(server) as url:
        settings = settings_class()(_env_file=None, database_url=url)
        await migrate(settings)
        yield settings


@pytest.fixture(scope="session")
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """The tests' database, with the schema that the migrations built."""
    engine = create_engine(settings)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
async def contents(engine: AsyncEngine) -> Contents:
    """The rows that the migrations left, for tests that commit to go back to."""
    return await Contents.of(engine)


@pytest.fixture
async def session_factory(
    request: pytest.FixtureRequest, engine: AsyncEngine, contents: Contents
) -> AsyncIterator[SessionFactory]:
    """The factory of the sessions that the application uses in this test."""
    if request.node.get_closest_marker("committed"):
        yield create_session_factory(engine)
        await contents.restore(engine)
        return
    async with engine.connect() as connection:
        transaction = await connection.begin()
        # With the default mode, a rollback in a handler would undo what the test arranged.
        yield create_session_factory(
            connection,
            join_transaction_mode="create_savepoint",
            sync_session_class=IsolatedSession,
        )
        await transaction.rollback()
        left_open = bool(IsolatedSession.active)
        IsolatedSession.active.clear()  # the next test is not to blame
        assert not left_open, "A session that was opened in this test was not closed."


@pytest.fixture
async def session(session_factory: SessionFactory) -> AsyncIterator[AsyncSession]:
    """A session to arrange and to assert with.

    Before each of the client's requests it is committed, and after each the
    objects that the test still holds are read again.
    """
    async with session_factory() as session:
        yield session


@pytest.fixture(scope="session")
def shared_app(settings: Settings, engine: AsyncEngine) -> FastAPI:
    """The application that is `app` in one test after the other.

    FastAPI takes longer to prepare routes, and a server to open a connection,
    than most tests take.
    """
    return create_app(settings, engine)


@pytest.fixture
async def app(shared_app: FastAPI, session_factory: SessionFactory) -> AsyncIterator[FastAPI]:
    """The application under test, started; its handlers use the test's database.

    What a test adds to it or overrides is undone afterwards.
    """
    with unchanged(shared_app):
        async with shared_app.router.lifespan_context(shared_app):
            shared_app.state.session_factory = session_factory
            yield shared_app


@pytest.fixture
async def client(app: FastAPI, session: AsyncSession) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client of the application."""
    transport = SynchronizedTransport(app, session)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command of the service: `await run("db", "upgrade", url=...)`."""
    # The logs go to pytest instead.
    monkeypatch.setattr(cli, "configure_logging", lambda _: None)
    return Cli(monkeypatch)
