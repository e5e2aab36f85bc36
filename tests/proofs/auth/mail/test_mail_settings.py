"""Settings of mail are refused in one sentence each."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from app.core.dev import running, serving
from app.core.dialect import URL_EXAMPLE
from app.core.mail.settings import Settings

SERVER = {"SMTP_HOST": "mail.example.com", "MAIL_FROM": "shop@example.com"}
LOGIN = {"SMTP_USERNAME": "shop", "SMTP_PASSWORD": "hunter2"}


@pytest.fixture(autouse=True)
def _no_mail_settings(no_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def load(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {},
            "SMTP_HOST is invalid: set it to a mail server, or set MAIL_FOLDER to a folder that "
            "receives all mail.",
        ),
        ({"MAIL_FROM": ""}, "SMTP_HOST is invalid: set it to a mail server, or set .*"),
        *(
            (
                SERVER | {"SMTP_HOST": host},
                "SMTP_HOST is invalid: it must be a name or an IP address, without scheme and port.",
            )
            for host in ("smtp://mail.example.com", "mail.example.com:25", "a b", "x" * 64, "a..b")
        ),
        (SERVER | {"SMTP_PORT": "0"}, "SMTP_PORT is invalid: .*"),
        (SERVER | {"SMTP_PORT": "65536"}, "SMTP_PORT is invalid: .*"),
        *(
            (
                SERVER | {name: "hunter2"},
                "SMTP_PASSWORD is invalid: set both SMTP_USERNAME and SMTP_PASSWORD, or neither.",
            )
            for name in LOGIN
        ),
        *(
            (
                SERVER | LOGIN | {"SMTP_TLS": "none", "SMTP_HOST": host},
                "SMTP_TLS is invalid: the password needs encryption: use starttls or tls.",
            )
            for host in ("mail.example.com", "10.0.0.1", "localhost.example.com")
        ),
        (SERVER | {"SMTP_TLS": "maybe"}, "SMTP_TLS is invalid: .*"),
        (SERVER | {"SMTP_TIMEOUT": "0"}, "SMTP_TIMEOUT is invalid: .*"),
        (
            {"SMTP_HOST": "mail.example.com"},
            "MAIL_FROM is invalid: SMTP_HOST needs a sender, such as Shop <noreply@example.com>.",
        ),
        *(
            (SERVER | {"MAIL_FROM": sender}, "MAIL_FROM is invalid: it must look like .*")
            for sender in ("Songs", "a@b, c@d", "Songs <a@b", "a@b>", "a\nBcc: x@y", "A\n<a@b>")
        ),
    ],
)
def test_invalid_settings_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], sentence: str
) -> None:
    with pytest.raises(SystemExit, match=f"^{sentence}$") as refused:
        load(monkeypatch, values)

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        SERVER,
        SERVER | LOGIN,
        SERVER | LOGIN | {"SMTP_TLS": "tls"},
        SERVER | {"SMTP_TLS": "none"},
        *(
            SERVER | LOGIN | {"SMTP_TLS": "none", "SMTP_HOST": host}
            for host in ("localhost", "127.0.0.1", "::1")
        ),
        *(SERVER | {"SMTP_HOST": host} for host in ("10.0.0.1", "2001:db8::1")),
        SERVER | {"SMTP_HOST": "mail_1"},
        SERVER | {"MAIL_FOLDER": "mails"},
        *(
            SERVER | {"MAIL_FROM": sender}
            for sender in ("Songs <a@b>", '"Songs, Inc." <a@b>', "<a@b>", "Läden & Co <a@b>")
        ),
        {"MAIL_FOLDER": "mails"},
        {"MAIL_FOLDER": "mails", "SMTP_TLS": "none", **LOGIN},
    ],
)
def test_valid_settings_are_accepted(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str]
) -> None:
    settings = load(monkeypatch, values)

    assert "hunter2" not in repr(settings)


def test_encryption_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, SERVER).smtp_tls == "starttls"


def test_dev_writes_mail_to_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(running, "FOLDER", tmp_path / ".dev")
    monkeypatch.setattr(running, "FILE", tmp_path / ".dev" / "running")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("DATABASE_URL", URL_EXAMPLE)
    # Not to leave the variable behind, which `dev` sets in its own process.
    monkeypatch.setenv("MAIL_FOLDER", "")

    served: list[Path | None] = []

    def serve(*_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(run=lambda: served.append(Settings.load().mail_folder))

    monkeypatch.setattr(serving, "ChangeReload", serve)
    monkeypatch.setattr("alembic.command.upgrade", lambda *_: None)

    serving.serve("127.0.0.1", 0)

    assert served == [tmp_path / ".dev" / "mails"]


def test_commands_use_the_folder_of_dev(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(running, "FOLDER", tmp_path / ".dev")
    monkeypatch.setattr(running, "find", lambda: running.Running(1, "", URL_EXAMPLE))
    for name in ("MAIL_FOLDER", "DATABASE_URL"):
        monkeypatch.setenv(name, "")

    running.use_running_database()

    assert Settings.load().mail_folder == tmp_path / ".dev" / "mails"


def test_dev_keeps_the_folder_of_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("MAIL_FOLDER=mine\n")

    running.use_development_settings()

    assert Settings.load().mail_folder == Path("mine")
