"""Tables of users, their sessions, and limits."""

from datetime import UTC, datetime
from functools import cache

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base

TABLE = "users"


def now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


class UserMixin:
    """The columns that every user has. `app/users/models.py` adds others."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(primary_key=True, sort_order=-6)
    email: Mapped[str] = mapped_column(String(254), unique=True, sort_order=-5)
    """Address in canonical form: ASCII, in lower case."""
    password_hash: Mapped[str] = mapped_column(String(255), sort_order=-4)
    role: Mapped[str] = mapped_column(String(20), default="user", sort_order=-3)
    is_active: Mapped[bool] = mapped_column(default=True, sort_order=-2)
    created_at: Mapped[datetime] = mapped_column(default=now, sort_order=-1)


class AuthSession(Base):
    """A login. Its refresh token changes with each use; the digest of the last one is kept."""

    __tablename__ = "auth_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(f"{TABLE}.id", ondelete="CASCADE"), index=True)
    family: Mapped[str] = mapped_column(String(64), unique=True)
    """Digest of the part of the refresh token that never changes. Access tokens contain it,
    because databases can give the ID of a deleted session to a new one."""
    digest: Mapped[str] = mapped_column(String(64))
    """Digest of the part that changes."""
    spent_digest: Mapped[str | None] = mapped_column(String(64))
    refreshed_at: Mapped[datetime] = mapped_column(default=now)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    client: Mapped[str] = mapped_column(String(200))
    """The client's description of itself."""


class Throttle(Base):
    """Attempts of an account or of an address; see `throttle.py`."""

    __tablename__ = "auth_throttles"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    free_at: Mapped[int] = mapped_column(BigInteger, index=True)
    """Time at which all attempts are forgotten, in milliseconds since 1970."""


@cache
def user_model() -> type[UserMixin]:
    """Return the service's model of users.

    Raises:
        SystemExit: there is none, there are several, or its table is renamed.
    """
    found = [
        mapper.class_ for mapper in Base.registry.mappers if issubclass(mapper.class_, UserMixin)
    ]
    if len(found) != 1 or found[0].__tablename__ != TABLE:
        raise SystemExit(
            "app/users/models.py must define one model that derives from UserMixin, "
            f"with the table {TABLE}."
        )
    model: type[UserMixin] = found[0]
    return model
