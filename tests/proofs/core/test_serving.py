"""The start command; real processes are in the meta suite."""

from typing import Any

import pytest
from sqlalchemy import URL

from app.core import serving
from tests.proofs.kit import Cli


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of each server that was started."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr("uvicorn.run", lambda app, **options: found.append({"app": app} | options))
    monkeypatch.setattr(serving, "import_module", lambda name: None)
    return found


async def test_server_uses_the_settings(
    run: Cli,
    served: list[dict[str, Any]],
    scratch_database: URL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEEP_ALIVE_TIMEOUT", "75")
    arguments = ("serve", "--host", "127.0.0.1", "--port", "1234", "--workers", "3")
    assert await run(*arguments, url=scratch_database) == 0

    (options,) = served
    assert options["app"] == "app.asgi:app"
    assert (options["host"], options["port"], options["workers"]) == ("127.0.0.1", 1234, 3)
    assert options["timeout_keep_alive"] == 75
    assert options["log_config"] is None  # keeps the command's


async def test_number_of_workers_can_be_a_variable(
    run: Cli,
    served: list[dict[str, Any]],
    scratch_database: URL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    assert await run("serve", url=scratch_database) == 0

    (options,) = served
    assert (options["host"], options["port"], options["workers"]) == ("0.0.0.0", 8000, 2)  # noqa: S104


async def test_service_that_cannot_start_is_not_served(
    run: Cli, scratch_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn would start its workers again and again."""
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: pytest.fail("served"))
    monkeypatch.setattr(serving, "import_module", _fail)

    assert await run("serve", url=scratch_database) == "TOKEN is not set."


def _fail(name: str) -> None:
    assert name == "app.asgi"
    raise SystemExit("TOKEN is not set.")
