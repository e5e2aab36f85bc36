"""Create admins with sessions and links from mails; executed by the rendered project's Python.

The arguments are their number and their password. The output is a JSON list.
"""

import asyncio
import json
import sys
from importlib import import_module
from pathlib import Path


async def main(number: int, password: str) -> None:
    """Print what each admin knows."""
    sys.path.insert(0, str(Path.cwd()))
    core, users = import_module("app.core"), import_module("app.users")
    accounts, sessions, tokens, passwords = (
        import_module(f"app.core.auth.{name}")
        for name in ("accounts", "sessions", "tokens", "passwords")
    )
    settings = import_module("app.core.auth.settings").Settings.load()
    create = tokens.Tokens(settings).create
    purpose, lifetime = tokens.Purpose, settings.access_token_lifetime
    known = await passwords.Passwords.of(settings).hash(password)
    made = []
    core_settings = import_module("app.core.settings").CoreSettings.load()
    async with core.open_database(core_settings) as factory, factory.begin() as session:
        admins = [
            users.User(
                name=f"Admin {each}",
                email=f"admin{each}@example.com",
                role=users.Role.ADMIN,
                password_hash=known,
            )
            for each in range(number)
        ]
        session.add_all(admins)
        await session.flush()
        for admin in admins:
            started = await sessions.start(session, admin.id, settings)
            new, sub, state = f"new-{admin.email}", str(admin.id), accounts._state(admin)
            links = {
                "/users": create(purpose.REGISTRATION, lifetime, email=new, role="user"),
                "/auth/password-reset/confirm": create(
                    purpose.PASSWORD_RESET, lifetime, sub=sub, state=state
                ),
                "/auth/email/confirm": create(
                    purpose.EMAIL_CHANGE, lifetime, sub=sub, state=state, email=new
                ),
            }
            made.append(
                {
                    "email": admin.email,
                    "session_id": started.id,
                    "access_token": create(purpose.ACCESS, lifetime, sub=sub, sid=started.family),
                    "refresh_token": started.refresh_token,
                    "links": links,
                }
            )
    print(json.dumps(made))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
