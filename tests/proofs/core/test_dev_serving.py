"""What `dev` does before and while it serves; how it is stopped is tested with real processes."""

import os
import queue
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import URL

from app.core.dev import running, serving


class Reloader:
    """Takes the place of uvicorn's, and notes what it finds."""

    seen: running.Running | None = None
    handler: Any = None

    def __init__(self, config: Any, target: Any, sockets: list[socket.socket]) -> None:
        assert config.app == "app.asgi:app"
        assert config.reload_dirs == [running.ROOT / "app"]
        self.address = "http://{}:{}".format(*sockets[0].getsockname())

    def run(self) -> None:
        Reloader.seen = running.find()
        assert Reloader.seen is not None
        assert Reloader.seen.address == self.address


@pytest.fixture(autouse=True)
def handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """The signal handlers that are set; none is set in the test's process."""
    found: dict[int, Any] = {}
    monkeypatch.setattr("signal.signal", found.__setitem__)
    monkeypatch.setattr(running, "FOLDER", tmp_path / ".dev")
    monkeypatch.setattr(running, "FILE", tmp_path / ".dev" / "running")
    monkeypatch.setattr(serving, "ChangeReload", Reloader)
    monkeypatch.setattr(Reloader, "seen", None)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return found


def test_development_database_is_migrated_and_described(
    scratch_database: URL,
    handlers: dict[int, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    closed = []

    @contextmanager
    def private_database(folder: Path) -> Iterator[URL]:
        assert folder == running.FOLDER
        yield scratch_database
        closed.append(handlers.copy())

    monkeypatch.setattr(serving, "private_database", private_database)

    serving.serve("127.0.0.1", 0)

    assert Reloader.seen is not None
    assert Reloader.seen.pid == os.getpid()
    assert Reloader.seen.database_url == scratch_database.render_as_string(hide_password=False)
    assert Reloader.seen.address in capsys.readouterr().out
    # Nothing interrupts the end of the database.
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    assert closed == [dict.fromkeys(numbers, signal.SIG_IGN)]


def test_closed_terminal_stops_like_sigterm(
    scratch_database: URL, handlers: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", scratch_database.render_as_string(hide_password=False))
    sent: list[object] = []
    monkeypatch.setattr("os.kill", lambda *arguments: sent.append(arguments))

    serving.serve("127.0.0.1", 0)
    handlers[signal.SIGHUP]()

    assert sent == [(os.getpid(), signal.SIGTERM)]
    assert handlers[signal.SIGTERM] is signal.default_int_handler


def test_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"Port {port} .* \(Address already in use\): .*\.$"):
            serving.serve("127.0.0.1", port)


def test_folder_that_cannot_be_written_is_one_sentence() -> None:
    running.FOLDER.write_text("mine")

    with pytest.raises(SystemExit, match="cannot be written: File exists"):
        serving.serve("127.0.0.1", 0)


def test_child_ends_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([1, 1, 2])
    events: list[object] = []
    monkeypatch.setattr("os.getppid", lambda: next(parents))
    monkeypatch.setattr("time.sleep", events.append)
    monkeypatch.setattr("os.kill", lambda *arguments: events.append(arguments))

    serving._end_with(1)

    assert events == [0.5, 0.5, (os.getpid(), signal.SIGTERM)]


def test_child_serves_and_watches_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    watched: queue.Queue[int] = queue.Queue()
    served: list[object] = []
    monkeypatch.setattr(serving, "_end_with", watched.put)
    monkeypatch.setattr("uvicorn.Server.run", lambda _, sockets: served.append(sockets))

    serving._serve(uvicorn.Config("app.asgi:app", log_config=None), [])

    assert watched.get(timeout=5) == os.getppid()
    assert served == [[]]


def test_failed_start_says_what_restarts_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise SystemExit("TOKEN is not set.")

    monkeypatch.setattr(serving, "_end_with", lambda _: None)
    monkeypatch.setattr("uvicorn.Server.run", fail)

    with pytest.raises(SystemExit, match="TOKEN"):
        serving._serve(uvicorn.Config("app.asgi:app", log_config=None), [])

    assert "Waiting for a change in app/." in capsys.readouterr().err
