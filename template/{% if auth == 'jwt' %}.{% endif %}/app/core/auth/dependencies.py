"""Dependencies that protect routes."""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from fastapi import Depends
from fastapi.requests import HTTPConnection
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy import Select, bindparam, select

from app.core.auth.errors import ForbiddenError, InvalidTokenError, UnauthorizedError
from app.core.auth.models import AuthSession, UserMixin, now, user_model
from app.core.auth.tokens import Purpose, Tokens, read_id
from app.core.database import ReadSessionDep


class Bearer(OAuth2PasswordBearer):
    """Returns the token of the header `Authorization`, also of WebSockets; None without one."""

    async def __call__(self, request: HTTPConnection) -> str | None:
        """Return the token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None


bearer = Bearer(tokenUrl="auth/token", auto_error=False)  # `install` completes the URL


@dataclass(frozen=True)
class Identity:
    """Who sends a request."""

    user: UserMixin
    session_id: int


async def identify(
    connection: HTTPConnection,
    session: ReadSessionDep,
    token: Annotated[str | None, Depends(bearer)],
) -> Identity | None:
    """Return who sends the request; None if it has no token.

    Raises:
        InvalidTokenError: the token is invalid, its session ended, or its user is not active.
    """
    if token is None:
        return None
    tokens: Tokens = connection.app.state.tokens
    user_id, family = tokens.read(Purpose.ACCESS, token, "sub", "sid")
    parameters = {"user_id": read_id(user_id), "family": family, "time": now()}
    if connection.scope["type"] == "websocket":
        # The request's session would hold a connection for as long as the WebSocket is open.
        async with connection.app.state.read_session_factory() as own_session:
            found = await own_session.execute(_find_user(), parameters)
    else:
        found = await session.execute(_find_user(), parameters)
    row = found.one_or_none()
    if row is None:
        raise InvalidTokenError
    return Identity(*row)


async def require_identity(
    identity: Annotated[Identity | None, Depends(identify)],
) -> Identity:
    """Return who sends the request.

    Raises:
        UnauthorizedError: the request has no token.
    """
    if identity is None:
        raise UnauthorizedError
    return identity


IdentityDep = Annotated[Identity, Depends(require_identity)]


async def current_user(identity: IdentityDep) -> UserMixin:
    """Return the user who sends the request; without a valid access token, it is refused."""
    return identity.user


async def optional_user(
    identity: Annotated[Identity | None, Depends(identify)],
) -> UserMixin | None:
    """Return the user who sends the request; None if it has no access token."""
    return identity.user if identity else None


def require_role(*roles: str) -> Any:
    """Return a dependency that refuses users without one of the roles, and returns the user.

    It protects a handler, `Annotated[User, require_role("admin")]`, or all routes of a router,
    `APIRouter(dependencies=[require_role("admin")])`.
    """

    async def check_role(user: Annotated[UserMixin, Depends(current_user)]) -> UserMixin:
        if user.role not in roles:
            raise ForbiddenError
        return user

    return Depends(check_role)


@cache
def _find_user() -> Select[UserMixin, int]:
    user = user_model()
    return (
        select(user, AuthSession.id)
        .join(AuthSession, AuthSession.user_id == user.id)
        .where(
            user.id == bindparam("user_id"),
            user.is_active,
            AuthSession.family == bindparam("family"),
            AuthSession.expires_at > bindparam("time", type_=AuthSession.expires_at.type),
        )
    )
