"""Access tokens that are not accepted."""

import json
from typing import Any

import jwt
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.auth.tokens import Purpose, Tokens
from app.users import User
from tests.core.auth import AccessToken
from tests.proofs.auth.attacks import ME, claims_of, encoded, forged, me, settings_of, signed

PAST, FUTURE = 1_000_000_000, 4_000_000_000
OLD_SECRET = "an earlier secret of this service, which is long enough"  # noqa: S105
WRONG_IDS: list[Any] = [
    *(None, 1, True, 1.5, []),
    *("", "0", "-1", "1.5", "x", "²", "1 ", "1\n", str(2**31), str(2**70)),
]
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkq\n-----END PUBLIC KEY-----\n"


@pytest.fixture
async def token(access_token: AccessToken, user: User) -> str:
    return await access_token(user)


async def refused(client: AsyncClient, token: str) -> bool:
    response = await me(client, token)
    header = response.headers.get("WWW-Authenticate", "")
    return response.status_code == 401 and header == 'Bearer error="invalid_token"'


async def test_token_is_accepted(client: AsyncClient, token: str) -> None:
    assert (await me(client, token)).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": PAST},
        {"exp": None},
        {"exp": True},
        {"exp": FUTURE + 0.5},
        {"exp": str(FUTURE)},
        {"exp": float("inf")},
        {"iat": None},
        {"iat": FUTURE},
        {"iat": "now"},
        {"iat": True},
        {"nbf": FUTURE},
        {"aud": "other/access"},
        {"aud": None},
        {"aud": []},
        {"iss": "other"},
        {"iss": None},
        {"iss": ["{}"]},
        *({claim: value} for claim in ("sub", "sid") for value in WRONG_IDS),
        {"sub": "999999"},
        {"sid": "999999"},
    ],
    ids=str,
)
async def test_claims_are_checked(
    app: FastAPI, client: AsyncClient, token: str, changes: dict[str, Any]
) -> None:
    secret = settings_of(app).token_secret.get_secret_value()
    assert (await me(client, forged(token, secret))).status_code == 200

    assert await refused(client, forged(token, secret, **changes))


async def test_tampered_token_is_refused(client: AsyncClient, token: str) -> None:
    header, _, signature = token.split(".")
    claims = encoded(json.dumps(claims_of(token) | {"sub": "1"}).encode())

    assert await refused(client, f"{header}.{claims}.{signature}")
    assert await refused(client, token[:-4])
    assert await refused(client, f"{token}.x")


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "HS384"},
        {"alg": "RS256"},
        {"alg": ["HS256"]},
        {"kid": "unknown"},
        {"kid": None},
        {"kid": ["x"]},
        {"crit": ["x"], "x": 1},
    ],
    ids=str,
)
async def test_header_is_checked(
    app: FastAPI, client: AsyncClient, token: str, change: dict[str, Any]
) -> None:
    secret = settings_of(app).token_secret.get_secret_value()
    changed = signed(jwt.get_unverified_header(token) | change, claims_of(token), secret)

    assert await refused(client, changed)
    assert await refused(client, changed[: changed.rindex(".") + 1])


@pytest.mark.parametrize("secret", ["", PUBLIC_KEY, "x" * 40])
async def test_token_with_another_key_is_refused(
    client: AsyncClient, token: str, secret: str
) -> None:
    assert await refused(client, forged(token, secret))


@pytest.mark.parametrize("purpose", [each for each in Purpose if each is not Purpose.ACCESS])
async def test_token_for_another_purpose_is_refused(
    app: FastAPI, client: AsyncClient, token: str, purpose: Purpose
) -> None:
    tokens: Tokens = app.state.tokens
    sub, sid = tokens.read(Purpose.ACCESS, token, "sub", "sid")

    assert await refused(client, tokens.create(purpose, 60, sub=sub, sid=sid))


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "..",
        "a.b.c",
        signed({"alg": "HS256", "kid": "x"}, [], ""),
        signed(b"[" * 1000, {}, ""),
        signed(b"[" * 10_000, {}, ""),
        "é.é.é",
        "x" * 10_000,
    ],
    ids=["one", "dots", "words", "list", "nested", "long", "accents", "longer"],
)
async def test_garbage_is_refused(client: AsyncClient, token: str) -> None:
    response = await client.get(ME, headers={b"Authorization": f"Bearer {token}".encode()})

    assert response.status_code == 401


async def test_deeply_nested_claims_are_refused(
    app: FastAPI, client: AsyncClient, token: str
) -> None:
    secret = settings_of(app).token_secret.get_secret_value()
    header = jwt.get_unverified_header(token)

    assert await refused(client, signed(header, b'{"a":' * 1000 + b"1" + b"}" * 1000, secret))
    nested = token
    for _ in range(4):
        nested = signed(header, {"token": nested}, secret)
    assert await refused(client, nested)


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "bearer  "])
async def test_scheme_without_a_token_is_refused(client: AsyncClient, header: str) -> None:
    response = await client.get(ME, headers={"Authorization": header})

    assert response.status_code == 401


@pytest.mark.parametrize("header", ["Basic YTpi", "", "Token x", "x"])
async def test_other_schemes_are_no_token(client: AsyncClient, header: str) -> None:
    response = await client.get(ME, headers={"Authorization": header})

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_user_loses_access_at_once(
    client: AsyncClient, token: str, user: User, session: AsyncSession
) -> None:
    user.is_active = False
    assert await refused(client, token)
    user.is_active = True
    assert (await me(client, token)).status_code == 200

    await session.delete(user)

    assert await refused(client, token)


async def test_keys_rotate(app: FastAPI, client: AsyncClient, token: str) -> None:
    """A token of an earlier key is accepted while that key is listed, but never signed with it."""
    settings = settings_of(app)
    current = settings.token_secret.get_secret_value()
    new = settings.model_copy(
        update={
            "token_secret": SecretStr(OLD_SECRET[::-1]),
            "token_old_secrets": SecretStr(f"{OLD_SECRET}, {current}"),
        }
    )

    app.state.tokens = Tokens(new)
    assert (await me(client, token)).status_code == 200
    claims = app.state.tokens.read(Purpose.ACCESS, token, "sub", "sid")
    renewed = app.state.tokens.create(Purpose.ACCESS, 60, sub=claims[0], sid=claims[1])
    assert jwt.get_unverified_header(renewed)["kid"] != jwt.get_unverified_header(token)["kid"]

    app.state.tokens = Tokens(new.model_copy(update={"token_old_secrets": SecretStr("")}))
    assert (await me(client, renewed)).status_code == 200
    assert await refused(client, token)
