"""Registration, passwords, addresses, and what an attacker learns from them."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import delete, event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm.exc import StaleDataError

from app.core.auth import throttle
from app.core.auth.tokens import Purpose
from app.core.mail import Mail
from app.users import Role, User
from tests.core.auth import PASSWORD, MakeUsers
from tests.proofs.auth.attacks import (
    ME,
    NEW_PASSWORD,
    changed_settings,
    log_in,
    me,
    refresh,
    settings_of,
    statements,
    token_in,
)

NEW = "ada@example.com"


async def complete(client: AsyncClient, token: str, **data: Any) -> Any:
    body = {"token": token, "password": PASSWORD, "name": "Ada", **data}
    return await client.post("/users", json=body)


async def test_registration_by_mail(client: AsyncClient, mailbox: list[Mail]) -> None:
    assert (await client.post("/auth/register", json={"email": " Ada@EXAMPLE.com"})).is_success

    (mail,) = mailbox
    assert mail.to == NEW
    response = await complete(client, token_in(mail))
    assert response.status_code == 201
    assert response.json()["role"] == Role.USER
    assert (await log_in(client, "ADA@example.com")).status_code == 200
    assert (await complete(client, token_in(mail))).status_code == 409


@pytest.mark.committed
async def test_one_of_two_registrations_wins(client: AsyncClient, mailbox: list[Mail]) -> None:
    await client.post("/auth/register", json={"email": NEW})
    token = token_in(mailbox[0])

    responses = await asyncio.gather(*(complete(client, token) for _ in range(2)))

    assert Counter(each.status_code for each in responses) == {201: 1, 409: 1}


@pytest.mark.parametrize("role", ["user", "admin"])
async def test_registration_token_works_once(
    client: AsyncClient,
    admin_client: AsyncClient,
    session: AsyncSession,
    mailbox: list[Mail],
    role: str,
) -> None:
    """Otherwise, invited admins who lose their role could delete themselves and return."""
    await admin_client.post("/users/invitations", json={"email": NEW, "role": role})
    token = token_in(mailbox[0])
    user_id = (await complete(client, token)).json()["id"]
    await session.execute(delete(User).where(User.id == user_id))
    await throttle.purge(session)

    assert (await complete(client, token)).status_code == 400
    assert (await complete(client, f"{token}=")).status_code == 400

    await client.post("/auth/register", json={"email": NEW})
    assert (await complete(client, token_in(mailbox[-1]))).status_code == 201


async def test_failed_registration_does_not_use_the_token(
    client: AsyncClient, mailbox: list[Mail]
) -> None:
    await client.post("/auth/register", json={"email": NEW})
    token = token_in(mailbox[0])
    weak = {"password": "1q2w3e4r5t6y"}
    assert (await complete(client, token, **weak)).status_code == 422

    def fail(*_: object) -> None:
        raise StaleDataError

    event.listen(User, "before_insert", fail)
    assert (await complete(client, token)).status_code == 409
    event.remove(User, "before_insert", fail)

    assert (await complete(client, token)).status_code == 201


async def test_registration_does_not_reveal_users(
    client: AsyncClient, engine: AsyncEngine, user: User, mailbox: list[Mail]
) -> None:
    await client.post("/auth/register", json={"email": "first@example.com"})
    mailbox.clear()
    for path in ("/auth/register", "/auth/password-reset"):
        answers = []
        for email in (user.email, "nobody@example.com"):
            async with statements(engine) as found:
                response = await client.post(path, json={"email": email})
            run = [each for each in found if "SAVEPOINT" not in each]
            answers.append((response.status_code, response.content, run))
        assert answers[0][0] == 202
        assert answers[0] == answers[1]
    # A user who registers again gets a mail to reset the password.
    assert [mail.to for mail in mailbox] == [user.email, "nobody@example.com", user.email]
    assert mailbox[0].subject == mailbox[2].subject != mailbox[1].subject


async def test_login_does_not_reveal_users(
    client: AsyncClient, engine: AsyncEngine, user: User, make_users: MakeUsers
) -> None:
    (inactive,) = await make_users(is_active=False)
    await log_in(client, "first@example.com", "wrong")
    answers = []
    for email, password in (
        (user.email, "wrong"),
        ("nobody@example.com", "wrong"),
        (inactive.email, PASSWORD),
        ("no address", "wrong"),
    ):
        async with statements(engine) as found:
            response = await log_in(client, email, password)
        run = [each for each in found if "SAVEPOINT" not in each]
        body = {**response.json(), "request_id": None}
        answers.append((response.status_code, body, response.headers["WWW-Authenticate"], run))

    assert answers[0][0] == 401
    assert answers.count(answers[0]) == len(answers)


async def test_users_are_not_invited(
    admin_client: AsyncClient, user: User, mailbox: list[Mail]
) -> None:
    response = await admin_client.post("/users/invitations", json={"email": user.email})

    assert response.status_code == 409
    assert mailbox == []


async def test_closed_registration_needs_an_invitation(
    app: FastAPI, client: AsyncClient, admin_client: AsyncClient, mailbox: list[Mail]
) -> None:
    with changed_settings(app, registration=False):
        assert (await client.post("/auth/register", json={"email": NEW})).status_code == 403
        invitation = {"email": NEW, "role": "admin"}
        assert (await admin_client.post("/users/invitations", json=invitation)).is_success

        response = await complete(client, token_in(mailbox[0]))

    assert response.json()["role"] == "admin"


@pytest.mark.parametrize(
    "extra", [{"role": "admin"}, {"id": 1}, {"is_active": False}, {"email": "x@example.com"}]
)
async def test_registration_takes_no_other_fields(
    app: FastAPI, client: AsyncClient, session: AsyncSession, extra: dict[str, Any]
) -> None:
    token = app.state.tokens.create(Purpose.REGISTRATION, 60, email=NEW, role="user")

    assert (await complete(client, token, **extra)).status_code == 422

    assert await session.scalar(select(func.count()).select_from(User)) == 0


async def test_reset_by_mail(client: AsyncClient, user: User, mailbox: list[Mail]) -> None:
    tokens = (await log_in(client, user.email)).json()
    await client.post("/auth/password-reset", json={"email": user.email})
    (mail,) = mailbox
    data = {"token": token_in(mail), "password": NEW_PASSWORD}

    assert (await client.post("/auth/password-reset/confirm", json=data)).status_code == 204

    assert (await me(client, tokens["access_token"])).status_code == 401
    assert (await refresh(client, tokens["refresh_token"])).status_code == 401
    assert (await log_in(client, user.email)).status_code == 401
    assert (await log_in(client, user.email, NEW_PASSWORD)).status_code == 200
    assert mailbox[-1].subject.endswith("was changed")
    # The link works once.
    assert (await client.post("/auth/password-reset/confirm", json=data)).status_code == 400


@pytest.mark.committed
async def test_reset_token_works_once_also_in_parallel(
    client: AsyncClient, user: User, mailbox: list[Mail]
) -> None:
    await client.post("/auth/password-reset", json={"email": user.email})
    token = token_in(mailbox[0])

    responses = await asyncio.gather(
        *(
            client.post(
                "/auth/password-reset/confirm",
                json={"token": token, "password": f"{NEW_PASSWORD} {number}"},
            )
            for number in range(4)
        )
    )

    assert Counter(each.status_code for each in responses) == {204: 1, 400: 3}


@pytest.mark.parametrize("change", ["password_hash", "email", "is_active"])
async def test_reset_token_dies_with_a_change(
    client: AsyncClient, user: User, mailbox: list[Mail], change: str
) -> None:
    await client.post("/auth/password-reset", json={"email": user.email})
    setattr(user, change, False if change == "is_active" else "other@example.com")
    data = {"token": token_in(mailbox[0]), "password": NEW_PASSWORD}

    assert (await client.post("/auth/password-reset/confirm", json=data)).status_code == 400


async def test_reset_token_is_for_one_user(
    app: FastAPI, client: AsyncClient, user: User, admin: User, mailbox: list[Mail]
) -> None:
    await client.post("/auth/password-reset", json={"email": user.email})
    _, state = app.state.tokens.read(Purpose.PASSWORD_RESET, token_in(mailbox[0]), "sub", "state")
    token = app.state.tokens.create(Purpose.PASSWORD_RESET, 60, sub=str(admin.id), state=state)
    data = {"token": token, "password": NEW_PASSWORD}

    assert (await client.post("/auth/password-reset/confirm", json=data)).status_code == 400


async def test_mail_tokens_are_not_interchangeable(
    client: AsyncClient, user: User, mailbox: list[Mail]
) -> None:
    await client.post("/auth/password-reset", json={"email": user.email})
    token = token_in(mailbox[0])

    assert (await client.post("/auth/email/confirm", json={"token": token})).status_code == 400
    assert (await complete(client, token)).status_code == 400


async def test_change_of_password_ends_other_sessions(
    client: AsyncClient, user_client: AsyncClient, user: User, mailbox: list[Mail]
) -> None:
    other = (await log_in(client, user.email)).json()["access_token"]
    data = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}

    assert (await user_client.post("/auth/password", json=data)).status_code == 204

    assert (await user_client.get(ME)).status_code == 200
    assert (await me(client, other)).status_code == 401
    assert (await log_in(client, user.email, NEW_PASSWORD)).status_code == 200
    assert [mail.subject.endswith("was changed") for mail in mailbox] == [True]
    assert (await user_client.post("/auth/password", json=data)).status_code == 403


async def test_change_of_address(
    client: AsyncClient, user_client: AsyncClient, user: User, mailbox: list[Mail]
) -> None:
    old = user.email
    wrong = {"email": NEW, "password": NEW_PASSWORD}
    assert (await user_client.post("/auth/email", json=wrong)).status_code == 403
    assert mailbox == []

    data = {"email": NEW, "password": PASSWORD}
    assert (await user_client.post("/auth/email", json=data)).status_code == 202
    assert [mail.to for mail in mailbox] == [NEW, old]
    assert "was requested" in mailbox[1].subject
    assert user.email == old

    token = {"token": token_in(mailbox[0])}
    assert (await client.post("/auth/email/confirm", json=token)).status_code == 204
    assert user.email == NEW
    assert (mailbox[-1].to, "was changed" in mailbox[-1].subject) == (old, True)
    assert (await client.post("/auth/email/confirm", json=token)).status_code == 400


async def test_taken_address_is_only_revealed_to_its_owner(
    client: AsyncClient, user_client: AsyncClient, user: User, admin: User, mailbox: list[Mail]
) -> None:
    data = {"email": admin.email, "password": PASSWORD}
    assert (await user_client.post("/auth/email", json=data)).status_code == 202

    response = await client.post("/auth/email/confirm", json={"token": token_in(mailbox[0])})

    assert response.status_code == 409
    assert response.json()["detail"] == "This email address is already registered."


async def test_deletion_needs_the_password(
    client: AsyncClient, user_client: AsyncClient, user: User, session: AsyncSession
) -> None:
    path = "/auth/delete-account"
    wrong = await user_client.post(path, json={"password": "x"})
    assert wrong.status_code == 403

    assert (await user_client.post(path, json={"password": PASSWORD})).status_code == 204

    assert (await user_client.get(ME)).status_code == 401
    assert await session.scalar(select(func.count()).select_from(User)) == 0


async def test_last_admin_cannot_leave(admin_client: AsyncClient, admin: User) -> None:
    response = await admin_client.post("/auth/delete-account", json={"password": PASSWORD})

    assert response.status_code == 409


@pytest.mark.committed
async def test_two_admins_cannot_remove_each_other(
    app: FastAPI, client_of: Any, make_users: MakeUsers, session: AsyncSession
) -> None:
    first, second = await make_users(2, role="admin")
    clients = [await client_of(first), await client_of(second)]
    paths = [f"/users/{second.id}", f"/users/{first.id}"]

    responses = await asyncio.gather(
        *(
            client.patch(path, json={"is_active": False})
            for client, path in zip(clients, paths, strict=True)
        )
    )

    assert sorted(each.status_code for each in responses) in ([200, 401], [200, 409])


async def test_access_change_ends_sessions(
    admin_client: AsyncClient, user_client: AsyncClient, user: User
) -> None:
    assert (await admin_client.patch(f"/users/{user.id}", json={})).status_code == 200
    assert (await user_client.get(ME)).status_code == 200

    response = await admin_client.patch(f"/users/{user.id}", json={"role": "admin"})

    assert response.json()["role"] == "admin"
    assert (await user_client.get(ME)).status_code == 401


@pytest.mark.parametrize(
    "email",
    [
        "x",
        "Ada <ada@example.com>",
        "ada@example.com\nBcc: eve@example.com",
        "ada@example.com\r\nSubject: x",
        "ada@example.com%0aBcc:eve@example.com",
        "a" * 65 + "@example.com",
        "é@example.com",
        "ada@example",
        "ada@[127.0.0.1]",
        "a,b@example.com",
        "\0@example.com",
    ],
)
async def test_invalid_addresses_are_refused(
    client: AsyncClient, mailbox: list[Mail], email: str
) -> None:
    response = await client.post("/auth/register", json={"email": email})

    assert response.status_code == 422
    assert mailbox == []


async def test_links_start_with_the_setting(
    app: FastAPI, client: AsyncClient, mailbox: list[Mail]
) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Origin": "http://x"}

    await client.post("/auth/register", json={"email": NEW}, headers=headers)

    (link,) = (line for line in mailbox[0].text.splitlines() if line.startswith("http"))
    assert link.startswith(f"{settings_of(app).frontend_url}register#token=")
    assert "evil" not in mailbox[0].text
