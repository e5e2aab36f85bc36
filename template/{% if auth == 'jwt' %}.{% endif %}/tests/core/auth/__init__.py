"""Fixtures for users: their model, clients that are logged in, and access tokens."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import cache
from secrets import token_urlsafe
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from polyfactory import Use
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.auth import sessions
from app.core.auth.models import UserMixin, user_model
from app.core.auth.passwords import Passwords
from app.core.auth.settings import Settings
from app.core.auth.tokens import Purpose, Tokens
from tests.core.factories import ModelFactory
from tests.core.isolation import SynchronizedTransport

__all__ = ["PASSWORD", "AccessToken", "ClientOf", "MakeUsers"]

PASSWORD = "correct horse battery staple"  # noqa: S105
"""The password of all users in tests."""

MakeUsers = Callable[..., Awaitable[list[Any]]]
"""Type of the fixture `make_users`."""

AccessToken = Callable[[UserMixin], Awaitable[str]]
"""Type of the fixture `access_token`."""

ClientOf = Callable[[UserMixin], Awaitable[httpx2.AsyncClient]]
"""Type of the fixture `client_of`."""


@pytest.fixture(scope="session")
def environment(
    environment: pytest.MonkeyPatch, settings_values: dict[str, str]
) -> pytest.MonkeyPatch:
    """Environment variables of the tests, with a secret for tokens."""
    if "token_secret" not in settings_values:
        environment.setenv("TOKEN_SECRET", token_urlsafe(48))
    return environment


@pytest.fixture(scope="session")
def passwords() -> Passwords:
    """Hashes passwords at a cost that only tests can afford."""
    return Passwords(memory=8, rounds=1)


@pytest.fixture(scope="session")
async def password_hash(passwords: Passwords) -> str:
    """Hash of PASSWORD."""
    return await passwords.hash(PASSWORD)


@pytest.fixture
def app(app: FastAPI, passwords: Passwords) -> FastAPI:
    """Started application, whose password hashes are cheap."""
    app.state.passwords = passwords
    return app


@pytest.fixture
def make_users(session: AsyncSession, password_hash: str) -> MakeUsers:
    """Function that adds users: `await make_users(50, role="editor")`."""

    async def make_users(number: int = 1, **values: object) -> list[Any]:
        values = {"password_hash": password_hash, **values}
        return await _user_factory().add_batch(session, number, **values)

    return make_users


@cache
def _user_factory() -> type[ModelFactory[Any]]:
    class UserFactory(ModelFactory[Any]):
        __model__ = user_model()

        email = Use(lambda: f"{UserFactory.__random__.getrandbits(64):x}@example.com")

    return UserFactory


@pytest.fixture
async def user(make_users: MakeUsers) -> UserMixin:
    """A user with the role `user`, and the password PASSWORD."""
    (user,) = await make_users()
    assert isinstance(user, UserMixin)
    return user


@pytest.fixture
async def admin(make_users: MakeUsers) -> UserMixin:
    """A user with the role `admin`."""
    (admin,) = await make_users(role="admin")
    assert isinstance(admin, UserMixin)
    return admin


@pytest.fixture
def access_token(app: FastAPI, session: AsyncSession) -> AccessToken:
    """Function that starts a session of a user, and returns an access token."""
    tokens: Tokens = app.state.tokens
    settings: Settings = app.state.feature_settings[Settings]

    async def access_token(user: UserMixin) -> str:
        started = await sessions.start(session, user.id, settings)
        return tokens.create(
            Purpose.ACCESS,
            settings.access_token_lifetime,
            sub=str(user.id),
            sid=started.family,
        )

    return access_token


@pytest.fixture
async def client_of(
    app: FastAPI, session: AsyncSession, access_token: AccessToken
) -> AsyncIterator[ClientOf]:
    """Function that returns an HTTP client with the access token of a user."""
    async with AsyncExitStack() as stack:

        async def client_of(user: UserMixin) -> httpx2.AsyncClient:
            client = httpx2.AsyncClient(
                transport=SynchronizedTransport(app, session),
                base_url="http://test",
                headers={"Authorization": f"Bearer {await access_token(user)}"},
            )
            return await stack.enter_async_context(client)

        yield client_of


@pytest.fixture
async def user_client(client_of: ClientOf, user: UserMixin) -> httpx2.AsyncClient:
    """HTTP client of `user`."""
    return await client_of(user)


@pytest.fixture
async def admin_client(client_of: ClientOf, admin: UserMixin) -> httpx2.AsyncClient:
    """HTTP client of `admin`."""
    return await client_of(admin)
