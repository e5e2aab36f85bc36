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
        ("CORS_ORIGINS", "https://a.example/"),
        ("CORS_ORIGINS", "https://a.example,b.example"),
        ("ALLOWED_HOSTS", "https://a.example"),
        ("ALLOWED_HOSTS", "a.example:8000"),
        ("ALLOWED_HOSTS", "a.*.example"),
        ("FORWARDED_ALLOW_IPS", "proxy"),
        ("SENTRY_DSN", "https://sentry.example"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("METRICS_PORT", "0"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1/8"),
        ("FORWARDED_ALLOW_IPS", "*, 10.0.0.1"),
        ("ROOT_PATH", "api"),
        ("ROOT_PATH", "/api/"),
        ("HSTS_MAX_AGE", "-1"),
        ("MAX_HEADER_SIZE", "0"),
        ("KEEP_ALIVE_TIMEOUT", "0"),
        ("DRAIN_TIMEOUT", "-1"),
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
        ("ROOT_PATH", "/api/v1"),
        ("DRAIN_TIMEOUT", "0.0"),
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


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("CORS_ORIGINS", "https://a.example, http://localhost:5173", None),
        ("CORS_ORIGINS", "*", None),
        (
            "CORS_ORIGINS",
            "https://a.example:443,http://b.example:80",
            ("https://a.example", "http://b.example"),
        ),
        ("ALLOWED_HOSTS", "A.example,*.b.example,[::1],", ("a.example", "*.b.example", "[::1]")),
        ("FORWARDED_ALLOW_IPS", "10.0.0.0/8, 192.0.2.1,::1", None),
        ("FORWARDED_ALLOW_IPS", "*", None),
    ],
)
@pytest.mark.usefixtures("url")
def test_lists_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, parsed: tuple[str, ...] | None
) -> None:
    monkeypatch.setenv(name, value)

    expected = parsed or tuple(value.replace(" ", "").split(","))
    assert getattr(CoreSettings.load(), name.lower()) == expected


@pytest.mark.usefixtures("url")
def test_cookies_from_any_page_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "*")
    monkeypatch.setenv("CORS_CREDENTIALS", "true")

    with pytest.raises(SystemExit, match=r"^CORS_CREDENTIALS is invalid: .*CORS_ORIGINS.*\.$"):
        CoreSettings.load()
