from pathlib import Path

import pytest

from app.core.dev import database


def test_missing_server_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SEARCHED", str(tmp_path))

    with (
        pytest.raises(SystemExit, match=r"^Error: Neither `mariadbd` nor `mysqld` was found: "),
        database.private_database(tmp_path),
    ):
        pass
    assert not list(tmp_path.iterdir())
