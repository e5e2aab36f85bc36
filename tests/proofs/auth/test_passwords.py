"""Hashing, and the choice of passwords."""

import asyncio
import math
import threading
import time
from unittest.mock import Mock

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.core.auth.passwords import Passwords, check_new_password
from app.core.auth.settings import PasswordSettings, Settings
from app.core.auth.tokens import Purpose
from app.core.mail import Mail
from app.core.problems import ProblemError
from app.users import User
from tests.core.auth import PASSWORD
from tests.proofs.auth.attacks import NEW_PASSWORD, log_in, token_in

WEAK, STRONG = Passwords(memory=8, rounds=1), Passwords(memory=16, rounds=2)


async def test_weaker_hash_is_upgraded_at_login(
    app: FastAPI, client: AsyncClient, user: User
) -> None:
    user.password_hash = await WEAK.hash(PASSWORD)
    app.state.passwords = STRONG

    assert (await log_in(client, user.email)).status_code == 200

    assert "$m=16,t=2,p=1$" in user.password_hash
    assert (await log_in(client, user.email)).status_code == 200


@pytest.mark.parametrize(("memory", "rounds"), [(8, 1), (8, 2), (8, 3), (32, 1), (16, 1)])
async def test_hash_is_never_weakened(
    app: FastAPI, client: AsyncClient, user: User, memory: int, rounds: int
) -> None:
    user.password_hash = await STRONG.hash(PASSWORD)
    before = user.password_hash
    app.state.passwords = Passwords(memory=memory, rounds=rounds)

    assert (await log_in(client, user.email)).status_code == 200

    assert user.password_hash == before


@pytest.mark.parametrize("known", ["", "x", "$2b$12$x", "$argon2id$v=19$m=8,t=1,p=1$x"])
async def test_garbage_instead_of_a_hash_is_no_match(
    client: AsyncClient, user: User, known: str
) -> None:
    user.password_hash = known

    assert (await log_in(client, user.email)).status_code == 401


async def test_unknown_user_costs_a_hash(
    app: FastAPI, client: AsyncClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = Argon2Hasher.verify
    calls: list[str] = []

    def record(self: Argon2Hasher, password: str, known: str) -> bool:
        calls.append(known.rpartition("$")[0].rpartition("$")[0])
        return verify(self, password, known)

    monkeypatch.setattr(Argon2Hasher, "verify", record)
    for email in (user.email, "nobody@example.com"):
        await log_in(client, email, "wrong")

    assert len(calls) == 2
    assert calls[0] == calls[1] == "$argon2id$v=19$m=8,t=1,p=1"


async def test_dummy_hash_is_as_slow_as_one_of_a_user() -> None:
    passwords = Passwords(memory=19456, rounds=2)
    known = await passwords.hash(PASSWORD)
    fastest: dict[str | None, float] = {known: math.inf, None: math.inf}
    for each in [known, None] * 5:
        started = time.perf_counter()
        assert not await passwords.verify("wrong", each)
        fastest[each] = min(fastest[each], time.perf_counter() - started)

    assert 0.5 < fastest[None] / fastest[known] < 2


async def test_hashes_are_limited_and_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, threads = 0, 0, set()
    lock = threading.Lock()

    def hash_slowly(*_: object) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threads.add(threading.current_thread())
        time.sleep(0.05)
        with lock:
            running -= 1
        return ""

    monkeypatch.setattr(Argon2Hasher, "hash", hash_slowly)
    passwords = Passwords(memory=8, rounds=1, at_once=2)

    hashing = [asyncio.ensure_future(passwords.hash(PASSWORD)) for _ in range(6)]
    hashing[0].cancel()  # a canceled request does not make room for another hash
    await asyncio.gather(*hashing, return_exceptions=True)

    assert most == 2
    assert threading.main_thread() not in threads


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password_hash_memory", 19455),
        ("password_hash_rounds", 1),
        ("password_hash_parallelism", 0),
        ("password_hashes_at_once", 0),
    ],
)
def test_costs_have_a_floor(name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name.upper(), str(value))

    with pytest.raises(SystemExit, match=f"{name.upper()} is invalid"):
        PasswordSettings.load()


