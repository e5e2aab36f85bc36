"""Log formats, and the contents of request log lines."""

import importlib
import json
import logging
import sys
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from httpx2 import AsyncClient
from structlog.testing import capture_logs

from app.core import CoreSettings
from app.core.logs import REQUEST_ID_HEADER, RequestLogMiddleware
from tests.proofs import logs as proof_logs
from tests.proofs.kit import create_app, running
from tests.proofs.logs import logging_configured


def test_line_has_time_level_and_name(settings: CoreSettings) -> None:
    with logging_configured(settings) as stdout:
        structlog.get_logger().info("ours")
        logging.getLogger("library").info("theirs")

    ours, theirs = [json.loads(line) for line in stdout.getvalue().splitlines()]
    assert ours.keys() == {"event", "level", "timestamp"}
    assert ours["timestamp"].endswith("Z")
    assert theirs.keys() == {"event", "level", "timestamp", "logger"}
    assert theirs["logger"] == "library"


def test_bound_context_is_in_every_line(settings: CoreSettings) -> None:
    with (
        logging_configured(settings) as stdout,
        structlog.contextvars.bound_contextvars(request_id="abc"),
    ):
        structlog.get_logger().info("ours")
        logging.getLogger("library").info("theirs")

    lines = [json.loads(line) for line in stdout.getvalue().splitlines()]
    assert [line["request_id"] for line in lines] == ["abc", "abc"]


@pytest.mark.parametrize(("level", "written"), [("WARNING", 0), ("INFO", 2)])
def test_level_applies_to_service_and_libraries(
    settings: CoreSettings, level: str, written: int
) -> None:
    with logging_configured(settings.model_copy(update={"log_level": level})) as stdout:
        structlog.get_logger().info("ours")
        logging.getLogger("library").info("theirs")

    assert len(stdout.getvalue().splitlines()) == written


@pytest.mark.parametrize(
    ("log_format", "terminal", "as_json"),
    [
        *(("auto", True, False), ("auto", False, True)),
        *(("json", True, True), ("console", False, False)),
    ],
)
def test_default_format_depends_on_the_terminal(
    settings: CoreSettings,
    monkeypatch: pytest.MonkeyPatch,
    log_format: str,
    terminal: bool,
    as_json: bool,
) -> None:
    class Output(StringIO):
        def isatty(self) -> bool:
            return terminal

    monkeypatch.setattr(proof_logs, "StringIO", Output)
    with logging_configured(settings.model_copy(update={"log_format": log_format})) as stdout:
        structlog.get_logger().info("hello")

    assert stdout.getvalue().startswith("{") == as_json


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_logged_traceback_hides_local_variables(settings: CoreSettings, log_format: str) -> None:
    with logging_configured(settings.model_copy(update={"log_format": log_format})) as stdout:
        password = "hunter2"  # noqa: S105
        try:
            raise ZeroDivisionError(len(password))
        except ZeroDivisionError:
            structlog.get_logger().exception("ours")
            logging.getLogger("library").exception("theirs")

    assert stdout.getvalue().count("ZeroDivisionError") >= 2
    assert "hunter2'" not in stdout.getvalue()


def test_server_handlers_are_removed(settings: CoreSettings) -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    with logging_configured(settings):
        for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
            assert logging.getLogger(name).handlers == []
        assert logging.getLogger("uvicorn").propagate
        assert logging.getLogger("uvicorn.error").propagate


def test_plugins_of_alembic_are_not_listed(settings: CoreSettings) -> None:
    with logging_configured(settings) as stdout:
        logging.getLogger("alembic.runtime.plugins").info("setup plugin")

    assert stdout.getvalue() == ""


async def test_failed_request_is_logged_with_status_500(settings: CoreSettings) -> None:
    app = create_app(settings)

    @app.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError

    with capture_logs() as logs:
        async with running(app) as client:
            await client.get("/bug")

    (entry,) = [entry for entry in logs if entry["event"] == "request"]
    assert entry["status"] == 500


async def test_duration_is_logged_in_milliseconds(
    app: FastAPI, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter([1.0, 3.5012345])
    monkeypatch.setattr("app.core.logs.time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    with capture_logs() as logs:
        await client.get("/health/live")

    assert logs[-1]["milliseconds"] == 2501.23


@pytest.mark.parametrize("sent", ["a" * 128, "A.b_c:d+/=-1"])
async def test_valid_request_id_is_kept(client: AsyncClient, sent: str) -> None:
    response = await client.get("/health/live", headers={REQUEST_ID_HEADER: sent})

    assert response.headers[REQUEST_ID_HEADER] == sent


async def test_generated_request_ids_are_unique(client: AsyncClient) -> None:
    ids = [(await client.get("/health/live")).headers[REQUEST_ID_HEADER] for _ in range(2)]

    assert ids[0] != ids[1]
    assert all(len(found) == 32 and int(found, 16) for found in ids)


async def test_only_http_is_logged() -> None:
    seen: list[Any] = []

    async def app(*arguments: Any) -> None:
        seen.extend(arguments)

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "lifespan"}
    with capture_logs() as logs:
        await RequestLogMiddleware(app)(scope, receive, send)

    assert seen == [scope, receive, send]
    assert scope == {"type": "lifespan"}
    assert logs == []


@pytest.mark.usefixtures("database_url")
def test_server_configures_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    configured: list[CoreSettings] = []
    monkeypatch.setattr("app.core.configure_logging", configured.append)
    monkeypatch.delitem(sys.modules, "app.asgi", raising=False)

    module = importlib.import_module("app.asgi")

    assert configured == [module.settings]
