"""Dependencies that protect routes, the walk over all routes, and OpenAPI."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urljoin

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket
from fastapi.staticfiles import StaticFiles
from fastapi.testclient import TestClient
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import WebSocketDenialResponse

from app import core
from app.core import ReadSessionDep, SessionDep
from app.core.auth import current_user, require_role
from app.main import create_app
from app.settings import Settings
from app.users import Admin, CurrentUser, OptionalUser, Role, User
from tests.core.auth import AccessToken, MakeUsers
from tests.core.auth.routes import unprotected
from tests.proofs.auth.attacks import ME, log_in, statements

router = APIRouter(prefix="/guarded")
OF_ADMINS = [require_role(Role.ADMIN)]


@router.get("/reads")
async def read(user: CurrentUser, session: ReadSessionDep) -> str:
    return user.role


@router.post("/writes")
async def write(user: CurrentUser, session: SessionDep) -> str:
    user.name = "Written"
    return user.role


@router.get("/optional")
async def greet(user: OptionalUser) -> str:
    return user.name if user else "nobody"


@router.get("/admin")
async def administrate(admin: Admin) -> str:
    return admin.name


@router.get("/staff", dependencies=[require_role("editor", Role.ADMIN)])
async def edit() -> None: ...


@router.websocket("/socket")
async def talk(websocket: WebSocket, user: CurrentUser) -> None:
    await websocket.accept()
    await websocket.send_text(user.email)
    await websocket.close()


@router.websocket("/open-transaction")
async def tell(websocket: WebSocket, user: CurrentUser, session: ReadSessionDep) -> None:
    await websocket.accept()
    await websocket.send_text(str(session.in_transaction()))
    await websocket.close()


inner = APIRouter(prefix="/inner")


@inner.get("/route")
async def nested() -> None: ...


def add_routes(app: FastAPI) -> None:
    app.include_router(router)
    app.include_router(inner, prefix="/by-include", dependencies=OF_ADMINS)
    outer = APIRouter(prefix="/by-router", dependencies=OF_ADMINS)
    outer.include_router(inner)
    app.include_router(outer)


@pytest.fixture
def make_app() -> Callable[[Settings], FastAPI]:
    def make_app(settings: Settings) -> FastAPI:
        app = create_app(settings)
        add_routes(app)
        return app

    return make_app


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/guarded/reads", [401, 200, 200]),
        ("/guarded/optional", [200, 200, 200]),
        ("/guarded/admin", [401, 403, 200]),
        ("/guarded/staff", [401, 403, 200]),
        ("/by-include/inner/route", [401, 403, 200]),
        ("/by-router/inner/route", [401, 403, 200]),
    ],
)
async def test_guards(
    client: AsyncClient,
    user_client: AsyncClient,
    admin_client: AsyncClient,
    path: str,
    statuses: list[int],
) -> None:
    clients = (client, user_client, admin_client)

    assert [(await each.get(path)).status_code for each in clients] == statuses


async def test_invalid_token_is_refused_even_if_a_user_is_optional(client: AsyncClient) -> None:
    response = await client.get("/guarded/optional", headers={"Authorization": "Bearer x"})

    assert response.status_code == 401


async def test_fifty_users_of_a_new_role(client_of: Any, make_users: MakeUsers) -> None:
    editors = await make_users(50, role="editor")
    client = await client_of(editors[-1])

    assert len({editor.email for editor in editors}) == 50
    assert (await client.get("/guarded/staff")).status_code == 200
    assert (await client.get("/guarded/admin")).status_code == 403


async def test_guard_and_handler_share_a_transaction(
    user_client: AsyncClient, user: User, engine: AsyncEngine
) -> None:
    async with statements(engine) as found:
        assert (await user_client.post("/guarded/writes")).status_code == 200

    assert user.name == "Written"
    assert sum("auth_sessions" in each for each in found) == 1
    assert sum(each.startswith("SAVEPOINT") for each in found) <= 2  # the test's, and the request's


async def test_role_change_counts_at_once(admin_client: AsyncClient, admin: User) -> None:
    admin.role = Role.USER

    assert (await admin_client.get("/guarded/admin")).status_code == 403


@pytest.mark.committed
async def test_websocket_is_guarded(
    make_app: Callable[[Settings], FastAPI],
    settings: Settings,
    session: AsyncSession,
    user: User,
    access_token: AccessToken,
) -> None:
    token = await access_token(user)
    await session.commit()

    def connect(headers: dict[str, str]) -> str:
        with (
            TestClient(make_app(settings)) as client,
            client.websocket_connect("/guarded/socket", headers=headers) as socket,
        ):
            return socket.receive_text()

    found = await asyncio.to_thread(connect, {"Authorization": f"Bearer {token}"})
    assert found == user.email
    for headers in ({}, {"Authorization": "Bearer x"}):
        with pytest.raises(WebSocketDenialResponse) as refusal:
            await asyncio.to_thread(connect, headers)
        assert refusal.value.status_code == 401


@pytest.mark.committed
async def test_guard_of_a_websocket_holds_no_connection(
    make_app: Callable[[Settings], FastAPI],
    settings: Settings,
    session: AsyncSession,
    user: User,
    access_token: AccessToken,
) -> None:
    """Otherwise, a few WebSockets, which stay open, would use up the pool."""
    headers = {"Authorization": f"Bearer {await access_token(user)}"}
    await session.commit()

    def connect() -> str:
        with (
            TestClient(make_app(settings)) as client,
            client.websocket_connect("/guarded/open-transaction", headers=headers) as socket,
        ):
            return socket.receive_text()

    assert await asyncio.to_thread(connect) == "False"


@pytest.mark.parametrize("path", [ME, "/auth/sessions"])
async def test_refusal_is_not_cached(client: AsyncClient, path: str) -> None:
    assert (await client.get(path)).headers["Cache-Control"] == "no-store"


async def test_refused_login_is_not_cached(client: AsyncClient) -> None:
    response = await log_in(client, "nobody@example.com", "wrong")

    assert (response.status_code, response.headers["Cache-Control"]) == (401, "no-store")


def test_unprotected_routes_are_found(settings: Settings, tmp_path: Path) -> None:
    app = FastAPI()
    add_routes(app)
    (tmp_path / "index.html").touch()

    @app.get("/open")
    async def open_route() -> None: ...

    @app.get("/by-security")
    async def by_security(user: Annotated[User, Security(current_user)]) -> None: ...

    @app.get("/by-default")
    async def by_default(user: User = Depends(current_user)) -> None: ...  # noqa: B008

    @app.websocket("/open-socket")
    async def open_socket(websocket: WebSocket) -> None: ...

    async def plain(_: object) -> PlainTextResponse:
        return PlainTextResponse("")

    app.router.routes.append(Route("/starlette", plain))
    app.mount("/files", StaticFiles(directory=tmp_path))
    app.frontend("/pages", directory=tmp_path)

    documentation = {"GET /docs", "GET /docs/oauth2-redirect", "GET /openapi.json", "GET /redoc"}
    assert unprotected(app) - documentation == {
        "GET /guarded/optional",
        "GET /open",
        "APIWebSocketRoute /open-socket",
        "GET /starlette",
        "Mount /files",
        "front end /pages",
    }


PUBLIC_OF_CORE = {
    "/health/live",
    "/health/ready",
    "/auth/token",
    "/auth/login",
    "/auth/refresh",
    "/auth/register",
    "/auth/password-reset",
    "/auth/password-reset/confirm",
    "/auth/email/confirm",
}


async def test_routes_of_core_are_guarded(client: AsyncClient, app: FastAPI) -> None:
    """Also those of `app/users`, except for the end of a registration."""
    for path, operations in app.openapi()["paths"].items():
        for method in operations:
            url = path.replace("{user_id}", "1").replace("{session_id}", "1")
            response = await client.request(method, url)
            guarded = path.startswith(("/auth/", "/users")) and (path, method) != ("/users", "post")
            if guarded and path not in PUBLIC_OF_CORE:
                assert response.status_code == 401, path
                assert "401" in operations[method]["responses"], path
            elif path in PUBLIC_OF_CORE:
                assert "security" not in operations[method], path


async def test_openapi_describes_refusals(client: AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()

    responses = schema["paths"]["/users/me"]["get"]["responses"]
    assert "application/problem+json" in responses["401"]["content"]
    assert "WWW-Authenticate" in responses["401"]["headers"]
    assert "application/problem+json" in responses["403"]["content"]
    assert "403" not in schema["paths"]["/auth/token"]["post"]["responses"]


def login_url(schema: dict[str, Any]) -> str:
    url: str = schema["components"]["securitySchemes"]["Bearer"]["flows"]["password"]["tokenUrl"]
    return url


@pytest.mark.parametrize(
    ("docs", "prefix", "root_path"),
    [
        ("/docs", "", ""),
        ("/docs", "/v1", ""),
        ("/docs", "", "/api"),
        ("/docs", "/v1", "/api"),
        ("/v1/docs", "/v1", "/api"),
        ("/internal/docs/", "", ""),
    ],
)
def test_documentation_finds_the_login(
    settings: Settings, docs: str, prefix: str, root_path: str
) -> None:
    app = FastAPI(docs_url=docs)
    core.install(app, settings, prefix=prefix)
    client = TestClient(app, root_path=root_path)

    url = login_url(client.get(f"{root_path}/openapi.json").json())

    found = urljoin(f"https://example.com{root_path}{docs}", url)
    assert found == f"https://example.com{root_path}{prefix}/auth/token"


def test_openapi_contains_routes_that_are_added_later(settings: Settings) -> None:
    app = create_app(settings)
    login = login_url(app.openapi())
    add_routes(app)

    schema = app.openapi()

    assert login_url(schema) == login
    assert "401" in schema["paths"]["/guarded/reads"]["get"]["responses"]
