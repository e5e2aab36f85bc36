"""Database models."""

from enum import StrEnum

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.core import Base
from app.core.auth import UserMixin


class Role(StrEnum):
    """What a user is allowed to do: up to 20 characters, without a migration.

    `app/core/auth` relies on `user` and `admin`.
    """

    USER = "user"
    ADMIN = "admin"


class User(UserMixin, Base):
    """A user. Add columns here; the common ones, such as the address, are in `UserMixin`."""

    name: Mapped[str] = mapped_column(String(100))
