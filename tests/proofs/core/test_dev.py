"""Which process serves a project, and with which database."""

import os
from pathlib import Path

import pytest

from app.core import cli
from app.core.dev import running
from app.core.dev.running import Running, claim, describe, find, use_running_database

OURS = Running(1, "http://127.0.0.1:8000", "its database")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project of this test's own."""
    monkeypatch.setattr(running, "FOLDER", tmp_path / ".dev")
    monkeypatch.setattr(running, "FILE", tmp_path / ".dev" / "running")
    monkeypatch.delenv("DATABASE_URL")


def test_no_process_is_found_before_and_after_one_runs() -> None:
    assert find() is None

    with claim():
        assert find() is None
        describe(OURS)
        assert find() == OURS

    assert find() is None


def test_second_claim_names_the_first() -> None:
    with claim():
        with pytest.raises(SystemExit, match=r"already running for this project: starting\.$"):
            claim().__enter__()
        describe(OURS)
        with pytest.raises(SystemExit, match=r": http://127\.0\.0\.1:8000, process 1\.$"):
            claim().__enter__()


def test_description_is_private() -> None:
    """It has the URL of the database."""
    with claim():
        describe(OURS)
        assert running.FILE.stat().st_mode & 0o777 == 0o600


def test_commands_use_the_running_database_unless_one_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with claim():
        describe(OURS)
        use_running_database()
        assert os.environ["DATABASE_URL"] == "its database"

        monkeypatch.setenv("DATABASE_URL", "another")
        use_running_database()
        assert os.environ["DATABASE_URL"] == "another"


def test_nothing_is_used_if_nothing_runs() -> None:
    use_running_database()

    assert "DATABASE_URL" not in os.environ


def test_dev_needs_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[object] = []
    monkeypatch.setattr("app.core.dev.serving.serve", lambda *at: served.append(at))
    monkeypatch.setattr("sys.argv", ["service", "dev", "--port", "8001"])

    with pytest.raises(SystemExit):
        cli.main()

    assert served == [("127.0.0.1", 8001)]


def test_dev_is_refused_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr("sys.argv", ["service", "dev", "--port", "8001"])

    with pytest.raises(SystemExit, match="needs Linux or macOS"):
        cli.main()
