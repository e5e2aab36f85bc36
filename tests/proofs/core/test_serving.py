"""The start command; real processes are in the meta suite."""

import socket
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from sqlalchemy import URL
from uvicorn import Config, Server

from app.core import serving
from tests.proofs.kit import Cli


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configuration of each server that was started."""
    found: list[Config] = []
    monkeypatch.setattr(serving, "_run", found.append)
    monkeypatch.setattr(serving, "import_module", lambda name: None)
    return found


async def test_server_uses_the_settings(
    run: Cli,
    served: list[Config],
    scratch_database: URL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEEP_ALIVE_TIMEOUT", "75")
    arguments = ("serve", "--host", "127.0.0.1", "--port", "1234", "--workers", "3")
    assert await run(*arguments, url=scratch_database) == 0

    (options,) = served
    assert options.app == "app.asgi:app"
    assert (options.host, options.port, options.workers) == ("127.0.0.1", 1234, 3)
    assert options.timeout_keep_alive == 75
    assert options.log_config is None  # keeps the command's


async def test_number_of_workers_can_be_a_variable(
    run: Cli,
    served: list[Config],
    scratch_database: URL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    assert await run("serve", url=scratch_database) == 0

    (options,) = served
    assert (options.host, options.port, options.workers) == ("0.0.0.0", 8000, 2)  # noqa: S104


async def test_port_of_metrics_is_another_one(
    run: Cli, served: list[Config], scratch_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METRICS_PORT", "1234")
    message = await run("serve", "--port", "1234", url=scratch_database)

    assert message == "METRICS_PORT is 1234, where the service itself listens: use another."
    assert served == []


async def test_service_that_cannot_start_is_not_served(
    run: Cli, scratch_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn would start its workers again and again."""
    monkeypatch.setattr(serving, "_run", lambda _: pytest.fail("served"))
    monkeypatch.setattr(serving, "import_module", _fail)

    assert await run("serve", url=scratch_database) == "TOKEN is not set."


def _fail(name: str) -> None:
    assert name == "app.asgi"
    raise SystemExit("TOKEN is not set.")


@pytest.mark.parametrize(("code", "failed"), [(0, False), (3, True)])
def test_failed_start_of_a_worker_is_a_failure(
    code: int, failed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn exits with 0, as if somebody had stopped it."""

    class Supervisor:
        def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
            self.processes = [SimpleNamespace(exitcode=0), SimpleNamespace(exitcode=code)]
            for listener in sockets:
                listener.close()

        def run(self) -> None:
            pass

    monkeypatch.setattr(serving, "Multiprocess", Supervisor)
    config = Config("app.asgi:app", host="127.0.0.1", port=0, workers=2, log_config=None)
    with pytest.raises(SystemExit, match="3") if failed else nullcontext():
        serving._run(config)


def test_one_worker_is_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(server: Server) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "run", run)
    serving._run(Config("app.asgi:app", log_config=None))
