"""Users, sessions and tokens: the public API for `app/users` and for features."""

from app.core.auth.accounts import AccountsDep, change_access
from app.core.auth.dependencies import current_user, optional_user, require_role
from app.core.auth.errors import (
    EmailTakenError,
    InvalidLinkError,
    LastAdminError,
    TooManyAttemptsError,
    WeakPasswordError,
)
from app.core.auth.models import UserMixin
from app.core.auth.schemas import Email, NewPassword

__all__ = [
    "AccountsDep",
    "Email",
    "EmailTakenError",
    "InvalidLinkError",
    "LastAdminError",
    "NewPassword",
    "TooManyAttemptsError",
    "UserMixin",
    "WeakPasswordError",
    "change_access",
    "current_user",
    "optional_user",
    "require_role",
]
