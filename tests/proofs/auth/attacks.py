"""Helpers for attacks on users."""

import base64
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import jwt
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.auth.settings import Settings
from app.core.mail import Mail
from tests.core.auth import PASSWORD

NEW_PASSWORD = "another long passphrase"  # noqa: S105
ME = "/users/me"


async def log_in(client: AsyncClient, email: str, password: str = PASSWORD) -> Response:
    return await client.post("/auth/login", json={"email": email, "password": password})


async def me(client: AsyncClient, token: str) -> Response:
    return await client.get(ME, headers={"Authorization": f"Bearer {token}"})


async def refresh(client: AsyncClient, token: str) -> Response:
    return await client.post("/auth/refresh", json={"refresh_token": token})


def token_in(mail: Mail) -> str:
    """Return the token in the link of a mail."""
    _, _, rest = mail.text.partition("#token=")
    return rest.split()[0]


def settings_of(app: FastAPI) -> Settings:
    found: Settings = app.state.feature_settings[Settings]
    return found


@contextmanager
def changed_settings(app: FastAPI, **values: object) -> Iterator[None]:
    """Change settings of a started application."""
    before = settings_of(app)
    app.state.feature_settings[Settings] = before.model_copy(update=values)
    yield
    app.state.feature_settings[Settings] = before


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def signed(header: object, claims: object, secret: str) -> str:
    """Return a token with any header and claims."""
    parts = (
        part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)
    )
    text = ".".join(map(encoded, parts))
    return f"{text}.{encoded(hmac.digest(secret.encode(), text.encode(), 'sha256'))}"


def forged(token: str, secret: str, **changes: Any) -> str:
    """Return a token with other claims; None removes one."""
    claims = claims_of(token) | changes
    kept = {name: value for name, value in claims.items() if value is not None}
    return signed(jwt.get_unverified_header(token), kept, secret)


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


@asynccontextmanager
async def statements(engine: AsyncEngine) -> AsyncIterator[list[str]]:
    """Record the statements that an engine runs."""
    found: list[str] = []

    def record(_: object, __: object, statement: str, *___: object) -> None:
        found.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", record)
    yield found
    event.remove(engine.sync_engine, "before_cursor_execute", record)
