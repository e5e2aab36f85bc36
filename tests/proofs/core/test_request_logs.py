import json
import logging

import pytest
import structlog
from httpx2 import AsyncClient
from structlog.testing import capture_logs

from app.core import CoreSettings, health
from tests.proofs.kit import create_app, running
from tests.proofs.logs import logging_configured


async def test_request_is_logged_with_its_id(client: AsyncClient) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        response = await client.get("/health/live?token=secret", headers={"X-Request-ID": "abc-1"})

    assert response.headers["X-Request-ID"] == "abc-1"
    (entry,) = logs
    assert entry["request_id"] == "abc-1"
    assert entry["method"] == "GET"
    assert entry["path"] == "/health/live"
    assert entry["status"] == 200
    assert entry["milliseconds"] >= 0


@pytest.mark.committed
@pytest.mark.parametrize("root_path", ["", "/api"])
@pytest.mark.parametrize("path", sorted(health.PATHS))
async def test_successful_probes_are_logged_at_debug(
    settings: CoreSettings, monkeypatch: pytest.MonkeyPatch, path: str, root_path: str
) -> None:
    """They would be most of the log of a service that is idle."""
    app = create_app(settings.model_copy(update={"root_path": root_path}))
    levels = []
    async with running(app) as client:
        for draining in (False, True):
            app.state.shutdown.draining = draining
            with capture_logs() as logs:
                response = await client.get(path)
            (entry,) = logs
            levels.append((response.status_code, entry["log_level"]))

    failed = (503, "info") if path == "/health/ready" else (200, "debug")
    assert levels == [(200, "debug"), failed]


async def test_other_requests_are_logged_at_info(client: AsyncClient) -> None:
    with capture_logs() as logs:
        await client.get("/health/other")

    assert [entry["log_level"] for entry in logs] == ["info"]


async def test_control_characters_in_a_path_are_escaped(client: AsyncClient) -> None:
    with capture_logs() as logs:
        await client.get("/%1b%5b31m/h%C3%A9")

    assert logs[0]["path"] == "/%1B%5B31m/h%C3%A9"


@pytest.mark.parametrize("sent", [None, "", "two\twords", "x" * 129, "{}"])
async def test_invalid_request_id_is_replaced(client: AsyncClient, sent: str | None) -> None:
    headers = {} if sent is None else {"X-Request-ID": sent}
    response = await client.get("/health/live", headers=headers)

    assert response.headers["X-Request-ID"] != sent
    assert len(response.headers["X-Request-ID"]) == 32


def test_json_format_writes_json(settings: CoreSettings) -> None:
    with logging_configured(settings) as stdout:
        structlog.get_logger().info("ours", answer=42)
        logging.getLogger("uvicorn.error").warning("the server's: %s", "hello")
        logging.getLogger("uvicorn.error").debug("too fine")
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            logging.getLogger("uvicorn.error").exception("failed")

    ours, theirs, failed = [json.loads(line) for line in stdout.getvalue().splitlines()]
    assert (ours["event"], ours["answer"], ours["level"]) == ("ours", 42, "info")
    assert (theirs["event"], theirs["level"]) == ("the server's: hello", "warning")
    assert failed["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert "locals" not in failed["exception"][0]["frames"][0]


def test_access_log_of_the_server_is_disabled(settings: CoreSettings) -> None:
    with logging_configured(settings):
        # uvicorn checks this to decide whether to format an access log line.
        assert not logging.getLogger("uvicorn.access").hasHandlers()


def test_console_format_writes_plain_lines(settings: CoreSettings) -> None:
    with logging_configured(settings.model_copy(update={"log_format": "console"})) as stdout:
        structlog.get_logger().info("hello", answer=42)

    assert "hello" in stdout.getvalue()
    assert not stdout.getvalue().startswith("{")
