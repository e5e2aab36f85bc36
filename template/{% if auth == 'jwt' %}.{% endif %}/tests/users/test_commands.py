import io
import sys

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.users import Role, User
from tests.core import Cli
from tests.core.auth import PASSWORD


@pytest.mark.committed
async def test_create_admin(
    run: Cli, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))

    assert await run("users", "create-admin", "Root@example.com") == 0

    admin = (await session.scalars(select(User))).one()
    assert (admin.email, admin.role) == ("root@example.com", Role.ADMIN)
