import pytest
from pydantic import ValidationError

from app.core import CoreSettings, cli
from app.core.dialect import DRIVER

pytestmark = pytest.mark.usefixtures("no_settings")


def test_missing_url_prints_one_sentence() -> None:
    with pytest.raises(SystemExit, match=r"^DATABASE_URL is not set: .*\.$"):
        CoreSettings.load()


@pytest.mark.parametrize(
    ("rest", "words"),
    [("localhost/name?color=red", "unsupported options: color"), ("localhost:99999/name", "port")],
)
def test_unsupported_url_prints_one_sentence(rest: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        CoreSettings.model_validate({"database_url": f"{DRIVER}://{rest}"})


def test_help_needs_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["service", "db", "--help"])

    with pytest.raises(SystemExit) as end:
        cli.main()

    assert end.value.code == 0
