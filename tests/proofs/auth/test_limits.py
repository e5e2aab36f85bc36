"""Limits of attempts, per account and per client."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from fastapi import FastAPI, Request
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.auth import throttle
from app.core.auth.errors import TooManyAttemptsError
from app.core.auth.models import Throttle
from app.core.auth.throttle import CLIENTS, PASSWORDS, Limit, client_of
from app.core.mail import Mail
from app.users import User
from tests.proofs.auth.attacks import log_in

WRONG = "not the password"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Function that lets a number of seconds pass, for limits."""
    time = 1_800_000_000_000_000_000

    def pass_time(seconds: int) -> None:
        nonlocal time
        time += seconds * 1_000_000_000

    monkeypatch.setattr(throttle, "time_ns", lambda: time)
    return pass_time


async def test_account_is_limited(
    client: AsyncClient, user: User, clock: Callable[[int], None]
) -> None:
    statuses = [(await log_in(client, user.email, WRONG)).status_code for _ in range(6)]

    assert statuses == [401] * 5 + [429]
    refused = await log_in(client, user.email)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "60"
    assert refused.headers["Content-Type"] == "application/problem+json"
    clock(60)
    assert (await log_in(client, user.email, WRONG)).status_code == 401
    assert (await log_in(client, user.email)).status_code == 429
    clock(60)
    assert (await log_in(client, user.email)).status_code == 200


async def test_login_forgets_attempts_for_the_account(
    client: AsyncClient, user: User, clock: Callable[[int], None]
) -> None:
    for _ in range(3):
        for _ in range(4):
            await log_in(client, user.email, WRONG)
        assert (await log_in(client, user.email)).status_code == 200


async def test_unknown_account_is_limited_in_the_same_way(
    client: AsyncClient, clock: Callable[[int], None]
) -> None:
    statuses = [(await log_in(client, "a@example.com", WRONG)).status_code for _ in range(6)]

    assert statuses == [401] * 5 + [429]


@pytest.mark.parametrize(
    "change",
    [str.upper, str.title, lambda email: f" {email} ", lambda email: email.replace("e", "E")],
    ids=["upper", "title", "spaces", "one"],
)
async def test_spelling_does_not_evade_the_limit(
    client: AsyncClient,
    user: User,
    clock: Callable[[int], None],
    change: Callable[[str], str],
) -> None:
    for _ in range(5):
        await log_in(client, user.email, WRONG)

    assert (await log_in(client, change(user.email), WRONG)).status_code == 429


async def test_unicode_is_no_spelling_of_an_address(client: AsyncClient, user: User) -> None:
    user.email = "ada@example.com"

    for email in ("ada@exämple.com", "ａda@example.com", "àda@example.com", "ada@example。com"):
        assert (await log_in(client, email)).status_code == 401


async def test_client_is_limited(
    client: AsyncClient, clock: Callable[[int], None], user: User
) -> None:
    statuses = Counter(
        [(await log_in(client, f"{n}@example.com", WRONG)).status_code for n in range(51)]
    )

    assert statuses == {401: 50, 429: 1}
    assert (await log_in(client, user.email)).status_code == 429


async def test_own_login_does_not_pay_for_guesses(
    client: AsyncClient, clock: Callable[[int], None], user: User
) -> None:
    """It refunds its own attempt, so that a busy office is not locked out; and no other."""
    for number in range(40):
        await log_in(client, f"{number}@example.com", WRONG)
    for _ in range(20):
        assert (await log_in(client, user.email)).status_code == 200

    statuses = [(await log_in(client, f"{n}@example.net", WRONG)).status_code for n in range(11)]

    assert statuses == [401] * 10 + [429]


@pytest.mark.committed
async def test_parallel_guesses_are_all_counted(client: AsyncClient, user: User) -> None:
    responses = await asyncio.gather(*(log_in(client, user.email, WRONG) for _ in range(12)))

    assert Counter(each.status_code for each in responses) == {401: 5, 429: 7}


@pytest.mark.parametrize("path", ["password", "email", "delete-account"])
async def test_a_stolen_token_does_not_allow_more_guesses(
    user_client: AsyncClient, clock: Callable[[int], None], path: str
) -> None:
    body = {
        "password": {"current_password": WRONG, "new_password": "x y z u v w " * 2},
        "email": {"password": WRONG, "email": "x@example.com"},
        "delete-account": {"password": WRONG},
    }[path]

    statuses = [(await user_client.post(f"/auth/{path}", json=body)).status_code for _ in range(6)]

    assert statuses == [403] * 5 + [429]


@pytest.mark.parametrize("path", ["register", "password-reset"])
async def test_mails_are_limited(
    client: AsyncClient, user: User, mailbox: list[Mail], path: str
) -> None:
    statuses = [
        (await client.post(f"/auth/{path}", json={"email": user.email})).status_code
        for _ in range(4)
    ]

    assert statuses == [202] * 3 + [429]
    assert len(mailbox) == 3


async def test_rows_do_not_name_anybody(
    client: AsyncClient, user: User, session: AsyncSession
) -> None:
    await log_in(client, user.email, WRONG)

    rows = (await session.scalars(select(Throttle))).all()

    assert len(rows) == 2
    assert all(len(row.key) == 64 and user.email not in row.key for row in rows)


async def test_old_rows_do_not_pile_up(session: AsyncSession, clock: Callable[[int], None]) -> None:
    """Also without `purge`, and if every attempt is of another account."""
    for hour in range(3):
        for number in range(20):
            await throttle.charge(session, PASSWORDS, f"{hour} {number}")
        clock(3600)

    assert await session.scalar(select(func.count()).select_from(Throttle)) == 20


async def test_purge_removes_what_limits_nobody(
    session: AsyncSession, clock: Callable[[int], None]
) -> None:
    await throttle.charge(session, PASSWORDS, "a")
    clock(30)
    await throttle.charge(session, PASSWORDS, "b")
    clock(31)

    await throttle.purge(session)

    assert await session.scalar(select(func.count()).select_from(Throttle)) == 1


async def test_limit_is_exact(session: AsyncSession, clock: Callable[[int], None]) -> None:
    limit = Limit("test", burst=3, interval=10_000)
    for _ in range(3):
        await throttle.charge(session, limit, "x")
    for wait in (10, 4):
        with pytest.raises(TooManyAttemptsError) as error:
            await throttle.charge(session, limit, "x")
        assert error.value.headers == {"Retry-After": str(wait)}
        clock(6)
    await throttle.charge(session, limit, "x")
    await throttle.refund(session, limit, "x")
    await throttle.charge(session, limit, "x")


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002"),
        ("2001:db8:1:2::9", "2001:0db8:0001:0002"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
        ("testclient", "unknown"),
        ("", "unknown"),
    ],
)
def test_clients_are_networks(host: str, client: str) -> None:
    assert client_of(Request({"type": "http", "client": (host, 1)})) == client
    assert client_of(Request({"type": "http", "client": None})) == "unknown"


async def test_only_proxies_can_forward_addresses(app: FastAPI, session: AsyncSession) -> None:
    transport = ASGITransport(app, client=("203.0.113.9", 4711))
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        for number in range(3):
            headers = {"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"}
            data = {"email": f"{number}@example.com", "password": WRONG}
            await client.post("/auth/login", json=data, headers=headers)

    key = CLIENTS.key("203.0.113.9")
    assert await session.scalar(select(func.count()).where(Throttle.key == key)) == 1
    assert await session.scalar(select(func.count()).select_from(Throttle)) == 4
