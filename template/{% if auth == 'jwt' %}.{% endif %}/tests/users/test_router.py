from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.auth.tokens import Purpose
from app.users import Role, User
from tests.core.auth import PASSWORD, MakeUsers

ADDRESS = "ada@example.com"


def mail_token(app: FastAPI, role: Role = Role.USER) -> str:
    """Return the token of the mail that continues a registration."""
    token: str = app.state.tokens.create(Purpose.REGISTRATION, 60, email=ADDRESS, role=role)
    return token


async def test_registration_creates_a_user(
    app: FastAPI, client: AsyncClient, session: AsyncSession
) -> None:
    data = {"token": mail_token(app), "password": PASSWORD, "name": "Ada"}

    response = await client.post("/users", json=data)

    assert response.status_code == 201
    user = (await session.scalars(select(User))).one()
    assert (user.email, user.name, user.role) == (ADDRESS, "Ada", Role.USER)
    assert PASSWORD not in user.password_hash


async def test_login_gives_access(client: AsyncClient, user: User) -> None:
    form = {"username": user.email, "password": PASSWORD}

    tokens = (await client.post("/auth/token", data=form)).json()

    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await client.get("/users/me", headers=headers)).json()["id"] == user.id


async def test_user_can_change_their_name(user_client: AsyncClient, user: User) -> None:
    response = await user_client.patch("/users/me", json={"name": "Grace"})

    assert response.json()["name"] == user.name == "Grace"


async def test_user_cannot_change_other_fields(user_client: AsyncClient) -> None:
    for field in ("role", "is_active", "email", "id", "password_hash"):
        response = await user_client.patch("/users/me", json={"name": "Grace", field: "admin"})

        assert response.status_code == 422, field


async def test_only_admins_manage_users(client: AsyncClient, user_client: AsyncClient) -> None:
    for method, path, body in (
        ("GET", "/users", {}),
        ("PATCH", "/users/1", {}),
        ("POST", "/users/invitations", {"email": ADDRESS}),
    ):
        assert (await client.request(method, path, json=body)).status_code == 401, path
        assert (await user_client.request(method, path, json=body)).status_code == 403, path


async def test_admin_lists_users(
    admin_client: AsyncClient, admin: User, make_users: MakeUsers
) -> None:
    admin.name = "Root"
    for name in ("Ada", "Grace"):
        await make_users(name=name)

    for query, names in (
        ("role=admin", ["Root"]),
        ("role=user&order_by=-name", ["Grace", "Ada"]),
        ("order_by=name&limit=1&offset=1", ["Grace"]),
        ("is_active=false", []),
    ):
        page = (await admin_client.get(f"/users?{query}")).json()

        assert [user["name"] for user in page["items"]] == names, query


async def test_deactivated_user_loses_access(
    admin_client: AsyncClient, user_client: AsyncClient, user: User
) -> None:
    response = await admin_client.patch(f"/users/{user.id}", json={"is_active": False})

    assert response.json()["is_active"] is False
    assert (await user_client.get("/users/me")).status_code == 401


async def test_last_admin_stays(admin_client: AsyncClient, admin: User) -> None:
    response = await admin_client.patch(f"/users/{admin.id}", json={"role": Role.USER})

    assert response.status_code == 409
    assert admin.role == Role.ADMIN
