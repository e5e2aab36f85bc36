"""Sessions: refresh tokens, logout and cookies."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.auth import sessions
from app.core.auth.errors import InvalidTokenError
from app.core.auth.models import AuthSession, now
from app.core.auth.router import COOKIE
from app.users import User
from tests.core.auth import PASSWORD, MakeUsers
from tests.proofs.auth.attacks import changed_settings, log_in, me, refresh, settings_of

HEADER = {"X-Requested-With": "fetch"}


async def only(session: AsyncSession) -> AuthSession:
    return (await session.scalars(select(AuthSession))).one()


async def test_refresh_token_is_replaced(client: AsyncClient, user: User) -> None:
    first = (await log_in(client, user.email)).json()

    second = (await refresh(client, first["refresh_token"])).json()
    third = await refresh(client, second["refresh_token"])

    assert third.status_code == 200
    assert len({each["refresh_token"] for each in (first, second, third.json())}) == 3
    assert third.headers["Cache-Control"] == "no-store"
    # Earlier access tokens stay valid until they expire: the session is the same.
    assert (await me(client, first["access_token"])).status_code == 200


async def test_only_digests_are_stored(
    client: AsyncClient, user: User, session: AsyncSession
) -> None:
    token = (await log_in(client, user.email)).json()["refresh_token"]

    row = await only(session)
    assert not {row.family, row.digest} & set(token.split("."))
    assert not any(part[:20] in row.family + row.digest for part in token.split("."))


async def test_reuse_ends_the_session(
    client: AsyncClient, user: User, session: AsyncSession
) -> None:
    first = (await log_in(client, user.email)).json()
    second = (await refresh(client, first["refresh_token"])).json()
    third = (await refresh(client, second["refresh_token"])).json()

    assert (await refresh(client, first["refresh_token"])).status_code == 401

    assert (await refresh(client, third["refresh_token"])).status_code == 401
    assert (await me(client, third["access_token"])).status_code == 401
    assert (await session.scalars(select(AuthSession))).all() == []


async def test_double_click_is_no_reuse(
    client: AsyncClient, user: User, session: AsyncSession
) -> None:
    first = (await log_in(client, user.email)).json()
    second = (await refresh(client, first["refresh_token"])).json()

    assert (await refresh(client, first["refresh_token"])).status_code == 409

    (await only(session)).refreshed_at = now() - timedelta(seconds=11)
    assert (await refresh(client, first["refresh_token"])).status_code == 401
    assert (await refresh(client, second["refresh_token"])).status_code == 401


async def test_unknown_secret_of_a_known_family_ends_the_session(
    client: AsyncClient, user: User
) -> None:
    tokens = (await log_in(client, user.email)).json()
    family = tokens["refresh_token"].partition(".")[0]

    assert (await refresh(client, f"{family}.x")).status_code == 401

    assert (await me(client, tokens["access_token"])).status_code == 401


@pytest.mark.parametrize("token", ["", ".", "x", "x.y", "x.y.z", "é.é", "\0.\0"])
async def test_garbage_is_refused(client: AsyncClient, token: str) -> None:
    assert (await refresh(client, token)).status_code == 401


async def test_access_and_refresh_tokens_are_not_interchangeable(
    client: AsyncClient, user: User
) -> None:
    tokens = (await log_in(client, user.email)).json()

    assert (await refresh(client, tokens["access_token"])).status_code == 401
    assert (await me(client, tokens["refresh_token"])).status_code == 401


@pytest.mark.committed
async def test_one_of_eight_refreshes_wins(
    app: FastAPI, client: AsyncClient, user: User, session: AsyncSession
) -> None:
    token = (await log_in(client, user.email)).json()["refresh_token"]

    responses = await asyncio.gather(*(refresh(client, token) for _ in range(8)))

    assert Counter(each.status_code for each in responses) == {200: 1, 409: 7}
    (winner,) = (each for each in responses if each.status_code == 200)
    assert (await refresh(client, winner.json()["refresh_token"])).status_code == 200


async def test_session_ends_without_refresh(
    app: FastAPI, client: AsyncClient, user: User, session: AsyncSession
) -> None:
    with changed_settings(app, session_idle_lifetime=3600, session_lifetime=5400):
        tokens = (await log_in(client, user.email)).json()
        row = await only(session)
        assert row.expires_at - row.created_at == timedelta(seconds=3600)

        row.created_at -= timedelta(seconds=3000)
        tokens = (await refresh(client, tokens["refresh_token"])).json()
        # The absolute lifetime is shorter than another idle lifetime.
        assert row.expires_at - row.created_at == timedelta(seconds=5400)

        row.expires_at = now() - timedelta(seconds=1)
        assert (await refresh(client, tokens["refresh_token"])).status_code == 401
        assert (await me(client, tokens["access_token"])).status_code == 401


async def test_refresh_of_an_inactive_user_is_refused(client: AsyncClient, user: User) -> None:
    tokens = (await log_in(client, user.email)).json()
    user.is_active = False

    assert (await refresh(client, tokens["refresh_token"])).status_code == 401


async def test_logout_ends_one_session(client: AsyncClient, user: User) -> None:
    first, second = [(await log_in(client, user.email)).json() for _ in range(2)]
    headers = {"Authorization": f"Bearer {first['access_token']}"}

    assert (await client.post("/auth/logout", headers=headers)).status_code == 204

    assert (await me(client, first["access_token"])).status_code == 401
    assert (await refresh(client, first["refresh_token"])).status_code == 401
    assert (await me(client, second["access_token"])).status_code == 200


async def test_ended_session_never_returns(client: AsyncClient, user: User) -> None:
    """Also if the database gives its ID to the next session."""
    token = (await log_in(client, user.email)).json()["access_token"]
    await client.post("/auth/logout", headers={"Authorization": f"Bearer {token}"})

    assert (await log_in(client, user.email)).status_code == 200

    assert (await me(client, token)).status_code == 401


async def test_session_can_end_during_a_reuse(
    client: AsyncClient, user: User, session: AsyncSession, app: FastAPI, monkeypatch: Any
) -> None:
    """For example because two requests reuse a token at the same time."""
    token = (await log_in(client, user.email)).json()["refresh_token"]
    commit = session.commit

    async def commit_and_end() -> None:
        await commit()
        await session.execute(delete(AuthSession))

    monkeypatch.setattr(session, "commit", commit_and_end)

    with pytest.raises(InvalidTokenError):
        await sessions.refresh(session, f"{token}x", settings_of(app))


async def test_oldest_session_ends_if_there_are_many(
    app: FastAPI, client: AsyncClient, user: User, make_users: MakeUsers, session: AsyncSession
) -> None:
    (other,) = await make_users()
    await sessions.start(session, other.id, settings_of(app))
    first = (await log_in(client, user.email)).json()
    for _ in range(sessions.MAX_SESSIONS - 1):
        last = await sessions.start(session, user.id, settings_of(app))
    assert (await me(client, first["access_token"])).status_code == 200

    newest = (await log_in(client, user.email)).json()

    assert (await me(client, first["access_token"])).status_code == 401
    assert (await me(client, newest["access_token"])).status_code == 200
    assert (await refresh(client, last.refresh_token)).status_code == 200
    assert (
        await session.scalar(select(func.count()).select_from(AuthSession))
        == sessions.MAX_SESSIONS + 1
    )


async def test_logout_everywhere_ends_all_sessions(client: AsyncClient, user: User) -> None:
    first, second = [(await log_in(client, user.email)).json() for _ in range(2)]
    headers = {"Authorization": f"Bearer {first['access_token']}"}

    assert (await client.post("/auth/logout-everywhere", headers=headers)).status_code == 204

    assert (await me(client, first["access_token"])).status_code == 401
    assert (await me(client, second["access_token"])).status_code == 401


async def test_users_see_and_end_their_own_sessions(
    client: AsyncClient, user: User, admin_client: AsyncClient
) -> None:
    agents = ("Firefox", "Safari\x1b[2J")
    first, _ = [
        (
            await client.post(
                "/auth/login",
                json={"email": user.email, "password": PASSWORD},
                headers={"User-Agent": agent},
            )
        ).json()
        for agent in agents
    ]
    headers = {"Authorization": f"Bearer {first['access_token']}"}

    found = (await client.get("/auth/sessions", headers=headers)).json()

    assert [each["client"] for each in found] == ["Safari[2J", "Firefox"]
    assert [each["is_current"] for each in found] == [False, True]
    assert not {"digest", "family", "spent_digest"} & found[0].keys()
    path = f"/auth/sessions/{found[0]['id']}"
    assert (await admin_client.delete(path)).status_code == 404
    assert (await client.delete(path, headers=headers)).status_code == 204
    assert len((await client.get("/auth/sessions", headers=headers)).json()) == 1


async def test_cookie_is_hidden_from_scripts(app: FastAPI, client: AsyncClient, user: User) -> None:
    body = {"email": user.email, "password": PASSWORD}
    with changed_settings(app, refresh_cookie=True):
        response = await client.post("/auth/login", json=body, headers=HEADER)

        cookie = response.headers["Set-Cookie"]
        value = cookie.partition("=")[2].partition(";")[0]
        assert response.json()["refresh_token"] is None
        assert cookie.startswith(f"{COOKIE}=")
        for attribute in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
            assert attribute in cookie
        assert "Domain" not in cookie
        cookies = {"Cookie": f"{COOKIE}={value}"}
        refreshed = await client.post("/auth/refresh", headers={**HEADER, **cookies})
        assert refreshed.status_code == 200
        access = {"Authorization": f"Bearer {refreshed.json()['access_token']}"}
        left = await client.post("/auth/logout", headers={**HEADER, **access})
        assert "Max-Age=0" in left.headers["Set-Cookie"]


@pytest.mark.parametrize("path", ["login", "refresh", "logout", "logout-everywhere"])
async def test_cookie_needs_a_header_that_other_sites_cannot_send(
    app: FastAPI, client: AsyncClient, user: User, user_client: AsyncClient, path: str
) -> None:
    body = {"email": user.email, "password": PASSWORD} if path == "login" else None
    with changed_settings(app, refresh_cookie=True):
        response = await user_client.post(f"/auth/{path}", json=body)

    assert response.status_code == 403


async def test_form_never_sets_the_cookie(app: FastAPI, client: AsyncClient, user: User) -> None:
    """Another site could send the form, and log its visitors in as somebody else."""
    with changed_settings(app, refresh_cookie=True):
        response = await client.post(
            "/auth/token", data={"username": user.email, "password": PASSWORD}
        )

    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    assert response.json()["refresh_token"] is None


async def test_cookie_is_ignored_unless_switched_on(client: AsyncClient, user: User) -> None:
    token = (await log_in(client, user.email)).json()["refresh_token"]

    response = await client.post("/auth/refresh", headers={"Cookie": f"{COOKIE}={token}"})

    assert response.status_code == 401
