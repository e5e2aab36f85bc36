"""Commands: `uv run <slug> users --help`. The others are in `app/core/auth/management.py`."""

from app.core.auth.management import add_user, ask_for_common_values, commands, run
from app.users.models import Role, User

__all__ = ["commands"]


@commands.command("create-admin")
def create_admin(email: str, name: str = "Admin") -> None:
    """Create an admin; asks for the password."""
    user = User(name=name, **ask_for_common_values(email, Role.ADMIN))
    run(lambda session: add_user(session, user))
