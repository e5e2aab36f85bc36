"""Runs the commands of the service."""

import asyncio

import pytest

from app.core import cli


class Cli:
    """Runs commands in this process, on the test database: `await run("db", "check")`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    async def __call__(self, *arguments: str) -> str | int | None:
        """Run a command, and return its exit code or its error message."""
        self._monkeypatch.setattr("sys.argv", ["service", *arguments])
        try:
            # In a thread, because commands start their own event loop.
            await asyncio.to_thread(cli.main)
        except SystemExit as error:
            return error.code
        return 0