def test_defaults_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = Mock()
    monkeypatch.setattr("app.core.auth.passwords.Argon2Hasher", hasher)

    Passwords.of(Settings.load())

    hasher.assert_called_once_with(2, 19456, 1)


@pytest.mark.parametrize(
    "password",
    [
        "1q2w3e4r5t6y",
        "QWERTYQWERTY",
        "aaaaaaaaaaaa",
        "abababababab",
        "ada.lovelace@example.com",
        "AdaLovelace12",
        "my-service-ada",
        "passwordpassword",
        "Password1234!",
        "qwerty123456",
        "iloveyou1234",
        "Welcome12345",
        "letmeinletmein",
        "adminadmin123",
    ],
)
def test_worst_passwords_are_refused(password: str) -> None:
    with pytest.raises(ProblemError):
        check_new_password(password, "ada.lovelace@example.com")


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "ada likes engines",
        "my admin password is long",
        "           spaces",
        "пароль пароль длинный",
    ],
)
def test_others_are_accepted(password: str) -> None:
    check_new_password(password, "ada.lovelace@example.com")


@pytest.mark.parametrize(
    ("password", "status"),
    [
        ("x" * 11, 422),
        ("x" * 129, 422),
        ("abcdefghijkl", 201),
        ("1q2w3e4r5t6y", 422),
        ("abcdefgh" * 16, 201),
        ("Zoë Zoë Zoë 🎵", 201),
        ("nul \0 is fine", 201),
    ],
)
async def test_length_and_characters(
    app: FastAPI, client: AsyncClient, password: str, status: int
) -> None:
    token = app.state.tokens.create(Purpose.REGISTRATION, 60, email="ada@example.com", role="user")
    data = {"token": token, "name": "Ada", "password": password}

    assert (await client.post("/users", json=data)).status_code == status

    if status == 201:
        assert (await log_in(client, "ada@example.com", password)).status_code == 200
        assert (await log_in(client, "ada@example.com", password[:-1])).status_code == 401


async def test_password_that_changes_during_the_login_is_refused(
    app: FastAPI, client: AsyncClient, user: User, session: AsyncSession
) -> None:
    class Slow(Passwords):
        async def verify(self, password: str, known: str | None) -> bool:
            user.password_hash = await WEAK.hash(NEW_PASSWORD)
            await session.commit()
            return await super().verify(password, known)

    app.state.passwords = Slow(memory=8, rounds=1)

    assert (await log_in(client, user.email)).status_code == 401


@pytest.mark.committed
async def test_no_connection_is_held_while_hashing(
    app: FastAPI,
    client: AsyncClient,
    user: User,
    user_client: AsyncClient,
    engine: AsyncEngine,
    mailbox: list[Mail],
) -> None:
    held: list[int] = []

    class Watched(Passwords):
        async def hash(self, password: str) -> str:
            held.append(engine.pool.checkedout())  # type: ignore[attr-defined]
            return await super().hash(password)

        async def verify(self, password: str, known: str | None) -> bool:
            held.append(engine.pool.checkedout())  # type: ignore[attr-defined]
            return await super().verify(password, known)

    app.state.passwords = Watched(memory=16, rounds=1)

    assert (await log_in(client, user.email)).is_success
    await client.post("/auth/register", json={"email": "ada@example.com"})
    data = {"token": token_in(mailbox[-1]), "password": PASSWORD, "name": "Ada"}
    assert (await client.post("/users", json=data)).is_success
    data = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await user_client.post("/auth/password", json=data)).is_success
    await client.post("/auth/password-reset", json={"email": user.email})
    data = {"token": token_in(mailbox[-1]), "password": PASSWORD}
    assert (await client.post("/auth/password-reset/confirm", json=data)).is_success
    assert held == [0] * 6  # the login upgrades the hash
