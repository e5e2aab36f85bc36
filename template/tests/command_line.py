"""Running the service's commands."""

import asyncio

import pytest
from sqlalchemy import URL

from app import cli


class Cli:
    """Runs the command line in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    async def __call__(self, *arguments: str, url: URL) -> str | int | None:
        """Run a command on a database, and return its exit code or its last words."""
        self._monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        self._monkeypatch.setattr("sys.argv", ["service", *arguments])
        try:
            # In a thread, because migrations start an event loop of their own.
            await asyncio.to_thread(cli.main)
        except SystemExit as error:
            return error.code
        return 0
