"""A forgotten password is replaced with the link in a mail that a real mail server received."""

import re
from collections.abc import Iterator
from email.message import EmailMessage

import pytest
from httpx2 import AsyncClient

from app.users import User
from tests.proofs.auth.attacks import NEW_PASSWORD, log_in
from tests.proofs.auth.mail.mail_server import Inbox, serving, smtp


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture(autouse=True)
def mail_server(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a mail server, and set it before the application starts."""
    with serving(smtp(inbox)) as port:
        for name, value in {"HOST": "127.0.0.1", "PORT": str(port), "TLS": "none"}.items():
            monkeypatch.setenv(f"SMTP_{name}", value)
        monkeypatch.setenv("MAIL_FROM", "Shop <shop@example.org>")
        monkeypatch.setenv("FRONTEND_URL", "https://shop.example.org/pages/")
        yield


async def test_reset(inbox: Inbox, client: AsyncClient, user: User) -> None:
    await client.post("/auth/password-reset", json={"email": user.email})

    (message,) = inbox.messages
    assert message["To"] == user.email
    text, html = message.iter_parts()
    assert isinstance(text, EmailMessage)
    assert isinstance(html, EmailMessage)
    link = re.search(
        r"https://shop\.example\.org/pages/reset-password#token=(\S+)", text.get_content()
    )
    assert link
    assert f'href="{link[0]}"' in html.get_content()
    data = {"token": link[1], "password": NEW_PASSWORD}
    assert (await client.post("/auth/password-reset/confirm", json=data)).status_code == 204
    assert (await log_in(client, user.email, NEW_PASSWORD)).status_code == 200
    assert len(inbox.messages) == 2
    assert "password" in inbox.messages[1]["Subject"]
