"""Logs contain events, and neither secrets nor addresses."""

import logging
from collections.abc import AsyncIterator
from io import StringIO

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import CoreSettings
from app.core.auth.models import AuthSession
from app.core.mail import Mail
from app.users import User
from tests.core.auth import PASSWORD
from tests.proofs.auth.attacks import NEW_PASSWORD, log_in, me, refresh, settings_of, token_in
from tests.proofs.logs import logging_configured


@pytest.fixture
async def output(settings: CoreSettings) -> AsyncIterator[StringIO]:
    verbose = settings.model_copy(update={"log_level": "DEBUG", "log_format": "json"})
    with logging_configured(verbose) as output:
        yield output
    logging.getLogger().setLevel(logging.WARNING)


async def test_no_secret_is_logged(
    output: StringIO,
    app: FastAPI,
    client: AsyncClient,
    session: AsyncSession,
    user: User,
    user_client: AsyncClient,
    admin_client: AsyncClient,
    mailbox: list[Mail],
) -> None:
    email = user.email
    tokens = (await log_in(client, email)).json()
    await log_in(client, email, "a wrong password")
    form = {"username": email, "password": PASSWORD}
    await client.post("/auth/token", data=form)
    newer = (await refresh(client, tokens["refresh_token"])).json()
    await refresh(client, f"{tokens['refresh_token']}x")
    await me(client, newer["access_token"])
    await client.post("/auth/register", json={"email": "ada@example.com"})
    data = {"token": token_in(mailbox[-1]), "password": PASSWORD, "name": "Ada"}
    await client.post("/users", json=data)
    await client.post("/users", json=data)  # a conflict
    await client.post("/auth/password-reset", json={"email": email})
    data = {"token": token_in(mailbox[-1]), "password": NEW_PASSWORD}
    await client.post("/auth/password-reset/confirm", json=data)
    await admin_client.patch(f"/users/{user.id}", json={"is_active": False})
    await admin_client.post("/users/invitations", json={"email": "eve@example.com"})

    text = output.getvalue()
    rows = (await session.scalars(select(AuthSession))).all()
    secrets = [
        settings_of(app).token_secret.get_secret_value(),
        *(PASSWORD, NEW_PASSWORD, "a wrong password", email, "ada@example.com", "eve@example.com"),
        *(tokens["access_token"], tokens["refresh_token"], newer["access_token"]),
        *(token_in(mail) for mail in mailbox if "#token=" in mail.text),
        *(part for token in (tokens, newer) for part in token["refresh_token"].split(".")),
        *(digest for row in rows for digest in (row.digest, row.family)),
        user.password_hash,
    ]
    assert [secret for secret in secrets if secret in text] == []
    for event in (
        "logged in",
        "wrong password",
        "access changed",
        "user invited",
        "password reset",
    ):
        assert event in text
    assert '"path": "/auth/login"' in text
