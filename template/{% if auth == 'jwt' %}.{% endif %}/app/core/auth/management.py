"""Commands that manage users. `app/users/commands.py` adds the one that creates an admin."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.auth import sessions, throttle
from app.core.auth.accounts import change_access, is_taken
from app.core.auth.models import UserMixin, user_model
from app.core.auth.passwords import LONGEST, SHORTEST, Passwords, check_new_password
from app.core.auth.schemas import canonical_email
from app.core.auth.settings import PasswordSettings
from app.core.engine import open_database
from app.core.problems import ProblemError
from app.core.settings import CoreSettings

commands = typer.Typer(no_args_is_help=True, help="Manage users.")
Email = Annotated[str, typer.Argument(help="The user's email address.")]


@commands.command("list")
def list_users(
    limit: Annotated[int, typer.Option(min=1)] = 100,
    after: Annotated[int, typer.Option(help="ID of the last user of the previous page.")] = 0,
) -> None:
    """List users: ID, address, role, and whether they are active."""

    async def list_page(session: AsyncSession) -> None:
        model = user_model()
        page = select(model).where(model.id > after).order_by(model.id).limit(limit)
        for user in await session.scalars(page):
            state = "active" if user.is_active else "inactive"
            typer.echo(f"{user.id}\t{user.email}\t{user.role}\t{state}")

    run(list_page)


@commands.command()
def deactivate(email: Email) -> None:
    """Deactivate a user, and end their sessions."""

    async def deactivate(session: AsyncSession) -> None:
        await change_access(session, await _find(session, email), is_active=False)

    run(deactivate)


@commands.command()
def activate(email: Email) -> None:
    """Activate a user who was deactivated."""

    async def activate(session: AsyncSession) -> None:
        await change_access(session, await _find(session, email), is_active=True)

    run(activate)


@commands.command("set-role")
def set_role(
    email: Email, role: Annotated[str, typer.Argument(help="For example `admin`.")]
) -> None:
    """Change the role of a user, and end their sessions."""

    async def change(session: AsyncSession) -> None:
        await change_access(session, await _find(session, email), role=role)

    run(change)


@commands.command("reset-password")
def reset_password(email: Email) -> None:
    """Replace the password of a user, and end their sessions."""
    password_hash = _hash_new_password(email)

    async def reset(session: AsyncSession) -> None:
        user = await _find(session, email)
        user.password_hash = password_hash
        await sessions.revoke(session, user.id)

    run(reset)


@commands.command("revoke-sessions")
def revoke_sessions(email: Email) -> None:
    """End all sessions of a user, including their access tokens."""

    async def revoke(session: AsyncSession) -> None:
        await sessions.revoke(session, (await _find(session, email)).id)

    run(revoke)


@commands.command()
def purge() -> None:
    """Remove expired sessions and limits. Run it daily."""

    async def purge(session: AsyncSession) -> None:
        await sessions.purge(session)
        await throttle.purge(session)

    run(purge)


@contextmanager
def _exit_on_refusal() -> Iterator[None]:
    try:
        yield
    except (ProblemError, ValueError) as error:
        raise SystemExit(f"Error: {error}") from None


@_exit_on_refusal()
def run(operation: Callable[[AsyncSession], Awaitable[None]]) -> None:
    """Run an operation in one transaction. A refusal exits with its message."""

    async def in_transaction() -> None:
        async with (
            open_database(CoreSettings.load()) as session_factory,
            session_factory.begin() as session,
        ):
            await operation(session)

    asyncio.run(in_transaction())


@_exit_on_refusal()
def ask_for_common_values(email: str, role: str) -> dict[str, str]:
    """Ask for a password, and return the values of the common columns of a new user."""
    email = canonical_email(email)
    return {"email": email, "role": role, "password_hash": _hash_new_password(email)}


async def add_user(session: AsyncSession, user: UserMixin) -> None:
    """Store a new user."""
    if await is_taken(session, user.email):
        raise ValueError(f"{user.email} is already registered: `users set-role` changes the role.")
    session.add(user)


@_exit_on_refusal()
def _hash_new_password(email: str) -> str:
    """Ask for a new password, without showing it, and return its hash.

    If the standard input is not a terminal, its first line is the password. Ask before a
    transaction starts: it would lock the database until the password is entered.
    """
    if sys.stdin and sys.stdin.isatty():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n") if sys.stdin else ""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"The password must have {SHORTEST} to {LONGEST} characters.")
    check_new_password(password, canonical_email(email))
    return asyncio.run(Passwords.of(PasswordSettings.load()).hash(password))


async def _find(session: AsyncSession, email: str) -> UserMixin:
    model = user_model()
    user = await session.scalar(select(model).where(model.email == canonical_email(email)))
    if user is None:
        raise ValueError(f"There is no user {email}.")
    return user
