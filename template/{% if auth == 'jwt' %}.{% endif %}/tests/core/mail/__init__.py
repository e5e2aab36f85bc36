"""Fixtures for mail."""

import pytest

from app.core.mail import Mail, Mailer
from app.core.mail.message import compose


@pytest.fixture(scope="session", autouse=True)
def _mail_folder(environment: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    environment.setenv("MAIL_FOLDER", str(tmp_path_factory.mktemp("mails")))


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> list[Mail]:
    """Mails that the application sends during the test."""
    sent: list[Mail] = []

    async def send(mailer: Mailer, mail: Mail) -> None:
        compose(mail, mailer.sender)  # raises what sending it would raise
        sent.append(mail)

    monkeypatch.setattr(Mailer, "send", send)
    return sent
