"""Commands that manage users."""

import asyncio
import io
import sys
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from httpx2 import AsyncClient
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.auth import throttle
from app.core.auth.models import AuthSession, Throttle, now
from app.users import User
from tests.core.auth import AccessToken, MakeUsers
from tests.proofs.auth.attacks import NEW_PASSWORD, log_in, me
from tests.proofs.kit import Cli

pytestmark = pytest.mark.committed


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


async def test_list(
    run: Cli, session: AsyncSession, user: User, capsys: pytest.CaptureFixture[str]
) -> None:
    await session.commit()

    assert await run("users", "list") == 0

    assert capsys.readouterr().out == f"{user.id}\t{user.email}\tuser\tactive\n"
    assert await run("users", "list", "--after", str(user.id)) == 0
    assert capsys.readouterr().out == ""


async def test_deactivate(
    run: Cli, client: AsyncClient, user: User, admin: User, access_token: AccessToken
) -> None:
    token = await access_token(user)
    assert (await me(client, token)).status_code == 200

    assert await run("users", "deactivate", user.email.upper()) == 0

    assert (await me(client, token)).status_code == 401
    assert await run("users", "deactivate", admin.email) == "Error: This is the last active admin."
    assert str(await run("users", "deactivate", "x@example.com")).startswith("Error: There is no")


async def test_activate_and_set_role(
    run: Cli, client: AsyncClient, make_users: MakeUsers, session: AsyncSession
) -> None:
    """Also for a user who registered, and whom `create-admin` therefore refuses."""
    (user,) = await make_users(is_active=False)
    await session.commit()

    assert await run("users", "activate", user.email) == 0
    assert await run("users", "set-role", user.email, "admin") == 0

    await session.refresh(user)
    assert (user.is_active, user.role) == (True, "admin")
    token = (await log_in(client, user.email)).json()["access_token"]
    assert (await me(client, token)).json()["role"] == "admin"
    refusal = await run("users", "set-role", user.email, "user")
    assert refusal == "Error: This is the last active admin."


async def test_reset_password(
    run: Cli,
    client: AsyncClient,
    user: User,
    access_token: AccessToken,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = await access_token(user)
    assert (await me(client, token)).status_code == 200
    type_in(monkeypatch, f"{NEW_PASSWORD}\n")

    assert await run("users", "reset-password", user.email) == 0

    assert (await me(client, token)).status_code == 401
    assert (await log_in(client, user.email, NEW_PASSWORD)).status_code == 200


@pytest.mark.parametrize("password", ["", "short", "1q2w3e4r5t6y", "x" * 129])
async def test_weak_password_is_refused(
    run: Cli,
    session: AsyncSession,
    monkeypatch: pytest.MonkeyPatch,
    password: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    type_in(monkeypatch, f"{password}\n")

    assert str(await run("users", "create-admin", "root@example.com")).startswith("Error: ")

    assert await session.scalar(select(func.count()).select_from(User)) == 0
    assert not password or password not in "".join(capsys.readouterr())


async def test_existing_address_is_refused(
    run: Cli, session: AsyncSession, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    await session.commit()
    type_in(monkeypatch, f"{NEW_PASSWORD}\n")

    outcome = await run("users", "create-admin", user.email.upper())

    assert str(outcome).startswith(f"Error: {user.email} is already registered: `users set-role`")


async def test_password_is_not_echoed(
    run: Cli, monkeypatch: pytest.MonkeyPatch, session: AsyncSession
) -> None:
    """In a terminal, it is asked for twice."""
    asked: list[Any] = []

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def prompt(text: str, **options: Any) -> str:
        asked.append(options)
        return NEW_PASSWORD

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("typer.prompt", prompt)

    assert await run("users", "create-admin", "root@example.com") == 0

    assert asked == [{"hide_input": True, "confirmation_prompt": True}]


@pytest.mark.parametrize("command", ["create-admin", "reset-password"])
async def test_password_is_asked_before_the_transaction(
    run: Cli, session: AsyncSession, user: User, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Waiting for it must not lock the database, and Ctrl-C must end it."""
    await session.commit()
    waiting: list[bool] = []

    def readline() -> str:
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            waiting.append(True)
        return f"{NEW_PASSWORD}\n"

    terminal = SimpleNamespace(isatty=lambda: False, readline=readline)
    monkeypatch.setattr(sys, "stdin", terminal)

    email = user.email if command == "reset-password" else "root@example.com"
    assert await run("users", command, email) == 0

    assert waiting == []


async def test_closed_input_is_one_sentence(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    outcome = await run("users", "create-admin", "root@example.com")

    assert outcome == "Error: The password must have 12 to 128 characters."


async def test_revoke_sessions(
    run: Cli, client: AsyncClient, user: User, access_token: AccessToken
) -> None:
    token = await access_token(user)
    assert (await me(client, token)).status_code == 200

    assert await run("users", "revoke-sessions", user.email) == 0

    assert (await me(client, token)).status_code == 401


async def test_purge(
    run: Cli, session: AsyncSession, user: User, access_token: AccessToken
) -> None:
    for _ in range(2):
        await access_token(user)
    first = await session.get_one(
        AuthSession, await session.scalar(select(func.min(AuthSession.id)))
    )
    first.expires_at = now() - timedelta(seconds=1)
    await session.commit()
    session.add(Throttle(key="old", free_at=1))
    await throttle.charge(session, throttle.PASSWORDS, "x")

    assert await run("users", "purge") == 0

    assert await session.scalar(select(func.count()).select_from(AuthSession)) == 1
    assert await session.scalar(select(func.count()).select_from(Throttle)) == 1
