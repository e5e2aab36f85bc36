"""A dependency of the application protects all routes except the template's own public ones."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from app import core
from app.core.auth import require_role
from app.settings import Settings
from app.users import Role, User
from tests.core.auth import PASSWORD

ME = "/users/me"


@pytest.fixture
def make_app() -> Callable[[Settings], FastAPI]:
    def make_app(settings: Settings) -> FastAPI:
        app = FastAPI(dependencies=[require_role(Role.ADMIN)])
        core.install(app, settings)
        return app

    return make_app


async def test_all_routes_are_protected(
    client: AsyncClient, user_client: AsyncClient, admin_client: AsyncClient
) -> None:
    clients = (client, user_client, admin_client)

    assert [(await each.get(ME)).status_code for each in clients] == [401, 403, 200]


async def test_login_and_probes_stay_public(client: AsyncClient, user: User) -> None:
    form = {"username": user.email, "password": PASSWORD}

    assert (await client.post("/auth/token", data=form)).status_code == 200
    assert (await client.get("/health/live")).status_code == 200
