"""The proofs of users use the complete application."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from app.core.mail import Mail, Mailer
from app.main import create_app
from app.settings import Settings


@pytest.fixture(scope="session")
def settings(database_url: URL) -> Settings:
    return Settings.load()


@pytest.fixture
def make_app() -> Callable[[Settings], FastAPI]:
    return create_app


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> list[Mail]:
    """The mails that the application sends."""
    sent: list[Mail] = []

    async def record(_: Mailer, mail: Mail) -> None:
        sent.append(mail)

    monkeypatch.setattr(Mailer, "send", record)
    return sent
