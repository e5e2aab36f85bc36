"""Valid and invalid settings."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import URL

from app.core import CoreSettings
from app.core.dialect import DRIVER

LOCATION = f"{DRIVER}://user@localhost/name" if "sqlite" not in DRIVER else f"{DRIVER}:///a.db"


@pytest.fixture
def url(no_settings: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The only variable that is set."""
    monkeypatch.setenv("DATABASE_URL", LOCATION)
    return LOCATION


@pytest.mark.usefixtures("url")
def test_defaults() -> None:
    settings = CoreSettings.load()

    assert settings.log_level == "INFO"
    assert settings.log_format == "auto"
    assert settings.max_body_size == 1024 * 1024
    assert settings.database_pool_size == 10
    assert settings.database_pool_timeout == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("MAX_BODY_SIZE", "0"),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_POOL_TIMEOUT", "0"),
    ],
)
@pytest.mark.usefixtures("url")
def test_value_out_of_range_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit, match=f"^{name} is invalid"):
        CoreSettings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("LOG_LEVEL", level) for level in ("DEBUG", "info", "Warning", "ERROR")),
        *(("LOG_FORMAT", kind) for kind in ("auto", "json", "console")),
        ("MAX_BODY_SIZE", "1"),
        ("DATABASE_POOL_SIZE", "1"),
        ("DATABASE_POOL_TIMEOUT", "0.1"),
    ],
)
@pytest.mark.usefixtures("url")
def test_each_value_in_range_is_accepted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    assert str(getattr(CoreSettings.load(), name.lower())).lower() == value.lower()


@pytest.mark.usefixtures("url")
def test_each_wrong_variable_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "loud")
    monkeypatch.setenv("MAX_BODY_SIZE", "many")

    with pytest.raises(SystemExit) as end:
        CoreSettings.load()

    lines = str(end.value).splitlines()
    assert [line.split(" is invalid: ")[0] for line in lines] == ["LOG_LEVEL", "MAX_BODY_SIZE"]


@pytest.mark.usefixtures("url")
def test_empty_variable_means_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_BODY_SIZE", "")

    assert CoreSettings.load().max_body_size == 1024 * 1024


@pytest.mark.usefixtures("url")
def test_env_file_is_read_and_unknown_names_are_ignored(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MAX_BODY_SIZE=7\nSOMEONE_ELSES=1\n")

    assert CoreSettings.load().max_body_size == 7


@pytest.mark.usefixtures("no_settings")
def test_url_object_is_accepted(server: URL) -> None:
    assert CoreSettings.model_validate({"database_url": server}).database_url == server


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", f"it must look like {DRIVER}://"),
        ("oracle://host/name", f"it must start with {DRIVER}://, not oracle://"),
    ],
)
@pytest.mark.usefixtures("no_settings")
def test_wrong_url_is_explained(url: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CoreSettings.model_validate({"database_url": url})

    (problem,) = refused.value.errors()
    assert problem["loc"] == ("database_url",)
    assert problem["msg"].startswith(f"Value error, {words}")
