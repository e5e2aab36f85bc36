"""No input ends in a server error."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from app.core.auth.tokens import Purpose

JSON = {"Content-Type": "application/json"}
BODIES: dict[str, dict[str, str]] = {
    "/auth/login": {"email": "a@example.com", "password": "x"},
    "/auth/register": {"email": "a@example.com"},
    "/auth/password-reset": {"email": "a@example.com"},
    "/auth/password-reset/confirm": {"token": "x", "password": "long enough for this"},
    "/auth/refresh": {"refresh_token": "x.y"},
    "/auth/email/confirm": {"token": "x"},
    "/auth/email": {"email": "a@example.com", "password": "x"},
    "/auth/password": {"current_password": "x", "new_password": "long enough for this"},
    "/auth/delete-account": {"password": "x"},
    "/users": {"token": "x", "password": "long enough for this", "name": "x"},
    "/users/invitations": {"email": "a@example.com", "role": "user"},
}
GARBAGE = [
    r'"\ud800"',
    r'"\u0000"',
    r'"a\ud800b\udfff"',
    f'"{"x" * 1_000_000}"',
    "1e999",
    "[]",
    "null",
]
FIELDS = [(path, field) for path, body in BODIES.items() for field in body]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda text: text[:12])
@pytest.mark.parametrize(("path", "field"), FIELDS)
async def test_field_is_refused(
    admin_client: AsyncClient, path: str, field: str, garbage: str
) -> None:
    members = ", ".join(
        f'"{name}": {garbage if name == field else f"{value!r}".replace(chr(39), chr(34))}'
        for name, value in BODIES[path].items()
    )

    response = await admin_client.post(path, content=f"{{{members}}}", headers=JSON)

    assert response.status_code in (400, 401, 403, 413, 422), response.text
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "form",
    [
        b"username=%ff&password=%ff",
        b"username=%00&password=%00",
        b"username=%ed%a0%80&password=%ed%a0%80",
        b"username=a%40example.com&password=" + b"x" * 1_000_000,
        b"username=" + b"x" * 1_000_000 + b"&password=x",
        b"username=a&password=b&" + b"x=1&" * 2000,
        b"username=a&password=b&grant_type=other",
        b"",
        b"%",
    ],
    ids=[str(number) for number in range(9)],
)
async def test_form_is_refused(client: AsyncClient, form: bytes) -> None:
    response = await client.post(
        "/auth/token",
        content=form,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert response.status_code in (400, 401, 413, 422), response.text


@pytest.mark.parametrize("name", ["\ud800", "\0", " ", "x" * 101])
async def test_name_of_a_registration_is_checked(
    app: FastAPI, client: AsyncClient, user_client: AsyncClient, name: str
) -> None:
    token = app.state.tokens.create(Purpose.REGISTRATION, 60, email="a@example.com", role="user")
    body: dict[str, Any] = {"token": token, "password": "long enough for this", "name": name}

    created = await client.post("/users", content=json.dumps(body), headers=JSON)
    updated = await user_client.patch("/users/me", content=json.dumps({"name": name}), headers=JSON)

    assert created.status_code == updated.status_code == 422
