import pytest

from app import cli
from app.settings import load_settings

pytestmark = pytest.mark.usefixtures("no_settings")


def test_a_missing_url_is_one_sentence() -> None:
    with pytest.raises(SystemExit, match=r"^DATABASE_URL is not set: .*\.$"):
        load_settings()


def test_help_needs_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["service", "db", "--help"])

    with pytest.raises(SystemExit) as end:
        cli.main()

    assert end.value.code == 0
