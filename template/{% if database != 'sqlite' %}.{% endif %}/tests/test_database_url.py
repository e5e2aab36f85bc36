from pathlib import Path

import pytest

from app.settings import load_settings


def test_a_missing_url_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)  # where there is no .env

    with pytest.raises(SystemExit, match=r"^DATABASE_URL is not set: .*\.$"):
        load_settings()
