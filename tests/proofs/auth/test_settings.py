"""The secret of tokens, and lifetimes."""

import os
import stat
from pathlib import Path

import pytest

from app.core.auth.settings import Settings
from app.main import create_app
from app.settings import Settings as AppSettings
from tests.proofs.kit import Cli


def test_service_needs_a_secret(monkeypatch: pytest.MonkeyPatch, settings: AppSettings) -> None:
    monkeypatch.delenv("TOKEN_SECRET")

    with pytest.raises(SystemExit) as error:
        create_app(settings)

    sentence = str(error.value)
    assert sentence.startswith("TOKEN_SECRET is invalid: set it to a random text of at least 32")
    assert "token_urlsafe(48)" in sentence
    assert "\n" not in sentence


def test_links_do_not_lead_to_the_default_address(
    monkeypatch: pytest.MonkeyPatch, settings: AppSettings
) -> None:
    monkeypatch.setenv("SMTP_HOST", "mail.example.com")
    monkeypatch.setenv("MAIL_FROM", "shop@example.com")
    monkeypatch.delenv("FRONTEND_URL", raising=False)

    with pytest.raises(SystemExit, match="FRONTEND_URL is not set"):
        create_app(settings)

    monkeypatch.setenv("FRONTEND_URL", "https://example.com/")
    create_app(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKEN_SECRET", "x" * 31),
        ("TOKEN_SECRET", " " * 32),
        ("TOKEN_SECRET", f"{'x' * 32},{'y' * 32}"),
        ("TOKEN_OLD_SECRETS", f"{'x' * 32},{'y' * 31}"),
        ("ACCESS_TOKEN_LIFETIME", "0"),
        ("SESSION_IDLE_LIFETIME", "0"),
        ("SESSION_IDLE_LIFETIME", str(91 * 24 * 3600)),
        ("FRONTEND_URL", "javascript:alert(1)"),
        ("FRONTEND_URL", "https://user@example.com/"),
        ("FRONTEND_URL", "https://:password@example.com/"),
        ("FRONTEND_URL", "https://example.com/?next=x"),
        ("FRONTEND_URL", "https://example.com/#page"),
    ],
)
def test_dangerous_values_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit, match="is invalid"):
        Settings.load()


def test_whitespace_around_a_secret_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file can end in a line break, which a list of old secrets would not contain."""
    monkeypatch.setenv("TOKEN_SECRET", f" {'x' * 32}\n")

    assert Settings.load().token_secret.get_secret_value() == "x" * 32


def test_settings_do_not_show_secrets() -> None:
    assert os.environ["TOKEN_SECRET"] not in repr(Settings.load())


@pytest.mark.committed
async def test_migrations_need_no_secret(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN_SECRET")

    assert await run("db", "current") == 0
    assert await run("users", "list") == 0


def test_development_secret_is_private_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TOKEN_SECRET")
    first = Settings.for_development(tmp_path)

    assert Settings.for_development(tmp_path) == first
    assert len(first["TOKEN_SECRET"]) >= 32
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_own_secret_is_used_in_development(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TOKEN_SECRET")
    (tmp_path / ".env").write_text(f"TOKEN_SECRET={'x' * 40}\n", encoding="utf-8")
    monkeypatch.setattr("app.core.settings.ENV_FILE", tmp_path / ".env")

    assert Settings.for_development(tmp_path / "missing") == {}
