"""Fixtures for the proofs, which run on a bare application: core without features."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from alembic.config import Config
from fastapi import FastAPI
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import CoreSettings, cli, migrations
from app.core.engine import open_engine
from tests.proofs import kit, shop
from tests.proofs.revisions import Revisions


@pytest.fixture(scope="session")
def settings(database_url: URL) -> CoreSettings:
    return CoreSettings.load()


@pytest.fixture
def make_app() -> Callable[[CoreSettings], FastAPI]:
    return kit.create_app


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> kit.Cli:
    monkeypatch.setattr(cli, "configure_logging", lambda _: None)
    return kit.Cli(monkeypatch)


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove all settings from the environment; `.env` would be read, but does not exist."""
    for name in CoreSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr("app.core.settings.ENV_FILE", ".env")
    monkeypatch.chdir(tmp_path)  # has no .env


@pytest.fixture
async def migrated_database(scratch_database: URL) -> URL:
    """A database for one test, with the service's tables."""
    async with open_engine(CoreSettings(database_url=scratch_database)) as engine:
        await migrations.upgrade(engine)
    return scratch_database


@pytest.fixture
def migration_config(tmp_path: Path) -> Config:
    """A copy of the migrations, to which a test can add revisions."""
    config = migrations.alembic_config()
    shutil.copytree(config.get_alembic_option("script_location") or "", tmp_path / "migrations")
    config.set_main_option("script_location", str(tmp_path / "migrations"))
    return config


@pytest.fixture
def revisions(scratch_engine: AsyncEngine, migration_config: Config) -> Revisions:
    """Function that writes and runs migrations from models, on an empty database."""
    return Revisions(scratch_engine, migration_config)


@pytest.fixture(scope="session")
async def _shop_tables(engine: AsyncEngine) -> AsyncIterator[None]:
    async with kit.created(engine, shop.Base.metadata):
        yield


@pytest.fixture
async def shop_app(_shop_tables: None, app: FastAPI) -> FastAPI:
    """The application under test, with the routes and tables of `shop`."""
    app.include_router(shop.router)
    return app
