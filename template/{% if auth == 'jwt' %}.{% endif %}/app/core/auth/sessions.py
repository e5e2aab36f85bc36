"""Sessions of users, and the refresh tokens that continue them.

A refresh token consists of the session's family, which never changes, and a secret that is
replaced with each use. Only digests of both are stored.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_urlsafe

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.auth.errors import InvalidTokenError, RefreshedError
from app.core.auth.models import AuthSession, now, user_model
from app.core.auth.settings import Settings
from app.core.auth.throttle import changed

GRACE = timedelta(seconds=10)
"""Time in which a client can present a spent token, for example after a double click."""

MAX_SESSIONS = 100
"""Maximum number of sessions of a user; each login beyond it ends the oldest one."""


@dataclass(frozen=True)
class Started:
    """A session that was started or continued."""

    id: int
    user_id: int
    family: str
    refresh_token: str


async def start(
    session: AsyncSession, user_id: int, settings: Settings, client: str = ""
) -> Started:
    """Start a session; the caller has verified the password."""
    await _end_oldest(session, user_id)
    family, secret = token_urlsafe(16), token_urlsafe(32)
    row = AuthSession(
        user_id=user_id,
        family=_digest(family),
        digest=_digest(secret),
        client="".join(filter(str.isprintable, client))[:200],
        created_at=now(),
    )
    row.expires_at = _expiry(row.created_at, row.created_at, settings)
    session.add(row)
    await session.flush()
    return Started(row.id, user_id, row.family, f"{family}.{secret}")


async def refresh(session: AsyncSession, token: str, settings: Settings) -> Started:
    """Continue a session, and replace its refresh token.

    Raises:
        InvalidTokenError: the token is unknown or expired, or it was replaced earlier. In the
            last case, somebody else has it, and the session ends.
        RefreshedError: another request just replaced the token.
    """
    family, _, secret = token.partition(".")
    time, digest, new = now(), _digest(secret), token_urlsafe(32)
    user = user_model()
    row = await session.scalar(
        select(AuthSession)
        .join(user, user.id == AuthSession.user_id)
        .where(AuthSession.family == _digest(family), AuthSession.expires_at > time, user.is_active)
    )
    if row is None:
        raise InvalidTokenError
    replaced = await session.execute(
        update(AuthSession)
        .where(AuthSession.id == row.id, AuthSession.digest == digest)
        .values(
            digest=_digest(new),
            spent_digest=digest,
            refreshed_at=time,
            expires_at=_expiry(row.created_at, time, settings),
        )
        .execution_options(synchronize_session=False)
    )
    if changed(replaced):
        return Started(row.id, row.user_id, row.family, f"{family}.{new}")
    # In a new transaction, which sees the change of the other request.
    await session.commit()
    row = await session.get(AuthSession, row.id, populate_existing=True)
    if row is None:  # another request ended the session
        raise InvalidTokenError
    just_spent = hmac.compare_digest(row.spent_digest or "", digest)
    if just_spent and time - row.refreshed_at < GRACE:
        raise RefreshedError
    await revoke(session, row.user_id, row.id)
    await session.commit()  # the error rolls back
    raise InvalidTokenError


async def revoke(
    session: AsyncSession, user_id: int, session_id: int | None = None, *, keep: int | None = None
) -> bool:
    """End one session of a user, or all of them except one, and return whether there were any."""
    conditions = [AuthSession.user_id == user_id]
    if session_id is not None:
        conditions.append(AuthSession.id == session_id)
    if keep is not None:
        conditions.append(AuthSession.id != keep)
    return changed(await session.execute(delete(AuthSession).where(*conditions)))


async def _end_oldest(session: AsyncSession, user_id: int) -> None:
    """Make room for another session of a user."""
    found = select(AuthSession.id).where(AuthSession.user_id == user_id)
    ids = await session.scalars(
        found.order_by(AuthSession.id.desc()).offset(MAX_SESSIONS - 1).limit(MAX_SESSIONS)
    )
    if oldest := ids.all():
        await session.execute(delete(AuthSession).where(AuthSession.id.in_(oldest)))


async def purge(session: AsyncSession) -> None:
    """Remove expired sessions."""
    await session.execute(delete(AuthSession).where(AuthSession.expires_at < now()))


def _expiry(created: datetime, used: datetime, settings: Settings) -> datetime:
    return min(
        created + timedelta(seconds=settings.session_lifetime),
        used + timedelta(seconds=settings.session_idle_lifetime),
    )


def _digest(part: str) -> str:
    return hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest()
