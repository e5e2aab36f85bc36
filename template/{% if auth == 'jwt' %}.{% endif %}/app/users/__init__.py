"""Users. `app/core/auth` has their sessions and passwords; this feature is yours.

Features protect their routes with the types in this module.
"""

from typing import Annotated

from fastapi import Depends

from app.core.auth import current_user, optional_user, require_role
from app.users.models import Role, User

__all__ = ["Admin", "CurrentUser", "OptionalUser", "Role", "User"]

CurrentUser = Annotated[User, Depends(current_user)]
"""The user who sends the request. Without a valid access token, it is answered with 401."""

OptionalUser = Annotated[User | None, Depends(optional_user)]
"""The user who sends the request, or None if it has no access token."""

Admin = Annotated[User, require_role(Role.ADMIN)]
"""The admin who sends the request. Other users are answered with 403."""
