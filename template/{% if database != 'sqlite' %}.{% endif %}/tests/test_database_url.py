from pathlib import Path

import pytest

from app import cli
from app.settings import load_settings


@pytest.fixture(autouse=True)
def _no_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)  # where there is no .env


def test_a_missing_url_is_one_sentence() -> None:
    with pytest.raises(SystemExit, match=r"^DATABASE_URL is not set: .*\.$"):
        load_settings()


def test_help_needs_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["service", "db", "--help"])

    with pytest.raises(SystemExit) as end:
        cli.main()

    assert end.value.code == 0
