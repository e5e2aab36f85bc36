"""Helpers for the proofs on every database."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import pytest
from alembic.config import Config
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import URL, Connection, MetaData, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from app import core
from app.core import CoreSettings, features, migrations
from tests.core import command_line


def create_app(settings: CoreSettings, app: FastAPI | None = None, **options: Any) -> FastAPI:
    """Create a bare application; `options` are passed to FastAPI."""
    app = app or FastAPI(**options)
    with patch.object(features, "_packages", list):
        core.install(app, settings)
    return app


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Start `app`, and stop it afterwards; unhandled errors become responses."""
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


@asynccontextmanager
async def created(engine: AsyncEngine, metadata: MetaData) -> AsyncIterator[None]:
    """Create tables, and drop them afterwards."""
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)


class Cli:
    """Run commands in this process, on any database."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._run = command_line.Cli(monkeypatch)

    async def __call__(self, *arguments: str, url: URL | None = None) -> str | int | None:
        """Run a command; return its exit code or error message."""
        if url is not None:
            self._monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        return await self._run(*arguments)


async def run(
    engine: AsyncEngine,
    function: Callable[..., object],
    *arguments: str,
    config: Config | None = None,
    **options: bool,
) -> None:
    """Run an Alembic command on a database."""
    config = config or migrations.alembic_config()
    async with engine.connect() as connection:

        def run_sync(sync: Connection) -> None:
            config.attributes["connection"] = sync
            function(config, *arguments, **options)

        await connection.run_sync(run_sync)


async def table_names(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    return set(names) - {"alembic_version"}
