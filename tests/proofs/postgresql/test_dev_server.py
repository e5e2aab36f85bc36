from pathlib import Path

import pytest

from app.core.dev import database


def test_missing_wheel_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `uv sync --no-dev`."""
    monkeypatch.setattr(database, "find_spec", lambda _: None)

    with (
        pytest.raises(SystemExit, match="run `uv sync`"),
        database.private_database(tmp_path),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_data_of_another_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("17\n")

    with (
        pytest.raises(SystemExit, match="is not the data of PostgreSQL 18"),
        database.private_database(tmp_path),
    ):
        pass
    assert (tmp_path / "data" / "PG_VERSION").read_text() == "17\n"
